//! From a table to a bundle, step by step.

use std::fs::File;
use std::io::Read;
use std::num::NonZero;
use std::sync::atomic::{AtomicBool, Ordering};

use zeroize::Zeroizing;

use super::beginning::Beginning;
use super::error::{ExitClass, HashError};
use super::output::{self, Partial};
use super::pipeline::{self, Hashed, Work};
use super::report;
use super::stored::Bundle;
use super::{BLOCKS_FILE, HashOrder, HashProgress, MANIFEST_FILE, SALT_FILE, SaltSource, SourceIdentity, source};
use crate::adapters::entropy;
use crate::ports::clock::Clock;
use crate::table::block::{EdmBlock1, Encoding};
use crate::table::digest::hex;
use crate::table::layout::{Layout, LayoutError};
use crate::table::manifest::{FORMAT, Manifest, Source};
use crate::table::normalise::NORMALISATION;
use crate::table::reader::content::Packing;
use crate::table::rows::RowHasher;
use crate::table::salt::{RANDOM_BYTES, Salt};

/// The most bytes a salt file is read for; a salt has 64.
const SALT_FILE_LIMIT: u64 = 4 << 10;

/// How far an estimate by the first piece may be off before it refuses a table.
const ESTIMATE_DOUBT: u64 = 2;

/// Bytes a block takes in the manifest, at most.
const MANIFEST_ENTRY: u64 = 256;
/// Bytes the manifest has beside its blocks, at most.
const MANIFEST_REST: u64 = 16 << 10;

/// Makes a bundle of a table. Blocks; memory stays the same for any table.
///
/// Rows that could not be taken are named in a file beside the bundle
/// ([`super::reject_report`]), which also stays where there were too many.
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
    check(order)?;
    let (file, identity) = source::open(&order.source)?;
    progress.bytes_total.store(identity.bytes, Ordering::Relaxed);
    let start = Beginning::read(order, &file)?;
    let is_unchanged = || source::is_unchanged(&file, &order.source, identity);
    make(order, start, Some(identity), &is_unchanged, clock, progress, stop)
}

/// Makes a bundle of a table that comes through a pipe. It is never written
/// down but as digests, and how much of it will come is not known before.
///
/// # Errors
///
/// As [`hash`].
pub fn hash_stream(
    order: &HashOrder,
    input: impl Read + Send,
    clock: &dyn Clock,
    progress: &HashProgress,
    stop: &AtomicBool,
) -> Result<Bundle, HashError> {
    check(order)?;
    let start = Beginning::read(order, input)?;
    make(order, start, None, &|| true, clock, progress, stop)
}

fn check(order: &HashOrder) -> Result<(), HashError> {
    let allowed = order.allowed_bad_lines_percent;
    if !(0.0..=100.0).contains(&allowed) {
        return Err(HashError::Percentage(allowed));
    }
    output::refuse_existing(&order.output)
}

fn make(
    order: &HashOrder,
    start: Beginning<'_>,
    identity: Option<SourceIdentity>,
    is_unchanged: &dyn Fn() -> bool,
    clock: &dyn Clock,
    progress: &HashProgress,
    stop: &AtomicBool,
) -> Result<Bundle, HashError> {
    let columns = start.columns(&order.schema)?;
    let expected = identity.map(|identity| start.expected_rows(identity.bytes));
    let layout = lay_out(order, expected.unwrap_or(order.limits.rows / ESTIMATE_DOUBT))?;
    if let Some(expected) = expected.filter(|_| start.pieces.input().packing() == Packing::None)
        && layout.check(expected / ESTIMATE_DOUBT).is_err()
    {
        layout.check(expected)?;
    }
    let salt = salt(&order.salt)?;
    let hasher = RowHasher::new(start.dialect, &order.schema, &columns, &salt, order.digest);
    let partial = Partial::create(&order.output)?;
    let hashed = write_blocks(order, start, hasher, layout, &partial, progress, stop);
    // A change explains bad data, and hides behind good data; other failures stand for themselves.
    let is_about_data = hashed.as_ref().err().is_none_or(|error| error.class() == ExitClass::BadData);
    if is_about_data && !is_unchanged() {
        return Err(HashError::SourceChanged(order.source.clone()));
    }
    let hashed = hashed?;
    let reported = report::write(&order.output, &hashed.rejects);
    let (rows, rejected) = (hashed.rows, hashed.rejects.total());
    let allowed = order.allowed_bad_lines_percent;
    if rejected as f64 * 100.0 > allowed * (rows + rejected) as f64 {
        let report = reported.unwrap_or_default();
        return Err(HashError::TooManyBadRows { rows, rejects: Box::new(hashed.rejects), allowed, report });
    }
    if rows == 0 {
        return Err(HashError::NoRows);
    }
    reported?;
    let taken = progress.bytes_read.load(Ordering::Relaxed);
    // What came through a pipe is no file, so only its length is known.
    let identity = identity.unwrap_or(SourceIdentity { bytes: taken, ..SourceIdentity::default() });
    let manifest = manifest(order, layout, hashed, identity, clock);
    let text = serde_json::to_vec_pretty(&manifest).expect("a manifest has only keys that are texts");
    partial.write(MANIFEST_FILE, &[&text, b"\n"])?;
    partial.write(SALT_FILE, &[salt.expose(), b"\n"])?;
    partial.finish()?;
    Bundle::open(&order.output).map_err(HashError::Unreadable)
}

/// Returns about how many bytes the bundle of a table will have, by a look at
/// the table's beginning. What a packed table unpacks to is taken to go on as
/// it begins.
///
/// # Errors
///
/// As [`hash`], for what shows at the beginning.
pub fn estimate(order: &HashOrder) -> Result<u64, HashError> {
    let (file, identity) = source::open(&order.source)?;
    let start = Beginning::read(order, &file)?;
    start.columns(&order.schema)?;
    let rows = start.expected_rows(identity.bytes);
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

fn write_blocks(
    order: &HashOrder,
    start: Beginning<'_>,
    hasher: RowHasher,
    layout: Layout,
    partial: &Partial,
    progress: &HashProgress,
    stop: &AtomicBool,
) -> Result<Hashed, HashError> {
    let cores = || std::thread::available_parallelism().map_or(1, NonZero::get);
    let blocks_path = partial.path_of(BLOCKS_FILE);
    let blocks = partial.file(BLOCKS_FILE)?;
    let work = Work {
        hasher,
        pieces: start.pieces,
        first: start.slot,
        first_offset: start.offset,
        rows_start: start.rows_start,
        lines_before: start.lines_before,
        layout,
        threads: if order.threads == 0 { cores() } else { order.threads },
        source: &order.source,
        blocks_path: &blocks_path,
        progress,
        stop,
        limits: order.limits,
    };
    let hashed = pipeline::run(work, &blocks)?;
    blocks.sync_all().map_err(|error| HashError::write(blocks_path, error))?;
    Ok(hashed)
}

fn manifest(
    order: &HashOrder,
    layout: Layout,
    hashed: Hashed,
    identity: SourceIdentity,
    clock: &dyn Clock,
) -> Manifest {
    let name = order.source.file_name().unwrap_or_default().to_string_lossy().into_owned();
    Manifest {
        format: FORMAT.to_owned(),
        encoding: EdmBlock1.name().to_owned(),
        normalisation: NORMALISATION,
        digest: order.digest.name().to_owned(),
        table: order.table.clone(),
        data_store: order.schema.store().to_owned(),
        fields: order.schema.names(),
        columns: order.schema.fields().to_vec(),
        rows: hashed.rows,
        rejected_rows: hashed.rejects.total(),
        rows_per_block: layout.rows_per_block(),
        bytes: hashed.sealed.bytes,
        sha256: hex(&hashed.sha256),
        blocks: hashed.sealed.entries,
        source: Source { name, identity },
        created: clock.now().wall,
    }
}

fn salt(from: &SaltSource) -> Result<Salt, HashError> {
    match from {
        SaltSource::Fresh => fresh_salt(),
        SaltSource::File(path) => {
            let mut text = Zeroizing::new(String::new());
            let read = File::open(path).and_then(|file| file.take(SALT_FILE_LIMIT).read_to_string(&mut text));
            read.map_err(|error| HashError::SaltFile {
                path: path.clone(),
                problem: format!("{error}; check that it exists and that this process may read it"),
            })?;
            Salt::parse(&text).map_err(|problem| HashError::salt(path, &problem))
        }
    }
}

/// Makes a salt of the system's random bytes.
pub(super) fn fresh_salt() -> Result<Salt, HashError> {
    loop {
        let mut random = Zeroizing::new([0; RANDOM_BYTES]);
        entropy::fill(&mut *random)?;
        if let Some(salt) = Salt::from_random(&*random) {
            return Ok(salt);
        }
    }
}
