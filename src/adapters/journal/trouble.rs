//! What an error of SQLite or of the volume means, and what a person can do.

use std::fmt;
use std::fs::OpenOptions;
use std::io::ErrorKind;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use rusqlite::{Error, ErrorCode, ffi};
use rustix::fs::OFlags;

use super::schema::VERSION;
use crate::ports::journal::JournalError;

/// Why a write failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Trouble {
    /// It may pass: the same write is tried again.
    Passing(String),
    /// What the volume holds is not certain any more: nothing is tried again.
    Lasting(String),
}

impl Trouble {
    /// Returns what a failed write to the journal at `path` means.
    pub(super) fn of(error: &Error, path: &Path) -> Self {
        let shown = path.display();
        match error.sqlite_error() {
            Some(failure) if is_sync(failure) => Self::Lasting(format!(
                "sync the journal {shown}: the volume failed and what it holds is not certain: \
                 check the kernel log and the disk, then start the agent again"
            )),
            Some(failure) if is_damage(failure) => Self::Lasting(format!(
                "write the journal {shown}: its pages are damaged: keep a copy of its directory, \
                 check the disk, then start the agent again to see what can be read"
            )),
            _ => Self::Passing(format!(
                "write the journal {shown}: {}; nothing is lost, writing resumes by itself",
                advice(error, path)
            )),
        }
    }
}

/// Returns why a journal that SQLite would not open, read or migrate is refused.
pub(super) fn refusal(error: &Error, path: &Path) -> JournalError {
    let Some(failure) = error.sqlite_error() else {
        return corrupt(path, &format!("a row does not read as it should: {error}"));
    };
    let unreadable = is_damage(failure)
        || matches!(failure.code, ErrorCode::Unknown | ErrorCode::TypeMismatch | ErrorCode::ConstraintViolation)
        || failure.extended_code == ffi::SQLITE_IOERR_SHORT_READ;
    if unreadable { corrupt(path, &error.to_string()) } else { volume(path, "use", &advice(error, path)) }
}

/// Returns the refusal of a journal that does not look like one.
pub(super) fn corrupt(path: &Path, finding: &str) -> JournalError {
    JournalError::Corrupt(format!(
        "read the journal {}: {finding}. It is left untouched. Keep a copy of its directory; then put a backup in its \
         place, or move it and the files whose names begin with its name away to begin a new one",
        path.display()
    ))
}

/// Returns the refusal of a journal that a newer build wrote.
pub(super) fn newer(path: &Path, version: u32) -> JournalError {
    JournalError::Newer(format!(
        "read the journal {}: it has version {version} and this build reads versions up to {VERSION}. It is left \
         untouched. Install the newer build again, or put the copy kept before the migration in its place",
        path.display()
    ))
}

/// Returns the refusal of a journal that the volume does not let be used.
pub(super) fn volume(path: &Path, step: &str, reason: &dyn fmt::Display) -> JournalError {
    JournalError::Volume(format!("{step} the journal {}: {reason}", path.display()))
}

/// Returns whether an fsync failed. Another one may succeed although the pages
/// were dropped, so there must be none.
pub(super) fn is_sync(failure: &ffi::Error) -> bool {
    matches!(failure.extended_code, ffi::SQLITE_IOERR_FSYNC | ffi::SQLITE_IOERR_DIR_FSYNC)
}

fn is_damage(failure: &ffi::Error) -> bool {
    matches!(failure.code, ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase)
}

fn advice(error: &Error, path: &Path) -> String {
    match error.sqlite_error_code() {
        Some(ErrorCode::SystemIoFailure | ErrorCode::ReadOnly | ErrorCode::CannotOpen) if turned_read_only(path) => {
            "its volume is read only: look into the kernel log for the cause, mount it writable, then \
             start the agent again if it does not go on"
                .to_owned()
        }
        Some(ErrorCode::DiskFull) => "its volume is full: free some space".to_owned(),
        Some(ErrorCode::ReadOnly) => "it is read only: check its owner and mode".to_owned(),
        Some(ErrorCode::CannotOpen | ErrorCode::PermissionDenied) => {
            "it cannot be opened: check the owner and mode of its directory".to_owned()
        }
        Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => "another process uses it: end that one".to_owned(),
        Some(ErrorCode::SystemIoFailure) => {
            let code = error.sqlite_error().map_or(0, |failure| failure.extended_code);
            format!("its volume does not take it (SQLite code {code}): check its limits, the disk and the kernel log")
        }
        _ => error.to_string(),
    }
}

/// Returns whether the volume takes no writes at all. A volume that the kernel
/// shut after an error may still be shown as writable, so a file without a
/// name is asked for; the journal itself must not be opened again, for closing
/// it would give up SQLite's lock on it.
fn turned_read_only(path: &Path) -> bool {
    let nameless = OpenOptions::new()
        .write(true)
        .custom_flags(OFlags::TMPFILE.bits().cast_signed())
        .open(path.parent().unwrap_or(path));
    nameless.is_err_and(|error| error.kind() == ErrorKind::ReadOnlyFilesystem)
}
