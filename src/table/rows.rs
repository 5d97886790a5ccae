//! The hashed rows of a piece of a table: parse, normalise, hash.

use super::content::{ContentHasher, Part};
use super::digest::{CellBatch, CellDigest, CellHasher};
use super::header::Columns;
use super::normalise::Normaliser;
use super::reader::Dialect;
use super::reader::records::{Records, Row};
use super::rejects::{Fault, Reject, Rejects};
use super::salt::Salt;
use super::schema::{COLUMN_LIMIT, Schema};
use zeroize::Zeroizing;

/// Hashes pieces of one table; each thread has its own.
#[derive(Clone)]
pub struct RowHasher {
    dialect: Dialect,
    batch: CellBatch,
    columns: Vec<(usize, Normaliser)>,
    /// Takes the values in once more where the content is digested.
    content: Option<ContentHasher>,
    unquoted: Zeroizing<Vec<u8>>,
    normalised: Zeroizing<Vec<u8>>,
}

/// One bit for each column of a row.
type Marks = u32;

const _: () = assert!(COLUMN_LIMIT <= Marks::BITS as usize, "every column has a bit");

/// What a piece came to.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct HashedRows {
    /// Rows that were hashed.
    pub rows: u64,
    /// Line breaks in the piece.
    pub breaks: u64,
    /// Rows that were not, lines counted from the piece's first as 1.
    pub rejects: Rejects,
    /// Blank values of the rows that were hashed, in each column.
    pub blank: Vec<u64>,
    /// What their values came to, where the content is digested.
    pub content: Part,
}

impl RowHasher {
    /// Makes a hasher for the rows of a table.
    pub fn new(dialect: Dialect, schema: &Schema, columns: &Columns, salt: &Salt, digest: CellDigest) -> Self {
        let rules = schema.fields().iter().map(Normaliser::of);
        Self {
            dialect,
            batch: CellBatch::new(CellHasher::of(digest, salt)),
            columns: columns.places().iter().copied().zip(rules).collect(),
            content: None,
            unquoted: Zeroizing::default(),
            normalised: Zeroizing::default(),
        }
    }

    /// Digests the content as well.
    #[must_use]
    pub fn with_content(self, content: Option<ContentHasher>) -> Self {
        Self { content, ..self }
    }

    /// Returns what digests the content, if it is.
    pub const fn content(&self) -> Option<&ContentHasher> {
        self.content.as_ref()
    }

    /// Hashes the records of a piece from `start` on, which is at `offset` in
    /// the table together with the piece, and appends the digests to `cells`,
    /// row by row in the schema's order.
    pub fn hash(&mut self, bytes: &[u8], start: usize, offset: u64, cells: &mut Vec<u8>) -> HashedRows {
        let mut hashed = HashedRows { blank: vec![0; self.columns.len()], ..HashedRows::default() };
        if let Some(content) = &mut self.content {
            content.restore(Part::default());
        }
        let mut records = Records::new(self.dialect, bytes, start);
        // Asked once of many rows it costs nothing; asked of each value it is dearer than the rest of the rule.
        let is_ascii = bytes.is_ascii();
        while let Some(row) = records.advance() {
            let begin = row.offset;
            if self.batch.is_full_for(self.columns.len()) {
                self.batch.drain_into(cells);
            }
            let (fault, column) = match self.take_row(&row, is_ascii) {
                Ok(mut blank) => {
                    hashed.rows += 1;
                    while blank != 0 {
                        hashed.blank[blank.trailing_zeros() as usize] += 1;
                        blank &= blank - 1;
                    }
                    continue;
                }
                Err(place) => place,
            };
            if hashed.rejects.has_room() {
                let line = records.breaks_before(begin) + 1;
                let offset = offset + records.source_before(begin);
                hashed.rejects.add(Reject { line, column, offset, fault });
            } else {
                hashed.rejects.count(fault);
            }
        }
        self.batch.drain_into(cells);
        hashed.breaks = records.breaks_before(bytes.len());
        hashed.content = self.content.as_ref().map(ContentHasher::part).unwrap_or_default();
        hashed
    }

    /// Adds a row's cells to the batch, or none of them, and returns which are
    /// blank. A fault comes with the number of the column that shows it, from 1;
    /// 0 if it is none in particular.
    fn take_row(&mut self, row: &Row<'_, '_>, is_ascii: bool) -> Result<Marks, (Fault, u32)> {
        if let Some(fault) = row.fault {
            return Err(fault);
        }
        if row.count != self.columns.len() {
            return Err((Fault::ColumnCount, 0));
        }
        let before = self.batch.len();
        let content_before = self.content.as_ref().map(ContentHasher::part);
        let mut blank = 0;
        for (number, (place, rule)) in self.columns.iter().enumerate() {
            let value = row.fields[*place].value(&mut self.unquoted);
            let normalised = if is_ascii {
                rule.apply_ascii(value, &mut self.normalised)
            } else if let Ok(normalised) = rule.apply(value, &mut self.normalised) {
                normalised
            } else {
                self.batch.truncate(before);
                if let (Some(content), Some(before)) = (&mut self.content, content_before) {
                    content.restore(before);
                }
                return Err((Fault::NotUtf8, *place as u32 + 1));
            };
            blank |= Marks::from(normalised.is_empty()) << number;
            self.batch.push(normalised);
            if let Some(content) = &mut self.content {
                content.push(normalised);
            }
        }
        Ok(blank)
    }
}
