//! How many rows a block has, and how many blocks that makes.

use super::block::{CELL, HEADER};

/// The most blocks a bundle may have: the most a block list can name.
pub const BLOCK_LIMIT: u64 = 50_000;

/// The size blocks are made if nothing else is said: large enough that a
/// request's overhead is nothing, small enough that a repeated one costs little.
pub const PREFERRED_BLOCK: usize = 8 << 20;

/// The largest block, in bytes. Blocks are held whole while they are made and
/// sent, so this bounds memory.
pub const LARGEST_BLOCK: usize = 128 << 20;

/// How rows are laid into blocks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Layout {
    columns: u16,
    rows_per_block: u32,
}

/// Why rows cannot be laid into blocks as asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum LayoutError {
    /// Blocks of no rows.
    #[error("lay out the blocks: rows_per_block is 0; leave it out for blocks of about 8 MiB, or give at least 1")]
    NoRows,
    /// Blocks over [`LARGEST_BLOCK`].
    #[error(
        "lay out the blocks: {rows_per_block} rows are over the largest block of 128 MiB; set rows_per_block to at most {most}"
    )]
    TooLarge {
        /// What was asked.
        rows_per_block: u32,
        /// What is possible.
        most: u32,
    },
    /// More blocks than [`BLOCK_LIMIT`].
    #[error(
        "lay out the blocks: with {rows_per_block} rows each there are more than {BLOCK_LIMIT} blocks; set rows_per_block to at least {least}"
    )]
    TooMany {
        /// What was asked.
        rows_per_block: u32,
        /// What would do for this table.
        least: u64,
    },
}

impl Layout {
    /// Lays rows of `columns` digests into blocks of `rows_per_block`, or of
    /// about [`PREFERRED_BLOCK`] bytes.
    ///
    /// # Errors
    ///
    /// Says what is possible if this is not.
    ///
    /// # Panics
    ///
    /// If there is no column, or more than a schema may have.
    pub fn new(columns: usize, rows_per_block: Option<u32>) -> Result<Self, LayoutError> {
        assert!((1..=super::schema::COLUMN_LIMIT).contains(&columns), "a schema has 1 to 32 columns");
        let fitting = |size: usize| (size - HEADER) / (columns * CELL);
        let most = u32::try_from(fitting(LARGEST_BLOCK)).expect("128 MiB hold fewer than 2^32 rows");
        let preferred = u32::try_from(fitting(PREFERRED_BLOCK)).expect("8 MiB hold fewer than 2^32 rows");
        let rows_per_block = rows_per_block.unwrap_or(preferred);
        if rows_per_block == 0 {
            return Err(LayoutError::NoRows);
        }
        if rows_per_block > most {
            return Err(LayoutError::TooLarge { rows_per_block, most });
        }
        Ok(Self { columns: columns as u16, rows_per_block })
    }

    /// Returns the digests in each row.
    pub const fn columns(self) -> u16 {
        self.columns
    }

    /// Returns the rows in each block but the last.
    pub const fn rows_per_block(self) -> u32 {
        self.rows_per_block
    }

    /// Returns the bytes of one hashed row.
    pub const fn row_bytes(self) -> usize {
        self.columns as usize * CELL
    }

    /// Returns the bytes of a block of so many rows.
    pub const fn block_bytes(self, rows: u32) -> usize {
        HEADER + rows as usize * self.row_bytes()
    }

    /// Returns how many blocks so many rows make.
    pub const fn blocks(self, rows: u64) -> u64 {
        rows.div_ceil(self.rows_per_block as u64)
    }

    /// Returns how many bytes the blocks of so many rows have together.
    pub const fn bytes(self, rows: u64) -> u64 {
        let cells = rows.saturating_mul(self.row_bytes() as u64);
        cells.saturating_add(self.blocks(rows).saturating_mul(HEADER as u64))
    }

    /// Refuses a table of about so many rows, with a tenth to spare in what is advised.
    ///
    /// # Errors
    ///
    /// [`LayoutError::TooMany`] with the rows per block that would do.
    pub const fn check(self, rows: u64) -> Result<(), LayoutError> {
        if self.blocks(rows) <= BLOCK_LIMIT {
            return Ok(());
        }
        let least = rows.saturating_add(rows / 10).div_ceil(BLOCK_LIMIT);
        Err(LayoutError::TooMany { rows_per_block: self.rows_per_block, least })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_are_about_eight_mebibytes_unless_asked_otherwise() {
        for columns in 1..=32 {
            let layout = Layout::new(columns, None).unwrap();
            let size = layout.block_bytes(layout.rows_per_block());
            assert!(size <= PREFERRED_BLOCK && size + layout.row_bytes() > PREFERRED_BLOCK, "{columns}: {size}");
        }
        assert_eq!(Layout::new(3, Some(7)).unwrap().rows_per_block(), 7);
    }

    #[test]
    fn blocks_of_none_or_of_too_many_rows_are_refused() {
        assert_eq!(Layout::new(1, Some(0)), Err(LayoutError::NoRows));
        let Err(LayoutError::TooLarge { most, .. }) = Layout::new(32, Some(u32::MAX)) else { panic!("it fits") };
        assert!(Layout::new(32, Some(most)).is_ok());
        assert!(Layout::new(32, Some(most + 1)).is_err());
    }

    #[test]
    fn the_advice_on_too_many_blocks_would_do() {
        let layout = Layout::new(1, Some(10)).unwrap();
        assert!(layout.check(500_000).is_ok());
        let Err(LayoutError::TooMany { least, .. }) = layout.check(500_001) else { panic!("it fits") };
        let advised = Layout::new(1, Some(u32::try_from(least).unwrap())).unwrap();
        assert!(advised.check(500_001).is_ok());
    }
}
