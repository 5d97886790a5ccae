//! One upload and what the dispatcher keeps beside its machine.

use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};

use crate::adapters::bundle::Bundle;
use crate::agent::metrics::tally::Tally;
use crate::agent::notice::{Notice, Notices};
use crate::agent::perform::Job;
use crate::agent::settings::Settings;
use crate::agent::status::{Counts, UploadView, outcome_word, reason};
use crate::ground::moment::{Moment, Now};
use crate::ports::journal::Entry;
use crate::upload::event::{Command, Order};
use crate::upload::machine::Upload;
use crate::upload::outcome::Outcome;
use crate::upload::plan::Plan;
use crate::upload::record::{Phase, Record};

/// One upload.
pub(super) struct Slot {
    /// By itself: it is large, and the map of slots has room for twice as many
    /// as it holds.
    pub(super) upload: Box<Upload>,
    pub(super) entry: Arc<Entry>,
    /// The configuration it began with.
    pub(super) rules: Arc<Settings>,
    pub(super) bundle: Option<Arc<Bundle>>,
    pub(super) etag: Option<String>,
    /// Whether a session is being asked of the service for it right now.
    pub(super) creating: bool,
    /// The batch of its newest record.
    pub(super) batch: u64,
    /// While its bundle is being opened: the commands that wait for it, and
    /// the epochs they were asked in.
    pub(super) parked: Option<Vec<(u32, Order)>>,
    /// Everything it can be found by.
    pub(super) names: Vec<String>,
    pub(super) deadline: Option<Moment>,
    pub(super) session: Option<String>,
    pub(super) counts: Counts,
    /// What the metrics count of it.
    pub(super) tally: Tally,
    pub(super) trouble: Option<String>,
}

impl Slot {
    pub(super) fn new(upload: Upload, entry: Entry, rules: Arc<Settings>, bundle: Option<Arc<Bundle>>) -> Self {
        let mut slot = Self {
            upload: Box::new(upload),
            entry: Arc::new(entry),
            rules,
            bundle: None,
            etag: None,
            creating: false,
            batch: 0,
            parked: None,
            names: Vec::new(),
            deadline: None,
            session: None,
            counts: Counts::default(),
            tally: Tally::default(),
            trouble: None,
        };
        if let Some(bundle) = bundle {
            slot.carry(bundle);
        }
        slot
    }

    /// Takes its bundle.
    pub(super) fn carry(&mut self, bundle: Arc<Bundle>) {
        self.counts.rows = bundle.manifest().rows;
        self.counts.bytes = bundle.manifest().bytes;
        self.bundle = Some(bundle);
    }

    /// Returns whether a gate holds it.
    pub(super) fn is_held(&self) -> bool {
        self.upload.standing().phase == Phase::Held
    }

    /// Keeps a command that reads the bundle while that is being opened;
    /// returns it otherwise.
    pub(super) fn park(&mut self, order: Order) -> Option<Order> {
        let reads = match order.command {
            Command::Create
            | Command::Send { .. }
            | Command::SendWhole { .. }
            | Command::Inventory
            | Command::PutList
            | Command::LookUpCanary => true,
            Command::Find
            | Command::Fetch
            | Command::Renew { .. }
            | Command::Report(_)
            | Command::Commit
            | Command::Abort => false,
        };
        match &mut self.parked {
            Some(parked) if reads => {
                parked.push((self.upload.standing().epoch, order));
                None
            }
            Some(_) | None => Some(order),
        }
    }

    /// Returns the memory a command takes while it is under way, in bytes.
    pub(super) fn weight(&self, command: &Command) -> u64 {
        let Some(bundle) = &self.bundle else { return 0 };
        match command {
            Command::Send { block, .. } => {
                bundle.manifest().blocks.get(*block as usize).map_or(0, |entry| entry.length)
            }
            Command::Find
            | Command::Create
            | Command::Fetch
            | Command::Renew { .. }
            | Command::Report(_)
            | Command::SendWhole { .. }
            | Command::Inventory
            | Command::PutList
            | Command::Commit
            | Command::Abort
            | Command::LookUpCanary => 0,
        }
    }

    /// Returns all that carrying a command out takes; `patience` is what
    /// `upload.block_timeout` is now.
    pub(super) fn job(&self, command: Command, upload_agent: Option<String>, patience: Duration) -> Job {
        let uri = self.upload.uri().map(|(uri, number)| (uri.clone(), number));
        let table = self.rules.find_table(&self.entry.plan.table);
        Job {
            command,
            entry: Arc::clone(&self.entry),
            rules: Arc::clone(&self.rules),
            patience,
            session: self.session.clone(),
            uri,
            bundle: self.bundle.clone(),
            etag: self.etag.clone(),
            upload_agent,
            canary: table.and_then(|table| table.canary.clone()),
        }
    }

    /// Returns whether a new upload takes its place: newer content of the same
    /// table, as long as no session was opened for it or may have been.
    pub(super) fn gives_way_to(&self, entry: &Entry) -> bool {
        let (old, new) = (&self.entry.plan, &entry.plan);
        let is_same_table = old.is_owned() && new.is_owned() && old.table == new.table;
        is_same_table && self.is_older_than(entry.source.as_ref())
    }

    /// Returns whether it waits for a session with other content of its table
    /// than that of a source.
    pub(super) fn is_older_than(&self, source: Option<&Value>) -> bool {
        let own = self.entry.source.as_ref();
        source.is_some() && own.is_some() && own != source && self.awaits_session()
    }

    /// Returns whether no session was opened for it, and none may have been.
    pub(super) fn awaits_session(&self) -> bool {
        !self.creating && self.upload.lacks_session()
    }

    /// Says why an upload cannot be begun beside this one.
    pub(super) fn is_in_the_way_of(&self, entry: &Entry) -> String {
        let Plan { id, .. } = &self.entry.plan;
        match entry.plan.is_owned() {
            true => format!("upload {id} of this data store is not finished: cancel it, or wait"),
            false => format!("the session belongs to upload {id} already"),
        }
    }

    /// Returns how long ago the session was opened or renewed, by the wall
    /// clock: good enough to learn how long sessions live.
    pub(super) fn session_age(&self, now: Now) -> Option<Duration> {
        let held = self.upload.standing().held.as_ref()?;
        (now.wall - held.extended).to_std().ok()
    }

    /// Draws its picture. With a gate, the service wants to be left alone until
    /// then.
    pub(super) fn view(&self, now: Now, gate: Option<Moment>) -> UploadView {
        let mut counts = self.counts.clone();
        let stored = &self.upload.standing().stored;
        counts.stored_bytes = self.bundle.as_ref().map_or(0, |bundle| {
            let blocks = &bundle.manifest().blocks;
            let lengths = stored.ranges().iter().flat_map(|&(first, last)| blocks.get(first as usize..=last as usize));
            lengths.flatten().map(|entry| entry.length).sum()
        });
        let mut view = UploadView::of(&self.upload, &self.entry, &counts, self.trouble.as_ref(), now);
        view.gives_way &= !self.creating;
        if let Some(gate) = gate.filter(|&gate| self.would_lapse(gate)) {
            let wait = now.moment.until(gate).as_secs();
            let trouble = format!(
                "the lease ends before the service wants to hear from this host again, in {wait} s: \
                 the session is renewed first then, or replaced if it is gone"
            );
            view.waiting = Some("throttled".to_owned());
            view.trouble = Some(trouble);
        }
        view
    }

    /// Returns whether its lease ends before a gate opens.
    pub(super) fn would_lapse(&self, gate: Moment) -> bool {
        let needs_lease = matches!(self.upload.standing().phase, Phase::Uploading | Phase::Committing);
        needs_lease && self.upload.lease().is_some_and(|lease| lease.end() <= gate)
    }

    /// Tells what became true.
    pub(super) fn tell(&self, record: &Record, notices: &Notices, now: Now) {
        let detail = match record {
            Record::GateHeld { reasons, .. } => json!({ "reasons": reasons }),
            Record::Opened { session, .. } => json!({ "session": session }),
            Record::Renewed { renewals, .. } => json!({ "renewals": renewals }),
            Record::Placed { place } => json!({ "place": place }),
            Record::Stored { blocks } => {
                json!({ "stored_blocks": blocks.count(), "total_blocks": self.entry.plan.total_blocks })
            }
            Record::Listed { done } => json!({ "done": done }),
            Record::Reported { remaining } => json!({ "remaining": remaining }),
            Record::ReportsReduced { reports } => json!({ "reports": reports }),
            Record::Lost { epoch } => json!({ "sessions_lost": epoch }),
            Record::Ending { outcome } | Record::Closed { outcome, .. } => {
                json!({ "outcome": outcome_word(outcome), "reason": reason(outcome) })
            }
            Record::GateReleased { .. }
            | Record::CreateIntended
            | Record::CommitRequested
            | Record::CommitIntended
            | Record::Committed { .. }
            | Record::Live => Value::Null,
        };
        self.log(record);
        let plan = &self.entry.plan;
        notices.tell(Notice {
            at: now.wall,
            event: happening(record).to_owned(),
            upload: Some(plan.id.to_string()),
            table: Some(plan.table.clone()),
            detail,
        });
    }

    fn log(&self, record: &Record) {
        let plan = &self.entry.plan;
        let (upload, table) = (plan.id.0.as_str(), plan.table.as_str());
        match record {
            Record::GateHeld { reasons, .. } => tracing::error!(
                upload,
                table,
                "held before a session was opened: {}; `edm-agent sessions release {upload}` lets it pass",
                reasons.join("; ")
            ),
            Record::GateReleased { .. } => tracing::info!(upload, table, "released"),
            Record::Opened { session, .. } => tracing::info!(upload, table, session, "session open"),
            Record::Committed { .. } => tracing::info!(upload, table, "committed: the service is processing"),
            Record::Lost { .. } => tracing::warn!(upload, table, "the session is gone: opening another"),
            Record::ReportsReduced { reports } => tracing::warn!(
                upload,
                table,
                ?reports,
                "the service refuses progress reports as they were: the upload goes on with less of them"
            ),
            Record::Closed { outcome, .. } => match outcome {
                Outcome::Completed | Outcome::Cancelled => {
                    tracing::info!(upload, table, "upload {}", outcome_word(outcome));
                }
                Outcome::Replaced => tracing::info!(upload, table, "newer content takes the place of what waited"),
                Outcome::Failed(failure) => tracing::error!(upload, table, "upload failed: {failure}"),
            },
            Record::CreateIntended
            | Record::Renewed { .. }
            | Record::Placed { .. }
            | Record::Stored { .. }
            | Record::Listed { .. }
            | Record::Reported { .. }
            | Record::CommitRequested
            | Record::CommitIntended
            | Record::Live
            | Record::Ending { .. } => tracing::debug!(upload, table, record = record.slot()),
        }
    }
}

/// Returns the word for what a record says: that of its slot, but what a gate
/// does and undoes shares one.
const fn happening(record: &Record) -> &'static str {
    match record {
        Record::GateHeld { .. } => "held",
        Record::GateReleased { .. } => "released",
        Record::CreateIntended
        | Record::Opened { .. }
        | Record::Renewed { .. }
        | Record::Placed { .. }
        | Record::Stored { .. }
        | Record::Listed { .. }
        | Record::Reported { .. }
        | Record::ReportsReduced { .. }
        | Record::CommitRequested
        | Record::CommitIntended
        | Record::Committed { .. }
        | Record::Lost { .. }
        | Record::Live
        | Record::Ending { .. }
        | Record::Closed { .. } => record.slot(),
    }
}
