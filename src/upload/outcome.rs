//! How an upload ended.

use serde::{Deserialize, Serialize};

/// The end of an upload.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "result", content = "reason", rename_all = "snake_case")]
pub enum Outcome {
    /// The table is live.
    Completed,
    /// Somebody asked for it to end.
    Cancelled,
    /// Newer content of its table took its place before it had a session.
    Replaced,
    /// It could not be done.
    Failed(Failure),
}

impl Outcome {
    /// Returns whether nobody has a use any more for the bundle of an upload
    /// that ended so: its table is live, or a gate held it and it was dropped.
    pub const fn spares_bundle(&self, was_held: bool) -> bool {
        match self {
            Self::Completed | Self::Replaced => true,
            Self::Cancelled => was_held,
            Self::Failed(_) => false,
        }
    }
}

/// Why an upload could not be done. Each says what to do next.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Failure {
    /// The session is gone and was not to be replaced.
    #[error("the session is gone at the service: start the upload again, it takes another session of the day's quota")]
    SessionGone,
    /// The session ended at the service before the table was live.
    #[error("the service ended the session with state `{state}`{error}: {next}")]
    SessionEnded {
        /// The service's word.
        state: String,
        /// The service's whole account, led by a colon, or nothing.
        error: String,
        /// What to do.
        next: String,
    },
    /// Three fresh upload URIs in a row were refused.
    #[error(
        "the blob store refused three fresh upload URIs in a row: check this host's clock, and that its address may reach the store"
    )]
    UploadRefused,
    /// The upload URI of the session is not one to send to.
    #[error("{detail}")]
    UriRefused {
        /// What is wrong with it.
        detail: String,
    },
    /// The blob store refused a block for a reason that sending again does not mend.
    #[error("the blob store refused a block with status {status} again and again: see the log for its error code")]
    BlockRefused {
        /// The last status.
        status: u16,
    },
    /// The store keeps losing blocks it had taken.
    #[error("the blob store lost blocks it had taken, repeatedly: start the upload again")]
    BlocksLost,
    /// The bundle does not read as its manifest says.
    #[error("the bundle on this host is damaged or gone: hash the table again")]
    BundleDamaged,
    /// The service would not open a session.
    #[error("the service refused to open a session with status {status}: see the log for its answer")]
    CreateRefused {
        /// The status.
        status: u16,
    },
    /// The data store does not exist.
    #[error("the data store does not exist at the service: check its name; a new schema takes up to an hour to appear")]
    StoreMissing,
    /// The session belongs to another upload agent.
    #[error("the session belongs to the upload agent {agent}, not to this one: is the state directory a copy?")]
    ForeignSession {
        /// The other agent's id.
        agent: String,
    },
    /// The service counts other blocks than the bundle has.
    #[error("the service counts {theirs} blocks where the bundle has {ours}: start the upload again")]
    CountsDisagree {
        /// Blocks of the bundle.
        ours: u32,
        /// Blocks by the service.
        theirs: u32,
    },
    /// The service would not take the commit.
    #[error("the service refused the commit: see the log for its answer")]
    CommitRefused,
    /// Nobody can say whether the commit was taken.
    #[error("the session was gone after the commit was sent: look the table up to see whether it is live")]
    CommitUnconfirmed,
    /// The processing took longer than `processing.deadline`.
    #[error("the service was still processing at the deadline, in state `{state}`: it may yet complete")]
    ProcessingDeadline {
        /// The service's last word.
        state: String,
    },
    /// The table is live but its canary row is not found.
    #[error("the table is live but its canary row is not found: do the hashes match what the service expects?")]
    CanaryMissing,
}
