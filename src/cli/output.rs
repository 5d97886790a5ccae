//! Saying things on stdout, also when nobody reads any more.

use std::io::{self, IsTerminal, Write};

use serde_json::Value;

use crate::ground::redact::redact;

/// Prints a line. A reader that has gone away is no error: whatever was asked
/// for is done.
pub(crate) fn say(line: &str) {
    let mut out = io::stdout().lock();
    let _ = out.write_all(line.as_bytes()).and_then(|()| out.write_all(b"\n")).and_then(|()| out.flush());
}

/// Prints a line on stderr, as forgivingly, and without what looks like a secret.
pub(crate) fn tell(line: &str) {
    let mut out = io::stderr().lock();
    let _ = out.write_all(redact(line).as_bytes()).and_then(|()| out.write_all(b"\n"));
}

/// Prints one JSON object on one line.
pub(crate) fn say_json(value: &Value) {
    say(&value.to_string());
}

/// Returns whether a person looks at stderr.
pub(crate) fn is_watched() -> bool {
    io::stderr().is_terminal()
}

/// Lays rows out in columns as wide as their widest cell.
pub(crate) fn table(header: &[&str], rows: &[Vec<String>]) -> String {
    let mut widths: Vec<usize> = header.iter().map(|cell| cell.chars().count()).collect();
    for row in rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = (*width).max(cell.chars().count());
        }
    }
    let line = |cells: Vec<&str>| {
        let padded = cells.iter().zip(&widths).map(|(cell, width)| format!("{cell:<width$}"));
        padded.collect::<Vec<_>>().join("  ").trim_end().to_owned()
    };
    let mut lines = vec![line(header.to_vec())];
    lines.extend(rows.iter().map(|row| line(row.iter().map(String::as_str).collect())));
    lines.join("\n")
}
