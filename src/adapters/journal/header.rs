//! What a file says of itself in its first bytes, read before SQLite touches
//! it: to open a file with SQLite already puts another beside it.

use std::fs::File;
use std::io::{ErrorKind, Read};
use std::path::{Path, PathBuf};

use super::schema::{APPLICATION_ID, VERSION};
use super::trouble::{corrupt, newer, volume};
use crate::ports::journal::JournalError;

/// How much of the file the header is, by SQLite's format.
const LENGTH: usize = 100;
/// What every SQLite file begins with.
const MAGIC: &[u8; 16] = b"SQLite format 3\0";
/// Where the version of the schema stands, big-endian.
const USER_VERSION: usize = 60;
/// Where the mark of the application stands, big-endian.
const APPLICATION: usize = 68;

/// Returns the path of a file that belongs to the one at `path`.
pub(super) fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    PathBuf::from(name)
}

/// Returns whether there is a journal, and that it is one this build reads.
pub(super) fn check(path: &Path) -> Result<bool, JournalError> {
    let mut file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == ErrorKind::NotFound => return absent(path),
        Err(error) => return Err(volume(path, "open", &error)),
    };
    let mut header = [0; LENGTH];
    match file.read_exact(&mut header) {
        Ok(()) => (),
        Err(error) if error.kind() == ErrorKind::UnexpectedEof => {
            return Err(corrupt(path, "the file is too short to be one"));
        }
        Err(error) => return Err(volume(path, "read", &error)),
    }
    let number = |at: usize| u32::from_be_bytes([header[at], header[at + 1], header[at + 2], header[at + 3]]);
    let version = number(USER_VERSION);
    if !header.starts_with(MAGIC) {
        Err(corrupt(path, "it is not an SQLite file"))
    } else if number(APPLICATION) != APPLICATION_ID || version == 0 {
        Err(corrupt(path, "it is an SQLite file of another program"))
    } else if version > VERSION {
        Err(newer(path, version))
    } else {
        Ok(true)
    }
}

/// A log without its journal would be replayed into the next journal of that
/// name, so it has to go first, by a person's hand.
fn absent(path: &Path) -> Result<bool, JournalError> {
    match std::fs::metadata(beside(path, "-wal")) {
        Ok(log) if log.len() > 0 => Err(corrupt(path, "the file is gone but its -wal file is still there")),
        _ => Ok(false),
    }
}
