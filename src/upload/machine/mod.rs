//! One upload, from asking for its session to the live table.
//!
//! [`Upload::step`] takes what just happened and the time it happened at, and
//! returns a [`Step`]: the records to make durable and the commands to carry
//! out. It performs nothing itself. Every command is answered by exactly one
//! event, and retries live only here, so whoever drives it is a short loop.
//!
//! A step has two halves. `take_in` (`replies.rs`) learns from the event;
//! `send_out` (`orders.rs`) then looks at where the upload stands and asks for
//! whatever is due. It takes no input but the standing and the time, so the
//! rare path after a crash is the usual path.
//!
//! # Invariants
//!
//! - No block, report or commit leaves under a lease with less than the guard
//!   remaining; the driver asks [`Upload::may_leave`] at the last moment.
//! - A commit is asked for only when every block is stored, after its intent
//!   is durable; in doubt the session is read, never committed blindly again.
//! - What is reported as remaining never rises within a session, and 0 is said
//!   only when the store holds everything.
//! - A lost answer to a creation is resolved by looking for our file name.
//! - An answer from an earlier epoch changes nothing.
//! - Once closed, an upload asks for nothing more.

mod orders;
mod replies;
mod sightings;
mod stored;
mod view;

use crate::ground::moment::{Moment, Now};

use super::event::{Command, Event, Order, Sighting, Step};
use super::fault::Fault;
use super::lease::{Grant, Lease};
use super::ledger::Ledger;
use super::outcome::Outcome;
use super::pace::Pace;
use super::plan::{Plan, Sender};
use super::policy::{Policy, Strategy};
use super::record::{Record, Standing};
use super::uri::{UploadUri, UriKind};

pub use view::{Progress, ProgressRefused, Waiting};

/// One upload.
pub struct Upload {
    plan: Plan,
    policy: Policy,
    standing: Standing,
    /// What is known of the session and is forgotten in a crash.
    lease: Option<Lease>,
    uri: Option<UploadUri>,
    /// Numbers the upload URIs, so that a refusal of an old one is no news.
    uri_number: u32,
    /// The first upload URI that led to the current place.
    place_since: u32,
    /// Why the session's upload URI is not used, if it is not.
    uri_refused: Option<String>,
    /// Fresh upload URIs refused in a row; the blocks wait for the next.
    refusals: Refusals,
    asked: Asked,
    paces: Paces,
    /// Blocks in flight.
    in_flight: InFlight,
    /// Whether something is in doubt that only asking settles.
    doubt: Doubt,
    /// When the session was last opened or renewed, by the boot clock; unknown after a restart.
    extended: Option<Moment>,
    /// The last report the service took: remaining blocks, and whether it was the final one.
    acknowledged: Option<(u32, bool)>,
    report_tries: u32,
    report_conflicts: u32,
    /// The service's last word, and its jobs.
    seen: Seen,
    waiting: Option<Waiting>,
    progressed: Moment,
    processing_since: Option<Moment>,
    stopping: bool,
    wake: Option<Moment>,
}

/// Blocks in flight: few, so a plain list.
#[derive(Debug, Default)]
struct InFlight(Vec<u32>);

/// Which commands are out. At most one of each kind, so that an answer needs no name.
#[derive(Debug, Default)]
struct Asked {
    find: bool,
    create: bool,
    fetch: bool,
    renew: bool,
    report: Option<(u32, bool)>,
    whole: bool,
    inventory: bool,
    list: bool,
    commit: bool,
    abort: bool,
    canary: bool,
}

/// One pace for each kind of request.
struct Paces {
    create: Pace,
    fetch: Pace,
    renew: Pace,
    report: Pace,
    blob: Pace,
    commit: Pace,
    abort: Pace,
    poll: Pace,
}

impl Paces {
    fn new(seed: u64) -> Self {
        let pace = |salt: u64| Pace::new(seed ^ salt.wrapping_mul(0xA076_1D64_78BD_642F));
        Self {
            create: pace(1),
            fetch: pace(2),
            renew: pace(3),
            report: pace(4),
            blob: pace(5),
            commit: pace(6),
            abort: pace(7),
            poll: pace(8),
        }
    }
}

/// What only asking settles.
#[derive(Debug)]
struct Doubt {
    /// A session may have been opened without our knowing its id.
    session: bool,
    /// A commit may have been taken.
    commit: bool,
    /// The session may be gone: one more look decides.
    gone: bool,
    /// The lease ended; whether the session is still there was not asked yet.
    lapse: bool,
    /// The store may hold other blocks than we believe.
    store: bool,
    /// The block list was put and is to be checked.
    list: bool,
    /// The session was taken over: when it was last extended is not known.
    age: bool,
}

impl Default for Doubt {
    /// After a start everything is in doubt.
    fn default() -> Self {
        Self { session: true, commit: true, gone: false, lapse: true, store: true, list: true, age: false }
    }
}

/// Refusals that end an upload when they repeat.
#[derive(Debug, Default)]
struct Refusals {
    /// Fresh upload URIs refused in a row.
    uris: u32,
    /// Whether the current upload URI was refused: the blocks wait.
    parked: bool,
    /// Blocks refused in a row.
    blocks: u32,
    /// Block lists refused in a row for want of blocks.
    lists: u32,
    /// Commits refused in a row.
    commits: u32,
}

/// What the service last said.
#[derive(Debug, Default)]
struct Seen {
    state: String,
    jobs: Option<(u32, u32)>,
    error: Option<String>,
}

impl Upload {
    /// Begins an upload, or takes one up again from its records.
    ///
    /// The records are those of the journal in the order they were written.
    pub fn new<'a>(plan: Plan, policy: Policy, records: impl IntoIterator<Item = &'a Record>, now: Now) -> Self {
        let mut standing = Standing::default();
        let mut replayed = false;
        for record in records {
            standing.apply(record);
            replayed = true;
        }
        let age = plan.sender != Sender::Owned;
        let doubt = Doubt { session: replayed, age, ..Doubt::default() };
        Self {
            paces: Paces::new(plan.seed),
            plan,
            policy,
            standing,
            lease: None,
            uri: None,
            uri_number: 0,
            place_since: 0,
            uri_refused: None,
            refusals: Refusals::default(),
            asked: Asked::default(),
            in_flight: InFlight::default(),
            doubt,
            extended: None,
            acknowledged: None,
            report_tries: 0,
            report_conflicts: 0,
            seen: Seen::default(),
            waiting: None,
            progressed: now.moment,
            processing_since: None,
            stopping: false,
            wake: Some(now.moment),
        }
    }

    /// Takes in what happened and returns what is to be recorded and done.
    ///
    /// `now` never goes back.
    pub fn step(&mut self, now: Now, event: Event) -> Step {
        let mut step = Step::default();
        self.take_in(now, event, &mut step);
        self.wake = None;
        self.send_out(now, &mut step);
        step
    }

    /// Returns when the upload wants to be woken, if nothing happens before.
    pub const fn next_deadline(&self) -> Option<Moment> {
        self.wake
    }

    /// Returns whether a command that was asked for may still leave now.
    pub fn may_leave(&self, now: Moment, command: &Command) -> bool {
        match command {
            Command::Send { .. }
            | Command::SendWhole { .. }
            | Command::Inventory
            | Command::PutList
            | Command::Report(_)
            | Command::Commit => self.covered(now),
            Command::Find
            | Command::Create
            | Command::Fetch
            | Command::Renew { .. }
            | Command::Abort
            | Command::LookUpCanary => true,
        }
    }

    /// Takes up new rules, from the next decision on.
    pub fn set_policy(&mut self, policy: Policy) {
        self.policy = policy;
    }

    fn note(&mut self, record: Record, step: &mut Step) {
        self.standing.apply(&record);
        step.records.push(record);
    }

    fn order(step: &mut Step, command: Command, after_records: bool) {
        step.orders.push(Order { command, after_records });
    }

    /// Returns whether `moment` has come; if not, asks to be woken then.
    fn is_due(&mut self, now: Moment, moment: Moment) -> bool {
        if now >= moment {
            return true;
        }
        self.wake = Some(self.wake.map_or(moment, |wake| wake.min(moment)));
        false
    }

    /// Returns whether the lease covers something sent now.
    fn covered(&self, now: Moment) -> bool {
        self.lease.as_ref().is_some_and(|lease| lease.covers(now))
    }

    /// Returns how the blocks travel under the current upload URI.
    fn strategy(&self) -> Option<Strategy> {
        let chosen = || match self.uri.as_ref()?.kind() {
            UriKind::Blob => Some(Strategy::BlockList),
            UriKind::Container => Some(Strategy::BlobPerBlock),
            UriKind::Plain => Some(Strategy::PlainPut),
        };
        self.policy.strategy.or_else(chosen)
    }

    /// Returns whether the store holds every block, and the blob if there is one.
    fn is_stored(&self) -> bool {
        let all = self.standing.stored.count() >= self.plan.total_blocks;
        all && (!self.plan.is_owned() || self.standing.listed || self.strategy() != Some(Strategy::BlockList))
    }

    fn close(&mut self, outcome: Outcome, now: Now, step: &mut Step) {
        self.note(Record::Closed { outcome, at: now.wall }, step);
    }

    /// Ends the upload, telling the service first if there is a session.
    fn end(&mut self, outcome: Outcome, now: Now, step: &mut Step) {
        match self.standing.held {
            Some(_) => self.note(Record::Ending { outcome }, step),
            None => self.close(outcome, now, step),
        }
    }

    /// Adopts an upload URI and the lease it brings.
    fn grant(&mut self, sighting: &Sighting, uri: UploadUri, now: Now, step: &mut Step) {
        let Some(held) = &self.standing.held else { return };
        // The date in the journal is of this host's wall clock, which may have
        // been set back since: a lease never begins after it was granted.
        let extended = self.extended.unwrap_or_else(|| now.moment_of(held.extended, now.wall)).min(sighting.asked);
        let renewals = held.renewals;
        let place = uri.place().as_str().to_owned();
        if self.uri.as_ref() != Some(&uri) {
            self.uri_number += 1;
            self.refusals.parked = false;
        }
        if self.standing.place.as_ref() != Some(&place) {
            // Another place holds nothing of ours: what was stored was stored elsewhere.
            if self.plan.is_owned() && self.standing.place.is_some() {
                self.note(Record::Stored { blocks: Ledger::default() }, step);
                self.note(Record::Listed { done: false }, step);
                self.doubt.store = true;
            }
            self.place_since = self.uri_number;
            self.note(Record::Placed { place }, step);
        }
        let grant = Grant {
            asked: sighting.asked,
            extended,
            uri_expires: uri.expires(),
            server_time: sighting.server_time,
            renewals,
        };
        self.uri = Some(uri);
        self.uri_refused = None;
        self.begin_lease(grant, now);
    }

    /// Keeps the session alive although its upload URI is missing or refused.
    fn grant_without_uri(&mut self, sighting: &Sighting, now: Now) {
        let Some(held) = &self.standing.held else { return };
        let extended = self.extended.unwrap_or_else(|| now.moment_of(held.extended, now.wall)).min(sighting.asked);
        let grant = Grant {
            asked: sighting.asked,
            extended,
            uri_expires: None,
            server_time: sighting.server_time,
            renewals: held.renewals,
        };
        self.uri = None;
        self.begin_lease(grant, now);
    }

    fn begin_lease(&mut self, grant: Grant, now: Now) {
        let mut lease = Lease::new(grant, now, &self.policy, self.plan.seed);
        if self.doubt.age {
            lease.renew_now(now.moment);
        }
        self.lease = Some(lease);
    }

    /// Returns whether what was sent under a numbered upload URI is where the
    /// current one leads.
    const fn is_same_place(&self, uri: u32) -> bool {
        uri >= self.place_since
    }

    /// Keeps the reason why nothing moves, for people to see.
    fn wait_for(&mut self, fault: &Fault) {
        self.waiting = Waiting::of(fault).or(self.waiting);
    }

    fn is_tracked_elsewhere(&self) -> Option<&str> {
        match &self.plan.sender {
            Sender::Owned => None,
            Sender::Tracked { session } => session.as_deref(),
        }
    }
}
