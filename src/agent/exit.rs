//! Exit codes, in the manner of `sysexits.h`: what a script may rely on.

use crate::adapters::bundle::{BundleError, ExitClass, HashError, SealedError};
use crate::ground::redact::redact;
use crate::ports::service::ServiceError;
use crate::upload::fault::Fault;

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

impl Exit {
    /// Returns what a code means, if it is one of ours.
    pub const fn of(code: u8) -> Option<Self> {
        match code {
            0 => Some(Self::Done),
            1 => Some(Self::Failed),
            2 => Some(Self::Usage),
            65 => Some(Self::BadData),
            69 => Some(Self::Unreachable),
            74 => Some(Self::LocalIo),
            75 => Some(Self::TryLater),
            77 => Some(Self::NotPermitted),
            78 => Some(Self::BadConfiguration),
            _ => None,
        }
    }
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
    /// Makes one. What looks like a secret is taken out of the message, which ends
    /// up in answers and on screens.
    pub fn new(exit: Exit, message: impl Into<String>) -> Self {
        Self { exit, message: redact(&message.into()).into_owned() }
    }
}

/// Says how a command should exit over a refusal of the service.
pub fn service_trouble(error: &ServiceError) -> Trouble {
    let exit = match error.fault {
        Fault::Transient { retry_after: None } => Exit::Unreachable,
        Fault::Transient { retry_after: Some(_) } | Fault::Quota { .. } => Exit::TryLater,
        Fault::Unauthorised | Fault::NotPermitted => Exit::NotPermitted,
        Fault::Gone | Fault::Conflict | Fault::Refused { .. } => Exit::Failed,
    };
    Trouble::new(exit, error.to_string())
}

/// Says how a command should exit over a table that cannot be hashed.
pub fn hash_trouble(table: &str, error: &HashError) -> Trouble {
    Trouble::new(exit_of(error.class()), format!("table {table}: {}", chain(error)))
}

/// Says how a command should exit over a bundle that cannot be used.
pub fn bundle_trouble(error: &BundleError) -> Trouble {
    Trouble::new(exit_of(error.class()), chain(error))
}

/// Says how a command should exit over a bundle that was handed over and is not
/// taken.
pub fn sealed_trouble(error: &SealedError) -> Trouble {
    Trouble::new(exit_of(error.class()), chain(error))
}

/// Writes an error and its causes as one sentence.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text = format!("{text}: {cause}");
        source = cause.source();
    }
    text
}

const fn exit_of(class: ExitClass) -> Exit {
    match class {
        ExitClass::BadData => Exit::BadData,
        ExitClass::LocalIo => Exit::LocalIo,
        ExitClass::TryLater => Exit::TryLater,
        ExitClass::Configuration => Exit::BadConfiguration,
    }
}
