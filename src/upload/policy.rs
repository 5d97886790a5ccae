//! What the user decides about uploads, as the machine needs it.

use std::time::Duration;

/// The rules an upload keeps. One is made from the settings for each upload.
#[derive(Debug, Clone)]
pub struct Policy {
    /// How long a session is believed to live after it is opened or renewed.
    /// The service does not say; this is the configured guess, or what was
    /// learned of the data store.
    pub session_ttl: Duration,
    /// The part of a lease's life in which it is renewed: one draw in between.
    pub renew_window: [f64; 2],
    /// How much of a lease must remain for anything to be sent under it. An
    /// upper bound: short leases use 5 % of their life.
    pub guard: Duration,
    /// How the blocks travel; `None` chooses by the upload URI.
    pub strategy: Option<Strategy>,
    /// How many blocks of this upload may travel at a time.
    pub window: u32,
    /// Whether a session that is gone is replaced by a new one.
    pub reopen: bool,
    /// Whether the store is asked what it holds before the commit.
    pub verify_before_commit: bool,
    /// Whether an agent that starts again looks for the session it may have been
    /// opening when it stopped. A creation whose answer was lost is always
    /// looked for.
    pub resume_session: bool,
    /// Whether progress is reported at all.
    pub report: bool,
    /// The shortest time between two progress reports.
    pub report_interval: Duration,
    /// The word for a session whose blocks are on their way; empty: not sent.
    pub uploading_state: String,
    /// The word for a session whose blocks are all there; empty: not sent.
    pub uploaded_state: String,
    /// The service's words for a table that is live, in lower case.
    pub success: Vec<String>,
    /// The service's words for a session that ended badly, in lower case.
    pub failure: Vec<String>,
    /// The first wait between two looks at the processing.
    pub poll_min: Duration,
    /// The longest wait between two looks at the processing.
    pub poll_max: Duration,
    /// How long the processing may take.
    pub processing_deadline: Duration,
    /// How long a throttled creation waits when the service names no time.
    pub quota_backoff: Duration,
    /// The upload agent this host is registered as, if it is.
    pub upload_agent: Option<String>,
}

/// How blocks travel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Strategy {
    /// Blocks of one blob, then a block list that makes them the blob.
    BlockList,
    /// Each block a blob of its own.
    BlobPerBlock,
    /// All in one Put Blob.
    PutBlob,
    /// All in one PUT without any header of a blob store.
    PlainPut,
}

impl Strategy {
    /// Returns whether all blocks travel in one request.
    pub const fn is_whole(self) -> bool {
        matches!(self, Self::PutBlob | Self::PlainPut)
    }
}

impl Default for Policy {
    fn default() -> Self {
        let words = |words: &[&str]| words.iter().map(|&word| word.to_owned()).collect();
        Self {
            session_ttl: Duration::from_secs(3_600),
            renew_window: [0.35, 0.60],
            guard: Duration::from_secs(30),
            strategy: None,
            window: 8,
            reopen: true,
            verify_before_commit: true,
            resume_session: true,
            report: true,
            report_interval: Duration::from_secs(2),
            uploading_state: "UploadInProgress".to_owned(),
            uploaded_state: "UploadCompleted".to_owned(),
            success: words(&["completed"]),
            failure: words(&["failed", "cancelled", "canceled", "expired", "error"]),
            poll_min: Duration::from_secs(60),
            poll_max: Duration::from_secs(300),
            processing_deadline: Duration::from_secs(86_400),
            quota_backoff: Duration::from_secs(6 * 3_600),
            upload_agent: None,
        }
    }
}
