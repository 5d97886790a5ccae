//! One upload, from asking for its session to the live table.
//!
//! [`Upload::step`] takes what just happened and the time it happened at, and
//! returns a [`Step`]: the records to make durable and the commands to carry
//! out. It performs nothing itself. Every command is answered by exactly one
//! event, and retries live only here, so whoever drives it is a short loop.
//!
//! A step has two halves. `take_in` (`replies.rs`, `sightings.rs`, `stored.rs`)
//! learns from the event; `send_out` (`orders.rs`) then looks at where the upload stands and asks for
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
//! - A lost answer to a creation is resolved by looking for our file name, and
//!   a session that is said to be gone is looked for before it is replaced.
//! - Whatever is under way, something will happen: a command is out or there is
//!   a deadline, unless the upload is held, closed, or stopping.
//! - An answer from an earlier epoch changes nothing.
//! - Once closed, an upload asks for nothing more.

mod asked;
mod gate;
mod leases;
mod orders;
mod replies;
mod sightings;
mod stored;
mod view;

use crate::ground::moment::{Moment, Now};

use super::event::{Command, Event, Order, Step};
use super::fault::Fault;
use super::lease::Lease;
use super::outcome::Outcome;
use super::pace::Pace;
use super::plan::{Plan, Sender};
use super::policy::{Policy, Strategy};
use super::record::{Phase, Record, Standing};
use super::uri::{UploadUri, UriKind};

use asked::Asked;
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
    /// Whether a renewal is wanted before its time.
    renew_asked: bool,
    /// Fresh upload URIs refused in a row; the blocks wait for the next.
    refusals: Refusals,
    asked: Asked,
    paces: Paces,
    /// Whether something is in doubt that only asking settles.
    doubt: Doubt,
    /// When the session was last opened or renewed, by the boot clock; unknown after a restart.
    extended: Option<Moment>,
    /// The last report the service took: remaining blocks, and whether it was the final one.
    acknowledged: Option<(u32, bool)>,
    /// Final reports that failed in a row.
    final_tries: u32,
    /// Reports in a row that the service refused although the session is there.
    report_conflicts: u32,
    /// The service's last word, and its jobs.
    seen: Seen,
    waiting: Option<Waiting>,
    progressed: Moment,
    processing_since: Option<Moment>,
    stopping: bool,
    wake: Option<Moment>,
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
    /// Reads for want of an upload URI.
    uri: Pace,
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
            uri: pace(9),
        }
    }
}

/// Lists that show no session of ours before one that may have been asked for
/// is taken to be none: a request may reach the service after its sender died.
const LOOKS: u32 = 2;

/// What only asking settles.
#[derive(Debug)]
struct Doubt {
    /// A session may have been opened without our knowing its id: how many
    /// more lists without it say that it was not.
    session: u32,
    /// A commit may have been taken.
    commit: bool,
    /// Since when: only what was asked later settles it.
    commit_since: Moment,
    /// The session may be gone: one more look decides.
    gone: bool,
    /// It was said to be gone twice: before it is replaced, the list is asked.
    lost: bool,
    /// The service disagreed: one look says why.
    state: bool,
    /// The lease ended; whether the session is still there was not asked yet.
    lapse: bool,
    /// The store may hold other blocks than we believe.
    store: bool,
    /// The block list was put and is to be checked.
    list: bool,
    /// When the session was last extended is not known: it was taken over, or
    /// found, or the agent started again before it was ever renewed.
    age: bool,
}

impl Default for Doubt {
    /// After a start everything is in doubt.
    fn default() -> Self {
        Self {
            session: LOOKS,
            commit: true,
            commit_since: Moment::default(),
            gone: false,
            lost: false,
            state: false,
            lapse: true,
            store: true,
            list: true,
            age: false,
        }
    }
}

/// Refusals that end an upload when they repeat.
#[derive(Debug, Default)]
struct Refusals {
    /// Fresh upload URIs refused in a row.
    uris: u32,
    /// Whether the current upload URI was refused: the blocks wait.
    parked: bool,
    /// The number of the last upload URI refused.
    last_uri: u32,
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
        let age = standing.held.as_ref().is_some_and(|held| held.renewals == 0);
        // One that is held never asked for a session.
        let may_have_asked = replayed && standing.phase != Phase::Held;
        let session = if may_have_asked && policy.resume_session { LOOKS } else { 0 };
        let doubt = Doubt { session, age, ..Doubt::default() };
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
            renew_asked: false,
            refusals: Refusals::default(),
            asked: Asked::default(),
            doubt,
            extended: None,
            acknowledged: None,
            final_tries: 0,
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

    /// Takes up new rules, from the next decision on.
    pub fn set_policy(&mut self, policy: Policy) {
        self.policy = policy;
    }

    /// Takes the place of an upload that awaits a session: what that one was to
    /// wait for, this one waits for.
    pub fn take_place_of(&mut self, other: &Self) {
        self.paces.create = other.paces.create.clone();
        self.waiting = other.waiting;
    }

    /// Returns whether it has no session and cannot have one that it does not
    /// know of, unless one is being asked for right now.
    pub fn lacks_session(&self) -> bool {
        let is_open = matches!(self.standing.phase, Phase::Planned | Phase::Opening);
        is_open && self.standing.held.is_none() && !self.asked.find && self.doubt.session == 0
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

    /// Returns how the blocks travel under the current upload URI.
    fn strategy(&self) -> Option<Strategy> {
        let chosen = || match self.uri.as_ref()?.kind() {
            UriKind::Blob => Some(Strategy::BlockList),
            UriKind::Container => Some(Strategy::BlobPerBlock),
            UriKind::Plain => Some(Strategy::PlainPut),
        };
        self.policy.strategy.or_else(chosen)
    }

    /// Returns whether the store holds every block, and the blob if there is
    /// one. Without an upload URI it is not known whether there is.
    fn is_stored(&self) -> bool {
        let needs_list = self.plan.is_owned() && self.strategy().is_none_or(|how| how == Strategy::BlockList);
        self.holds_all_blocks() && (self.standing.listed || !needs_list)
    }

    /// Returns whether the store holds every block, in a blob or not yet.
    fn holds_all_blocks(&self) -> bool {
        self.standing.stored.count() >= self.plan.total_blocks
    }

    fn close(&mut self, outcome: Outcome, now: Now, step: &mut Step) {
        self.note(Record::Closed { outcome, at: now.wall }, step);
    }

    /// Ends the upload, telling the service first if there is a session, or
    /// may be. What ended it first is how it ended.
    fn end(&mut self, outcome: Outcome, now: Now, step: &mut Step) {
        let may_be_open = self.asked.create || (self.standing.phase == Phase::Opening && self.doubt.session > 0);
        if matches!(self.standing.phase, Phase::Ending(_) | Phase::Closed(_)) {
            return;
        }
        if self.standing.held.is_some() || may_be_open {
            self.note(Record::Ending { outcome }, step);
        } else {
            self.close(outcome, now, step);
        }
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
