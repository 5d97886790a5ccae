//! The journal in SQLite: one file, one writer thread, group commit.
//!
//! [`SqliteJournal::open`] checks the file, brings its schema up to date, reads
//! everything, and starts the writer. From then on nobody waits for the disk:
//! [`Journal::write`] puts a batch into what waits and returns, and the writer
//! commits all that waits in one transaction, so a slow disk makes commits
//! larger and never callers slower. Why SQLite, and why one row for each slot,
//! is in `docs/decisions/0002-journal-in-sqlite.md`.
//!
//! # Crash consistency
//!
//! - A batch is wholly there after a crash or not at all, and a later one is
//!   never there without an earlier one.
//! - [`JournalNews::Durable`] is said after the fsync that made it so.
//! - A torn last write (power cut) is dropped with one warning: it was never
//!   announced. Damage anywhere else refuses to open; nothing is skipped.
//! - After an fsync that failed nothing is written or synced again: the kernel
//!   may have dropped the pages, and a second fsync would claim success.
//!
//! # Limits
//!
//! What waits holds at most one record for each slot of each upload; retries
//! wait at most `writer::RETRY_CAP`; closing waits at most [`CLOSE_LIMIT`]; the
//! write-ahead log is emptied at `store::CHECKPOINT_FRAMES`.

mod backup;
mod header;
mod load;
mod pending;
mod schema;
mod store;
mod sum;
mod trouble;
mod wal;
mod writer;

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use self::store::Store;
use self::writer::{Shared, Writer};
use crate::ports::journal::{Batch, Journal, JournalError, JournalNews, Memory, Pulse, Sign};

/// How long closing waits for what still waits to be written. A disk that
/// takes longer hangs; the stop of the service must not hang with it.
pub const CLOSE_LIMIT: Duration = Duration::from_secs(10);

/// The journal of one state directory.
///
/// Two agents are kept apart by the lock of the state directory; the file's
/// own exclusive lock is a second line. Dropping it closes it.
#[derive(Debug)]
pub struct SqliteJournal {
    shared: Arc<Shared>,
}

impl SqliteJournal {
    /// Opens the journal at `path`, makes it if it is missing, and returns it
    /// with everything it remembers. `news` is called on the writer's thread
    /// and must not block.
    ///
    /// # Errors
    ///
    /// `Newer` and `Corrupt` leave every file as it was. A full volume is no
    /// error, unless the journal is to be made or migrated: what it holds can
    /// be read, and writing resumes when space returns.
    pub fn open(path: &Path, news: Box<dyn Fn(JournalNews) + Send>) -> Result<(Self, Memory), JournalError> {
        let (store, loaded) = Store::open(path)?;
        let shared = Arc::new(Shared::counting_from(loaded.next_seq));
        let writer = Writer::new(store, Arc::clone(&shared), news);
        std::thread::Builder::new()
            .name("journal".to_owned())
            .spawn(move || writer.run())
            .map_err(|error| JournalError::Volume(format!("start the journal's thread: {error}")))?;
        Ok((Self { shared }, loaded.memory))
    }

    /// Returns how many changes are not durable yet; for metrics, and to see
    /// that it stays bounded.
    pub fn backlog(&self) -> usize {
        self.shared.backlog()
    }

    /// Writes what waits, within [`CLOSE_LIMIT`], and stops the writer.
    /// Returns whether everything ever taken is durable. What is written after
    /// this is not taken.
    pub fn close(&self) -> bool {
        self.shared.close(CLOSE_LIMIT)
    }
}

impl Journal for SqliteJournal {
    fn write(&self, batch: Batch) {
        self.shared.add(batch);
    }
}

impl Pulse for SqliteJournal {
    fn knock(&self) {
        self.shared.knock();
    }

    fn sign(&self) -> Sign {
        self.shared.sign()
    }
}

impl Drop for SqliteJournal {
    fn drop(&mut self) {
        self.close();
    }
}
