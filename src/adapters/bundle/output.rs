//! The folder of a bundle while it is made: under another name, locked, and
//! renamed when every byte of it is durable.

use std::ffi::OsString;
use std::fs::{DirBuilder, File};
use std::io::{self, Write};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, FileType, FlockOperation, Mode, OFlags};
use rustix::io::Errno;

use super::error::{BundleError, HashError};
use super::{BLOCKS_FILE, MANIFEST_FILE, SALT_FILE};

/// The files of a bundle, the one that must not outlive the others first.
pub(super) const FILES: [&str; 3] = [SALT_FILE, MANIFEST_FILE, BLOCKS_FILE];

/// What the name of a bundle in the making ends in, behind that of the bundle.
pub const PARTIAL_SUFFIX: &str = ".partial";

/// A bundle in the making. Dropped before [`Partial::finish`], it is removed.
pub(super) struct Partial {
    dir: File,
    path: PathBuf,
    output: PathBuf,
    is_finished: bool,
}

/// Refuses an output that is there, unless it is an empty folder.
pub(super) fn refuse_existing(output: &Path) -> Result<(), HashError> {
    match output.read_dir().map(|mut entries| entries.next().is_some()) {
        Ok(false) => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Ok(true) | Err(_) => Err(HashError::OutputExists(output.to_owned())),
    }
}

impl Partial {
    /// Makes `<output>.partial`, private to this user; what an earlier attempt
    /// left there goes.
    pub(super) fn create(output: &Path) -> Result<Self, HashError> {
        let mut name = OsString::from(output.file_name().unwrap_or_default());
        name.push(PARTIAL_SUFFIX);
        let path = output.with_file_name(name);
        let failed = |error: io::Error| HashError::write(path.clone(), error);
        match DirBuilder::new().mode(0o700).create(&path) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(failed(error)),
            Ok(()) | Err(_) => (),
        }
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let dir = rustix::fs::open(&path, flags, Mode::empty()).map_err(|errno| failed(errno.into()))?;
        match rustix::fs::flock(&dir, FlockOperation::NonBlockingLockExclusive) {
            Err(Errno::WOULDBLOCK) => return Err(HashError::Busy(output.to_owned())),
            result => result.map_err(|errno| failed(errno.into()))?,
        }
        rustix::fs::fchmod(&dir, Mode::RWXU).map_err(|errno| failed(errno.into()))?;
        let dir = File::from(dir);
        remove_files(&dir).map_err(failed)?;
        Ok(Self { dir, path, output: output.to_owned(), is_finished: false })
    }

    /// Returns the path of one of its files.
    pub(super) fn path_of(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }

    /// Makes one of its files, private to this user, to write and to read back.
    pub(super) fn file(&self, name: &str) -> Result<File, HashError> {
        let flags = OFlags::RDWR | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        rustix::fs::openat(&self.dir, name, flags, Mode::RUSR | Mode::WUSR)
            .map(File::from)
            .map_err(|errno| HashError::write(self.path_of(name), errno.into()))
    }

    /// Makes one of its files with all its bytes, durable.
    pub(super) fn write(&self, name: &str, parts: &[&[u8]]) -> Result<(), HashError> {
        let mut file = self.file(name)?;
        let written = parts.iter().try_for_each(|part| file.write_all(part)).and_then(|()| file.sync_all());
        written.map_err(|error| HashError::write(self.path_of(name), error))
    }

    /// Gives the bundle its name, once it can no longer be lost.
    pub(super) fn finish(mut self) -> Result<(), HashError> {
        let failed = |error: io::Error| HashError::write(self.output.clone(), error);
        self.dir.sync_all().map_err(failed)?;
        refuse_existing(&self.output)?;
        std::fs::rename(&self.path, &self.output).map_err(failed)?;
        self.is_finished = true;
        sync_folder_of(&self.output).map_err(failed)
    }
}

impl Drop for Partial {
    /// Whatever cannot be removed goes at the next attempt.
    fn drop(&mut self) {
        if !self.is_finished {
            drop(remove_files(&self.dir));
            drop(std::fs::remove_dir(&self.path));
        }
    }
}

/// Makes durable which names there are beside a path.
pub(super) fn sync_folder_of(path: &Path) -> io::Result<()> {
    let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty());
    File::open(parent.unwrap_or(Path::new(".")))?.sync_all()
}

/// Removes what a process left that died while it made a bundle; one that is
/// still being made is locked, and stays. Returns whether it is gone.
///
/// # Errors
///
/// As the system says.
pub fn remove_left_over(partial: &Path) -> io::Result<bool> {
    let Some(dir) = lock(partial)? else { return Ok(false) };
    remove_files(&dir)?;
    std::fs::remove_dir(partial)?;
    Ok(true)
}

/// Removes the folder of a bundle, whole or what a process left of it that died
/// while it removed it: the salt goes first, and without it no
/// [`Bundle`](super::Bundle) opens. A folder that is gone is no error.
///
/// # Errors
///
/// [`BundleError::Remove`], and nothing was touched, for a link, a folder that
/// is being made, and one that holds anything but what may be left of a bundle.
pub fn remove_folder(path: &Path) -> Result<(), BundleError> {
    let remove = || {
        let dir = lock(path)?.ok_or(io::ErrorKind::ResourceBusy)?;
        if !is_bundle(&dir)? {
            return Err(io::Error::other("it is no folder of a bundle"));
        }
        remove_files(&dir)?;
        std::fs::remove_dir(path)
    };
    match remove() {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        removed => removed.map_err(|source| BundleError::Remove { dir: path.to_owned(), source }),
    }
}

/// Opens and locks a folder, without following a link; none if another process
/// makes a bundle there.
fn lock(path: &Path) -> io::Result<Option<File>> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let dir = File::from(rustix::fs::open(path, flags, Mode::empty())?);
    match rustix::fs::flock(&dir, FlockOperation::NonBlockingLockExclusive) {
        Err(Errno::WOULDBLOCK) => Ok(None),
        result => Ok(result.map(|()| Some(dir))?),
    }
}

/// Returns whether a folder holds a bundle's files, or those of them that are
/// left where the first are removed first. An empty one must at least be as
/// private as every bundle is.
fn is_bundle(dir: &File) -> io::Result<bool> {
    let mut found = [false; FILES.len()];
    for entry in rustix::fs::Dir::read_from(dir)? {
        let entry = entry?;
        let name = entry.file_name();
        if matches!(name.to_bytes(), b"." | b"..") {
            continue;
        }
        let status = rustix::fs::statat(dir, name, AtFlags::SYMLINK_NOFOLLOW)?;
        match FILES.iter().position(|known| known.as_bytes() == name.to_bytes()) {
            Some(place) if FileType::from_raw_mode(status.st_mode) == FileType::RegularFile => found[place] = true,
            Some(_) | None => return Ok(false),
        }
    }
    let is_private = !Mode::from_raw_mode(rustix::fs::fstat(dir)?.st_mode).intersects(Mode::RWXG | Mode::RWXO);
    Ok(found.is_sorted() && (found.contains(&true) || is_private))
}

/// Removes a bundle's files from its folder, and no others.
pub(super) fn remove_files(dir: &File) -> io::Result<()> {
    for name in FILES {
        match rustix::fs::unlinkat(dir, name, AtFlags::empty()) {
            Ok(()) | Err(Errno::NOENT) => (),
            Err(errno) => return Err(errno.into()),
        }
    }
    Ok(())
}
