//! The durable local account of every upload.
//!
//! The journal keeps the newest record of each slot of each upload (see
//! [`Record::slot`]) in the order written, and a few facts that belong to no
//! upload. It holds no secret and no clear text: no upload URI, no token, no
//! salt, no cell.

use std::path::{Path, PathBuf};
use std::time::Duration;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::upload::outcome::Outcome;
use crate::upload::plan::{Plan, UploadId};
use crate::upload::record::Record;

/// What is kept of an upload besides its records: enough to take it up again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// What it is to do.
    pub plan: Plan,
    /// Its bundle, if this agent sends the blocks.
    pub bundle: Option<PathBuf>,
    /// Whether the bundle is the agent's own, to be removed once the table is
    /// live.
    pub owns_bundle: bool,
    /// What identified the source when it was hashed.
    pub source: Option<Value>,
    /// Whether a person asked for it: such uploads may use the reserved
    /// sessions of the day.
    #[serde(default)]
    pub urgent: bool,
}

/// An upload as the journal remembers it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Account {
    /// What it is to do.
    pub entry: Entry,
    /// The newest record of each slot, in the order written.
    pub records: Vec<Record>,
}

impl Account {
    /// Returns how the upload ended, and when by this host's clock, if it is over.
    pub fn end(&self) -> Option<(&Outcome, DateTime<Utc>)> {
        self.records
            .iter()
            .find_map(|record| if let Record::Closed { outcome, at } = record { Some((outcome, *at)) } else { None })
    }

    /// Returns the agent's own bundle of an upload that is over, if nobody has a
    /// use for it any more.
    pub fn spare_bundle(&self) -> Option<&Path> {
        let was_held = self.records.iter().any(|record| matches!(record, Record::GateHeld { .. }));
        let (outcome, _) = self.end()?;
        let is_spare = self.entry.owns_bundle && outcome.spares_bundle(was_held);
        self.entry.bundle.as_deref().filter(|_| is_spare)
    }
}

/// Closed uploads that are remembered whole: those that `status` shows.
pub const CLOSED_KEPT: usize = 50;

/// What the journal remembers, as far as a start needs it: there may be
/// thousands of uploads that closed long ago.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Memory {
    /// Every upload that goes on and the [`CLOSED_KEPT`] closed ones that began
    /// last, oldest first.
    pub accounts: Vec<Account>,
    /// Of the other closed ones, until they are pruned: bundles that nobody has
    /// a use for, and that may still be there if an agent died before it
    /// removed them.
    pub spare_bundles: Vec<PathBuf>,
    /// Facts that belong to no upload, by name.
    pub facts: Vec<(String, Value)>,
}

/// Changes that become durable together.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Batch {
    /// Counts up from 1; news of durability names it.
    pub number: u64,
    /// Uploads that begin.
    pub entries: Vec<Entry>,
    /// What became true, in order.
    pub records: Vec<(UploadId, Record)>,
    /// Facts that changed; `None` forgets one.
    pub facts: Vec<(String, Option<Value>)>,
    /// Uploads closed before this date are to be forgotten.
    pub forget_closed_before: Option<DateTime<Utc>>,
}

/// What the journal has to say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum JournalNews {
    /// Every batch up to this number is durable.
    Durable {
        /// The number of the last one.
        up_to: u64,
        /// How long writing took, the sync included.
        took: Duration,
    },
    /// Writing fails for a reason that may pass (the volume is full or read
    /// only). Nothing is lost; the journal goes on trying and says
    /// [`JournalNews::Durable`] when it succeeds.
    Stalled {
        /// What is wrong and what to do.
        reason: String,
    },
    /// The volume failed in a way after which what it holds is not certain
    /// (an fsync that failed): only a restart, which reads what is really
    /// there, may go on.
    Failed {
        /// What is wrong and what to do.
        reason: String,
    },
}

/// Where the one who writes is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// Waiting for something to write, or for the time to try again.
    Waiting,
    /// Writing, or waiting for the disk to take it.
    AtDisk,
    /// It has ended.
    Gone,
}

/// A sign of life of the one who writes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sign {
    /// How often it has looked for work.
    pub turns: u64,
    /// Where it is now.
    pub place: Place,
}

/// Shows whether the one who writes still moves.
pub trait Pulse: Send + Sync {
    /// Has it look for work, though there may be none. Never blocks.
    fn knock(&self);

    /// Returns how it is.
    fn sign(&self) -> Sign;
}

/// Why the journal cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum JournalError {
    /// Written by a newer build; it is left untouched.
    #[error("{0}")]
    Newer(String),
    /// Not what a journal looks like; it is left untouched.
    #[error("{0}")]
    Corrupt(String),
    /// The volume does not let it be read or written.
    #[error("{0}")]
    Volume(String),
}

/// Keeps the account. Writing never blocks: batches go to a writer of its own,
/// which commits all that wait in one transaction.
pub trait Journal: Send + Sync {
    /// Takes a batch to be written.
    ///
    /// While the volume is full, what waits is kept in memory, the newest
    /// record of each slot only, so it stays bounded by the number of uploads.
    fn write(&self, batch: Batch);
}
