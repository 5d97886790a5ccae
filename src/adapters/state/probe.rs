//! A try: can this directory be written, and how long does it take until what
//! was written is durable?

use std::fs::{OpenOptions, remove_file};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::time::Duration;

use crate::ports::clock::Clock;

/// How often it is tried; the middle one counts, for the first may be slow for
/// reasons of its own.
const TRIES: usize = 5;

/// Bytes written each time: a page of the journal.
const PAGE: [u8; 4_096] = [0; 4_096];

/// Writes a page and syncs it, a few times, and returns how long that took. An
/// agent may be at work in the directory; what is written is removed again.
///
/// # Errors
///
/// What the system said.
pub fn sync_latency(directory: &Path, clock: &dyn Clock) -> io::Result<Duration> {
    let path = directory.join(format!(".probe-{}", std::process::id()));
    let measured = measure(&path, clock);
    // One that could not be made cannot be removed.
    let _ = remove_file(&path);
    measured
}

fn measure(path: &Path, clock: &dyn Clock) -> io::Result<Duration> {
    let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(path)?;
    let mut spans = Vec::with_capacity(TRIES);
    for _ in 0..TRIES {
        let begun = clock.now().moment;
        file.write_all(&PAGE)?;
        file.sync_data()?;
        spans.push(begun.until(clock.now().moment));
    }
    spans.sort_unstable();
    Ok(spans[TRIES / 2])
}
