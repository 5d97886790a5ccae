//! Rows that could not be taken: counted by reason, and the first of them named.
//!
//! *Invariant:* a reject names a line, a place and a reason, never a value.

use std::fmt;

use serde::{Deserialize, Serialize};

/// How many rejected rows are named one by one; the others are only counted.
/// It bounds memory, and a report of more is read by no one.
pub const NAMED_LIMIT: usize = 10_000;

/// The first line of a report in CSV.
pub const REPORT_HEADER: &str = "line,column,reason,byte_offset";

/// Why a row could not be taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Fault {
    /// More or fewer fields than the header has columns.
    ColumnCount,
    /// Bytes that are no text: not UTF-8, or what cannot become UTF-8, such as a
    /// surrogate of UTF-16 without its other half.
    NotUtf8,
    /// A quote inside an unquoted value, or text behind a closing quote.
    StrayQuote,
    /// More bytes than a row may have.
    TooLong,
    /// A NUL byte: a sign of a binary file or of UTF-16.
    NulByte,
    /// More bytes than a field may have.
    FieldTooLong,
}

impl Fault {
    /// All reasons, in the order they are shown.
    pub const ALL: [Self; 6] =
        [Self::ColumnCount, Self::NotUtf8, Self::StrayQuote, Self::TooLong, Self::NulByte, Self::FieldTooLong];

    /// Returns the code reports have for it.
    pub const fn code(self) -> &'static str {
        match self {
            Self::ColumnCount => "column-count",
            Self::NotUtf8 => "not-utf8",
            Self::StrayQuote => "stray-quote",
            Self::TooLong => "too-long",
            Self::NulByte => "nul-byte",
            Self::FieldTooLong => "field-too-long",
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(match self {
            Self::ColumnCount => "wrong column count",
            Self::NotUtf8 => "not UTF-8",
            Self::StrayQuote => "stray quote",
            Self::TooLong => "row too long",
            Self::NulByte => "NUL byte",
            Self::FieldTooLong => "field too long",
        })
    }
}

/// One rejected row.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reject {
    /// The line its record starts on, from 1.
    pub line: u64,
    /// The field that shows it, from 1 in the order of the table; 0 if it is none
    /// in particular.
    pub column: u32,
    /// The byte its record starts at, from 0: in the file, or in what was
    /// unpacked of it.
    pub offset: u64,
    /// What is wrong with it.
    pub fault: Fault,
}

/// The rejected rows of a table, or of a piece of one.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Rejects {
    counts: [u64; Fault::ALL.len()],
    named: Vec<Reject>,
}

impl Rejects {
    /// Counts a row, and names it if there is room.
    pub fn add(&mut self, reject: Reject) {
        self.count(reject.fault);
        self.name(reject);
    }

    /// Counts a row that need not be named.
    pub fn count(&mut self, fault: Fault) {
        self.counts[fault as usize] += 1;
    }

    /// Returns whether another row would be named.
    pub fn has_room(&self) -> bool {
        self.named.len() < NAMED_LIMIT
    }

    /// Takes over the rows of the next piece, whose first line has `lines`
    /// lines before it.
    pub fn append(&mut self, piece: &Self, lines: u64) {
        for (count, more) in self.counts.iter_mut().zip(piece.counts) {
            *count += more;
        }
        for reject in &piece.named {
            self.name(Reject { line: reject.line + lines, ..*reject });
        }
    }

    /// Returns how many rows were rejected.
    pub fn total(&self) -> u64 {
        self.counts.iter().sum()
    }

    /// Returns how many rows were rejected for one reason.
    pub const fn of(&self, fault: Fault) -> u64 {
        self.counts[fault as usize]
    }

    /// Returns the first rejected rows, at most [`NAMED_LIMIT`], in the table's order.
    pub fn named(&self) -> &[Reject] {
        &self.named
    }

    /// Returns the rows that are named as CSV, a header first.
    pub fn report(&self) -> String {
        let mut report = format!("{REPORT_HEADER}\n");
        for Reject { line, column, offset, fault } in &self.named {
            let column = if *column == 0 { String::new() } else { column.to_string() };
            report.push_str(&format!("{line},{column},{},{offset}\n", fault.code()));
        }
        report
    }

    fn name(&mut self, reject: Reject) {
        if self.has_room() {
            self.named.push(reject);
        }
    }
}

/// Shows the counts by reason, and where the first one is.
impl fmt::Display for Rejects {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, fault) in Fault::ALL.into_iter().filter(|fault| self.of(*fault) > 0).enumerate() {
            let comma = if at > 0 { ", " } else { "" };
            write!(out, "{comma}{} {fault}", self.of(fault))?;
        }
        match self.named.first() {
            Some(first) => write!(out, "; the first on line {} (byte {}): {}", first.line, first.offset, first.fault),
            None => Ok(()),
        }
    }
}
