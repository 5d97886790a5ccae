//! How things stand, as gauges: drawn anew at each scrape.
//!
//! What is not known is left out rather than shown as a zero or no number: a
//! table that was never live has no age, and a dispatcher that does not answer
//! has no sessions.

use std::sync::atomic::AtomicU64;

use chrono::{DateTime, Utc};
use prometheus_client::metrics::counter::{ConstCounter, Counter};
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::{ConstGauge, Gauge};
use prometheus_client::registry::{Registry, Unit};

use super::{Metrics, PREFIX, SERIES, Words};
use crate::adapters::process::Taken;
use crate::agent::board::TableView;
use crate::agent::dispatcher::Volume;
use crate::agent::overview::{Overview, has_trouble, is_held};
use crate::agent::status::{PHASES, Picture, UploadView};

type Real = Gauge<f64, AtomicU64>;
type Label = (&'static str, String);

/// Draws the gauges of the agent.
pub(super) fn standing(overview: &Overview, metrics: &Metrics) -> Registry {
    let mut registry = Registry::with_prefix(PREFIX);
    agent(&mut registry, overview, metrics);
    tables(&mut registry, overview);
    rows(&mut registry, overview, metrics);
    quotas(&mut registry, overview);
    if let Some(picture) = &overview.picture {
        sessions(&mut registry, picture, overview);
    }
    registry
}

/// Draws what this process takes of its host, under the names every program has
/// for it.
pub(super) fn process(metrics: &Metrics) -> Registry {
    let mut registry = Registry::with_prefix("process");
    let taken = Taken::now();
    let help = "Processor time used, of all cores together";
    registry.register_with_unit("cpu", help, Unit::Seconds, ConstCounter::new(taken.cpu_seconds));
    let help = "When the process began";
    registry.register_with_unit("start_time", help, Unit::Seconds, ConstGauge::new(unix(metrics.started())));
    let sizes = [
        ("resident_memory", "Memory in use", taken.resident_bytes),
        ("virtual_memory", "Addresses in use", taken.virtual_bytes),
    ];
    for (name, help, bytes) in sizes {
        if let Some(bytes) = bytes {
            registry.register_with_unit(name, help, Unit::Bytes, ConstGauge::new(bytes as f64));
        }
    }
    let counts = [
        ("open_fds", "Open files and sockets", taken.open_fds),
        ("max_fds", "Open files and sockets there may be", taken.max_fds),
        ("threads", "Threads of the process", taken.threads),
    ];
    for (name, help, count) in counts {
        if let Some(count) = count {
            registry.register(name, help, ConstGauge::new(count as f64));
        }
    }
    registry
}

fn agent(registry: &mut Registry, overview: &Overview, metrics: &Metrics) {
    let is_ready = overview.is_live && overview.readiness().iter().all(|(_, trouble)| trouble.is_none());
    let sign_in = &overview.sign_in;
    for (name, help, holds) in [
        ("live", "Whether the dispatcher turns, as /livez says", overview.is_live),
        ("ready", "Whether the agent is ready for work, as /readyz says", is_ready),
        ("signed_in", "Whether a token is held that the service takes", sign_in.is_in()),
        ("sign_in_failing", "Whether the last attempt to sign in failed", sign_in.trouble.is_some()),
        ("journal_stalled", "Whether the journal cannot be written", overview.volume != Volume::Sound),
    ] {
        registry.register(name, help, ConstGauge::new(i64::from(holds)));
    }
    if let Some(offset) = metrics.clock_offset() {
        let help = "By how much the service's clock is ahead of this host's, to about a second";
        registry.register_with_unit("clock_offset", help, Unit::Seconds, ConstGauge::new(offset));
    }
    let help = "Lines of the log that could not be written where they were to go";
    registry.register("log_lines_dropped", help, ConstCounter::new(metrics.lost_lines()));
    let limit = i64::from(overview.settings.upload.concurrency);
    registry.register("concurrency_limit", "Blocks that may be on their way at a time", ConstGauge::new(limit));
    let free = Family::<Words<1>, Real>::default();
    for &(place, bytes) in &overview.rooms {
        free.get_or_create(&[("place", place)]).set(bytes as f64);
    }
    let help = "Bytes that may still be written to the volume of the state, of the bundles";
    registry.register_with_unit("disk_free", help, Unit::Bytes, free);
}

fn tables(registry: &mut Registry, overview: &Overview) {
    let wall = overview.now.wall;
    let live = |view: &TableView| view.last_good;
    let help = "When the data of a table that is live now became it";
    stamp(registry, "table_live_timestamp", help, gauges(&overview.tables, |view| live(view).map(unix)));
    let age = |view: &TableView| live(view).map(|date| (wall - date).as_seconds_f64().max(0.0));
    let help = "How long ago a table was last made live; it grows while one is held or fails";
    stamp(registry, "table_live_age", help, gauges(&overview.tables, age));
    let help = "When a table is taken next, where a clock decides";
    let next = gauges(&overview.tables, |view| view.next_run.map(unix));
    stamp(registry, "table_next_run_timestamp", help, next);
    let held = gauges(&overview.tables, |view| Some(f64::from(u8::from(is_held(view, overview.uploads())))));
    registry.register("table_held", "Whether a table waits for somebody to do something", held);
    let trouble = gauges(&overview.tables, |view| Some(f64::from(u8::from(has_trouble(view, overview.uploads())))));
    registry.register("table_trouble", "Whether something is in the way of a table", trouble);
}

fn rows(registry: &mut Registry, overview: &Overview, metrics: &Metrics) {
    let [hashed, rejected] = [(); 2].map(|()| Family::<[Label; 1], Counter>::default());
    for view in &overview.tables {
        let (label, rows) = ([("table", view.table.clone())], metrics.rows(&view.table));
        hashed.get_or_create(&label).inc_by(rows.hashed);
        rejected.get_or_create(&label).inc_by(rows.rejected);
    }
    registry.register("rows_hashed", "Rows hashed, by table", hashed);
    registry.register("rows_rejected", "Rows rejected while hashing, by table", rejected);
}

fn quotas(registry: &mut Registry, overview: &Overview) {
    let [left, reserved] = [(); 2].map(|()| Family::<[Label; 1], Real>::default());
    for quota in overview.quotas() {
        let label = [("data_store", quota.data_store)];
        left.get_or_create(&label).set(quota.left.into());
        reserved.get_or_create(&label).set(quota.reserved.into());
    }
    registry.register("quota_left", "Sessions a data store may still have over a rolling day", left);
    registry.register("quota_reserved", "Sessions of a day that the schedule leaves to people", reserved);
}

fn sessions(registry: &mut Registry, picture: &Picture, overview: &Overview) {
    let phases = Family::<Words<1>, Gauge>::default();
    for phase in PHASES {
        let many = picture.uploads.iter().filter(|view| view.phase == phase).count();
        phases.get_or_create(&[("state", phase)]).set(i64::try_from(many).unwrap_or(i64::MAX));
    }
    registry.register("sessions", "Uploads that are not over, by how far they have come", phases);
    let in_flight = picture.uploads.iter().map(|view| i64::from(view.blocks_in_flight)).sum::<i64>();
    registry.register("blocks_in_flight", "Blocks on their way", ConstGauge::new(in_flight));
    let throttle = picture.throttled_for.unwrap_or(0) as f64;
    let help = "How long the service still wants to be left alone";
    registry.register_with_unit("throttle_left", help, Unit::Seconds, ConstGauge::new(throttle));

    let now = unix(overview.now.wall);
    let mut leases: Vec<(f64, &UploadView)> =
        picture.uploads.iter().filter_map(|view| Some((now + view.lease_left?, view))).collect();
    leases.sort_by(|(one, _), (other, _)| one.total_cmp(other));
    if let Some((soonest, _)) = leases.first() {
        let help = "When the lease ends that ends soonest";
        registry.register_with_unit("lease_expires_timestamp", help, Unit::Seconds, ConstGauge::new(*soonest));
    }
    if overview.settings.http.session_metrics {
        let each = Family::<[Label; 2], Real>::default();
        for (end, view) in leases.into_iter().take(SERIES) {
            each.get_or_create(&[("upload", view.upload.clone()), ("table", view.table.clone())]).set(end);
        }
        stamp(registry, "session_lease_expires_timestamp", "When the lease of each upload ends", each);
    }
}

/// Makes a gauge for each table something is known of.
fn gauges(tables: &[TableView], value: impl Fn(&TableView) -> Option<f64>) -> Family<[Label; 1], Real> {
    let family = Family::<[Label; 1], Real>::default();
    for view in tables {
        if let Some(value) = value(view) {
            family.get_or_create(&[("table", view.table.clone())]).set(value);
        }
    }
    family
}

fn stamp<S>(registry: &mut Registry, name: &str, help: &str, family: Family<S, Real>)
where
    Family<S, Real>: prometheus_client::registry::Metric,
{
    registry.register_with_unit(name, help, Unit::Seconds, family);
}

/// Returns the seconds since 1970.
fn unix(date: DateTime<Utc>) -> f64 {
    date.timestamp_micros() as f64 / 1e6
}
