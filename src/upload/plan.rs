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

    /// Returns whether a text is an id as [`UploadId::new`] makes them.
    pub fn is_one(text: &str) -> bool {
        let Some((begun, chance)) = text.split_once('-') else { return false };
        let is_date = begun.len() == 15
            && begun.char_indices().all(|(at, letter)| if at == 8 { letter == 'T' } else { letter.is_ascii_digit() });
        is_date && chance.len() == 8 && chance.bytes().all(|byte| byte.is_ascii_hexdigit())
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

    /// Returns the upload of a table that a file name was made for, if one was.
    pub fn upload_of(table: &str, file_name: &str) -> Option<UploadId> {
        let id = file_name.strip_prefix(table)?.strip_prefix('-')?.strip_suffix(".EdmHash")?;
        UploadId::is_one(id).then(|| UploadId(id.to_owned()))
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
