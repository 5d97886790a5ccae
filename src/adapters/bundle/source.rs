//! The table's file: opened without following links, and watched for change.

use std::fs::{File, Metadata};
use std::io;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::Path;

use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;

use super::error::HashError;
use crate::table::manifest::SourceIdentity;

/// Nanoseconds in a second.
const NANOS: i64 = 1_000_000_000;

/// Returns which file is at a path now, and in which state.
///
/// # Errors
///
/// As the system says.
pub fn identify(path: &Path) -> io::Result<SourceIdentity> {
    path.symlink_metadata().map(|metadata| identity(&metadata))
}

/// Opens an ordinary file for reading. A FIFO or a device is refused without
/// waiting for it.
pub(super) fn open(path: &Path) -> Result<(File, SourceIdentity), HashError> {
    let kind = |kind| HashError::SourceKind { path: path.to_owned(), kind };
    let failed = |source| HashError::Open { path: path.to_owned(), source };
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let file = match rustix::fs::open(path, flags, Mode::empty()) {
        Ok(descriptor) => File::from(descriptor),
        Err(Errno::LOOP) => return Err(kind("a symbolic link")),
        Err(Errno::NXIO) => return Err(kind("a socket or a device")),
        Err(errno) => return Err(failed(errno.into())),
    };
    let metadata = file.metadata().map_err(failed)?;
    let file_type = metadata.file_type();
    if file_type.is_dir() {
        return Err(kind("a folder"));
    }
    if file_type.is_fifo() {
        return Err(kind("a FIFO"));
    }
    if !file_type.is_file() {
        return Err(kind("no ordinary file"));
    }
    if metadata.nlink() > 1 {
        return Err(kind("a file with several hard links"));
    }
    Ok((file, identity(&metadata)))
}

/// Returns whether the open file and the one at its path are still what they were.
pub(super) fn is_unchanged(file: &File, path: &Path, before: SourceIdentity) -> bool {
    let opened = file.metadata().map(|metadata| identity(&metadata));
    matches!((opened, identify(path)), (Ok(opened), Ok(named)) if opened == before && named == before)
}

fn identity(metadata: &Metadata) -> SourceIdentity {
    let nanos = |seconds: i64, nanos: i64| seconds.saturating_mul(NANOS).saturating_add(nanos);
    SourceIdentity {
        device: metadata.dev(),
        inode: metadata.ino(),
        bytes: metadata.size(),
        modified_ns: nanos(metadata.mtime(), metadata.mtime_nsec()),
        changed_ns: nanos(metadata.ctime(), metadata.ctime_nsec()),
    }
}
