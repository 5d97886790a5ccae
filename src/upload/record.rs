//! What is durable about an upload.
//!
//! A record says what became true; [`Standing::apply`] is the only place where
//! durable state changes, on the live path and on replay alike. Each kind of
//! record has one slot: a newer one replaces the older, so an upload's journal
//! never grows, whatever months it runs.
//!
//! *Invariant*: replaying only the newest record of each slot, in the order
//! they were written, ends in the same standing as replaying all of them.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use super::ledger::Ledger;
use super::outcome::Outcome;

/// Something that became true of an upload.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "record", rename_all = "snake_case")]
pub enum Record {
    /// A gate holds the upload: no session is asked for until it is released.
    GateHeld {
        /// Why, one sentence each.
        reasons: Vec<String>,
        /// Since when, by this host's clock.
        at: DateTime<Utc>,
    },
    /// Somebody let a held upload pass.
    GateReleased {
        /// When, by this host's clock.
        at: DateTime<Utc>,
    },
    /// A session is about to be asked for.
    CreateIntended,
    /// The upload has a session.
    Opened {
        /// The service's id.
        session: String,
        /// When the session was opened, or taken over, by the service's clock if
        /// it told the time, else by this host's.
        at: DateTime<Utc>,
    },
    /// The session was renewed.
    Renewed {
        /// When, by the service's clock if it told the time, else by this host's.
        at: DateTime<Utc>,
        /// How often so far.
        renewals: u32,
    },
    /// The blocks go to this place (never with its signature).
    Placed {
        /// Scheme, host, port and path.
        place: String,
    },
    /// The store holds exactly these blocks.
    Stored {
        /// All of them.
        blocks: Ledger,
    },
    /// The block list is, or is no longer, in place.
    Listed {
        /// Whether the store took it.
        done: bool,
    },
    /// This count of remaining blocks is about to be reported.
    Reported {
        /// The count.
        remaining: u32,
    },
    /// The service takes no more than this of a report.
    ReportsReduced {
        /// What it takes.
        reports: Reports,
    },
    /// Somebody asked for the commit of a tracked upload.
    CommitRequested,
    /// The commit is about to be sent.
    CommitIntended,
    /// The commit was taken.
    Committed {
        /// When this was known, by this host's clock.
        at: DateTime<Utc>,
    },
    /// The session was lost and is to be replaced.
    Lost {
        /// The number of the next session of this upload, from 1.
        epoch: u32,
    },
    /// The table is live at the service.
    Live,
    /// The upload is over but for telling the service.
    Ending {
        /// How it ended.
        outcome: Outcome,
    },
    /// The upload is over.
    Closed {
        /// How it ended.
        outcome: Outcome,
        /// When, by this host's clock.
        at: DateTime<Utc>,
    },
}

impl Record {
    /// Returns the name of its slot.
    pub const fn slot(&self) -> &'static str {
        match self {
            Self::GateHeld { .. } | Self::GateReleased { .. } => "gate",
            Self::CreateIntended => "create",
            Self::Opened { .. } => "opened",
            Self::Renewed { .. } => "renewed",
            Self::Placed { .. } => "placed",
            Self::Stored { .. } => "stored",
            Self::Listed { .. } => "listed",
            Self::Reported { .. } => "reported",
            Self::ReportsReduced { .. } => "reports",
            Self::CommitRequested => "commit-requested",
            Self::CommitIntended => "commit",
            Self::Committed { .. } => "committed",
            Self::Lost { .. } => "lost",
            Self::Live => "live",
            Self::Ending { .. } => "ending",
            Self::Closed { .. } => "closed",
        }
    }
}

/// How much of a progress report the service takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reports {
    /// Counts and state.
    #[default]
    Full,
    /// Counts alone: the state was refused.
    CountsOnly,
    /// Nothing: the counts were refused as well.
    Off,
}

/// The session an upload holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Held {
    /// The service's id.
    pub session: String,
    /// When it was opened or taken over, by this host's clock.
    pub opened: DateTime<Utc>,
    /// When it was last opened or renewed, by this host's clock.
    pub extended: DateTime<Utc>,
    /// How often it was renewed.
    pub renewals: u32,
}

/// What holds an upload before it has a session.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Gate {
    /// Why, one sentence each.
    pub reasons: Vec<String>,
    /// Since when, by this host's clock.
    pub since: DateTime<Utc>,
}

/// How far an upload has come.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Phase {
    /// A gate holds it: it asks for nothing until somebody releases it.
    Held,
    /// It has no session and has asked for none.
    #[default]
    Planned,
    /// A session was asked for; whether there is one is not known.
    Opening,
    /// The session is open and blocks are on their way.
    Uploading,
    /// The commit was sent, or is about to be.
    Committing,
    /// The service works on the blocks.
    Processing,
    /// The table is live; its canary row is being looked up.
    Checking,
    /// It is over but for telling the service.
    Ending(Outcome),
    /// It is over.
    Closed(Outcome),
}

/// The durable state of an upload.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Standing {
    /// How far it has come.
    pub phase: Phase,
    /// What holds it, until it is released; kept if it ends before that.
    pub gate: Option<Gate>,
    /// The session it holds.
    pub held: Option<Held>,
    /// How many sessions it lost: answers from an earlier one change nothing.
    pub epoch: u32,
    /// Where its blocks go.
    pub place: Option<String>,
    /// Which blocks the store holds.
    pub stored: Ledger,
    /// Whether the block list is in place.
    pub listed: bool,
    /// The lowest count of remaining blocks ever reported for this session.
    pub reported: Option<u32>,
    /// How much of a report the service takes.
    pub reports: Reports,
    /// Whether somebody asked for the commit.
    pub commit_requested: bool,
    /// Whether a commit may have been taken.
    pub commit_sent: bool,
    /// When the commit was known to be taken.
    pub committed: Option<DateTime<Utc>>,
    /// When it was closed.
    pub closed: Option<DateTime<Utc>>,
}

impl Standing {
    /// Changes durable state; the live path and replay both end here.
    pub fn apply(&mut self, record: &Record) {
        match record {
            Record::GateHeld { reasons, at } => {
                self.gate = Some(Gate { reasons: reasons.clone(), since: *at });
                self.phase = Phase::Held;
            }
            Record::GateReleased { .. } => {
                self.gate = None;
                self.phase = Phase::Planned;
            }
            Record::CreateIntended => self.phase = Phase::Opening,
            Record::Opened { session, at } => {
                self.held = Some(Held { session: session.clone(), opened: *at, extended: *at, renewals: 0 });
                self.phase = Phase::Uploading;
            }
            Record::Renewed { at, renewals } => {
                if let Some(held) = &mut self.held {
                    held.extended = *at;
                    held.renewals = *renewals;
                }
            }
            Record::Placed { place } => {
                self.place = Some(place.clone());
                // A commit of another place was not taken: its blocks go there anew.
                if self.phase == Phase::Committing {
                    self.commit_sent = false;
                    self.phase = Phase::Uploading;
                }
            }
            Record::Stored { blocks } => self.stored = blocks.clone(),
            Record::Listed { done } => self.listed = *done,
            Record::Reported { remaining } => self.reported = Some(*remaining),
            Record::ReportsReduced { reports } => self.reports = *reports,
            Record::CommitRequested => self.commit_requested = true,
            Record::CommitIntended => {
                self.commit_sent = true;
                self.phase = Phase::Committing;
            }
            Record::Committed { at } => {
                self.commit_sent = true;
                self.committed = Some(*at);
                self.phase = Phase::Processing;
            }
            Record::Lost { epoch } => {
                *self = Self {
                    epoch: *epoch,
                    reports: self.reports,
                    commit_requested: self.commit_requested,
                    ..Self::default()
                };
            }
            Record::Live => self.phase = Phase::Checking,
            Record::Ending { outcome } => self.phase = Phase::Ending(outcome.clone()),
            Record::Closed { outcome, at } => {
                self.closed = Some(*at);
                self.phase = Phase::Closed(outcome.clone());
            }
        }
    }
}
