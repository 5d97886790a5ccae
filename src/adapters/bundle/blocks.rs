//! From hashed rows to the bytes of `blocks.bin`: cut at the borders of blocks,
//! written, digested. Nothing is copied together: the digests of a piece go
//! from where they were made to the file and into the digests while a core's
//! cache still has them, and memory does not depend on the size of a block.
//!
//! A block begins with the number of its rows. All but the last are full, so
//! every block is begun as a full one. If the last one turns out not to be, its
//! header is set right and it is digested a second time, out of the file. A table
//! without rows is one block of none.

use std::fs::File;
use std::io::Write;
use std::os::unix::fs::FileExt;
use std::path::Path;

use super::error::HashError;
use super::limits::Limits;
use crate::table::block::{EdmBlock1, Encoding};
use crate::table::digest::hex;
use crate::table::layout::Layout;
use crate::table::manifest::BlockEntry;
use crate::table::sha256::{Kernel, Stream, Twin};

/// Bytes that are read at a time when the last block is digested once more.
const READING: usize = 128 << 10;

/// The blocks that were written.
pub(super) struct Sealed {
    pub(super) entries: Vec<BlockEntry>,
    pub(super) bytes: u64,
    /// The SHA-256 of all of them.
    pub(super) sha256: [u8; 32],
}

/// Cuts a run of rows at the borders of blocks. The writer and the digester
/// have one each, and they agree because both see the same rows.
pub(super) struct Cutter {
    layout: Layout,
    /// Blocks that are full.
    full: u32,
    /// Rows in the block that is not.
    rows: u32,
}

/// What a run of rows adds to one block.
struct Part<'a> {
    /// What stands before the rows, where the block begins with them.
    header: Option<Vec<u8>>,
    cells: &'a [u8],
    is_last: bool,
}

impl Cutter {
    pub(super) const fn new(layout: Layout) -> Self {
        Self { layout, full: 0, rows: 0 }
    }

    /// Takes from a run of whole rows what belongs to one block.
    fn cut<'a>(&mut self, cells: &mut &'a [u8]) -> Option<Part<'a>> {
        if cells.is_empty() {
            return None;
        }
        let header = (self.rows == 0).then(|| self.header(self.layout.rows_per_block()));
        let room = (self.layout.rows_per_block() - self.rows) as usize * self.layout.row_bytes();
        let (taken, rest) = cells.split_at(room.min(cells.len()));
        *cells = rest;
        self.rows += u32::try_from(taken.len() / self.layout.row_bytes()).expect("rows of a block fit a u32");
        let is_last = self.rows == self.layout.rows_per_block();
        if is_last {
            (self.full, self.rows) = (self.full + 1, 0);
        }
        Some(Part { header, cells: taken, is_last })
    }

    fn header(&self, rows: u32) -> Vec<u8> {
        EdmBlock1.header(self.full, self.layout.columns(), rows)
    }

    /// Returns whether every block there is is full, and there is one.
    const fn is_settled(&self) -> bool {
        self.rows == 0 && self.full > 0
    }

    /// Returns where the block that is not full begins.
    fn offset(&self) -> u64 {
        u64::from(self.full) * self.layout.block_bytes(self.layout.rows_per_block()) as u64
    }
}

/// Writes rows to the file as blocks.
pub(super) struct Writer<'a> {
    cutter: Cutter,
    limits: Limits,
    bytes: u64,
    file: &'a File,
    path: &'a Path,
}

impl<'a> Writer<'a> {
    pub(super) const fn new(layout: Layout, limits: Limits, file: &'a File, path: &'a Path) -> Self {
        Self { cutter: Cutter::new(layout), limits, bytes: 0, file, path }
    }

    /// Writes a run of whole rows.
    pub(super) fn write(&mut self, mut cells: &[u8]) -> Result<(), HashError> {
        let failed = |error| HashError::write(self.path.to_owned(), error);
        let mut file = self.file;
        while let Some(part) = self.cutter.cut(&mut cells) {
            let header = part.header.unwrap_or_default();
            let more = (header.len() + part.cells.len()) as u64;
            self.limits.check_bytes(self.path, self.bytes, more)?;
            file.write_all(&header).map_err(failed)?;
            file.write_all(part.cells).map_err(failed)?;
            self.bytes += more;
        }
        Ok(())
    }

    /// Sets the header of a last block right that is not full.
    pub(super) fn finish(&self) -> Result<(), HashError> {
        if self.cutter.is_settled() {
            return Ok(());
        }
        let header = self.cutter.header(self.cutter.rows);
        let written = self.file.write_all_at(&header, self.cutter.offset());
        written.map_err(|error| HashError::write(self.path.to_owned(), error))
    }
}

/// Digests rows as the blocks they are written to.
pub(super) struct Digester {
    cutter: Cutter,
    kernel: Kernel,
    sha256: Twin,
    crc64: crc64fast_nvme::Digest,
    /// The digest of all blocks before the one that is not full.
    before: Stream,
    entries: Vec<BlockEntry>,
    bytes: u64,
}

impl Digester {
    pub(super) fn new(layout: Layout) -> Self {
        let kernel = Kernel::best();
        Self {
            cutter: Cutter::new(layout),
            kernel,
            sha256: Twin::new(kernel),
            crc64: crc64fast_nvme::Digest::new(),
            before: Stream::new(kernel),
            entries: Vec::new(),
            bytes: 0,
        }
    }

    /// Takes a run of whole rows.
    pub(super) fn take(&mut self, mut cells: &[u8]) {
        let rows = self.cutter.layout.rows_per_block();
        while let Some(part) = self.cutter.cut(&mut cells) {
            if let Some(header) = part.header {
                self.before = self.sha256.whole.clone();
                self.add(&header);
            }
            self.add(part.cells);
            if part.is_last {
                self.close(rows);
            }
        }
    }

    /// Ends with the last block, which the writer has finished.
    pub(super) fn finish(mut self, file: &File, path: &Path) -> Result<Sealed, HashError> {
        let rows = self.cutter.rows;
        if !self.cutter.is_settled() {
            self.sha256 = Twin { part: Stream::new(self.kernel), whole: self.before.clone() };
            self.crc64 = crc64fast_nvme::Digest::new();
            let mut offset = self.cutter.offset();
            let end = offset + self.cutter.layout.block_bytes(rows) as u64;
            let mut buffer = vec![0; READING];
            while offset < end {
                let length = (end - offset).min(READING as u64) as usize;
                let bytes = &mut buffer[..length];
                file.read_exact_at(bytes, offset).map_err(|error| HashError::write(path.to_owned(), error))?;
                self.add(bytes);
                offset += length as u64;
            }
            self.close(rows);
        }
        Ok(Sealed { entries: self.entries, bytes: self.bytes, sha256: self.sha256.whole.finish() })
    }

    fn add(&mut self, bytes: &[u8]) {
        self.sha256.update(bytes);
        self.crc64.write(bytes);
    }

    fn close(&mut self, rows: u32) {
        let length = self.cutter.layout.block_bytes(rows) as u64;
        let crc64 = std::mem::replace(&mut self.crc64, crc64fast_nvme::Digest::new()).sum64();
        self.entries.push(BlockEntry { rows, length, crc64nvme: crc64, sha256: hex(&self.sha256.next_part()) });
        self.bytes += length;
    }
}

/// Returns the CRC-64/NVME of some bytes.
pub(super) fn crc64(bytes: &[u8]) -> u64 {
    let mut digest = crc64fast_nvme::Digest::new();
    digest.write(bytes);
    digest.sum64()
}
