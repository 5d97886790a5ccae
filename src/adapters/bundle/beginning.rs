//! The beginning of a table, through its header.

use std::io::{self, Read};

use zeroize::Zeroizing;

use super::HashOrder;
use super::error::HashError;
use super::hash::threads;
use super::input::Input;
use super::pieces::{Piece, Pieces};
use super::pipeline::{self, Slot};
use crate::table::header::{Columns, Comparison, HeaderError};
use crate::table::reader::content::Packing;
use crate::table::reader::records::Records;
use crate::table::reader::{Dialect, count_breaks};
use crate::table::rejects::Fault;
use crate::table::schema::Schema;

/// A table that was read through its header.
pub(super) struct Beginning<'a> {
    pub(super) pieces: Pieces<Input<'a>>,
    /// How it is to be read, with the coding that was found.
    pub(super) dialect: Dialect,
    /// The piece that holds the header.
    pub(super) slot: Slot,
    /// Where the piece is in the table.
    pub(super) offset: u64,
    /// Where the rows start in the piece.
    pub(super) rows_start: usize,
    /// Lines before the piece.
    pub(super) lines_before: u64,
    /// The header's names, not all of them if there are more than there may be.
    header: Vec<Zeroizing<Vec<u8>>>,
    /// Columns of the header.
    count: usize,
}

impl<'a> Beginning<'a> {
    /// Reads as far as the first record.
    pub(super) fn read(order: &HashOrder, input: impl Read + Send + 'a) -> Result<Self, HashError> {
        let failed = |error: io::Error| HashError::reading(&order.source, error);
        let asked = order.dialect()?;
        let size = pipeline::piece_bytes(threads(order));
        let pieces = Input::new(input).and_then(|input| Pieces::with_size(input, asked, order.encoding, size));
        let mut pieces = pieces.map_err(failed)?;
        let dialect = pieces.dialect();
        let mut slot = Slot::default();
        let mut lines_before = 0;
        loop {
            let offset = match pieces.advance(&mut slot.bytes).map_err(failed)? {
                Some(Piece::Records { offset }) => offset,
                Some(Piece::TooLong { .. }) => return Err(HeaderError::Unreadable(Fault::TooLong).into()),
                Some(Piece::Unclosed { offset, breaks }) => {
                    return Err(HashError::Unclosed { line: lines_before + breaks + 1, offset });
                }
                None => return Err(HeaderError::Empty.into()),
            };
            let mut records = Records::new(dialect, &slot.bytes, 0);
            let Some(row) = records.advance() else {
                lines_before += count_breaks(&slot.bytes);
                continue;
            };
            if let Some((fault, _)) = row.fault {
                return Err(HeaderError::Unreadable(fault).into());
            }
            let header = row.fields.iter().map(|field| Zeroizing::new(field.value(&mut Vec::new()).to_vec()));
            let header = header.collect();
            let (count, rows_start) = (row.count, records.position());
            return Ok(Self { pieces, dialect, slot, offset, rows_start, lines_before, header, count });
        }
    }

    /// Matches the header to a schema.
    pub(super) fn columns(&self, schema: &Schema) -> Result<Columns, HeaderError> {
        Columns::of(&self.names(), self.count, schema)
    }

    /// Tells how the header and a schema differ.
    pub(super) fn compare(&self, schema: &Schema) -> Comparison {
        Comparison::of(&self.names(), self.count, schema)
    }

    /// Returns about how many rows a table of so many bytes has.
    pub(super) fn expected_rows(&self, bytes: u64) -> u64 {
        let mut records = Records::new(self.dialect, &self.slot.bytes, self.rows_start);
        let mut rows = 0u64;
        while records.advance().is_some() {
            rows += 1;
        }
        let sampled = self.dialect.coding.weigh(&self.slot.bytes[self.rows_start..]).max(1);
        let input = self.pieces.input();
        let growth = match input.packing() {
            Packing::None => 1.0,
            Packing::Gzip | Packing::Zstd => input.made() as f64 / input.taken().max(1) as f64,
        };
        (rows as f64 / sampled as f64 * bytes as f64 * growth) as u64
    }

    fn names(&self) -> Vec<&[u8]> {
        self.header.iter().map(|name| name.as_slice()).collect()
    }
}
