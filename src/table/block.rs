//! A block: the hashed rows that travel together, byte by byte.
//!
//! ```text
//! offset  size  field
//!      0     4  magic "EDMB"
//!      4     2  version of this encoding, 1            (little endian)
//!      6     2  columns in each row                    (little endian)
//!      8     4  rows in this block                     (little endian)
//!     12     4  index of this block in the bundle      (little endian)
//!     16     …  rows × columns × 32 bytes: the digest of each cell, row by row
//! ```
//!
//! What bytes the real service wants in a block is not public. So the encoding
//! has a name and a version, the manifest says which one was used, and
//! everything else sees it only through [`Encoding`].

/// Bytes of one hashed cell: a SHA-256.
pub const CELL: usize = 32;

/// Bytes before the first row.
pub const HEADER: usize = 16;

const MAGIC: [u8; 4] = *b"EDMB";
const VERSION: u16 = 1;

/// How hashed rows become the bytes of a block.
pub trait Encoding: Send + Sync {
    /// Returns the name the manifest gives it, with its version.
    fn name(&self) -> &'static str;

    /// Returns the bytes that come before the rows.
    fn header(&self, index: u32, columns: u16, rows: u32) -> Vec<u8>;

    /// Reads a block back.
    ///
    /// # Errors
    ///
    /// Says what about the bytes is not a block of this encoding.
    fn decode<'a>(&self, bytes: &'a [u8]) -> Result<Block<'a>, BlockError>;
}

/// The encoding described above.
#[derive(Debug, Clone, Copy, Default)]
pub struct EdmBlock1;

impl Encoding for EdmBlock1 {
    fn name(&self) -> &'static str {
        "edm-block/1"
    }

    fn header(&self, index: u32, columns: u16, rows: u32) -> Vec<u8> {
        let mut header = Vec::with_capacity(HEADER);
        header.extend_from_slice(&MAGIC);
        header.extend_from_slice(&VERSION.to_le_bytes());
        header.extend_from_slice(&columns.to_le_bytes());
        header.extend_from_slice(&rows.to_le_bytes());
        header.extend_from_slice(&index.to_le_bytes());
        header
    }

    fn decode<'a>(&self, bytes: &'a [u8]) -> Result<Block<'a>, BlockError> {
        let (header, cells) = bytes.split_first_chunk::<HEADER>().ok_or(BlockError::Truncated)?;
        let [m0, m1, m2, m3, v0, v1, c0, c1, r0, r1, r2, r3, i0, i1, i2, i3] = *header;
        if [m0, m1, m2, m3] != MAGIC {
            return Err(BlockError::NotABlock);
        }
        let version = u16::from_le_bytes([v0, v1]);
        if version != VERSION {
            return Err(BlockError::Version(version));
        }
        let columns = u16::from_le_bytes([c0, c1]);
        let rows = u32::from_le_bytes([r0, r1, r2, r3]);
        let expected = rows as usize * columns as usize * CELL;
        if cells.len() != expected {
            return Err(BlockError::Length { expected: expected + HEADER, found: bytes.len() });
        }
        Ok(Block { index: u32::from_le_bytes([i0, i1, i2, i3]), columns, rows, cells })
    }
}

/// A block that was read back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Block<'a> {
    /// Its place in the bundle, from 0.
    pub index: u32,
    /// Columns in each row.
    pub columns: u16,
    /// Rows in it.
    pub rows: u32,
    cells: &'a [u8],
}

impl<'a> Block<'a> {
    /// Returns each row as its `columns` × [`CELL`] bytes.
    pub fn rows(&self) -> impl ExactSizeIterator<Item = &'a [u8]> {
        self.cells.chunks_exact((self.columns as usize * CELL).max(1))
    }
}

/// Why bytes are not a block.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BlockError {
    /// Shorter than a header.
    #[error("the block ends inside its header")]
    Truncated,
    /// Does not begin as a block does.
    #[error("the bytes do not begin as a block does")]
    NotABlock,
    /// An encoding this build does not read.
    #[error("the block has version {0} of the encoding, this build reads version 1")]
    Version(u16),
    /// Counts and length disagree.
    #[error("the block should have {expected} bytes and has {found}")]
    Length {
        /// Bytes by its header.
        expected: usize,
        /// Bytes there are.
        found: usize,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_block_reads_back_as_it_was_written() {
        let mut bytes = EdmBlock1.header(7, 2, 3);
        bytes.extend((0..6 * CELL).map(|n| n as u8));
        let block = EdmBlock1.decode(&bytes).unwrap();
        assert_eq!((block.index, block.columns, block.rows), (7, 2, 3));
        assert_eq!(block.rows().len(), 3);
        assert_eq!(block.rows().nth(1).unwrap()[0], 64);
    }

    #[test]
    fn a_block_cut_anywhere_is_refused() {
        let mut bytes = EdmBlock1.header(0, 1, 2);
        bytes.extend([0; 2 * CELL]);
        for length in 0..bytes.len() {
            assert!(EdmBlock1.decode(&bytes[..length]).is_err(), "{length}");
        }
    }
}
