//! `[lease]` to `[quota]`: how tables are uploaded and followed.

use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Deserializer};

use crate::ground::units::{duration, optional_size, size};
use crate::table::layout::PREFERRED_BLOCK;

/// `[lease]`: how sessions are kept alive.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct LeaseSettings {
    /// How long a session is believed to live; the service does not say.
    #[serde(deserialize_with = "duration")]
    pub session_ttl: Duration,
    /// The part of a lease's life in which it is renewed.
    #[serde(deserialize_with = "window")]
    pub renew_window: [f64; 2],
    /// How much of a lease must remain for anything to be sent under it.
    #[serde(deserialize_with = "duration")]
    pub guard: Duration,
}

impl Default for LeaseSettings {
    fn default() -> Self {
        Self { session_ttl: Duration::from_secs(3_600), renew_window: [0.35, 0.60], guard: Duration::from_secs(30) }
    }
}

/// `[upload]`: how blocks travel.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct UploadSettings {
    /// How blocks travel; `auto` chooses by the upload URI.
    pub strategy: StrategySetting,
    /// What to do about a session that is gone.
    pub on_session_lost: OnSessionLost,
    /// Hosts an upload URI may name; empty: those of the cloud.
    pub allowed_hosts: Vec<String>,
    /// Whether the name of such a host may lead to a private address.
    pub allow_private_addresses: bool,
    /// The bytes a block of a table may have whose rows per block are not set.
    #[serde(deserialize_with = "size")]
    pub block_size: u64,
    /// The most memory blocks in flight may take, all uploads together.
    #[serde(deserialize_with = "size")]
    pub memory: u64,
    /// Blocks in flight at a time, all uploads together.
    pub concurrency: u32,
    /// How long one block may take.
    #[serde(deserialize_with = "duration")]
    pub block_timeout: Duration,
    /// How long a foreground command goes without progress before it gives up.
    #[serde(deserialize_with = "duration")]
    pub give_up_after: Duration,
    /// Whether an agent that starts again looks for the session it was opening
    /// when it stopped; one the journal knows is used again either way.
    pub resume_session: bool,
    /// Whether the store is asked what it holds before the commit, where it may be.
    pub verify_before_commit: bool,
}

impl Default for UploadSettings {
    fn default() -> Self {
        Self {
            strategy: StrategySetting::Auto,
            on_session_lost: OnSessionLost::Reopen,
            allowed_hosts: Vec::new(),
            allow_private_addresses: false,
            block_size: PREFERRED_BLOCK,
            memory: 256 << 20,
            concurrency: 8,
            block_timeout: Duration::from_secs(300),
            give_up_after: Duration::from_secs(1_800),
            resume_session: true,
            verify_before_commit: true,
        }
    }
}

/// How blocks travel, as the file says it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum StrategySetting {
    /// By the upload URI.
    Auto,
    /// Blocks of one blob and a block list.
    PutBlockList,
    /// Each block a blob.
    BlobPerBlock,
    /// One Put Blob.
    PutBlob,
    /// One PUT.
    PlainPut,
}

/// What to do about a session that is gone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum OnSessionLost {
    /// Open another, within the quota.
    Reopen,
    /// Fail the upload.
    Fail,
}

/// `[bundles]`: hashed tables on this host.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct BundleSettings {
    /// Where they are kept; empty: below `state_dir`.
    pub dir: PathBuf,
    /// The most a bundle may take; none: only the volume limits it.
    #[serde(deserialize_with = "optional_size")]
    pub max_bytes: Option<u64>,
    /// What must stay free on the volume.
    #[serde(deserialize_with = "size")]
    pub min_free: u64,
    /// How long the bundle of a failed upload is kept.
    #[serde(deserialize_with = "duration")]
    pub retain_failed: Duration,
    /// The keys that open sealed bundles; empty: none are taken.
    pub identity_file: PathBuf,
    /// Whose signatures count; empty: bundles need none.
    pub trusted_keys_file: PathBuf,
}

impl Default for BundleSettings {
    fn default() -> Self {
        Self {
            dir: PathBuf::new(),
            max_bytes: None,
            min_free: 1 << 30,
            retain_failed: Duration::from_secs(72 * 3_600),
            identity_file: PathBuf::new(),
            trusted_keys_file: PathBuf::new(),
        }
    }
}

/// `[journal]`: the account of every upload.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct JournalSettings {
    /// How long a closed upload is remembered.
    #[serde(deserialize_with = "duration")]
    pub retain: Duration,
}

impl Default for JournalSettings {
    fn default() -> Self {
        Self { retain: Duration::from_secs(90 * 86_400) }
    }
}

/// `[progress]`: what is reported to the service.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ProgressSettings {
    /// Whether progress is reported at all.
    pub report: bool,
    /// The shortest time between two reports.
    #[serde(deserialize_with = "duration")]
    pub min_interval: Duration,
    /// The word for a session whose blocks are on their way; empty: not sent.
    pub uploading_state: String,
    /// The word for a session whose blocks are all there; empty: not sent.
    pub uploaded_state: String,
}

impl Default for ProgressSettings {
    fn default() -> Self {
        Self {
            report: true,
            min_interval: Duration::from_secs(2),
            uploading_state: "UploadInProgress".to_owned(),
            uploaded_state: "UploadCompleted".to_owned(),
        }
    }
}

/// `[processing]`: how the service's work is followed.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ProcessingSettings {
    /// The first wait between two looks.
    #[serde(deserialize_with = "duration")]
    pub poll_min: Duration,
    /// The longest wait between two looks.
    #[serde(deserialize_with = "duration")]
    pub poll_max: Duration,
    /// How long it may take.
    #[serde(deserialize_with = "duration")]
    pub deadline: Duration,
    /// Words for a table that is live; case does not matter.
    pub success: Vec<String>,
    /// Words for a session that ended badly; case does not matter.
    pub failure: Vec<String>,
}

impl Default for ProcessingSettings {
    fn default() -> Self {
        let words = |words: &[&str]| words.iter().map(|&word| word.to_owned()).collect();
        Self {
            poll_min: Duration::from_secs(60),
            poll_max: Duration::from_secs(300),
            deadline: Duration::from_secs(86_400),
            success: words(&["Completed"]),
            failure: words(&["Failed", "Cancelled", "Canceled", "Expired", "Error"]),
        }
    }
}

/// `[quota]`: how many sessions a data store may have a day.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct QuotaSettings {
    /// The service's limit over a rolling day.
    pub sessions_per_day: u32,
    /// Sessions of it that only a person may use.
    pub reserved: u32,
    /// How long a throttled creation waits when the service names no time.
    #[serde(deserialize_with = "duration")]
    pub backoff: Duration,
}

impl Default for QuotaSettings {
    fn default() -> Self {
        Self { sessions_per_day: 5, reserved: 1, backoff: Duration::from_secs(6 * 3_600) }
    }
}

/// Reads exactly two numbers; left to itself, a third would be ignored.
fn window<'de, D: Deserializer<'de>>(input: D) -> Result<[f64; 2], D::Error> {
    let numbers = Vec::<f64>::deserialize(input)?;
    let length = numbers.len();
    numbers.try_into().map_err(|_| serde::de::Error::invalid_length(length, &"two numbers"))
}
