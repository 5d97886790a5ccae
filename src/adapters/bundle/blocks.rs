//! From hashed rows to the bytes of `blocks.bin`: fill a block, seal it, write
//! it, digest the whole. Each stage is a thread of its own, because the digest
//! of the whole is serial and would otherwise be what everything waits for.

use std::fs::File;
use std::io::Write;
use std::path::Path;
use std::sync::mpsc::{Receiver, Sender, SyncSender};

use sha2::{Digest, Sha256};

use super::error::HashError;
use super::limits::Limits;
use crate::table::block::{EdmBlock1, Encoding, HEADER};
use crate::table::digest::hex;
use crate::table::layout::Layout;
use crate::table::manifest::BlockEntry;

/// Blocks between two stages.
pub(super) const IN_FLIGHT: usize = 1;

/// Blocks in memory: one being filled, one being sealed, one being digested.
const BLOCKS: usize = 3;

/// A block on its way to the file.
pub(super) struct Filled {
    bytes: Vec<u8>,
    rows: u32,
}

/// The blocks that were written.
pub(super) struct Sealed {
    pub(super) entries: Vec<BlockEntry>,
    pub(super) bytes: u64,
}

/// Fills blocks with rows, across the borders of pieces.
pub(super) struct Filler {
    layout: Layout,
    index: u32,
    rows: u32,
    bytes: Vec<u8>,
    made: usize,
    full: SyncSender<Filled>,
    emptied: Receiver<Vec<u8>>,
}

impl Filler {
    pub(super) const fn new(layout: Layout, full: SyncSender<Filled>, emptied: Receiver<Vec<u8>>) -> Self {
        Self { layout, index: 0, rows: 0, bytes: Vec::new(), made: 0, full, emptied }
    }

    pub(super) const fn layout(&self) -> Layout {
        self.layout
    }

    /// Takes whole rows; returns whether the writer still does.
    pub(super) fn push(&mut self, mut cells: &[u8]) -> bool {
        while !cells.is_empty() {
            if self.rows == 0 && !self.start() {
                return false;
            }
            let room = (self.layout.rows_per_block() - self.rows) as usize * self.layout.row_bytes();
            let (taken, rest) = cells.split_at(room.min(cells.len()));
            self.bytes.extend_from_slice(taken);
            self.rows += u32::try_from(taken.len() / self.layout.row_bytes()).expect("rows of a block fit a u32");
            cells = rest;
            if self.rows == self.layout.rows_per_block() && !self.hand_on() {
                return false;
            }
        }
        true
    }

    /// Hands on the last block; returns whether the writer took it.
    pub(super) fn finish(mut self) -> bool {
        self.rows == 0 || self.hand_on()
    }

    fn start(&mut self) -> bool {
        if self.made < BLOCKS {
            self.made += 1;
            // Pages that are never touched cost nothing, so a small table pays for its bytes only.
            self.bytes = Vec::with_capacity(self.layout.block_bytes(self.layout.rows_per_block()));
        } else if let Ok(bytes) = self.emptied.recv() {
            self.bytes = bytes;
        } else {
            return false;
        }
        self.bytes.clear();
        self.bytes.resize(HEADER, 0);
        true
    }

    fn hand_on(&mut self) -> bool {
        let rows = std::mem::take(&mut self.rows);
        let mut bytes = std::mem::take(&mut self.bytes);
        bytes[..HEADER].copy_from_slice(&EdmBlock1.header(self.index, self.layout.columns(), rows));
        self.index += 1;
        self.full.send(Filled { bytes, rows }).is_ok()
    }
}

/// Writes blocks as they come, and notes their lengths and digests.
pub(super) fn seal(
    filled: &Receiver<Filled>,
    sealed: &SyncSender<Vec<u8>>,
    mut file: &File,
    path: &Path,
    limits: Limits,
) -> Result<Sealed, HashError> {
    let mut written = Sealed { entries: Vec::new(), bytes: 0 };
    for Filled { bytes, rows } in filled {
        limits.check_bytes(path, written.bytes, bytes.len() as u64)?;
        file.write_all(&bytes).map_err(|error| HashError::write(path.to_owned(), error))?;
        let length = bytes.len() as u64;
        let sha256 = hex(&Sha256::digest(&bytes));
        written.entries.push(BlockEntry { rows, length, crc64nvme: crc64(&bytes), sha256 });
        written.bytes += length;
        if sealed.send(bytes).is_err() {
            break;
        }
    }
    Ok(written)
}

/// Returns the SHA-256 of all blocks, and gives their memory back.
pub(super) fn digest(sealed: &Receiver<Vec<u8>>, empty: &Sender<Vec<u8>>) -> [u8; 32] {
    let mut whole = Sha256::new();
    for bytes in sealed {
        whole.update(&bytes);
        // The filler may have come to its end.
        drop(empty.send(bytes));
    }
    whole.finalize().into()
}

/// Returns the CRC-64/NVME of some bytes.
pub(super) fn crc64(bytes: &[u8]) -> u64 {
    let mut digest = crc64fast_nvme::Digest::new();
    digest.write(bytes);
    digest.sum64()
}
