//! How large a bundle may become. What it will be is estimated before it is made,
//! but what is packed, or comes through a pipe, does not say its size; so the
//! same limits hold while it is written.

use std::io;
use std::path::Path;

use super::error::HashError;

/// The most rows a data store takes; a documented limit of the service.
pub const ROW_COUNT_LIMIT: u64 = 100_000_000;

/// What a bundle in the making must stay within.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Rows; [`ROW_COUNT_LIMIT`] but in tests.
    pub rows: u64,
    /// Bytes of its blocks.
    pub bytes: Option<u64>,
    /// Bytes to keep free on its disk.
    pub keep_free: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self { rows: ROW_COUNT_LIMIT, bytes: None, keep_free: 0 }
    }
}

impl Limits {
    pub(super) const fn check_rows(&self, rows: u64) -> Result<(), HashError> {
        if rows > self.rows { Err(HashError::TooManyRows { most: self.rows }) } else { Ok(()) }
    }

    /// Checks that a file that has `written` bytes may have `more`.
    pub(super) fn check_bytes(&self, file: &Path, written: u64, more: u64) -> Result<(), HashError> {
        if let Some(most) = self.bytes.filter(|most| written + more > *most) {
            return Err(HashError::TooLarge { most });
        }
        match (self.keep_free, file.parent()) {
            (0, _) | (_, None) => Ok(()),
            (keep, Some(dir)) => room_for(dir, more, keep),
        }
    }
}

/// Checks that a folder's disk has room for so many bytes with `keep` left free.
/// The parent of a bare name, which is empty, is the current folder.
///
/// # Errors
///
/// [`HashError::NoRoom`] with the numbers.
pub fn room_for(dir: &Path, needed: u64, keep: u64) -> Result<(), HashError> {
    let dir = if dir.as_os_str().is_empty() { Path::new(".") } else { dir };
    let failed = |source: io::Error| HashError::write(dir.to_owned(), source);
    let status = rustix::fs::statvfs(dir).map_err(|errno| failed(errno.into()))?;
    let free = status.f_bavail.saturating_mul(status.f_frsize);
    if needed.saturating_add(keep) > free {
        return Err(HashError::NoRoom { dir: dir.to_owned(), needed, keep, free });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_to_stay_free_is_asked_of_the_current_folder_for_a_bare_name() {
        let keeping = |keep_free| Limits { keep_free, ..Limits::default() }.check_bytes(Path::new("x.age.cells"), 0, 1);
        keeping(1).unwrap();
        let error = keeping(u64::MAX).unwrap_err();
        assert!(matches!(&error, HashError::NoRoom { dir, .. } if dir == Path::new(".")), "{error}");
    }
}
