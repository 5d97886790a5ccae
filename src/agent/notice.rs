//! What happens, told as it happens: the stream behind `events --follow`.

use std::sync::Arc;

use chrono::{DateTime, Utc};
use serde::Serialize;
use serde_json::Value;
use tokio::sync::broadcast;

/// Notices a slow listener may fall behind before it loses some.
const BACKLOG: usize = 4_096;

/// Something that happened. Carries no secret and no cell.
#[derive(Debug, Clone, Serialize)]
pub struct Notice {
    /// When.
    pub at: DateTime<Utc>,
    /// What: the name of the record's slot, or of another happening.
    pub event: String,
    /// The upload it is about, if about one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub upload: Option<String>,
    /// The table it is about, if about one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub table: Option<String>,
    /// The particulars.
    #[serde(skip_serializing_if = "Value::is_null")]
    pub detail: Value,
}

/// Tells notices to whoever listens.
#[derive(Clone)]
pub struct Notices(broadcast::Sender<Arc<Notice>>);

impl Notices {
    /// Makes a stream nobody listens to yet.
    pub fn new() -> Self {
        Self(broadcast::channel(BACKLOG).0)
    }

    /// Tells a notice; nobody listening is fine.
    pub fn tell(&self, notice: Notice) {
        // An error only says that nobody listens.
        let _ = self.0.send(Arc::new(notice));
    }

    /// Returns how many listen.
    pub fn listeners(&self) -> usize {
        self.0.receiver_count()
    }

    /// Listens from now on.
    pub fn listen(&self) -> broadcast::Receiver<Arc<Notice>> {
        self.0.subscribe()
    }
}

impl Default for Notices {
    fn default() -> Self {
        Self::new()
    }
}
