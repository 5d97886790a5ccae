//! A sealed bundle while it is made: one file, encrypted to the recipients with
//! age, under another name, locked, and renamed when every byte of it is durable.
//!
//! # Invariant
//!
//! The salt never reaches the disk but encrypted. The cells do without it: how
//! many rows the last block has is known at its end and stands before them, so
//! they wait in a file that has no name and is gone with this process.

use std::ffi::OsString;
use std::fs::File;
use std::io::{self, BufWriter, Read, Seek, Write};
use std::path::{Path, PathBuf};

use ring::digest::{Context, Digest};
use rustix::fs::{CWD, FlockOperation, Mode, OFlags};
use rustix::io::Errno;

use super::container::header;
use super::error::HashError;
use super::keys::Recipients;
use super::limits::room_for;
use super::output::sync_folder_of;
use crate::adapters::signature::Signer;
use crate::table::salt::Salt;

/// Bytes that are copied at a time.
const COPYING: usize = 128 << 10;

/// A sealed bundle in the making. Dropped before [`Sealing::finish`], it is removed.
pub(super) struct Sealing {
    file: File,
    path: PathBuf,
    output: PathBuf,
    is_finished: bool,
}

/// Refuses an output that is there, whatever it is.
pub(super) fn refuse_existing(output: &Path) -> Result<(), HashError> {
    match output.symlink_metadata() {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Ok(_) | Err(_) => Err(HashError::OutputExists(output.to_owned())),
    }
}

/// Returns the path beside an output with something behind its name.
fn beside(output: &Path, suffix: &str) -> PathBuf {
    let mut name = OsString::from(output.file_name().unwrap_or_default());
    name.push(suffix);
    output.with_file_name(name)
}

impl Sealing {
    /// Makes `<output>.partial`, private to this user; what an earlier attempt
    /// left there goes.
    pub(super) fn create(output: &Path) -> Result<Self, HashError> {
        let path = beside(output, ".partial");
        let failed = |errno: Errno| HashError::write(path.clone(), errno.into());
        let flags = OFlags::RDWR | OFlags::CREATE | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let file = rustix::fs::openat(CWD, &path, flags, Mode::RUSR | Mode::WUSR).map_err(failed)?;
        match rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Err(Errno::WOULDBLOCK) => return Err(HashError::Busy(output.to_owned())),
            result => result.map_err(failed)?,
        }
        // Whoever had the lock before may have renamed the file meanwhile.
        let (opened, named) = (rustix::fs::fstat(&file).map_err(failed)?, rustix::fs::stat(&path));
        if !named.is_ok_and(|named| (named.st_dev, named.st_ino) == (opened.st_dev, opened.st_ino)) {
            return Err(HashError::Busy(output.to_owned()));
        }
        rustix::fs::ftruncate(&file, 0).map_err(failed)?;
        rustix::fs::fchmod(&file, Mode::RUSR | Mode::WUSR).map_err(failed)?;
        Ok(Self { file: File::from(file), path, output: output.to_owned(), is_finished: false })
    }

    /// Returns what the file of the cells is called in messages.
    pub(super) fn cells_path(&self) -> PathBuf {
        beside(&self.output, ".cells")
    }

    /// Makes the file of the cells, and takes its name away.
    pub(super) fn cells(&self) -> Result<File, HashError> {
        let path = self.cells_path();
        let failed = |error: io::Error| HashError::write(path.clone(), error);
        match std::fs::remove_file(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(failed(error)),
            Ok(()) | Err(_) => (),
        }
        let flags = OFlags::RDWR | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let file = rustix::fs::openat(CWD, &path, flags, Mode::RUSR | Mode::WUSR);
        let file = File::from(file.map_err(|errno| failed(errno.into()))?);
        std::fs::remove_file(&path).map_err(failed)?;
        Ok(file)
    }

    /// Encrypts a bundle into the file, durably, and returns the digest of what
    /// was written. `keep` bytes of its disk stay free.
    pub(super) fn seal(
        &mut self,
        recipients: &Recipients,
        manifest: &[u8],
        salt: &Salt,
        mut cells: File,
        keep: u64,
    ) -> Result<Digest, HashError> {
        let failed = |error: io::Error| HashError::write(self.path.clone(), error);
        let length = cells.metadata().map_err(failed)?.len() + manifest.len() as u64;
        if keep > 0
            && let Some(dir) = self.path.parent()
        {
            room_for(dir, length, keep)?;
        }
        let encryptor = age::Encryptor::with_recipients(recipients.iter());
        let encryptor = encryptor.map_err(|error| failed(io::Error::other(error)))?;
        let output = Digesting { inner: BufWriter::with_capacity(COPYING, &self.file), context: Signer::digester() };
        let mut output = encryptor.wrap_output(output).map_err(failed)?;
        output.write_all(&header(manifest, salt)).and_then(|()| output.write_all(manifest)).map_err(failed)?;
        cells.rewind().map_err(failed)?;
        let mut buffer = vec![0; COPYING];
        loop {
            match cells.read(&mut buffer) {
                Ok(0) => break,
                Ok(read) => output.write_all(&buffer[..read]).map_err(failed)?,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => (),
                Err(error) => return Err(failed(error)),
            }
        }
        let mut output = output.finish().map_err(failed)?;
        output.flush().map_err(failed)?;
        let digest = output.context.finish();
        self.file.sync_all().map_err(failed)?;
        Ok(digest)
    }

    /// Gives the bundle its name, once it can no longer be lost.
    pub(super) fn finish(mut self) -> Result<(), HashError> {
        let failed = |error: io::Error| HashError::write(self.output.clone(), error);
        refuse_existing(&self.output)?;
        std::fs::rename(&self.path, &self.output).map_err(failed)?;
        self.is_finished = true;
        sync_folder_of(&self.output).map_err(failed)
    }
}

impl Drop for Sealing {
    /// Whatever cannot be removed goes at the next attempt.
    fn drop(&mut self) {
        if !self.is_finished {
            drop(std::fs::remove_file(&self.path));
        }
    }
}

/// Digests what is written through it.
struct Digesting<W> {
    inner: W,
    context: Context,
}

impl<W: Write> Write for Digesting<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.inner.write(bytes)?;
        self.context.update(&bytes[..written]);
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}
