//! What an upload is to do, fixed when it begins.

use std::fmt;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

/// Names one upload on this host: a short text, unique and sortable by time.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct UploadId(pub String);

impl UploadId {
    /// Makes an id of the time it begins and some chance: the time first, so
    /// that ids sort as they began.
    pub fn new(begun: DateTime<Utc>, chance: u64) -> Self {
        Self(format!("{}-{:08x}", begun.format("%Y%m%dT%H%M%S"), chance & 0xFFFF_FFFF))
    }
}

impl fmt::Display for UploadId {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&self.0)
    }
}

/// Who sends the blocks.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Sender {
    /// This agent, from a bundle.
    Owned,
    /// Another uploader; the agent keeps the session. With an id the session
    /// exists already, without one it is opened.
    Tracked {
        /// The session to take over.
        session: Option<String>,
    },
}

/// What an upload is to do.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Plan {
    /// Its own name.
    pub id: UploadId,
    /// The table it is of; for tracked uploads the data store again.
    pub table: String,
    /// The id of the data store.
    pub store: String,
    /// The file name the session carries. It is unique to this upload, so a
    /// session whose creation was lost in doubt can be found again.
    pub file_name: String,
    /// Who sends the blocks.
    pub sender: Sender,
    /// How many blocks there are.
    pub total_blocks: u32,
    /// Whether a canary row is looked up once the table is live.
    pub canary: bool,
    /// The seed of every draw of this upload.
    pub seed: u64,
    /// When it began.
    pub begun: DateTime<Utc>,
}

impl Plan {
    /// Returns the file name for an upload of a table.
    pub fn file_name(table: &str, id: &UploadId) -> String {
        format!("{table}-{id}.EdmHash")
    }

    /// Returns whether this agent opens the session itself.
    pub fn is_opened_here(&self) -> bool {
        !matches!(self.sender, Sender::Tracked { session: Some(_) })
    }

    /// Returns whether this agent sends the blocks.
    pub fn is_owned(&self) -> bool {
        self.sender == Sender::Owned
    }
}
