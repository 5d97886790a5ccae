//! A journal in memory that becomes durable when it is told to, and keeps what
//! the real one keeps: the newest record of each slot.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use edm_agent::ports::journal::{Account, Batch, Entry, Journal, JournalNews, Memory};
use edm_agent::upload::plan::UploadId;
use edm_agent::upload::record::Record;
use serde_json::Value;
use tokio::sync::mpsc;

#[derive(Default)]
struct State {
    is_held: bool,
    waiting: Vec<Batch>,
    entries: Vec<Entry>,
    records: BTreeMap<UploadId, Vec<Record>>,
    facts: BTreeMap<String, Value>,
    batches: u64,
}

/// The journal.
pub(crate) struct FakeJournal {
    news: mpsc::UnboundedSender<JournalNews>,
    state: Mutex<State>,
}

impl FakeJournal {
    /// Makes a journal that remembers something already.
    pub(crate) fn new(memory: Memory) -> (Arc<Self>, mpsc::UnboundedReceiver<JournalNews>) {
        let (news, told) = mpsc::unbounded_channel();
        let mut state = State { facts: memory.facts.into_iter().collect(), ..State::default() };
        for Account { entry, records } in memory.accounts {
            state.records.insert(entry.plan.id.clone(), records);
            state.entries.push(entry);
        }
        (Arc::new(Self { news, state: Mutex::new(state) }), told)
    }

    /// From now on nothing becomes durable.
    pub(crate) fn hold(&self) {
        self.state.lock().unwrap().is_held = true;
    }

    /// From now on nothing becomes durable, and it says so.
    pub(crate) fn stall(&self, reason: &str) {
        self.hold();
        self.news.send(JournalNews::Stalled { reason: reason.to_owned() }).unwrap();
    }

    /// It fails for good, and says so.
    pub(crate) fn fail(&self, reason: &str) {
        self.hold();
        self.news.send(JournalNews::Failed { reason: reason.to_owned() }).unwrap();
    }

    /// Everything that waits becomes durable, and from now on everything at once.
    pub(crate) fn free(&self) {
        let state = &mut *self.state.lock().unwrap();
        state.is_held = false;
        let up_to = state.waiting.last().map(|batch| batch.number);
        for batch in std::mem::take(&mut state.waiting) {
            state.keep(batch);
        }
        if let Some(up_to) = up_to {
            self.news.send(durable(up_to)).unwrap();
        }
    }

    /// Everything that waits but the newest batch becomes durable; it goes on
    /// holding, as a disk does that is always one commit behind.
    pub(crate) fn free_but_newest(&self) {
        let state = &mut *self.state.lock().unwrap();
        let Some(newest) = state.waiting.pop() else { return };
        let up_to = state.waiting.last().map(|batch| batch.number);
        for batch in std::mem::take(&mut state.waiting) {
            state.keep(batch);
        }
        state.waiting.push(newest);
        if let Some(up_to) = up_to {
            self.news.send(durable(up_to)).unwrap();
        }
    }

    /// Returns what a restart would read.
    pub(crate) fn memory(&self) -> Memory {
        let state = self.state.lock().unwrap();
        let account = |entry: &Entry| Account {
            entry: entry.clone(),
            records: state.records.get(&entry.plan.id).cloned().unwrap_or_default(),
        };
        Memory {
            accounts: state.entries.iter().map(account).collect(),
            spare_bundles: Vec::new(),
            facts: state.facts.iter().map(|(name, value)| (name.clone(), value.clone())).collect(),
        }
    }

    /// Returns how many rows it keeps.
    pub(crate) fn rows(&self) -> usize {
        let state = self.state.lock().unwrap();
        state.records.values().map(Vec::len).sum::<usize>() + state.facts.len()
    }

    /// Returns how many batches it was given.
    pub(crate) fn batches(&self) -> u64 {
        self.state.lock().unwrap().batches
    }

    /// Returns a fact.
    pub(crate) fn fact(&self, name: &str) -> Option<Value> {
        self.state.lock().unwrap().facts.get(name).cloned()
    }
}

/// Says that all is durable up to a batch; this journal takes no time.
fn durable(up_to: u64) -> JournalNews {
    JournalNews::Durable { up_to, took: std::time::Duration::ZERO }
}

impl State {
    fn keep(&mut self, batch: Batch) {
        for entry in batch.entries {
            match self.entries.iter_mut().find(|kept| kept.plan.id == entry.plan.id) {
                Some(kept) => *kept = entry,
                None => self.entries.push(entry),
            }
        }
        for (upload, record) in batch.records {
            let kept = self.records.entry(upload).or_default();
            kept.retain(|old| old.slot() != record.slot());
            kept.push(record);
        }
        for (name, value) in batch.facts {
            match value {
                Some(value) => self.facts.insert(name, value),
                None => self.facts.remove(&name),
            };
        }
    }
}

impl Journal for FakeJournal {
    fn write(&self, batch: Batch) {
        let state = &mut *self.state.lock().unwrap();
        state.batches += 1;
        if state.is_held {
            state.waiting.push(batch);
            return;
        }
        let up_to = batch.number;
        state.keep(batch);
        // The agent of this journal may have been stopped.
        let _ = self.news.send(durable(up_to));
    }
}
