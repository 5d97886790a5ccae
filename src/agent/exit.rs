//! Exit codes, in the manner of `sysexits.h`: what a script may rely on.

/// Why a command ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    /// Done.
    Done = 0,
    /// The upload failed.
    Failed = 1,
    /// The command line is wrong.
    Usage = 2,
    /// The table, its schema or its bundle is bad.
    BadData = 65,
    /// The service cannot be reached.
    Unreachable = 69,
    /// This host's disk or another local part failed.
    LocalIo = 74,
    /// Not now: the quota is used up, or another agent is at work.
    TryLater = 75,
    /// The credential was refused or lacks a permission.
    NotPermitted = 77,
    /// The configuration is wrong.
    BadConfiguration = 78,
}

/// A command that could not be done: what to say, and how to exit.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{message}")]
pub struct Trouble {
    /// How to exit.
    pub exit: Exit,
    /// What to say: the step, the thing, what to do next.
    pub message: String,
}

impl Trouble {
    /// Makes one.
    pub fn new(exit: Exit, message: impl Into<String>) -> Self {
        Self { exit, message: message.into() }
    }
}
