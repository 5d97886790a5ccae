//! Where stored bytes lie: a file per block, below a directory of the sandbox's
//! own.
//!
//! A table of five million rows is more than a gigabyte, so nothing here is
//! kept in memory. A file lives as long as something refers to it: a staged
//! block until it is replaced or its session ends, a committed one until
//! another table takes its place and the last lookup in it is over.

use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// The directory, removed with all that is in it when the last part is gone.
pub(super) struct Depot {
    directory: PathBuf,
    files: AtomicU64,
}

impl Depot {
    /// Makes a directory of this name below another, for this user alone.
    pub(super) fn create(parent: &Path, name: &str) -> io::Result<Arc<Self>> {
        let directory = parent.join(name);
        DirBuilder::new().mode(0o700).create(&directory)?;
        Ok(Arc::new(Self { directory, files: AtomicU64::new(0) }))
    }

    /// Returns the directory.
    pub(super) fn directory(&self) -> &Path {
        &self.directory
    }

    /// Begins a file.
    pub(super) fn begin(self: &Arc<Self>) -> io::Result<PartWriter> {
        let path = self.directory.join(self.files.fetch_add(1, Ordering::Relaxed).to_string());
        let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path)?;
        Ok(PartWriter { file, part: Part { path, length: 0, _depot: Arc::clone(self) } })
    }
}

impl Depot {
    /// Removes the directory and all that is in it.
    pub(super) fn clear(&self) {
        if let Err(error) = std::fs::remove_dir_all(&self.directory)
            && error.kind() != io::ErrorKind::NotFound
        {
            tracing::warn!(%error, directory = %self.directory.display(), "remove the sandbox's directory by hand");
        }
    }
}

impl Drop for Depot {
    fn drop(&mut self) {
        self.clear();
    }
}

/// A file that goes when it is dropped, wherever it lies.
pub(super) struct Loose(PathBuf);

impl Loose {
    /// Writes a new file.
    pub(super) fn create(path: PathBuf, mode: u32, text: &str) -> io::Result<Self> {
        let mut file = OpenOptions::new().write(true).create_new(true).mode(mode).open(&path)?;
        let loose = Self(path);
        file.write_all(text.as_bytes())?;
        Ok(loose)
    }

    pub(super) fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Loose {
    fn drop(&mut self) {
        // Whoever removed it already did what is done here.
        let _ = std::fs::remove_file(&self.0);
    }
}

/// A file being written; dropped unfinished, it is gone.
pub(super) struct PartWriter {
    file: File,
    part: Part,
}

impl PartWriter {
    pub(super) fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.file.write_all(bytes)?;
        self.part.length += bytes.len() as u64;
        Ok(())
    }

    pub(super) fn length(&self) -> u64 {
        self.part.length
    }

    pub(super) fn finish(self) -> Arc<Part> {
        Arc::new(self.part)
    }
}

/// Stored bytes.
pub(super) struct Part {
    path: PathBuf,
    length: u64,
    _depot: Arc<Depot>,
}

impl Part {
    pub(super) const fn length(&self) -> u64 {
        self.length
    }

    pub(super) fn open(&self) -> io::Result<File> {
        File::open(&self.path)
    }
}

impl Drop for Part {
    fn drop(&mut self) {
        // The directory goes with the last part, so a file left behind is not for long.
        let _ = std::fs::remove_file(&self.path);
    }
}

/// Reads parts one after the other.
pub(super) struct PartReader<'a> {
    parts: std::slice::Iter<'a, Arc<Part>>,
    file: Option<File>,
}

impl<'a> PartReader<'a> {
    pub(super) fn new(parts: &'a [Arc<Part>]) -> Self {
        Self { parts: parts.iter(), file: None }
    }

    /// Fills the buffer as far as there are bytes, and returns how far.
    pub(super) fn fill(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let mut filled = 0;
        while filled < buffer.len() {
            match self.read(&mut buffer[filled..])? {
                0 => break,
                length => filled += length,
            }
        }
        Ok(filled)
    }
}

impl Read for PartReader<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            let Some(file) = &mut self.file else {
                match self.parts.next() {
                    Some(part) => self.file = Some(part.open()?),
                    None => return Ok(0),
                }
                continue;
            };
            match file.read(buffer)? {
                0 if !buffer.is_empty() => self.file = None,
                length => return Ok(length),
            }
        }
    }
}
