//! From a table to a bundle, step by step.

use std::fs::File;
use std::io;
use std::num::NonZero;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

use chrono::{DateTime, Utc};

use super::error::{ExitClass, HashError};
use super::output::{self, Partial};
use super::pieces::{Piece, Pieces};
use super::pipeline::{self, Hashed, Slot, Work};
use super::salt::salt;
use super::stored::Bundle;
use super::{BLOCKS_FILE, HashOrder, HashProgress, MANIFEST_FILE, SALT_FILE, SourceIdentity, source};
use crate::ports::clock::Clock;
use crate::table::block::{EdmBlock1, Encoding};
use crate::table::digest::{DIGEST, hex};
use crate::table::header::{Columns, HeaderError};
use crate::table::layout::{Layout, LayoutError};
use crate::table::manifest::{FORMAT, Manifest, Source};
use crate::table::normalise::NORMALISATION;
use crate::table::reader::records::Records;
use crate::table::reader::{Dialect, Separator, count_breaks};
use crate::table::rejects::Fault;
use crate::table::rows::RowHasher;
use crate::table::salt::Salt;

/// How far an estimate by the first piece may be off before it refuses a table.
const ESTIMATE_DOUBT: u64 = 2;

/// Bytes a block takes in the manifest, at most.
const MANIFEST_ENTRY: u64 = 256;
/// Bytes the manifest has beside its blocks, at most.
const MANIFEST_REST: u64 = 16 << 10;

/// Makes a bundle of a table. Blocks; memory stays the same for any table.
///
/// # Errors
///
/// Says what is wrong and what to do about it; then there is no bundle. Nothing
/// is written before the header was found to fit the schema.
pub fn hash(
    order: &HashOrder,
    clock: &dyn Clock,
    progress: &HashProgress,
    stop: &AtomicBool,
) -> Result<Bundle, HashError> {
    let allowed = order.allowed_bad_lines_percent;
    if !(0.0..=100.0).contains(&allowed) {
        return Err(HashError::Percentage(allowed));
    }
    output::refuse_existing(&order.output)?;
    let (file, identity) = source::open(&order.source)?;
    // What the bundle holds is the table as it was from here on.
    let created = clock.now().wall;
    progress.bytes_total.store(identity.bytes, Ordering::Relaxed);
    let start = Start::read(order, &file)?;
    let expected = start.expected_rows(identity.bytes);
    let layout = lay_out(order, expected)?;
    if layout.check(expected / ESTIMATE_DOUBT).is_err() {
        layout.check(expected)?;
    }
    let salt = salt(&order.salt)?;
    let partial = Partial::create(&order.output)?;
    let hashed = write_blocks(order, start, layout, &salt, &partial, progress, stop);
    // A change explains bad data, and hides behind good data; other failures stand for themselves.
    let is_about_data = hashed.as_ref().err().is_none_or(|error| error.class() == ExitClass::BadData);
    if is_about_data && !source::is_unchanged(&file, &order.source, identity) {
        return Err(HashError::SourceChanged(order.source.clone()));
    }
    let hashed = hashed?;
    let (rows, rejected) = (hashed.rows, hashed.rejects.total());
    if rejected as f64 * 100.0 > allowed * (rows + rejected) as f64 {
        return Err(HashError::TooManyBadRows { rows, rejects: Box::new(hashed.rejects), allowed });
    }
    if rows == 0 {
        return Err(HashError::NoRows);
    }
    let manifest = manifest(order, layout, hashed, identity, created);
    let text = serde_json::to_vec_pretty(&manifest).expect("a manifest has only keys that are texts");
    partial.write(MANIFEST_FILE, &[&text, b"\n"])?;
    partial.write(SALT_FILE, &[salt.expose(), b"\n"])?;
    partial.finish()?;
    Bundle::open(&order.output).map_err(HashError::Unreadable)
}

/// Returns about how many bytes the bundle of a table will have, by a look at
/// the table's beginning.
///
/// # Errors
///
/// As [`hash`], for what shows at the beginning.
pub fn estimate(order: &HashOrder) -> Result<u64, HashError> {
    let (file, identity) = source::open(&order.source)?;
    let rows = Start::read(order, &file)?.expected_rows(identity.bytes);
    let layout = lay_out(order, rows)?;
    Ok(layout.bytes(rows) + layout.blocks(rows) * MANIFEST_ENTRY + MANIFEST_REST)
}

/// Lays a table of about so many rows into blocks. Where their size is chosen,
/// it allows for an estimate that is off: a count that turns out too high is
/// found only after most of the table was hashed.
fn lay_out(order: &HashOrder, expected: u64) -> Result<Layout, LayoutError> {
    let columns = order.schema.fields().len();
    match order.rows_per_block {
        Some(rows) => Layout::new(columns, rows),
        None => Ok(Layout::sized(columns, order.block_size, expected.saturating_mul(ESTIMATE_DOUBT))),
    }
}

/// Checks that a folder's disk has room for so many bytes with `keep` left free.
///
/// # Errors
///
/// [`HashError::NoRoom`] with the numbers.
pub fn room_for(dir: &Path, needed: u64, keep: u64) -> Result<(), HashError> {
    let failed = |source: io::Error| HashError::write(dir.to_owned(), source);
    let status = rustix::fs::statvfs(dir).map_err(|errno| failed(errno.into()))?;
    let free = status.f_bavail.saturating_mul(status.f_frsize);
    if needed.saturating_add(keep) > free {
        return Err(HashError::NoRoom { dir: dir.to_owned(), needed, keep, free });
    }
    Ok(())
}

/// The beginning of a table, through its header.
struct Start<'a> {
    pieces: Pieces<&'a File>,
    dialect: Dialect,
    columns: Columns,
    slot: Slot,
    offset: u64,
    rows_start: usize,
    lines_before: u64,
}

impl<'a> Start<'a> {
    fn read(order: &HashOrder, file: &'a File) -> Result<Self, HashError> {
        let separator = order.separator.or_else(|| Separator::for_path(&order.source));
        let dialect = Dialect::new(separator.ok_or_else(|| HashError::Separator(order.table.clone()))?);
        let failed = |source: io::Error| {
            if source.kind() == io::ErrorKind::InvalidData {
                return HashError::Utf16;
            }
            HashError::Read { path: order.source.clone(), source }
        };
        let size = pipeline::piece_bytes(threads(order));
        let mut pieces = Pieces::with_size(file, dialect, size).map_err(failed)?;
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
            if let Some((columns, rows_start)) = header(order, dialect, &slot.bytes)? {
                return Ok(Self { pieces, dialect, columns, slot, offset, rows_start, lines_before });
            }
            lines_before += count_breaks(&slot.bytes);
        }
    }

    /// Returns about how many rows a table of so many bytes has.
    fn expected_rows(&self, bytes: u64) -> u64 {
        let mut records = Records::new(self.dialect, &self.slot.bytes, self.rows_start);
        let mut rows = 0u64;
        while records.advance().is_some() {
            rows += 1;
        }
        let sampled = (self.slot.bytes.len() - self.rows_start).max(1) as u128;
        let expected = u128::from(rows) * u128::from(bytes) / sampled;
        u64::try_from(expected).unwrap_or(u64::MAX)
    }
}

/// Reads the header, if the piece has a record at all; returns where the rows start.
fn header(order: &HashOrder, dialect: Dialect, bytes: &[u8]) -> Result<Option<(Columns, usize)>, HashError> {
    let mut records = Records::new(dialect, bytes, 0);
    let Some(row) = records.advance() else { return Ok(None) };
    if let Some(fault) = row.fault {
        return Err(HeaderError::Unreadable(fault).into());
    }
    let names: Vec<Vec<u8>> = row.fields.iter().map(|field| field.value(&mut Vec::new()).to_vec()).collect();
    let names: Vec<&[u8]> = names.iter().map(Vec::as_slice).collect();
    let columns = Columns::of(&names, row.count, &order.schema)?;
    Ok(Some((columns, records.position())))
}

fn write_blocks(
    order: &HashOrder,
    start: Start<'_>,
    layout: Layout,
    salt: &Salt,
    partial: &Partial,
    progress: &HashProgress,
    stop: &AtomicBool,
) -> Result<Hashed, HashError> {
    let blocks_path = partial.path_of(BLOCKS_FILE);
    let blocks = partial.file(BLOCKS_FILE)?;
    let work = Work {
        hasher: RowHasher::new(start.dialect, &order.schema, &start.columns, salt),
        pieces: start.pieces,
        first: start.slot,
        first_offset: start.offset,
        rows_start: start.rows_start,
        lines_before: start.lines_before,
        layout,
        threads: threads(order),
        source: &order.source,
        blocks_path: &blocks_path,
        progress,
        stop,
    };
    let hashed = pipeline::run(work, &blocks)?;
    blocks.sync_all().map_err(|error| HashError::write(blocks_path, error))?;
    Ok(hashed)
}

/// Returns how many threads hash.
fn threads(order: &HashOrder) -> usize {
    let cores = || std::thread::available_parallelism().map_or(1, NonZero::get);
    if order.threads == 0 { cores() } else { order.threads }
}

fn manifest(
    order: &HashOrder,
    layout: Layout,
    hashed: Hashed,
    identity: SourceIdentity,
    created: DateTime<Utc>,
) -> Manifest {
    let name = order.source.file_name().unwrap_or_default().to_string_lossy().into_owned();
    Manifest {
        format: FORMAT.to_owned(),
        encoding: EdmBlock1.name().to_owned(),
        normalisation: NORMALISATION,
        digest: DIGEST.to_owned(),
        table: order.table.clone(),
        data_store: order.schema.store().to_owned(),
        fields: order.schema.names(),
        columns: order.schema.fields().to_vec(),
        rows: hashed.rows,
        rejected_rows: hashed.rejects.total(),
        rows_per_block: layout.rows_per_block(),
        bytes: hashed.sealed.bytes,
        sha256: hex(&hashed.sealed.sha256),
        blocks: hashed.sealed.entries,
        source: Source { name, identity },
        created,
    }
}
