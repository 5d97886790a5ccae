//! Digests of a bundle's blocks as a whole.
//!
//! Which of them the service takes as a session's checksum is not public. The
//! SHA-256 is made while the table is hashed and stands in the manifest; another
//! one takes a reading of all blocks, which is done once and only if asked for.

use std::sync::OnceLock;

use md5::Md5;
use sha2::{Digest, Sha512};

use super::error::BundleError;
use super::pool::BufferPool;
use super::stored::Bundle;
use crate::table::digest::{DigestKind, unhex};

/// Memory for the blocks that are read, which is done one at a time.
const MEMORY: usize = 0;

/// The digests that were asked for so far.
#[derive(Default)]
pub(super) struct Digests {
    md5: OnceLock<Vec<u8>>,
    sha512: OnceLock<Vec<u8>>,
}

impl Bundle {
    /// Returns a digest of all blocks, one after the other. The first time it
    /// may read them all, so it blocks; memory stays at one block.
    ///
    /// # Errors
    ///
    /// Says that a block cannot be read, or is not the one that was written.
    pub fn digest(&self, kind: DigestKind) -> Result<Vec<u8>, BundleError> {
        match kind {
            DigestKind::Md5 => self.once::<Md5>(&self.digests().md5),
            DigestKind::Sha512 => self.once::<Sha512>(&self.digests().sha512),
            DigestKind::Sha256 => unhex(&self.manifest().sha256).ok_or_else(|| BundleError::Unusable {
                dir: self.dir().to_owned(),
                problem: "the SHA-256 in its manifest is not written in hex".to_owned(),
            }),
        }
    }

    fn once<D: Digest>(&self, known: &OnceLock<Vec<u8>>) -> Result<Vec<u8>, BundleError> {
        if let Some(digest) = known.get() {
            return Ok(digest.clone());
        }
        let pool = BufferPool::new(MEMORY);
        let mut whole = D::new();
        for (index, _) in (0..).zip(&self.manifest().blocks) {
            whole.update(self.read_block(index, &pool)?);
        }
        Ok(known.get_or_init(|| whole.finalize().to_vec()).clone())
    }
}
