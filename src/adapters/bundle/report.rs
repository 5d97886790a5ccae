//! The report of rejected rows: a file beside the bundle, in CSV, that names
//! places and reasons and no value.

use std::ffi::OsString;
use std::fs::File;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use rustix::fs::{CWD, Mode, OFlags};

use super::error::HashError;
use crate::table::rejects::Rejects;

/// What the file's name ends in, behind that of the bundle.
pub const REPORT_SUFFIX: &str = ".rejects.csv";

/// Returns the file that names the rows rejected on the way to a bundle.
pub fn reject_report(output: &Path) -> PathBuf {
    let mut name = OsString::from(output.file_name().unwrap_or_default());
    name.push(REPORT_SUFFIX);
    output.with_file_name(name)
}

/// Removes the report of an earlier run: it names rows of what the table was then.
pub(super) fn remove(output: &Path) -> Result<(), HashError> {
    let path = reject_report(output);
    match std::fs::remove_file(&path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(HashError::write(path, error)),
        Ok(()) | Err(_) => Ok(()),
    }
}

/// Writes the report, private to this user, in the place of an earlier one;
/// without a rejected row there is none. Returns where it is.
pub(super) fn write(output: &Path, rejects: &Rejects) -> Result<Option<PathBuf>, HashError> {
    remove(output)?;
    let path = reject_report(output);
    let failed = |error: io::Error| HashError::write(path.clone(), error);
    if rejects.total() == 0 {
        return Ok(None);
    }
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let file = rustix::fs::openat(CWD, &path, flags, Mode::RUSR | Mode::WUSR).map(File::from);
    let written = file.map_err(io::Error::from).and_then(|mut file| file.write_all(rejects.report().as_bytes()));
    written.map_err(failed)?;
    Ok(Some(path))
}
