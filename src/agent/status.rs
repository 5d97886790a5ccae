//! How everything stands, as people and scripts see it. No secrets.

use std::path::PathBuf;
use std::time::Duration;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::reload::ConfigurationView;
use crate::ground::moment::Now;
use crate::ground::secret::Secret;
use crate::ports::journal::Entry;
use crate::upload::machine::{Upload, Waiting};
use crate::upload::outcome::Outcome;
use crate::upload::plan::Sender;
use crate::upload::record::{Phase, Reports};

/// How the dispatcher stands.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Picture {
    /// Open uploads, oldest first.
    pub uploads: Vec<UploadView>,
    /// Uploads that closed lately, newest first.
    pub closed: Vec<UploadView>,
    /// What is wrong with the journal's volume, if something is.
    pub journal: Option<String>,
    /// Why signing in fails, if it does.
    pub sign_in: Option<String>,
    /// Which configuration is in force, in an agent that can read it again.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub configuration: Option<ConfigurationView>,
    /// Seconds until the service wants to hear from us again, if it said so.
    pub throttled_for: Option<u64>,
    /// The upload agent this host is registered as at the service.
    pub upload_agent: Option<String>,
    /// How many sessions each data store may still have today.
    pub quota: Vec<QuotaView>,
}

/// How many sessions a data store may still have in the running 24 hours.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct QuotaView {
    /// The data store's id.
    pub data_store: String,
    /// Sessions it may have, as configured.
    pub allowed: u32,
    /// Sessions it may have, where the service refused at fewer.
    pub learned: Option<u32>,
    /// Sessions it has had, whoever opened them.
    pub used: u32,
    /// Sessions kept for people, of those it may have.
    pub reserved: u32,
    /// Sessions left, those kept for people among them.
    pub left: u32,
    /// When the next slot comes free: the oldest session leaves the 24 hours,
    /// or the time the service was told it would be asked again, if that is later.
    pub next_slot: Option<DateTime<Utc>>,
    /// What this is known from: `service`, whose list shows every session, or
    /// `journal`, which knows this agent's own.
    pub known_from: String,
}

impl QuotaView {
    /// Returns how many sessions it may have, by what is known.
    pub fn limit(&self) -> u32 {
        self.learned.unwrap_or(self.allowed)
    }

    /// Returns when the next slot comes free, if until then none is left to the
    /// schedule: before that nobody waits for it.
    pub fn awaited_slot(&self) -> Option<DateTime<Utc>> {
        self.next_slot.filter(|_| self.left <= self.reserved)
    }
}

/// How one upload stands.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct UploadView {
    /// Its id on this host.
    pub upload: String,
    /// The table.
    pub table: String,
    /// The data store's id.
    pub data_store: String,
    /// The session's id at the service.
    pub session: Option<String>,
    /// Whether another uploader sends the blocks.
    pub tracked: bool,
    /// The bundle on this host.
    pub bundle: Option<PathBuf>,
    /// How far it has come.
    pub phase: String,
    /// The service's last word.
    pub state: String,
    /// Blocks in all.
    pub total_blocks: u32,
    /// Blocks the store holds.
    pub stored_blocks: u32,
    /// Blocks still to be stored.
    pub remaining_blocks: u32,
    /// Blocks in flight.
    pub blocks_in_flight: u32,
    /// Rows of the bundle.
    pub rows: u64,
    /// Bytes of the bundle.
    pub bytes: u64,
    /// Bytes the store holds.
    pub stored_bytes: u64,
    /// Processing jobs left, once the service says.
    pub remaining_jobs: Option<u32>,
    /// Processing jobs in all, once the service says.
    pub total_jobs: Option<u32>,
    /// Seconds left on the lease.
    pub lease_left: Option<f64>,
    /// Seconds until the lease is renewed.
    pub renew_in: Option<f64>,
    /// How often the session was renewed.
    pub renewals: u32,
    /// Progress reports the service took since this agent started.
    pub progress_reports: u32,
    /// How often the upload URI changed since this agent started.
    pub upload_uri_changes: u32,
    /// Sessions this upload lost and replaced.
    pub sessions_lost: u32,
    /// What the service takes of a progress report.
    pub reports: String,
    /// Why nothing moves.
    pub waiting: Option<String>,
    /// The last thing that went wrong, until something goes right.
    pub trouble: Option<String>,
    /// Seconds without progress.
    pub stuck_for: f64,
    /// When it began.
    pub begun: DateTime<Utc>,
    /// When it closed.
    pub closed: Option<DateTime<Utc>>,
    /// What holds it before it has a session, if something does.
    #[serde(default)]
    pub held: Option<HeldView>,
    /// How it ended: `completed`, `cancelled` or `failed`; or `unchanged`, if it
    /// never began because the data store holds its content already.
    pub outcome: Option<String>,
    /// Why, if it failed, and what to do.
    pub reason: Option<String>,
    /// With which code a command that waited for it exits, once it is over.
    pub exit: Option<u8>,
    /// What identified the table's file; not shown.
    #[serde(skip)]
    pub source: Option<Value>,
    /// Whether newer content of its table may take its place; not shown.
    #[serde(skip)]
    pub gives_way: bool,
}

/// An upload that a gate holds.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct HeldView {
    /// Its id on this host.
    pub upload: String,
    /// Why, one sentence each.
    pub reasons: Vec<String>,
    /// Since when.
    pub since: DateTime<Utc>,
    /// The command that lets it pass.
    pub release: String,
}

impl HeldView {
    /// Draws the picture of what holds an upload, if something does.
    pub fn of(upload: &Upload) -> Option<Self> {
        let standing = upload.standing();
        let gate = standing.gate.as_ref().filter(|_| standing.phase == Phase::Held)?;
        let id = &upload.plan().id;
        Some(Self {
            upload: id.to_string(),
            reasons: gate.reasons.clone(),
            since: gate.since,
            release: format!("edm-agent sessions release {id}"),
        })
    }

    /// Says why, and what to do.
    pub fn advice(&self) -> String {
        let Self { upload, reasons, release, .. } = self;
        let reasons = reasons.join("; ");
        format!(
            "{reasons}: if that is right, `{release}`; else `edm-agent sessions cancel {upload}`, or export it anew"
        )
    }
}

/// The current upload URI of a session. A secret: never logged.
#[derive(Clone)]
pub struct UriView {
    /// The URI with its signature.
    pub uri: Secret,
    /// When it ends, if it says.
    pub expires: Option<DateTime<Utc>>,
}

/// What is known of an upload besides its machine.
#[derive(Debug, Clone, Default)]
pub struct Counts {
    /// Progress reports the service took.
    pub reports: u32,
    /// Rows of the bundle.
    pub rows: u64,
    /// Bytes of the bundle.
    pub bytes: u64,
    /// Bytes the store holds.
    pub stored_bytes: u64,
}

impl UploadView {
    /// Draws the picture of an upload.
    pub fn of(upload: &Upload, entry: &Entry, counts: &Counts, trouble: Option<&String>, now: Now) -> Self {
        let plan = &entry.plan;
        let standing = upload.standing();
        let progress = upload.progress();
        let lease = upload.lease().filter(|_| upload.outcome().is_none());
        let held = HeldView::of(upload);
        let seconds = |span: Duration| (span.as_secs_f64() * 10.0).round() / 10.0;
        Self {
            upload: plan.id.to_string(),
            table: plan.table.clone(),
            data_store: plan.store.clone(),
            session: session(upload, entry),
            tracked: plan.sender != Sender::Owned,
            bundle: entry.bundle.clone(),
            phase: phase(&standing.phase).to_owned(),
            state: upload.state().to_owned(),
            total_blocks: progress.total,
            stored_blocks: progress.stored,
            remaining_blocks: progress.total.saturating_sub(progress.stored),
            blocks_in_flight: u32::try_from(upload.in_flight()).unwrap_or(u32::MAX),
            rows: counts.rows,
            bytes: counts.bytes,
            stored_bytes: counts.stored_bytes,
            remaining_jobs: progress.jobs.map(|(left, _)| left),
            total_jobs: progress.jobs.map(|(_, total)| total),
            lease_left: lease.map(|lease| seconds(now.moment.until(lease.end()))),
            renew_in: lease.map(|lease| seconds(now.moment.until(lease.renew_at()))),
            renewals: standing.held.as_ref().map_or(0, |held| held.renewals),
            progress_reports: counts.reports,
            upload_uri_changes: upload.uri_changes(),
            sessions_lost: standing.epoch,
            reports: reports(standing.reports).to_owned(),
            waiting: upload.waiting().map(|waiting| waiting_for(waiting).to_owned()),
            trouble: trouble
                .cloned()
                .or_else(|| held.as_ref().map(HeldView::advice))
                .or_else(|| upload.uri_refusal().map(str::to_owned)),
            stuck_for: seconds(upload.stuck_for(now.moment)),
            begun: plan.begun,
            closed: standing.closed,
            held,
            outcome: upload.outcome().map(|outcome| outcome_word(outcome).to_owned()),
            reason: upload.outcome().and_then(reason),
            exit: upload.outcome().map(|outcome| u8::from(*outcome != Outcome::Completed)),
            source: entry.source.clone(),
            gives_way: plan.is_owned() && entry.source.is_some() && upload.lacks_session(),
        }
    }

    /// Returns whether it is over.
    pub const fn is_closed(&self) -> bool {
        self.closed.is_some()
    }
}

/// Returns the session an upload holds, or is to take over.
fn session(upload: &Upload, entry: &Entry) -> Option<String> {
    let held = upload.standing().held.as_ref().map(|held| held.session.clone());
    held.or_else(|| match &entry.plan.sender {
        Sender::Tracked { session } => session.clone(),
        Sender::Owned => None,
    })
}

/// The words for the phases an open upload may be in.
pub const PHASES: [&str; 8] =
    ["held", "planned", "opening", "uploading", "committing", "processing", "checking", "ending"];

/// Returns the word for a phase.
pub const fn phase(phase: &Phase) -> &'static str {
    match phase {
        Phase::Held => "held",
        Phase::Planned => "planned",
        Phase::Opening => "opening",
        Phase::Uploading => "uploading",
        Phase::Committing => "committing",
        Phase::Processing => "processing",
        Phase::Checking => "checking",
        Phase::Ending(_) => "ending",
        Phase::Closed(_) => "closed",
    }
}

/// Returns the word for an outcome.
pub const fn outcome_word(outcome: &Outcome) -> &'static str {
    match outcome {
        Outcome::Completed => "completed",
        Outcome::Cancelled | Outcome::Replaced => "cancelled",
        Outcome::Failed(_) => "failed",
    }
}

/// Returns why an upload did not do what it was to, if somebody must be told,
/// and what to do.
pub fn reason(outcome: &Outcome) -> Option<String> {
    match outcome {
        Outcome::Completed | Outcome::Cancelled => None,
        Outcome::Replaced => Some("replaced by newer content".to_owned()),
        Outcome::Failed(failure) => Some(failure.to_string()),
    }
}

const fn reports(reports: Reports) -> &'static str {
    match reports {
        Reports::Full => "full",
        Reports::CountsOnly => "counts-only",
        Reports::Off => "off",
    }
}

const fn waiting_for(waiting: Waiting) -> &'static str {
    match waiting {
        Waiting::Service => "service",
        Waiting::Throttled => "throttled",
        Waiting::Quota => "quota",
        Waiting::Permission => "permission",
        Waiting::Store => "store",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_phase_an_open_upload_may_be_in_has_its_word_among_those_that_are_counted() {
        let all = [
            Phase::Held,
            Phase::Planned,
            Phase::Opening,
            Phase::Uploading,
            Phase::Committing,
            Phase::Processing,
            Phase::Checking,
            Phase::Ending(Outcome::Completed),
        ];
        assert_eq!(all.each_ref().map(phase), PHASES);
        // A phase that is new does not compile here until it is among them.
        for one in all {
            match one {
                Phase::Held | Phase::Planned | Phase::Opening | Phase::Uploading | Phase::Committing => (),
                Phase::Processing | Phase::Checking | Phase::Ending(_) | Phase::Closed(_) => (),
            }
        }
    }
}
