//! Reads a table to its end and says what is in it; writes nothing.

use std::io::Read;
use std::sync::atomic::{AtomicBool, Ordering};

use super::beginning::Beginning;
use super::error::{ExitClass, HashError};
use super::pieces::Piece;
use super::salt::salt;
use super::{HashOrder, HashProgress, SaltSource, source};
use crate::table::header::{Columns, Comparison};
use crate::table::reader::Dialect;
use crate::table::reader::content::Packing;
use crate::table::survey::{Found, Survey};

/// What a table turned out to be.
#[derive(Debug)]
pub struct Validation {
    /// How it was read.
    pub dialect: Dialect,
    /// Whether it begins with a byte order mark.
    pub has_mark: bool,
    /// How it is packed.
    pub packing: Packing,
    /// Bytes of the file, or of what came through the pipe, as far as it was read.
    pub bytes: u64,
    /// Its header, and how it differs from the schema.
    pub header: Comparison,
    /// What is in it; nothing if the header does not fit.
    pub found: Option<Found>,
    /// The line, from 1, and the byte of a quote that nothing closes.
    pub unclosed: Option<(u64, u64)>,
}

impl Validation {
    /// Returns whether more rows are bad than `percent` of all allow.
    pub fn has_too_many_bad_rows(&self, percent: f64) -> bool {
        self.found.as_ref().is_some_and(|found| {
            let bad = found.rejects.total();
            bad as f64 * 100.0 > percent * (found.rows + bad) as f64
        })
    }
}

/// Reads the table of an order to its end. Blocks; memory stays the same for
/// any table. Of the order only how the table is to be read is taken, and a share
/// of bad rows that may be allowed.
///
/// # Errors
///
/// As [`super::hash`], where the table cannot be read or the order is none; bad rows, a header that
/// does not fit and an open quote are what is reported, not errors.
pub fn validate(order: &HashOrder, progress: &HashProgress, stop: &AtomicBool) -> Result<Validation, HashError> {
    let (file, identity) = source::open(&order.source)?;
    progress.bytes_total.store(identity.bytes, Ordering::Relaxed);
    let looked = validate_stream(order, &file, progress, stop);
    let is_about_data = looked.as_ref().err().is_none_or(|error| error.class() == ExitClass::BadData);
    if is_about_data && !source::is_unchanged(&file, &order.source, identity) {
        return Err(HashError::SourceChanged(order.source.clone()));
    }
    looked
}

/// Reads a table that comes through a pipe to its end.
///
/// # Errors
///
/// As [`validate`].
pub fn validate_stream(
    order: &HashOrder,
    input: impl Read + Send,
    progress: &HashProgress,
    stop: &AtomicBool,
) -> Result<Validation, HashError> {
    order.check_percentage()?;
    let start = Beginning::read(order, input)?;
    let mut validation = Validation {
        dialect: start.dialect,
        has_mark: start.pieces.has_mark(),
        packing: start.pieces.input().packing(),
        bytes: 0,
        header: start.compare(&order.schema),
        found: None,
        unclosed: None,
    };
    if validation.header.fits(&order.schema) {
        let columns = start.columns(&order.schema)?;
        return look(order, start, &columns, validation, progress, stop);
    }
    validation.bytes = start.pieces.input().taken();
    Ok(validation)
}

fn look(
    order: &HashOrder,
    start: Beginning<'_>,
    columns: &Columns,
    mut validation: Validation,
    progress: &HashProgress,
    stop: &AtomicBool,
) -> Result<Validation, HashError> {
    let Beginning { mut pieces, mut slot, offset, rows_start, lines_before, .. } = start;
    let key = salt(&SaltSource::Fresh)?;
    let mut survey = Survey::new(validation.dialect, &order.schema, columns, &key, lines_before);
    survey.take(&slot.bytes, rows_start, offset);
    loop {
        if stop.load(Ordering::Relaxed) {
            return Err(HashError::Stopped);
        }
        let found = survey.found();
        progress.bytes_read.store(pieces.input().taken(), Ordering::Relaxed);
        progress.rows.store(found.rows, Ordering::Relaxed);
        progress.rejected.store(found.rejects.total(), Ordering::Relaxed);
        order.limits.check_rows(found.rows)?;
        match pieces.advance(&mut slot.bytes).map_err(|error| HashError::reading(&order.source, error))? {
            Some(Piece::Records { offset }) => survey.take(&slot.bytes, 0, offset),
            Some(Piece::TooLong { offset, breaks, end }) => survey.too_long(offset, breaks, end),
            Some(Piece::Unclosed { offset, breaks }) => {
                validation.unclosed = Some((survey.lines() + breaks + 1, offset));
                break;
            }
            None => break,
        }
    }
    validation.bytes = pieces.input().taken();
    validation.found = Some(survey.found().clone());
    Ok(validation)
}
