//! The hashed rows of a piece of a table: parse, normalise, hash.

use super::digest::{CellBatch, CellDigest, CellHasher};
use super::header::Columns;
use super::normalise::Normaliser;
use super::reader::Dialect;
use super::reader::records::{Records, Row};
use super::rejects::{Fault, Reject, Rejects};
use super::salt::Salt;
use super::schema::Schema;
use zeroize::Zeroizing;

/// Hashes pieces of one table; each thread has its own.
#[derive(Clone)]
pub struct RowHasher {
    dialect: Dialect,
    batch: CellBatch,
    columns: Vec<(usize, Normaliser)>,
    unquoted: Zeroizing<Vec<u8>>,
    normalised: Zeroizing<Vec<u8>>,
}

/// What a piece came to.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct HashedRows {
    /// Rows that were hashed.
    pub rows: u64,
    /// Line breaks in the piece.
    pub breaks: u64,
    /// Rows that were not, lines counted from the piece's first as 1.
    pub rejects: Rejects,
}

impl RowHasher {
    /// Makes a hasher for the rows of a table.
    pub fn new(dialect: Dialect, schema: &Schema, columns: &Columns, salt: &Salt, digest: CellDigest) -> Self {
        let rules = schema.fields().iter().map(Normaliser::of);
        Self {
            dialect,
            batch: CellBatch::new(CellHasher::of(digest, salt)),
            columns: columns.places().iter().copied().zip(rules).collect(),
            unquoted: Zeroizing::default(),
            normalised: Zeroizing::default(),
        }
    }

    /// Hashes the records of a piece from `start` on, which is at `offset` in
    /// the table together with the piece, and appends the digests to `cells`,
    /// row by row in the schema's order.
    pub fn hash(&mut self, bytes: &[u8], start: usize, offset: u64, cells: &mut Vec<u8>) -> HashedRows {
        let mut hashed = HashedRows::default();
        let mut records = Records::new(self.dialect, bytes, start);
        // Asked once of many rows it costs nothing; asked of each value it is dearer than the rest of the rule.
        let is_ascii = bytes.is_ascii();
        while let Some(row) = records.advance() {
            let begin = row.offset;
            if self.batch.is_full_for(self.columns.len()) {
                self.batch.drain_into(cells);
            }
            let Err((fault, column)) = self.take_row(&row, is_ascii) else {
                hashed.rows += 1;
                continue;
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
        hashed
    }

    /// Adds a row's cells to the batch, or none of them. A fault comes with the
    /// number of the column that shows it, from 1; 0 if it is none in particular.
    fn take_row(&mut self, row: &Row<'_, '_>, is_ascii: bool) -> Result<(), (Fault, u32)> {
        if let Some(fault) = row.fault {
            return Err(fault);
        }
        if row.count != self.columns.len() {
            return Err((Fault::ColumnCount, 0));
        }
        let before = self.batch.len();
        for (place, rule) in &self.columns {
            let value = row.fields[*place].value(&mut self.unquoted);
            if is_ascii {
                self.batch.push(rule.apply_ascii(value, &mut self.normalised));
            } else if let Ok(normalised) = rule.apply(value, &mut self.normalised) {
                self.batch.push(normalised);
            } else {
                self.batch.truncate(before);
                return Err((Fault::NotUtf8, *place as u32 + 1));
            }
        }
        Ok(())
    }
}
