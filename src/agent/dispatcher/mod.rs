//! The dispatcher: one loop that owns every upload.
//!
//! It runs on a thread of its own, so neither hashing nor sending can starve a
//! renewal. A turn takes in what has arrived, steps the machines concerned,
//! hands the records of the turn to the journal as one batch, and lets go of
//! the commands that wait for nothing; the others leave when the journal says
//! that their records are durable. The loop never waits for the journal.
//!
//! # Invariants
//!
//! - A command that names records leaves only when they are durable.
//! - Before a command leaves, its machine is asked once more whether the lease
//!   still allows it.
//! - An idle session costs a struct and a deadline, never a task.

mod answers;
mod asks;
mod book;
mod counts;
mod flow;
mod gates;
mod held;
mod quota;
mod restore;
mod slot;

use std::collections::{BTreeSet, HashMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;

use super::ask::{Ask, Asker};
use super::board::Board;
use super::lanes::{Kind, Lanes};
use super::metrics::Metrics;
use super::notice::Notices;
use super::perform::{Performed, Performer};
use super::settings::Settings;
use super::status::UploadView;
use crate::ground::moment::{Moment, Now};
use crate::ports::clock::Clock;
use crate::ports::journal::{Batch, Journal, JournalNews, Memory};
use crate::upload::event::{Command, Event};

use book::Book;
use gates::StoreSeen;
pub use gates::{TABLE_FACT, table_fact};
use held::Held;
pub use quota::remembered;
use quota::{Counted, Quotas};
use restore::Opened;
use slot::Slot;

/// Questions, answers and news waiting to be taken in.
const INBOX: usize = 1_024;
/// What one turn takes in before the machines and the lanes get theirs.
const TURN: usize = 256;
/// How often closed uploads are pruned from the journal.
const HOUSEKEEPING: Duration = Duration::from_secs(3_600);

/// What the dispatcher takes in.
pub enum Input {
    /// Somebody asks something.
    Ask(Ask),
    /// The journal has something to say.
    News(JournalNews),
    /// A command was carried out.
    Done(Box<Done>),
    /// The sessions of a data store were listed, or could not be.
    Counted(Box<Counted>),
    /// The bundle of an upload that was taken up again is open, or is not.
    Opened(Opened),
    /// The data store of a table that went live was read.
    StoreSeen(StoreSeen),
}

/// A command that was carried out.
pub struct Done {
    number: u64,
    epoch: u32,
    lane: Kind,
    weight: u64,
    /// The data store a session was asked of.
    creating: Option<String>,
    performed: Performed,
}

/// A command on its way through the lanes.
#[derive(Clone)]
struct Waiting {
    number: u64,
    epoch: u32,
    command: Command,
}

/// How the journal's volume is.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Volume {
    /// Writing works.
    #[default]
    Sound,
    /// Writing fails for now.
    Stalled(String),
    /// The volume failed: the agent must restart.
    Failed(String),
}

/// What the dispatcher works with.
pub struct Parts {
    /// The clocks.
    pub clock: Arc<dyn Clock>,
    /// Carries commands out.
    pub performer: Arc<Performer>,
    /// Keeps the account.
    pub journal: Arc<dyn Journal>,
    /// The configuration in force.
    pub settings: Arc<Settings>,
    /// Where blocks are read and sent, away from this thread.
    pub blocks: Handle,
    /// Where happenings are told.
    pub notices: Notices,
    /// How the tables stand.
    pub board: Board,
    /// Counts what happens.
    pub metrics: Metrics,
}

/// The loop and all it owns.
pub struct Dispatcher {
    parts: Parts,
    inbox: mpsc::Receiver<Input>,
    outbox: mpsc::Sender<Input>,
    slots: HashMap<u64, Slot>,
    by_name: HashMap<String, u64>,
    deadlines: BTreeSet<(Moment, u64)>,
    lanes: Lanes<Waiting>,
    book: Book,
    quotas: Quotas,
    batch: Batch,
    durable: u64,
    held: Held,
    next_number: u64,
    tasks: JoinSet<()>,
    /// Bundles on their way out, and data stores being read that have new data: a
    /// stop waits for them.
    removals: JoinSet<()>,
    closed: VecDeque<UploadView>,
    volume: watch::Sender<Volume>,
    beat: watch::Sender<Moment>,
    upload_agent: Option<String>,
    stop_at: Option<Moment>,
    housekeeping: Moment,
}

/// The doors into a dispatcher that is yet to run.
pub struct Doors {
    /// Asks it things.
    pub asker: Asker,
    /// Brings it news of the journal.
    pub news: mpsc::Sender<Input>,
    /// Says how the journal's volume is.
    pub volume: watch::Receiver<Volume>,
    /// Says when the loop last turned.
    pub beat: watch::Receiver<Moment>,
}

/// Makes the inbox first: the journal must know where to bring its news
/// before it can be read, and the dispatcher begins with what was read.
pub fn inbox() -> (mpsc::Sender<Input>, mpsc::Receiver<Input>) {
    mpsc::channel(INBOX)
}

impl Dispatcher {
    /// Takes up every open upload of the journal.
    pub fn new(
        parts: Parts,
        memory: Memory,
        (outbox, inbox): (mpsc::Sender<Input>, mpsc::Receiver<Input>),
    ) -> (Self, Doors) {
        let now = parts.clock.now();
        let (volume, volume_seen) = watch::channel(Volume::default());
        let (beat, beat_seen) = watch::channel(now.moment);
        let upload = &parts.settings.upload;
        let mut dispatcher = Self {
            lanes: Lanes::new(upload.concurrency as usize, upload.memory),
            inbox,
            outbox: outbox.clone(),
            slots: HashMap::new(),
            by_name: HashMap::new(),
            deadlines: BTreeSet::new(),
            book: Book::read(&memory.facts),
            quotas: Quotas::read(&memory.facts),
            batch: Batch { number: 1, ..Batch::default() },
            durable: 0,
            held: Held::default(),
            next_number: 0,
            tasks: JoinSet::new(),
            removals: JoinSet::new(),
            closed: VecDeque::new(),
            volume,
            beat,
            upload_agent: None,
            stop_at: None,
            housekeeping: now.moment,
            parts,
        };
        dispatcher.upload_agent = dispatcher.book.upload_agent();
        dispatcher.restore_all(memory.accounts, memory.spare_bundles, now);
        let doors = Doors { asker: Asker(outbox.clone()), news: outbox, volume: volume_seen, beat: beat_seen };
        (dispatcher, doors)
    }

    /// Runs until it is asked to stop and what was under way has finished, or
    /// the time for that is over.
    pub async fn run(mut self) {
        loop {
            let now = self.turn();
            if self.is_over(now) {
                return;
            }
            let wake = self.next_wake();
            let clock = self.parts.clock.clone();
            tokio::select! {
                biased;
                input = self.inbox.recv() => match input {
                    Some(input) => self.take_in(input),
                    None => return,
                },
                Some(_) = self.removals.join_next() => (),
                () = clock.sleep_until(wake) => (),
            }
            for _ in 1..TURN {
                match self.inbox.try_recv() {
                    Ok(input) => self.take_in(input),
                    Err(_) => break,
                }
            }
            while self.tasks.try_join_next().is_some() {}
        }
    }

    /// Wakes what is due, writes what became true, lets go what may leave.
    /// Repeats while commands come back at once, which no lease can prolong.
    fn turn(&mut self) -> Now {
        let now = self.parts.clock.now();
        self.beat.send_replace(now.moment);
        while let Some(&(moment, number)) = self.deadlines.first() {
            if moment > now.moment {
                break;
            }
            self.step(number, Event::Woke, now);
        }
        self.believe(now);
        self.keep_house(now);
        self.flush();
        self.let_go(now);
        self.flush();
        now
    }

    fn take_in(&mut self, input: Input) {
        match input {
            Input::Ask(ask) => self.asked(ask),
            Input::News(news) => self.heard(news),
            Input::Done(done) => self.done(*done),
            Input::Counted(counted) => self.counted(*counted),
            Input::Opened(opened) => self.opened(opened),
            Input::StoreSeen(seen) => self.store_seen(seen),
        }
    }

    fn heard(&mut self, news: JournalNews) {
        match news {
            JournalNews::Durable { up_to, took } => {
                self.parts.metrics.synced(took);
                self.durable = self.durable.max(up_to);
                // A volume that failed stays failed, whatever was said before it did.
                let was_stalled = matches!(*self.volume.borrow(), Volume::Stalled(_));
                if was_stalled {
                    tracing::info!("the journal can be written again: everything goes on");
                    self.volume.send_replace(Volume::Sound);
                }
                self.release();
            }
            JournalNews::Stalled { reason } => {
                tracing::error!(
                    "{reason}; hashing, new sessions and commits wait, renewals and blocks go on, all resumes by itself"
                );
                self.volume.send_replace(Volume::Stalled(reason));
            }
            JournalNews::Failed { reason } => {
                tracing::error!("{reason}");
                self.volume.send_replace(Volume::Failed(reason));
            }
        }
    }

    /// Hands the records of this turn to the journal.
    fn flush(&mut self) {
        self.batch.facts.extend(self.book.take_changes());
        self.batch.facts.extend(self.quotas.take_changes());
        let batch = &self.batch;
        if batch.entries.is_empty()
            && batch.records.is_empty()
            && batch.facts.is_empty()
            && batch.forget_closed_before.is_none()
        {
            return;
        }
        let next = Batch { number: batch.number + 1, ..Batch::default() };
        self.parts.journal.write(std::mem::replace(&mut self.batch, next));
    }

    fn keep_house(&mut self, now: Now) {
        if now.moment < self.housekeeping {
            return;
        }
        self.housekeeping = now.moment + HOUSEKEEPING;
        let retain = chrono::TimeDelta::from_std(self.parts.settings.journal.retain).unwrap_or(chrono::TimeDelta::MAX);
        self.batch.forget_closed_before = now.wall.checked_sub_signed(retain);
        self.quotas.forget_old(&self.parts.settings.quota, now.wall);
    }

    fn next_wake(&self) -> Moment {
        let mut wake = self.housekeeping;
        if let Some(&(deadline, _)) = self.deadlines.first() {
            wake = wake.min(deadline);
        }
        if let Some(gate) = self.lanes.gate(*self.beat.borrow()) {
            wake = wake.min(gate);
        }
        if let Some(stop) = self.stop_at {
            wake = wake.min(stop);
        }
        wake
    }

    fn is_over(&self, now: Now) -> bool {
        let Some(stop_at) = self.stop_at else { return false };
        let settled = self.slots.values().all(|slot| slot.upload.is_settled()) && self.removals.is_empty();
        let durable = self.durable + 1 >= self.batch.number;
        now.moment >= stop_at || (settled && durable)
    }
}
