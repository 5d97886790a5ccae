//! How many rows a block has, and how many blocks that makes.

use super::block::{CELL, HEADER};

/// The most blocks a bundle may have: the most a block list can name.
pub const BLOCK_LIMIT: u64 = 50_000;

/// The size in bytes blocks are made if nothing else is said: large enough that
/// a request's overhead is nothing, small enough that a repeated one costs little.
pub const PREFERRED_BLOCK: u64 = 8 << 20;

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
    #[error("lay out the blocks: rows_per_block is 0; leave it out for blocks of one size, or give at least 1")]
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
    /// Lays rows of `columns` digests into blocks of `rows_per_block`.
    ///
    /// # Errors
    ///
    /// Says what is possible if this is not.
    ///
    /// # Panics
    ///
    /// If there is no column, or more than a schema may have.
    pub fn new(columns: usize, rows_per_block: u32) -> Result<Self, LayoutError> {
        let most = fitting(columns, LARGEST_BLOCK as u64);
        if rows_per_block == 0 {
            return Err(LayoutError::NoRows);
        }
        if rows_per_block > most {
            return Err(LayoutError::TooLarge { rows_per_block, most });
        }
        Ok(Self { columns: columns as u16, rows_per_block })
    }

    /// Lays up to `rows` rows of `columns` digests into blocks of at most
    /// `block_size` bytes: as many whole rows as fit, but at least one, and more
    /// where there would be over [`BLOCK_LIMIT`] blocks. Never over
    /// [`LARGEST_BLOCK`], so that even so there may be too many.
    ///
    /// # Panics
    ///
    /// If there is no column, or more than a schema may have.
    pub fn sized(columns: usize, block_size: u64, rows: u64) -> Self {
        let most = fitting(columns, LARGEST_BLOCK as u64);
        let needed = u32::try_from(rows.div_ceil(BLOCK_LIMIT)).unwrap_or(u32::MAX);
        let rows_per_block = fitting(columns, block_size).max(needed).clamp(1, most);
        Self { columns: columns as u16, rows_per_block }
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

    /// Returns how many blocks so many rows make. No rows make one block of none:
    /// what is to be uploaded has at least one.
    pub const fn blocks(self, rows: u64) -> u64 {
        if rows == 0 { 1 } else { rows.div_ceil(self.rows_per_block as u64) }
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

/// Returns how many rows of `columns` digests fit a block of so many bytes.
fn fitting(columns: usize, size: u64) -> u32 {
    assert!((1..=super::schema::COLUMN_LIMIT).contains(&columns), "a schema has 1 to 32 columns");
    let rows = size.saturating_sub(HEADER as u64) / (columns * CELL) as u64;
    u32::try_from(rows).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_hold_as_many_whole_rows_as_fit_the_size_and_one_where_none_does() {
        for (columns, block_size) in (1..=32).flat_map(|columns| [(columns, PREFERRED_BLOCK), (columns, 4_096)]) {
            let layout = Layout::sized(columns, block_size, 1_000);
            let size = layout.block_bytes(layout.rows_per_block()) as u64;
            assert!(size <= block_size && size + layout.row_bytes() as u64 > block_size, "{columns}: {size}");
        }
        for tiny in [0, 1, 16, 47] {
            assert_eq!(Layout::sized(1, tiny, 1_000).rows_per_block(), 1);
        }
        assert_eq!(Layout::new(3, 7).unwrap().rows_per_block(), 7);
    }

    #[test]
    fn blocks_of_a_size_grow_where_there_would_be_too_many_up_to_the_largest() {
        let rows = |rows| Layout::sized(1, 48, rows).rows_per_block();
        assert_eq!([BLOCK_LIMIT, BLOCK_LIMIT + 1, 2 * BLOCK_LIMIT, 2 * BLOCK_LIMIT + 1].map(rows), [1, 2, 2, 3]);
        let largest = Layout::sized(32, PREFERRED_BLOCK, u64::MAX);
        let size = largest.block_bytes(largest.rows_per_block());
        assert!(size <= LARGEST_BLOCK && size + largest.row_bytes() > LARGEST_BLOCK, "{size}");
        assert_eq!(Layout::sized(32, u64::MAX, 1), largest);
        assert!(largest.check(u64::MAX).is_err(), "a table too large for any blocks is still refused");
    }

    #[test]
    fn blocks_of_none_or_of_too_many_rows_are_refused() {
        assert_eq!(Layout::new(1, 0), Err(LayoutError::NoRows));
        let Err(LayoutError::TooLarge { most, .. }) = Layout::new(32, u32::MAX) else { panic!("it fits") };
        assert!(Layout::new(32, most).is_ok());
        assert!(Layout::new(32, most + 1).is_err());
    }

    #[test]
    fn the_advice_on_too_many_blocks_would_do() {
        let layout = Layout::new(1, 10).unwrap();
        assert!(layout.check(500_000).is_ok());
        let Err(LayoutError::TooMany { least, .. }) = layout.check(500_001) else { panic!("it fits") };
        let advised = Layout::new(1, u32::try_from(least).unwrap()).unwrap();
        assert!(advised.check(500_001).is_ok());
    }
}
