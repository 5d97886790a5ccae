//! What is counted, for whoever watches many agents: `docs/METRICS.md` lists it.
//!
//! There are two kinds. What *happened* is counted where it happens, through
//! the one [`Metrics`] handle: counters and histograms, which only grow. How
//! things *stand* is kept nowhere: [`drawn`] draws it from an overview when
//! somebody looks, so that it can neither be forgotten nor go stale, and goes
//! away with the table or the session it is of.
//!
//! # Invariants
//!
//! - A label is a word of this program, or the name of a table or data store of
//!   the configuration. No value, path, secret or URI is ever one.
//! - No family has more series than [`SERIES`], whatever is configured.
//! - Counting never blocks and never fails.

pub mod drawn;
pub mod tally;
pub mod watched;
mod words;

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use chrono::{DateTime, Utc};
use prometheus_client::encoding::text::{encode_eof, encode_registry};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::{Registry, Unit};

use super::overview::Overview;
use crate::ports::service::Answer;
use crate::upload::fault::{BlobFault, Fault};
use crate::upload::outcome::Outcome;
use tally::Kind;
use words::{FAULTS, blob_word, fault_word};

/// What every metric of the agent's own begins with.
const PREFIX: &str = "edm_agent";
/// The type of the text: `OpenMetrics`, its first version.
pub const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";
/// Series of one family, at most: a configuration of more tables is watched by
/// its first so many.
pub const SERIES: usize = 500;

type Words<const N: usize> = [(&'static str, &'static str); N];
type Seconds = Counter<f64, AtomicU64>;
/// Makes the histograms of a family.
type Timed<const N: usize> = Family<Words<N>, Histogram, fn() -> Histogram>;

/// Counts what happens. Clones count into the same numbers.
#[derive(Clone, Debug)]
pub struct Metrics(Arc<Counts>);

#[derive(Debug)]
struct Counts {
    registry: Registry,
    started: DateTime<Utc>,
    renewals: Family<Words<1>, Counter>,
    slack: Histogram,
    leases_lost: Family<Words<1>, Counter>,
    blocks_acked: Counter,
    bytes_sent: Family<Words<1>, Counter>,
    block_upload: Histogram,
    reports: Family<Words<1>, Counter>,
    coalesced: Counter,
    uploads: Family<Words<1>, Counter>,
    /// By table; drawn, so that a table goes when the configuration lets it go.
    rows: Mutex<BTreeMap<String, Rows>>,
    fsync: Histogram,
    requests: Family<Words<2>, Counter>,
    request_time: Timed<1>,
    throttled: Seconds,
    /// Bits of the newest offset in seconds; not a number until one is known.
    clock_offset: AtomicU64,
    reload_success: Gauge,
    generation: Gauge,
    /// Where the lines are counted that the log lost, if there is such a log.
    lost_lines: OnceLock<fn() -> u64>,
}

/// Rows of one table.
#[derive(Debug, Clone, Copy, Default)]
struct Rows {
    hashed: u64,
    rejected: u64,
}

impl Metrics {
    /// Begins to count; `started` is when this process began, by the wall clock.
    pub fn new(started: DateTime<Utc>) -> Self {
        let mut counts = Counts {
            registry: Registry::with_prefix(PREFIX),
            started,
            renewals: Family::default(),
            // The guard is a twentieth of a lease, the window of renewal 40 to 65 % of it.
            slack: Histogram::new([0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9]),
            leases_lost: Family::default(),
            blocks_acked: Counter::default(),
            bytes_sent: Family::default(),
            block_upload: Histogram::new(exponential_buckets(0.05, 2.0, 13)),
            reports: Family::default(),
            coalesced: Counter::default(),
            uploads: Family::default(),
            rows: Mutex::default(),
            fsync: Histogram::new(exponential_buckets(0.001, 2.0, 14)),
            requests: Family::default(),
            request_time: Family::new_with_constructor(|| Histogram::new(exponential_buckets(0.025, 2.0, 11))),
            throttled: Seconds::default(),
            clock_offset: AtomicU64::new(f64::NAN.to_bits()),
            reload_success: Gauge::default(),
            generation: Gauge::default(),
            lost_lines: OnceLock::new(),
        };
        counts.begin();
        counts.register();
        Self(Arc::new(counts))
    }

    /// Takes in how a renewal went; `slack` is the part of the lease that was
    /// left when its successor came.
    pub fn renewed(&self, result: Result<(), &Fault>, slack: Option<f64>) {
        self.0.renewals.get_or_create(&[("result", result.map_or_else(fault_word, |()| "ok"))]).inc();
        if let (Ok(()), Some(slack)) = (result, slack) {
            self.0.slack.observe(slack);
        }
    }

    /// Takes in that a lease was lost: before its end, or after it.
    pub fn lease_lost(&self, has_ended: bool) {
        let cause = if has_ended { "expired" } else { "gone" };
        self.0.leases_lost.get_or_create(&[("cause", cause)]).inc();
    }

    /// Takes in that bytes of blocks were sent, whatever became of them.
    pub fn sent(&self, kind: Kind, bytes: u64) {
        self.0.bytes_sent.get_or_create(&[("kind", kind.word())]).inc_by(bytes);
    }

    /// Takes in that the store took blocks.
    pub fn acked(&self, blocks: u32) {
        self.0.blocks_acked.inc_by(blocks.into());
    }

    /// Takes in how a progress report went.
    pub fn reported(&self, result: Result<(), &Fault>) {
        self.0.reports.get_or_create(&[("result", result.map_or_else(fault_word, |()| "ok"))]).inc();
    }

    /// Takes in that changes went without a report of their own.
    pub fn coalesced(&self, changes: u32) {
        self.0.coalesced.inc_by(changes.into());
    }

    /// Takes in how an upload ended.
    pub fn closed(&self, outcome: &Outcome) {
        self.0.uploads.get_or_create(&[("outcome", super::status::outcome_word(outcome))]).inc();
    }

    /// Takes in the rows of a table that was hashed, to its end or not.
    pub fn hashed(&self, table: &str, rows: u64, rejected: u64) {
        let mut tables = self.0.rows.lock().unwrap_or_else(PoisonError::into_inner);
        if tables.len() < SERIES || tables.contains_key(table) {
            let counts = tables.entry(table.to_owned()).or_default();
            counts.hashed = counts.hashed.saturating_add(rows);
            counts.rejected = counts.rejected.saturating_add(rejected);
        }
    }

    /// Returns the rows of a table so far.
    fn rows(&self, table: &str) -> Rows {
        self.0.rows.lock().unwrap_or_else(PoisonError::into_inner).get(table).copied().unwrap_or_default()
    }

    /// Takes in how long a batch took to become durable, its sync included.
    pub fn synced(&self, took: Duration) {
        self.0.fsync.observe(took.as_secs_f64());
    }

    /// Takes in for how much longer than before the service wants to be left alone.
    pub fn throttled(&self, more: Duration) {
        self.0.throttled.inc_by(more.as_secs_f64());
    }

    /// Takes in that a configuration was to be loaded: whether it was, and the
    /// number of the one in force, from 1.
    pub fn reloaded(&self, success: bool, generation: u64) {
        self.0.reload_success.set(i64::from(success));
        self.0.generation.set(i64::try_from(generation).unwrap_or(i64::MAX));
    }

    /// Takes in how a request to the service went.
    fn asked<T>(
        &self,
        operation: &'static str,
        result: Result<&Answer<T>, &Fault>,
        took: Duration,
        wall: DateTime<Utc>,
    ) {
        self.request(operation, result.map_or_else(fault_word, |_| "ok"), took);
        if let Ok(Answer { server_time: Some(date), .. }) = result {
            // The date has whole seconds, rounded down: on average half a second is missing.
            let offset = (*date - wall).as_seconds_f64() + 0.5;
            self.0.clock_offset.store(offset.to_bits(), Ordering::Relaxed);
        }
    }

    /// Takes in how a request to the store went.
    fn put(&self, operation: &'static str, result: Result<(), &BlobFault>, took: Duration) {
        self.request(operation, result.map_or_else(blob_word, |()| "ok"), took);
    }

    fn request(&self, operation: &'static str, result: &'static str, took: Duration) {
        self.0.requests.get_or_create(&[("operation", operation), ("result", result)]).inc();
        self.0.request_time.get_or_create(&[("operation", operation)]).observe(took.as_secs_f64());
    }

    fn block_took(&self, took: Duration) {
        self.0.block_upload.observe(took.as_secs_f64());
    }

    /// Returns by how much the service's clock is ahead of this host's, in
    /// seconds, once it said the time.
    pub fn clock_offset(&self) -> Option<f64> {
        let bits = self.0.clock_offset.load(Ordering::Relaxed);
        Some(f64::from_bits(bits)).filter(|offset| offset.is_finite())
    }

    /// Takes up where the log counts the lines it lost; the first word counts.
    pub fn watch_log(&self, lost_lines: fn() -> u64) {
        let _ = self.0.lost_lines.set(lost_lines);
    }

    /// Returns how many lines of the log were lost so far.
    pub fn lost_lines(&self) -> u64 {
        self.0.lost_lines.get().map_or(0, |lost| lost())
    }

    /// Returns when this process began, by the wall clock.
    pub fn started(&self) -> DateTime<Utc> {
        self.0.started
    }

    /// Writes everything that is counted, and what the overview shows, as one
    /// exposition.
    pub fn exposition(&self, overview: &Overview) -> String {
        let mut text = String::new();
        let written = encode_registry(&mut text, &self.0.registry)
            .and_then(|()| encode_registry(&mut text, &drawn::standing(overview, self)))
            .and_then(|()| encode_registry(&mut text, &drawn::process(self)))
            .and_then(|()| encode_eof(&mut text));
        written.expect("a text takes whatever is written to it");
        text
    }
}

impl Counts {
    /// Begins the series that are known beforehand: what never happened is a
    /// zero, and a rate has something to start from.
    fn begin(&self) {
        for result in FAULTS {
            let _ = self.renewals.get_or_create(&[("result", result)]);
            let _ = self.reports.get_or_create(&[("result", result)]);
        }
        for cause in ["expired", "gone"] {
            let _ = self.leases_lost.get_or_create(&[("cause", cause)]);
        }
        for kind in [Kind::First, Kind::Resent] {
            let _ = self.bytes_sent.get_or_create(&[("kind", kind.word())]);
        }
        for outcome in ["completed", "cancelled", "failed"] {
            let _ = self.uploads.get_or_create(&[("outcome", outcome)]);
        }
        self.reload_success.set(1);
        self.generation.set(1);
    }

    fn register(&mut self) {
        let Self { registry, .. } = self;
        let build = Info::new([("version", env!("CARGO_PKG_VERSION"))]);
        registry.register("build", "The version of the program", build);
        registry.register("renew_attempts", "Renewals asked for, by result", self.renewals.clone());
        let ratio = Unit::Other("ratio".to_owned());
        let help = "The part of the lease that was left at each successful renewal";
        registry.register_with_unit("renew_slack", help, ratio, self.slack.clone());
        let help = "Leases lost: gone before their end, or found gone after it";
        registry.register("lease_lost", help, self.leases_lost.clone());
        registry.register("blocks_acked", "Blocks the store took", self.blocks_acked.clone());
        let help = "Bytes of blocks sent for the first time, or once more, by attempt";
        registry.register("bytes_sent", help, self.bytes_sent.clone());
        let help = "The time a block took that the store took";
        registry.register_with_unit("block_upload", help, Unit::Seconds, self.block_upload.clone());
        registry.register("progress_reports", "Progress reports sent, by result", self.reports.clone());
        let help = "Changes of progress that went with another's report";
        registry.register("patch_coalesced", help, self.coalesced.clone());
        registry.register("uploads", "Uploads that ended, by outcome", self.uploads.clone());
        let help = "The time a batch of the journal took to become durable";
        registry.register_with_unit("journal_fsync", help, Unit::Seconds, self.fsync.clone());
        let help = "Requests to the service and the store, by operation and result";
        registry.register("requests", help, self.requests.clone());
        let help = "The time requests took, by operation";
        registry.register_with_unit("request", help, Unit::Seconds, self.request_time.clone());
        let help = "The time for which the service asked to be left alone";
        registry.register_with_unit("throttled", help, Unit::Seconds, self.throttled.clone());
        let help = "Whether the configuration could be loaded when it was last asked for";
        registry.register("config_last_reload_success", help, self.reload_success.clone());
        registry.register("config_generation", "The number of the configuration in force", self.generation.clone());
    }
}
