//! From a table to a bundle, step by step.

use std::fs::File;
use std::io::Read;
use std::num::NonZero;
use std::sync::atomic::{AtomicBool, Ordering};

use chrono::{DateTime, Utc};

use super::beginning::Beginning;
use super::error::{ExitClass, HashError};
use super::key::read_content_key;
use super::keys::Recipients;
use super::making::Making;
use super::output;
use super::pipeline::{self, Hashed, Work};
use super::report;
use super::salt::salt;
use super::stored::Bundle;
use super::{HashOrder, HashProgress, SaltSource, SourceIdentity, sealed, source};
use crate::adapters::signature::Signer;
use crate::ports::clock::Clock;
use crate::table::block::{EdmBlock1, Encoding};
use crate::table::content::{ContentKey, Terms};
use crate::table::digest::hex;
use crate::table::layout::{Layout, LayoutError};
use crate::table::manifest::{FORMAT, Manifest, Source};
use crate::table::normalise::NORMALISATION;
use crate::table::reader::content::Packing;
use crate::table::rows::RowHasher;

/// How far an estimate by the first piece may be off before it refuses a table.
const ESTIMATE_DOUBT: u64 = 2;

/// Bytes a block takes in the manifest, at most.
const MANIFEST_ENTRY: u64 = 256;
/// Bytes the manifest has beside its blocks, at most.
const MANIFEST_REST: u64 = 16 << 10;

/// No pipe: the table is a file.
pub const NO_PIPE: Option<std::io::Empty> = None;

/// What becomes of a bundle that is to leave this host.
#[derive(Clone, Copy, Default)]
pub struct Handoff<'a> {
    /// Whom it is sealed to; `None` for a folder that holds the salt in clear.
    pub recipients: Option<&'a Recipients>,
    /// Whose signature is put beside it.
    pub signer: Option<&'a Signer>,
}

/// Makes a bundle of a table. Blocks; memory stays the same for any table.
///
/// Rows that could not be taken are named in a file beside the bundle
/// ([`super::reject_report`]), which also stays where there were too many. That
/// of an earlier run goes as soon as the table is open.
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
    hand_off(order, Handoff::default(), NO_PIPE, clock, progress, stop)?;
    Bundle::open(&order.output).map_err(HashError::Unreadable)
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
    hand_off(order, Handoff::default(), Some(input), clock, progress, stop)?;
    Bundle::open(&order.output).map_err(HashError::Unreadable)
}

/// Makes a bundle that is to leave this host: of a table, or of what comes
/// through a pipe. Returns what it holds.
///
/// # Errors
///
/// As [`hash`].
pub fn hand_off(
    order: &HashOrder,
    handoff: Handoff<'_>,
    pipe: Option<impl Read + Send>,
    clock: &dyn Clock,
    progress: &HashProgress,
    stop: &AtomicBool,
) -> Result<Manifest, HashError> {
    check(order, handoff)?;
    if let Some(input) = pipe {
        report::remove(&order.output)?;
        let created = clock.now().wall;
        let start = Beginning::read(order, input)?;
        return make(order, handoff, start, None, &|| true, created, progress, stop);
    }
    let (file, identity) = source::open(&order.source)?;
    // Whatever becomes of this run, no report of another stays.
    report::remove(&order.output)?;
    // What the bundle holds is the table as it was from here on.
    let created = clock.now().wall;
    progress.bytes_total.store(identity.bytes, Ordering::Relaxed);
    let is_unchanged = || source::is_unchanged(&file, &order.source, identity);
    let made = Beginning::read(order, &file)
        .and_then(|start| make(order, handoff, start, Some(identity), &is_unchanged, created, progress, stop));
    // A change explains bad data; other failures stand for themselves.
    made.map_err(|error| match error.class() {
        ExitClass::BadData if !is_unchanged() => HashError::SourceChanged(order.source.clone()),
        ExitClass::BadData | ExitClass::LocalIo | ExitClass::TryLater | ExitClass::Configuration => error,
    })
}

fn check(order: &HashOrder, handoff: Handoff<'_>) -> Result<(), HashError> {
    order.check_percentage()?;
    match handoff.recipients {
        Some(_) => sealed::refuse_existing(&order.output),
        None => output::refuse_existing(&order.output),
    }
}

#[expect(clippy::too_many_arguments, reason = "each is one fact of the table, and there is one caller for each kind")]
fn make(
    order: &HashOrder,
    handoff: Handoff<'_>,
    start: Beginning<'_>,
    identity: Option<SourceIdentity>,
    is_unchanged: &dyn Fn() -> bool,
    created: DateTime<Utc>,
    progress: &HashProgress,
    stop: &AtomicBool,
) -> Result<Manifest, HashError> {
    let columns = start.columns(&order.schema)?;
    let expected = identity.map(|identity| start.expected_rows(identity.bytes));
    let layout = lay_out(order, expected.unwrap_or(order.limits.rows / ESTIMATE_DOUBT))?;
    if let Some(expected) = expected.filter(|_| start.pieces.input().packing() == Packing::None)
        && layout.check(expected / ESTIMATE_DOUBT).is_err()
    {
        layout.check(expected)?;
    }
    let salt = salt(&order.salt)?;
    let key = order.content_key.as_deref().map(read_content_key).transpose()?.flatten();
    let hasher = RowHasher::new(start.dialect, &order.schema, &columns, &salt, order.digest);
    let hasher = hasher.with_content(key.as_ref().map(ContentKey::hasher));
    let making = Making::begin(&order.output, handoff.recipients)?;
    let (blocks, hashed) = write_blocks(order, start, hasher, layout, &making, progress, stop)?;
    // A change also hides behind good data, and nobody should be told of rows that are gone.
    if !is_unchanged() {
        return Err(HashError::SourceChanged(order.source.clone()));
    }
    let reported = report::write(&order.output, &hashed.rejects);
    let (rows, rejected) = (hashed.rows, hashed.rejects.total());
    let allowed = order.allowed_bad_lines_percent;
    if rejected as f64 * 100.0 > allowed * (rows + rejected) as f64 {
        let report = reported.unwrap_or_default();
        return Err(HashError::TooManyBadRows { rows, rejects: Box::new(hashed.rejects), allowed, report });
    }
    if rows == 0 && !order.allow_empty {
        return Err(HashError::NoRows);
    }
    reported?;
    let taken = progress.bytes_read.load(Ordering::Relaxed);
    // What came through a pipe is no file, so only its length is known.
    let identity = identity.unwrap_or(SourceIdentity { bytes: taken, ..SourceIdentity::default() });
    let fixed = matches!(order.salt, SaltSource::File(_)).then_some(&salt);
    let terms = Terms { schema: &order.schema, digest: order.digest, salt: fixed, rows };
    let content = key.zip(hashed.content).map(|(key, content)| key.finish(content, &terms));
    let manifest = Manifest { content, ..manifest(order, layout, hashed, identity, created, salt.sha256()) };
    let mut text = serde_json::to_vec_pretty(&manifest).expect("a manifest has only keys that are texts");
    text.push(b'\n');
    making.finish(&text, &salt, blocks, handoff.signer, order.limits.keep_free)?;
    Ok(manifest)
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
    making: &Making<'_>,
    progress: &HashProgress,
    stop: &AtomicBool,
) -> Result<(File, Hashed), HashError> {
    let (blocks_path, blocks) = making.blocks()?;
    let work = Work {
        hasher,
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
        limits: order.limits,
    };
    let hashed = pipeline::run(work, &blocks)?;
    Ok((blocks, hashed))
}

/// Returns how many threads hash.
pub(super) fn threads(order: &HashOrder) -> usize {
    let cores = || std::thread::available_parallelism().map_or(1, NonZero::get);
    if order.threads == 0 { cores() } else { order.threads }
}

fn manifest(
    order: &HashOrder,
    layout: Layout,
    hashed: Hashed,
    identity: SourceIdentity,
    created: DateTime<Utc>,
    salt_sha256: String,
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
        allow_drift: order.allow_drift,
        rows: hashed.rows,
        rejected_rows: hashed.rejects.total(),
        blank: Some(hashed.blank),
        content: None,
        rows_per_block: layout.rows_per_block(),
        bytes: hashed.sealed.bytes,
        sha256: hex(&hashed.sealed.sha256),
        salt_sha256: Some(salt_sha256),
        blocks: hashed.sealed.entries,
        source: Source { name, identity },
        created,
    }
}
