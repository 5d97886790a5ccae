//! What a table holds, told without its values: how its lines end, how long its
//! fields are, how many are blank, and about how many are different.
//!
//! *Invariant:* a row is taken or rejected here exactly as it is where rows are
//! hashed for an upload ([`super::rows`]).

use zeroize::Zeroizing;

use super::digest::CellHasher;
use super::header::Columns;
use super::normalise::Normaliser;
use super::reader::records::{Records, Row};
use super::reader::{Dialect, LineEnd};
use super::rejects::{Fault, Reject, Rejects};
use super::salt::Salt;
use super::schema::Schema;
use super::sketch::Sketch;

/// Looks at pieces of one table, in their order.
pub struct Survey {
    dialect: Dialect,
    hasher: CellHasher,
    rules: Vec<(usize, Normaliser)>,
    unquoted: Zeroizing<Vec<u8>>,
    normalised: Zeroizing<Vec<u8>>,
    lines: u64,
    found: Found,
}

/// What was found so far.
#[derive(Debug, Clone, Default)]
pub struct Found {
    /// Rows that could be taken.
    pub rows: u64,
    /// Rows that could not.
    pub rejects: Rejects,
    /// How the records end.
    pub ends: LineEnds,
    /// Bytes of the longest row that was taken.
    pub longest_row: usize,
    /// The columns, in the schema's order.
    pub columns: Vec<ColumnFound>,
}

/// How many records end in which way.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct LineEnds {
    /// With LF.
    pub lf: u64,
    /// With CRLF.
    pub crlf: u64,
    /// With CR alone.
    pub cr: u64,
    /// Not at all: the last one may.
    pub none: u64,
}

/// What was found in one column.
#[derive(Debug, Clone, Default)]
pub struct ColumnFound {
    /// Values of which nothing is left once they are normalised.
    pub blank: u64,
    /// Bytes of the longest value.
    pub longest: usize,
    sketch: Sketch,
}

impl ColumnFound {
    /// Returns about how many different values there are, blank ones aside.
    pub fn distinct(&self) -> u64 {
        self.sketch.estimate()
    }
}

impl Survey {
    /// Begins to look; `lines` stand before the first piece. The key is to be
    /// random and kept nowhere: what is counted cannot be traced back without it.
    pub fn new(dialect: Dialect, schema: &Schema, columns: &Columns, key: &Salt, lines: u64) -> Self {
        let rules = schema.fields().iter().map(Normaliser::of);
        let found = Found { columns: vec![ColumnFound::default(); schema.fields().len()], ..Found::default() };
        Self {
            dialect,
            hasher: CellHasher::new(key),
            rules: columns.places().iter().copied().zip(rules).collect(),
            unquoted: Zeroizing::default(),
            normalised: Zeroizing::default(),
            lines,
            found,
        }
    }

    /// Looks at the records of a piece from `start` on; the piece is at `offset`.
    pub fn take(&mut self, bytes: &[u8], start: usize, offset: u64) {
        let mut records = Records::new(self.dialect, bytes, start);
        if start > 0 {
            // The header's own end.
            self.found.ends.add(end_at(bytes, start));
        }
        while let Some(row) = records.advance() {
            let begin = row.offset;
            let looked = self.look(&row);
            match looked {
                Ok(()) => {
                    self.found.rows += 1;
                    self.found.longest_row = self.found.longest_row.max(records.position() - begin);
                }
                Err((fault, column)) if self.found.rejects.has_room() => {
                    let line = self.lines + records.breaks_before(begin) + 1;
                    let offset = offset + records.source_before(begin);
                    self.found.rejects.add(Reject { line, column, offset, fault });
                }
                Err((fault, _)) => self.found.rejects.count(fault),
            }
            self.found.ends.add(end_at(bytes, records.position()));
        }
        self.lines += records.breaks_before(bytes.len());
    }

    /// Counts a record over the limit.
    pub fn too_long(&mut self, offset: u64, breaks: u64, end: LineEnd) {
        self.found.rejects.add(Reject { line: self.lines + 1, column: 0, offset, fault: Fault::TooLong });
        self.lines += breaks;
        self.found.ends.add(end);
    }

    /// Returns the lines before the next piece.
    pub const fn lines(&self) -> u64 {
        self.lines
    }

    /// Returns what was found so far.
    pub const fn found(&self) -> &Found {
        &self.found
    }

    fn look(&mut self, row: &Row<'_, '_>) -> Result<(), (Fault, u32)> {
        if let Some(fault) = row.fault {
            return Err(fault);
        }
        if row.count != self.rules.len() {
            return Err((Fault::ColumnCount, 0));
        }
        // A row is counted in none of its columns or in all of them.
        for (place, _) in &self.rules {
            if std::str::from_utf8(row.fields[*place].value(&mut self.unquoted)).is_err() {
                return Err((Fault::NotUtf8, *place as u32 + 1));
            }
        }
        for ((place, rule), column) in self.rules.iter().zip(&mut self.found.columns) {
            let value = row.fields[*place].value(&mut self.unquoted);
            column.longest = column.longest.max(value.len());
            let Ok(normalised) = rule.apply(value, &mut self.normalised) else {
                return Err((Fault::NotUtf8, *place as u32 + 1));
            };
            if normalised.is_empty() {
                column.blank += 1;
                continue;
            }
            let digest = self.hasher.hash(normalised);
            let (first, _) = digest.split_first_chunk().expect("a digest has more than 8 bytes");
            column.sketch.add(u64::from_le_bytes(*first));
        }
        Ok(())
    }
}

impl LineEnds {
    fn add(&mut self, end: LineEnd) {
        match end {
            LineEnd::Lf => self.lf += 1,
            LineEnd::CrLf => self.crlf += 1,
            LineEnd::Cr => self.cr += 1,
            LineEnd::None => self.none += 1,
        }
    }
}

/// Returns how a record ends whose last byte stands before a place.
fn end_at(bytes: &[u8], place: usize) -> LineEnd {
    match (bytes.get(place), bytes.get(place + 1)) {
        (Some(b'\r'), Some(b'\n')) => LineEnd::CrLf,
        (Some(b'\r'), _) => LineEnd::Cr,
        (Some(_), _) => LineEnd::Lf,
        (None, _) => LineEnd::None,
    }
}
