//! A finished bundle on disk: checked when it is opened, and again block by
//! block when it is read, because weeks may lie between.

use std::fmt;
use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use rustix::fs::{Mode, OFlags};
use zeroize::Zeroizing;

use super::blocks::crc64;
use super::error::BundleError;
use super::pool::BufferPool;
use super::whole::Digests;
use super::{BLOCKS_FILE, MANIFEST_FILE, SALT_FILE, output};
use crate::table::block::{EdmBlock1, Encoding};
use crate::table::digest::hex;
use crate::table::manifest::{BlockEntry, Manifest};
use crate::table::salt::Salt;
use crate::table::sha256::{Kernel, Twin};

/// The most bytes a manifest is read for. One with the most blocks has about 12 MiB.
pub(super) const MANIFEST_LIMIT: u64 = 32 << 20;

/// The most bytes a salt is read for.
const SALT_LIMIT: u64 = 4 << 10;

/// Memory for the blocks of [`Bundle::verify`], which holds one at a time.
const VERIFY_MEMORY: usize = 0;

/// A bundle that was checked to be whole. Clones share the open file and what
/// was computed of it.
#[derive(Clone)]
pub struct Bundle {
    dir: PathBuf,
    manifest: Arc<Manifest>,
    text: Arc<str>,
    blocks: Arc<File>,
    salt: Salt,
    digests: Arc<Digests>,
}

impl Bundle {
    /// Opens a bundle and checks its manifest, its lengths and its salt. The
    /// blocks themselves are checked when they are read.
    ///
    /// # Errors
    ///
    /// Says which file cannot be read, or what does not agree.
    pub fn open(dir: &Path) -> Result<Self, BundleError> {
        let unusable = |problem: String| BundleError::Unusable { dir: dir.to_owned(), problem };
        let text = read_text(&dir.join(MANIFEST_FILE), MANIFEST_LIMIT)?;
        let manifest: Manifest = serde_json::from_str(&text)
            .map_err(|error| unusable(format!("its manifest cannot be read (line {})", error.line())))?;
        manifest.check().map_err(|error| unusable(error.to_string()))?;
        let salt = Salt::parse(&read_text(&dir.join(SALT_FILE), SALT_LIMIT)?);
        let salt = salt.map_err(|_| unusable("its salt is not 64 characters of a-z and 0-9".to_owned()))?;
        if manifest.salt_sha256.as_ref().is_some_and(|digest| *digest != salt.sha256()) {
            return Err(unusable("its salt is not the one its manifest is of".to_owned()));
        }
        let path = dir.join(BLOCKS_FILE);
        let blocks = open(&path)?;
        let length = blocks.metadata().map_err(|source| BundleError::Read { path, source })?.len();
        if length != manifest.bytes {
            return Err(unusable(format!("its blocks have {length} bytes and its manifest says {}", manifest.bytes)));
        }
        let (manifest, blocks) = (Arc::new(manifest), Arc::new(blocks));
        let text = Arc::from(text.as_str());
        Ok(Self { dir: dir.to_owned(), manifest, text, blocks, salt, digests: Arc::default() })
    }

    /// Returns the folder it is in.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// Returns what it holds.
    pub fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    /// Returns the manifest byte by byte, as it was read: what a signature is of.
    pub(super) fn manifest_text(&self) -> &[u8] {
        self.text.as_bytes()
    }

    /// Returns the salt its values were hashed under.
    pub const fn salt(&self) -> &Salt {
        &self.salt
    }

    /// Returns the open file of its blocks, to be read by position only.
    pub fn blocks_file(&self) -> Arc<File> {
        Arc::clone(&self.blocks)
    }

    /// Returns the digests of all blocks that are known so far.
    pub(super) fn digests(&self) -> &Digests {
        &self.digests
    }

    /// Reads a block and checks it against the manifest. Blocks on the disk,
    /// and while the pool is at its limit.
    ///
    /// # Errors
    ///
    /// Says that it cannot be read, or is not the one that was written.
    pub fn read_block(&self, index: u32, pool: &BufferPool) -> Result<Bytes, BundleError> {
        let (entry, offset) = self.entry(index).ok_or_else(|| self.damaged(index, "there is no such block"))?;
        let length = usize::try_from(entry.length).expect("the manifest was checked to hold no block over 128 MiB");
        let mut buffer = pool.take(length);
        self.blocks
            .read_exact_at(buffer.as_mut(), offset)
            .map_err(|source| BundleError::Read { path: self.dir.join(BLOCKS_FILE), source })?;
        if crc64(buffer.as_ref()) != entry.crc64nvme {
            return Err(self.damaged(index, "its CRC-64 is not the one in the manifest"));
        }
        Ok(Bytes::from_owner(buffer))
    }

    /// Reads all blocks and checks every digest and every header.
    ///
    /// # Errors
    ///
    /// Says what is not as it was written.
    pub fn verify(&self) -> Result<(), BundleError> {
        let pool = BufferPool::new(VERIFY_MEMORY);
        let mut sha256 = Twin::new(Kernel::best());
        for (index, entry) in (0..).zip(&self.manifest.blocks) {
            let bytes = self.read_block(index, &pool)?;
            sha256.update(&bytes);
            if hex(&sha256.next_part()) != entry.sha256 {
                return Err(self.damaged(index, "its SHA-256 is not the one in the manifest"));
            }
            let block =
                EdmBlock1.decode(&bytes).map_err(|_| self.damaged(index, "its header is not that of a block"))?;
            if (block.index, block.rows) != (index, entry.rows)
                || usize::from(block.columns) != self.manifest.fields.len()
            {
                return Err(self.damaged(index, "its header and the manifest do not agree"));
            }
        }
        if hex(&sha256.whole.finish()) != self.manifest.sha256 {
            let problem = "the SHA-256 of its blocks is not the one in the manifest".to_owned();
            return Err(BundleError::Unusable { dir: self.dir.clone(), problem });
        }
        Ok(())
    }

    /// Removes the bundle, its salt first.
    ///
    /// # Errors
    ///
    /// Says that the folder could not be emptied or holds something else.
    pub fn remove(self) -> Result<(), BundleError> {
        let removed = File::open(&self.dir)
            .and_then(|dir| output::remove_files(&dir))
            .and_then(|()| std::fs::remove_dir(&self.dir));
        removed.map_err(|source| BundleError::Remove { dir: self.dir, source })
    }

    /// Returns a block's entry and where it starts; all blocks but the last are of one length.
    fn entry(&self, index: u32) -> Option<(&BlockEntry, u64)> {
        let entry = self.manifest.blocks.get(index as usize)?;
        Some((entry, u64::from(index) * self.manifest.blocks.first()?.length))
    }

    fn damaged(&self, index: u32, problem: &'static str) -> BundleError {
        BundleError::Damaged { dir: self.dir.clone(), index, problem }
    }
}

/// Shows where it is; the salt stays unseen.
impl fmt::Debug for Bundle {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("Bundle").field("dir", &self.dir).finish_non_exhaustive()
    }
}

/// Opens a file, without following links or waiting for the writer of a pipe.
pub(super) fn open(path: &Path) -> Result<File, BundleError> {
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    rustix::fs::open(path, flags, Mode::empty())
        .map(File::from)
        .map_err(|errno| BundleError::Read { path: path.to_owned(), source: errno.into() })
}

fn read_text(path: &Path, limit: u64) -> Result<Zeroizing<String>, BundleError> {
    let mut text = Zeroizing::new(String::new());
    let read = open(path)?
        .take(limit + 1)
        .read_to_string(&mut text)
        .and_then(|length| if length as u64 > limit { Err(io::ErrorKind::FileTooLarge.into()) } else { Ok(()) });
    read.map_err(|source| BundleError::Read { path: path.to_owned(), source })?;
    Ok(text)
}
