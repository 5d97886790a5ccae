//! The store behind an upload URI.

use std::fs::File;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use super::Task;
use crate::upload::fault::BlobFault;
use crate::upload::uri::UploadUri;

/// How one block is to be stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum BlockTarget {
    /// As a block of the one blob (Put Block), under this base64 id.
    Block {
        /// The block id, already base64; all ids of a blob have one length.
        id: String,
    },
    /// As a blob of its own in the container (Put Blob), under this name.
    Blob {
        /// The blob's name below the container.
        name: String,
    },
}

/// How the whole of a bundle is to be stored in one request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WholeTarget {
    /// Put Blob: a block blob in one request.
    Blob,
    /// A PUT without any header of a blob store.
    Plain,
}

/// One block to store.
pub struct BlockPut {
    /// Where it goes.
    pub target: BlockTarget,
    /// Its bytes.
    pub body: Bytes,
    /// The CRC-64/NVME of the bytes, for the store to verify.
    pub crc64: u64,
    /// How long the attempt may take.
    pub patience: Duration,
}

/// The whole of a bundle's blocks to store.
pub struct WholePut {
    /// How it is put.
    pub target: WholeTarget,
    /// The file to read from, from its start.
    pub file: Arc<File>,
    /// Its length in bytes.
    pub length: u64,
    /// How long the attempt may go without moving a byte.
    pub patience: Duration,
}

/// A block the store holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredBlock {
    /// Its base64 id.
    pub id: String,
    /// Its length in bytes.
    pub length: u64,
}

/// Why the store did not do what was asked.
///
/// The message names the step and what the store said, never the URI.
#[derive(Debug, thiserror::Error)]
#[error("{step}: {detail}")]
pub struct BlobError {
    /// The step that failed, verb first.
    pub step: &'static str,
    /// What was said, with the store's own error code and request id.
    pub detail: String,
    /// What the machine should make of it.
    pub fault: BlobFault,
}

/// Stores blocks under an upload URI. Implementations do not retry: one call
/// is one attempt.
pub trait BlobStore: Send + Sync {
    /// Stores one block.
    ///
    /// # Errors
    ///
    /// Says what the store answered.
    fn put(&self, uri: UploadUri, put: BlockPut) -> Task<'_, Result<(), BlobError>>;

    /// Stores the whole bundle in one request.
    ///
    /// # Errors
    ///
    /// Says what the store answered.
    fn put_whole(&self, uri: UploadUri, put: WholePut) -> Task<'_, Result<(), BlobError>>;

    /// Lists the blocks the store holds for the blob, committed or not. A blob
    /// that does not exist yet holds none.
    ///
    /// # Errors
    ///
    /// Says what the store answered.
    fn stored(&self, uri: UploadUri, patience: Duration) -> Task<'_, Result<Vec<StoredBlock>, BlobError>>;

    /// Makes the blob consist of these blocks, in this order (Put Block List).
    ///
    /// # Errors
    ///
    /// Says what the store answered; [`BlobFault::BlocksLost`] if it does not
    /// know one of them.
    fn put_list(&self, uri: UploadUri, ids: Vec<String>, patience: Duration) -> Task<'_, Result<(), BlobError>>;
}
