//! What a test may look at.

use std::io::{self, Read};

use chrono::{DateTime, Utc};

use super::Sandbox;
use super::depot::PartReader;
use super::process::Seal;
use super::session::{Phase, Session, Tally};

/// A session as it stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SessionSnapshot {
    /// Its id.
    pub id: String,
    /// The id of its data store.
    pub store: String,
    /// Where it stands.
    pub phase: Phase,
    /// The word for that.
    pub state: String,
    /// The name of the hashed file.
    pub file_name: String,
    /// The checksum the client gave.
    pub checksum: Option<String>,
    /// Blocks of the upload.
    pub total_blocks: Option<u32>,
    /// Blocks still to be uploaded, as reported last.
    pub remaining_blocks: Option<u32>,
    /// When it is gone unless renewed.
    pub ends: DateTime<Utc>,
    /// When it was committed.
    pub committed_at: Option<DateTime<Utc>>,
    /// What has been done to it.
    pub tally: Tally,
    /// What the committed bytes are, once they were examined and are good.
    pub seal: Option<Seal>,
    /// Why it failed.
    pub error: Option<String>,
}

/// A data store as it stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoreSnapshot {
    /// Its id.
    pub id: String,
    /// The name people use.
    pub display_name: String,
    /// The session whose table is live.
    pub live_session: Option<String>,
    /// Since when.
    pub live_since: Option<DateTime<Utc>>,
    /// Sessions opened in the last 24 hours.
    pub opened_today: usize,
}

impl Sandbox {
    /// Returns a session as it stands, also one a client no longer sees.
    pub fn session(&self, id: &str) -> Option<SessionSnapshot> {
        let world = self.service.world();
        world.sessions.get(id).map(|session| self.snapshot(session))
    }

    /// Returns all sessions, also those a client no longer sees, oldest first.
    pub fn sessions(&self) -> Vec<SessionSnapshot> {
        let world = self.service.world();
        let mut sessions: Vec<_> = world.sessions.values().collect();
        sessions.sort_by_key(|session| session.number);
        sessions.into_iter().map(|session| self.snapshot(session)).collect()
    }

    /// Returns the data stores as they stand.
    pub fn stores(&self) -> Vec<StoreSnapshot> {
        let world = self.service.world();
        let snapshot = |(id, store): (&String, &super::world::Store)| StoreSnapshot {
            id: id.clone(),
            display_name: store.properties["displayName"].as_str().unwrap_or_default().to_owned(),
            live_session: store.live.as_ref().map(|table| table.session.clone()),
            live_since: store.live.as_ref().map(|table| table.since),
            opened_today: store.opened.len(),
        };
        world.stores.iter().map(snapshot).collect()
    }

    /// Returns the bytes of a data store's live table, for small ones.
    ///
    /// # Errors
    ///
    /// If they cannot be read from disk.
    pub fn live_bytes(&self, store: &str) -> io::Result<Vec<u8>> {
        let table = self.service.world().stores.get(store).and_then(|store| store.live.clone());
        let mut bytes = Vec::new();
        if let Some(table) = table {
            PartReader::new(&table.parts).read_to_end(&mut bytes)?;
        }
        Ok(bytes)
    }

    fn snapshot(&self, session: &Session) -> SessionSnapshot {
        SessionSnapshot {
            id: session.id.clone(),
            store: session.store.clone(),
            phase: session.phase.clone(),
            state: session.state(&self.service.settings.quirks).to_owned(),
            file_name: session.said_text("fileName").unwrap_or_default().to_owned(),
            checksum: session.said_text("checksum").map(str::to_owned),
            total_blocks: session.total,
            remaining_blocks: session.remaining,
            ends: session.ends,
            committed_at: session.committed_at,
            tally: session.tally.clone(),
            seal: session.verdict.clone().and_then(Result::ok),
            error: session.error.as_ref().map(ToString::to_string),
        }
    }
}
