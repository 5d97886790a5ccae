//! The thread that writes, and what it shares with those who hand it work.

use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::pending::Pending;
use super::store::{CHECKPOINT_FRAMES, Store};
use super::trouble::Trouble;
use crate::adapters::clock::SystemClock;
use crate::ports::clock::Clock;
use crate::ports::journal::{Batch, JournalNews, Place, Sign};

/// How long the first retry waits while the volume does not take writes.
pub(super) const RETRY_FIRST: Duration = Duration::from_millis(100);
/// How long retries wait at most: what was held up resumes within this of
/// space returning, and a full volume is asked twelve times a minute.
pub(super) const RETRY_CAP: Duration = Duration::from_secs(5);

/// What the writer and its callers share.
#[derive(Debug)]
pub(super) struct Shared {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug)]
struct State {
    waiting: Pending,
    next_seq: i64,
    /// How many changes the writer holds at this moment.
    in_flight: usize,
    /// Whether nothing more is taken: it was closed, or it failed.
    shut: bool,
    /// Whether the writer is to look for work though there may be none.
    knocked: bool,
    /// How often the writer has looked for work.
    turns: u64,
    /// Whether the writer is at its disk.
    at_disk: bool,
    /// How the writer ended, once it has.
    ended: Option<End>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    AllDurable,
    SomeLost,
}

impl Shared {
    /// Begins with nothing waiting.
    pub(super) fn counting_from(next_seq: i64) -> Self {
        let state = State {
            waiting: Pending::default(),
            next_seq,
            in_flight: 0,
            shut: false,
            knocked: false,
            turns: 0,
            at_disk: false,
            ended: None,
        };
        Self { state: Mutex::new(state), changed: Condvar::new() }
    }

    /// Hands a batch to the writer.
    pub(super) fn add(&self, batch: Batch) {
        let mut state = self.lock();
        if !state.shut {
            let State { waiting, next_seq, .. } = &mut *state;
            waiting.add(batch, next_seq);
            drop(state);
            self.changed.notify_all();
        }
    }

    /// Returns how many changes are not durable yet.
    pub(super) fn backlog(&self) -> usize {
        let state = self.lock();
        state.waiting.changes() + state.in_flight
    }

    /// Has the writer look for work.
    pub(super) fn knock(&self) {
        self.lock().knocked = true;
        self.changed.notify_all();
    }

    /// Returns how the writer is.
    pub(super) fn sign(&self) -> Sign {
        let state = self.lock();
        let place = match (state.ended, state.at_disk) {
            (Some(_), _) => Place::Gone,
            (None, true) => Place::AtDisk,
            (None, false) => Place::Waiting,
        };
        Sign { turns: state.turns, place }
    }

    /// Has the writer finish, and waits for it up to a limit.
    pub(super) fn close(&self, limit: Duration) -> bool {
        let mut state = self.lock();
        state.shut = true;
        self.changed.notify_all();
        let (state, _) = self
            .changed
            .wait_timeout_while(state, limit, |state| state.ended.is_none())
            .unwrap_or_else(PoisonError::into_inner);
        state.ended == Some(End::AllDurable)
    }

    /// A panic elsewhere leaves the state whole: nothing here stops half way.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits for work, takes it, and says whether it is to be the last.
    fn take(&self) -> (Pending, bool) {
        let mut state = self.lock();
        state.at_disk = false;
        let mut state = self
            .changed
            .wait_while(state, |state| state.waiting.is_empty() && !state.shut && !state.knocked)
            .unwrap_or_else(PoisonError::into_inner);
        state.knocked = false;
        state.turns += 1;
        state.at_disk = true;
        let work = std::mem::take(&mut state.waiting);
        state.in_flight = work.changes();
        (work, state.shut)
    }

    /// Puts back what could not be written, under what came meanwhile, and
    /// waits: for the time to try again, or for the last try.
    fn put_back(&self, mut work: Pending, wait: Duration) {
        let mut state = self.lock();
        work.absorb(std::mem::take(&mut state.waiting));
        state.waiting = work;
        state.in_flight = 0;
        state.at_disk = false;
        drop(self.changed.wait_timeout_while(state, wait, |state| !state.shut));
    }

    fn done(&self) {
        self.lock().in_flight = 0;
    }

    fn end(&self, end: End) {
        let mut state = self.lock();
        state.shut = true;
        state.waiting = Pending::default();
        state.in_flight = 0;
        state.ended = Some(end);
        drop(state);
        self.changed.notify_all();
    }
}

/// The writer itself: owns the file.
pub(super) struct Writer {
    store: Store,
    shared: Arc<Shared>,
    news: Box<dyn Fn(JournalNews) + Send>,
}

impl Writer {
    /// Makes the writer of a file.
    pub(super) fn new(store: Store, shared: Arc<Shared>, news: Box<dyn Fn(JournalNews) + Send>) -> Self {
        Self { store, shared, news }
    }

    /// Writes until it is closed or the volume fails.
    pub(super) fn run(mut self) {
        let end = self.write_all();
        let Self { store, shared, .. } = self;
        // Whoever waits for the end may open the file at once.
        drop(store);
        shared.end(end);
    }

    fn write_all(&mut self) -> End {
        let mut stall: Option<Stall> = None;
        loop {
            let (work, last) = self.shared.take();
            let began = SystemClock.now().moment;
            match self.store.commit(&work) {
                Ok(()) => {
                    stall = None;
                    self.shared.done();
                    if let Some(up_to) = work.up_to {
                        let took = SystemClock.now().moment.since(began);
                        (self.news)(JournalNews::Durable { up_to, took });
                    }
                    if let Err(reason) = self.store.tidy(if last { 0 } else { CHECKPOINT_FRAMES }) {
                        return self.fail(reason);
                    }
                    if last {
                        return End::AllDurable;
                    }
                }
                Err(Trouble::Passing(_)) if last => return End::SomeLost,
                Err(Trouble::Passing(reason)) => {
                    let next = Stall::after(stall.take(), reason, &self.news);
                    self.shared.put_back(work, next.wait);
                    stall = Some(next);
                }
                Err(Trouble::Lasting(reason)) => return self.fail(reason),
            }
        }
    }

    fn fail(&self, reason: String) -> End {
        (self.news)(JournalNews::Failed { reason });
        End::SomeLost
    }
}

/// Writing is held up.
struct Stall {
    /// What was said about it.
    reason: String,
    /// How long the last wait was.
    wait: Duration,
}

impl Stall {
    /// Goes on from the stall before, if there is one: says the reason if it
    /// is a new one, and waits longer.
    fn after(before: Option<Self>, reason: String, news: &dyn Fn(JournalNews)) -> Self {
        let wait = before.as_ref().map_or(RETRY_FIRST, |before| before.wait.saturating_mul(2).min(RETRY_CAP));
        if before.is_none_or(|before| before.reason != reason) {
            news(JournalNews::Stalled { reason: reason.clone() });
        }
        Self { reason, wait }
    }
}
