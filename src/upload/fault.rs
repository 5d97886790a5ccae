//! What the machine can tell apart when something asked for did not happen.

use std::time::Duration;

/// Why the session service did not do what was asked, reduced to what decides
/// the next step. Adapters keep the whole story and log it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fault {
    /// No answer, or one that settles nothing (408, 429, 5xx, rubbish). The
    /// request may or may not have had its effect.
    Transient {
        /// How long the service asked to be left alone.
        retry_after: Option<Duration>,
    },
    /// The session or the data store does not exist (404, 410).
    Gone,
    /// The credential was refused (401). Whatever was asked says nothing of it:
    /// the same request passes once the credential is mended.
    Unauthorised,
    /// The credential lacks the permission for what was asked (403).
    NotPermitted,
    /// The data store has had its sessions for the day.
    Quota {
        /// How long the service asked to be left alone.
        retry_after: Option<Duration>,
    },
    /// What is there disagrees with what was asked (409, 412, 423).
    Conflict,
    /// A definite no for any other reason.
    Refused {
        /// The HTTP status it was refused with.
        status: u16,
    },
}

/// Why the blob store did not take or give something.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum BlobFault {
    /// No answer, or one that settles nothing.
    Transient {
        /// How long the store asked to be left alone.
        retry_after: Option<Duration>,
    },
    /// The upload URI was refused (401, 403): expired, or wrong from the start.
    Forbidden,
    /// The container or blob is not there (404).
    NotFound,
    /// The store does not know a block that the block list names.
    BlocksLost,
    /// The bundle on this host could not be read as its manifest says.
    Bundle,
    /// A definite no for any other reason.
    Refused {
        /// The HTTP status it was refused with.
        status: u16,
    },
}
