//! Files made whole: written beside their name, synced, then renamed to it, so
//! that under the name there is never half a file.

use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use rusqlite::{Connection, OpenFlags};

use super::header::beside;
use super::load::{LoadError, Loaded, load};
use super::{schema, trouble};
use crate::ports::journal::JournalError;

/// Makes an empty journal of the newest version at `path`.
pub(super) fn create(path: &Path) -> Result<(), JournalError> {
    whole_file(path, |fresh| {
        let mut connection =
            Connection::open_with_flags(fresh, flags(true)).map_err(|error| trouble::refusal(&error, path))?;
        schema::migrate(&mut connection, 0).map_err(|error| trouble::refusal(&error, path))
    })
}

/// Keeps one verified copy of a journal as it is before a migration, beside
/// it; an older copy of the same version is replaced. Returns its path.
pub(super) fn keep(
    connection: &Connection,
    path: &Path,
    version: u32,
    original: &Loaded,
) -> Result<PathBuf, JournalError> {
    let kept = beside(path, &format!(".v{version}-backup"));
    whole_file(&kept, |fresh| {
        let name = fresh.to_str().ok_or_else(|| trouble::volume(path, "copy", &"its path is not UTF-8"))?;
        connection.execute("VACUUM INTO ?1", [name]).map_err(|error| trouble::refusal(&error, path))?;
        let copy = read_back(fresh, version).map_err(|error| trouble::volume(path, "read back the copy of", &error))?;
        if copy == *original {
            Ok(())
        } else {
            Err(trouble::volume(path, "read back the copy of", &"it is not what was written: check the disk"))
        }
    })?;
    Ok(kept)
}

fn read_back(fresh: &Path, version: u32) -> Result<Loaded, LoadError> {
    let copy = Connection::open_with_flags(fresh, flags(false))?;
    let finding: String = copy.query_row("PRAGMA integrity_check(1)", [], |row| row.get(0))?;
    if finding != "ok" || schema::version(&copy)? != version {
        return Err(LoadError::Damaged(format!("it is damaged: {finding}")));
    }
    load(&copy, version)
}

fn flags(write: bool) -> OpenFlags {
    OpenFlags::SQLITE_OPEN_NO_MUTEX
        | if write { OpenFlags::SQLITE_OPEN_READ_WRITE } else { OpenFlags::SQLITE_OPEN_READ_ONLY }
}

/// Has `write` fill an empty file of a temporary name, private to the user,
/// then gives it its name. What an earlier attempt left is removed.
fn whole_file(path: &Path, write: impl FnOnce(&Path) -> Result<(), JournalError>) -> Result<(), JournalError> {
    let fresh = beside(path, ".new");
    let refused = |error: io::Error| trouble::volume(path, "make", &error);
    for suffix in ["", "-journal", "-wal"] {
        remove(&beside(&fresh, suffix)).map_err(refused)?;
    }
    OpenOptions::new().write(true).create_new(true).mode(0o600).open(&fresh).map_err(refused)?;
    let done = write(&fresh).and_then(|()| finish(&fresh, path).map_err(refused));
    if done.is_err() {
        // Half a copy helps nobody, least of all on a full volume.
        remove(&fresh).ok();
    }
    done
}

fn finish(fresh: &Path, path: &Path) -> io::Result<()> {
    File::open(fresh)?.sync_all()?;
    fs::rename(fresh, path)?;
    sync_directory(path)
}

/// Makes the names in the directory of a file durable.
pub(super) fn sync_directory(path: &Path) -> io::Result<()> {
    File::open(path.parent().unwrap_or(Path::new("/")))?.sync_all()
}

fn remove(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}
