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
use super::notice::Notices;
use super::perform::{Job, Performed, Performer};
use super::settings::Settings;
use super::status::UploadView;
use crate::ground::moment::{Moment, Now};
use crate::ports::clock::Clock;
use crate::ports::journal::{Batch, Journal, JournalNews, Memory};
use crate::upload::event::{Command, Event, Order, Reply};
use crate::upload::fault::Fault;
use crate::upload::record::Record;

pub use asks::table_fact;
use book::Book;
use slot::Slot;

/// Questions, answers and news waiting to be taken in.
const INBOX: usize = 1_024;
/// What one turn takes in before the machines and the lanes get theirs.
const TURN: usize = 256;
/// Closed uploads kept in memory for `status`.
const CLOSED_KEPT: usize = 50;
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
}

/// A command that was carried out.
pub struct Done {
    number: u64,
    epoch: u32,
    lane: Kind,
    weight: u64,
    performed: Performed,
}

/// A command on its way through the lanes.
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
    /// The rules.
    pub settings: Arc<Settings>,
    /// Where blocks are read and sent, away from this thread.
    pub blocks: Handle,
    /// Where happenings are told.
    pub notices: Notices,
    /// How the tables stand.
    pub board: Board,
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
    batch: Batch,
    durable: u64,
    next_number: u64,
    tasks: JoinSet<()>,
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
            batch: Batch { number: 1, ..Batch::default() },
            durable: 0,
            next_number: 0,
            tasks: JoinSet::new(),
            closed: VecDeque::new(),
            volume,
            beat,
            upload_agent: None,
            stop_at: None,
            housekeeping: now.moment,
            parts,
        };
        dispatcher.upload_agent = dispatcher.book.upload_agent();
        for account in memory.accounts {
            dispatcher.restore(account, now);
        }
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
        }
    }

    fn heard(&mut self, news: JournalNews) {
        match news {
            JournalNews::Durable { up_to } => {
                self.durable = self.durable.max(up_to);
                if *self.volume.borrow() != Volume::Sound {
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

    /// Steps one machine and takes in what it asks for.
    fn step(&mut self, number: u64, event: Event, now: Now) {
        let Some(slot) = self.slots.get_mut(&number) else { return };
        let age = slot.session_age(now);
        let step = slot.upload.step(now, event);
        if let Some(old) = slot.deadline.take() {
            self.deadlines.remove(&(old, number));
        }
        slot.deadline = slot.upload.next_deadline();
        if let Some(deadline) = slot.deadline {
            self.deadlines.insert((deadline, number));
        }
        let closing = step.records.iter().find(|record| matches!(record, Record::Closed { .. })).cloned();
        for record in step.records {
            slot.batch = self.batch.number;
            slot.tell(&record, &self.parts.notices, now);
            self.book.note(&record, &slot.entry.plan, age, now, &self.parts.settings);
            self.batch.records.push((slot.entry.plan.id.clone(), record));
        }
        if let Some(record) = closing {
            self.remember_table(number, &record);
        }
        let Some(slot) = self.slots.get_mut(&number) else { return };
        if let Some(held) = &slot.upload.standing().held
            && slot.session.as_ref() != Some(&held.session)
        {
            slot.session = Some(held.session.clone());
            self.by_name.insert(held.session.clone(), number);
        }
        for order in step.orders {
            match self.slots.get_mut(&number) {
                Some(slot) if order.after_records && slot.batch > self.durable => slot.held.push_back(order),
                _ => self.enqueue(number, order, now),
            }
        }
    }

    /// Puts a command into its lane.
    fn enqueue(&mut self, number: u64, order: Order, now: Now) {
        let Some(slot) = self.slots.get(&number) else { return };
        let lane = Kind::of(&order.command);
        let deadline = slot.upload.lease().map_or(now.moment, |lease| lease.end());
        let weight = slot.weight(&order.command);
        let epoch = slot.upload.standing().epoch;
        self.lanes.push(lane, deadline, weight, Waiting { number, epoch, command: order.command });
    }

    /// Enqueues the commands whose records are durable now.
    fn release(&mut self) {
        let now = self.parts.clock.now();
        let durable = self.durable;
        let ready: Vec<u64> = self
            .slots
            .iter()
            .filter(|(_, slot)| !slot.held.is_empty() && slot.batch <= durable)
            .map(|(&number, _)| number)
            .collect();
        for number in ready {
            let held = self.slots.get_mut(&number).map(|slot| std::mem::take(&mut slot.held)).unwrap_or_default();
            for order in held {
                self.enqueue(number, order, now);
            }
            self.forget_if_closed(number, now);
        }
        let closed: Vec<u64> = self
            .slots
            .iter()
            .filter(|(_, slot)| slot.upload.outcome().is_some() && slot.batch <= durable)
            .map(|(&number, _)| number)
            .collect();
        for number in closed {
            self.forget_if_closed(number, now);
        }
    }

    /// Starts every command that may leave now.
    fn let_go(&mut self, now: Now) {
        while let Some((lane, weight, waiting)) = self.lanes.pop(now.moment) {
            let Waiting { number, epoch, command } = waiting;
            let Some(slot) = self.slots.get(&number) else {
                self.lanes.done(lane, weight);
                continue;
            };
            if slot.upload.standing().epoch != epoch || slot.upload.outcome().is_some() {
                self.lanes.done(lane, weight);
                continue;
            }
            if !slot.upload.may_leave(now.moment, &command) {
                self.lanes.done(lane, weight);
                self.step(number, Event::Answered { epoch, reply: Reply::Held(command) }, now);
                continue;
            }
            if command == Command::Create
                && let Some(wait) = self.book.quota_wait(&slot.entry, now, &self.parts.settings)
            {
                self.lanes.done(lane, weight);
                let reply = Reply::Created(Err(Fault::Quota { retry_after: Some(wait) }));
                self.step(number, Event::Answered { epoch, reply }, now);
                continue;
            }
            let job = slot.job(command, self.upload_agent.clone(), &self.parts.settings);
            self.start(number, epoch, lane, weight, job);
        }
    }

    fn start(&mut self, number: u64, epoch: u32, lane: Kind, weight: u64, job: Job) {
        let performer = self.parts.performer.clone();
        let outbox = self.outbox.clone();
        let task = async move {
            let performed = performer.perform(job).await;
            // The dispatcher is gone only when the agent has stopped.
            let _ = outbox.send(Input::Done(Box::new(Done { number, epoch, lane, weight, performed }))).await;
        };
        match lane {
            Kind::Blocks => self.tasks.spawn_on(task, &self.parts.blocks),
            Kind::Renew | Kind::Report | Kind::Control => self.tasks.spawn(task),
        };
    }

    /// Hands the records of this turn to the journal.
    fn flush(&mut self) {
        self.batch.facts.extend(self.book.take_changes());
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
        self.book.forget_old(now.wall);
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
        let settled = self.slots.values().all(|slot| slot.upload.is_settled() && slot.held.is_empty());
        let durable = self.durable + 1 >= self.batch.number;
        now.moment >= stop_at || (settled && durable)
    }
}
