//! What others may see of an upload.

use std::time::Duration;

use serde::Serialize;

use super::Upload;
use crate::ground::moment::Moment;
use crate::upload::fault::Fault;
use crate::upload::lease::Lease;
use crate::upload::ledger::Ledger;
use crate::upload::outcome::Outcome;
use crate::upload::plan::Plan;
use crate::upload::record::{Phase, Standing};
use crate::upload::uri::UploadUri;

/// Why nothing moves.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Waiting {
    /// The service does not answer, or not usefully.
    Service,
    /// The service asked to be left alone.
    Throttled,
    /// The data store has had its sessions for the day.
    Quota,
    /// The credential was refused or lacks a permission.
    Permission,
    /// The blob store does not answer, or not usefully.
    Store,
}

impl Waiting {
    /// Returns what a fault makes an upload wait for, if for anything.
    pub const fn of(fault: &Fault) -> Option<Self> {
        match fault {
            Fault::Transient { retry_after: Some(_) } => Some(Self::Throttled),
            Fault::Transient { retry_after: None } => Some(Self::Service),
            Fault::Quota { .. } => Some(Self::Quota),
            Fault::Unauthorised | Fault::NotPermitted => Some(Self::Permission),
            Fault::Gone | Fault::Conflict | Fault::Refused { .. } => None,
        }
    }
}

/// How far an upload has come, in numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Progress {
    /// Blocks the store holds.
    pub stored: u32,
    /// Blocks of the upload.
    pub total: u32,
    /// Processing jobs left and in all, once the service says.
    pub jobs: Option<(u32, u32)>,
}

/// Why progress of another uploader is not taken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ProgressRefused {
    /// The upload is this agent's own.
    #[error("this agent sends the blocks of the upload itself: it takes no progress from outside")]
    Owned,
    /// The upload is past the sending of blocks.
    #[error("the upload takes no more progress: its blocks were handed over, or it ended")]
    Over,
    /// The total would change.
    #[error("the upload has {ours} blocks and cannot have {theirs}: cancel it and track a new session")]
    TotalChanged {
        /// What it has.
        ours: u32,
        /// What was said.
        theirs: u32,
    },
    /// A block that was stored would not be.
    #[error("the count of stored blocks may only grow: {stored} were said to be stored before")]
    Shrunk {
        /// Blocks stored before.
        stored: u32,
    },
    /// A block that does not exist.
    #[error("there is no block {block}: the upload has {total}, counted from 0")]
    NoSuchBlock {
        /// The block.
        block: u32,
        /// Blocks there are.
        total: u32,
    },
}

impl Upload {
    /// Returns what it is to do.
    pub const fn plan(&self) -> &Plan {
        &self.plan
    }

    /// Returns its durable state.
    pub const fn standing(&self) -> &Standing {
        &self.standing
    }

    /// Returns the lease of its session.
    pub const fn lease(&self) -> Option<&Lease> {
        self.lease.as_ref()
    }

    /// Returns the current upload URI and its number.
    pub fn uri(&self) -> Option<(&UploadUri, u32)> {
        self.uri.as_ref().map(|uri| (uri, self.uri_number))
    }

    /// Returns how it ended, if it did.
    pub const fn outcome(&self) -> Option<&Outcome> {
        match &self.standing.phase {
            Phase::Closed(outcome) => Some(outcome),
            Phase::Held
            | Phase::Planned
            | Phase::Opening
            | Phase::Uploading
            | Phase::Committing
            | Phase::Processing
            | Phase::Checking
            | Phase::Ending(_) => None,
        }
    }

    /// Returns why nothing moves, if something is in the way.
    pub const fn waiting(&self) -> Option<Waiting> {
        self.waiting
    }

    /// Returns how long it has been without progress.
    pub const fn stuck_for(&self, now: Moment) -> Duration {
        now.since(self.progressed)
    }

    /// Returns how far it has come.
    pub fn progress(&self) -> Progress {
        Progress { stored: self.standing.stored.count(), total: self.plan.total_blocks, jobs: self.seen.jobs }
    }

    /// Returns the service's last word for where the session stands.
    pub fn state(&self) -> &str {
        &self.seen.state
    }

    /// Returns what the service said went wrong, whole.
    pub fn service_error(&self) -> Option<&str> {
        self.seen.error.as_deref()
    }

    /// Returns whether nothing is under way that is better finished than cut
    /// off: blocks, their list, reports, creations and commits.
    pub fn is_settled(&self) -> bool {
        let asked = &self.asked;
        let busy = asked.create
            || asked.report.is_some()
            || asked.whole
            || asked.list.is_some()
            || asked.commit
            || asked.abort;
        !busy && asked.blocks.is_empty()
    }

    /// Returns whether it may have a session that it does not know of: one was
    /// asked for, and what became of it is still to be found out.
    pub fn may_have_session(&self) -> bool {
        self.standing.phase == Phase::Opening && self.doubt.session > 0 && !self.asked.create
    }

    /// Returns how often the upload URI changed since this agent took the
    /// upload up.
    pub const fn uri_changes(&self) -> u32 {
        self.uri_number.saturating_sub(1)
    }

    /// Returns why the session's upload URI is not used, if it is not.
    pub fn uri_refusal(&self) -> Option<&str> {
        self.uri_refused.as_deref()
    }

    /// Checks what another uploader says of a tracked upload.
    ///
    /// # Errors
    ///
    /// Says which rule it breaks.
    pub fn check_progress(&self, total: u32, stored: &Ledger) -> Result<(), ProgressRefused> {
        let ours = self.plan.total_blocks;
        if self.plan.is_owned() {
            return Err(ProgressRefused::Owned);
        }
        if !matches!(self.standing.phase, Phase::Planned | Phase::Opening | Phase::Uploading) {
            return Err(ProgressRefused::Over);
        }
        if total != ours {
            return Err(ProgressRefused::TotalChanged { ours, theirs: total });
        }
        if let Some(&(_, block)) = stored.ranges().last()
            && block >= ours
        {
            return Err(ProgressRefused::NoSuchBlock { block, total: ours });
        }
        if !stored.covers(&self.standing.stored) {
            return Err(ProgressRefused::Shrunk { stored: self.standing.stored.count() });
        }
        Ok(())
    }
}
