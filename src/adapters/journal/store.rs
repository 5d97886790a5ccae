//! The file: opening it, committing to it, emptying its log.
//!
//! Checkpoints are made here, one by one, and never by SQLite on its own: it
//! ignores their errors, and an fsync that failed in one would be followed by
//! another that succeeds and proves nothing.

use std::fs::File;
use std::io::{BufReader, ErrorKind};
use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::config::DbConfig;
use rusqlite::{Connection, OpenFlags, TransactionBehavior, params};

use super::header::{self, beside};
use super::load::{self, LoadError, Loaded};
use super::pending::Pending;
use super::trouble::{self, Trouble, corrupt, newer, refusal, volume};
use super::wal::{self, Tail};
use super::{backup, schema, sum};
use crate::ports::journal::JournalError;
use crate::upload::record::Record;

/// How many frames (pages of 4 KiB) the write-ahead log may hold before it is
/// emptied: 4 MiB, large enough to make checkpoints rare, small enough to be
/// replayed in milliseconds.
pub(super) const CHECKPOINT_FRAMES: i64 = 1_000;

/// How many pages SQLite keeps while the file is read from one end to the
/// other, which needs none twice: what reading takes stays with the process.
const READING_PAGES: i64 = 64;
/// How much it keeps from then on: SQLite's own default, 2,000 KiB.
const WRITING_PAGES: i64 = -2_000;

/// The open file. Dropping it neither checkpoints nor syncs, so after an fsync
/// that failed it can simply be dropped.
#[derive(Debug)]
pub(super) struct Store {
    connection: Connection,
    path: PathBuf,
}

impl Store {
    /// Opens a journal, or makes it, and reads everything.
    pub(super) fn open(path: &Path) -> Result<(Self, Loaded), JournalError> {
        let path = std::path::absolute(path).map_err(|error| volume(path, "find", &error))?;
        if !header::check(&path)? {
            backup::create(&path)?;
        }
        let torn = inspect_log(&path)?;
        let mut connection = connect(&path).map_err(|error| refusal(&error, &path))?;
        let version = schema::version(&connection).map_err(|error| refusal(&error, &path))?;
        if version > schema::VERSION {
            return Err(newer(&path, version));
        }
        load::check_pages(&connection).map_err(|error| unreadable(error, &path))?;
        let loaded = load::load(&connection, version).map_err(|error| unreadable(error, &path))?;
        prepare(&connection).map_err(|error| refusal(&error, &path))?;
        // SQLite syncs the directory of a new log too, but ignores an error.
        backup::sync_directory(&path).map_err(|error| volume(&path, "sync the directory of", &error))?;
        if version < schema::VERSION {
            let kept = backup::keep(&connection, &path, version, &loaded)?;
            schema::migrate(&mut connection, version).map_err(|error| refusal(&error, &path))?;
            tracing::info!(from = version, to = schema::VERSION, kept = %kept.display(), "migrated the journal");
        }
        if torn {
            tracing::warn!(
                journal = %path.display(),
                "dropped the unfinished last write of the journal, which was never announced: was there a power cut?"
            );
        }
        let store = Self { connection, path };
        // What came out of the log may never have been synced by the process
        // that wrote it; now it is, before anybody acts on it. A volume that is
        // full is no reason not to start.
        store.tidy(0).map_err(JournalError::Volume)?;
        Ok((store, loaded))
    }

    /// Writes all that waits in one transaction and returns once it is durable.
    /// Writing the same again changes nothing.
    pub(super) fn commit(&mut self, work: &Pending) -> Result<(), Trouble> {
        if work.changes() == 0 {
            return Ok(());
        }
        write(&mut self.connection, work).map_err(|error| Trouble::of(&error, &self.path))
    }

    /// Brings the log into the file and empties it, if it has grown to so many
    /// frames. Only an fsync that failed is trouble here, and its reason is
    /// returned: after anything else the log serves on and this is tried again.
    pub(super) fn tidy(&self, frames: i64) -> Result<(), String> {
        let grown = self.connection.query_row("PRAGMA wal_checkpoint(NOOP)", [], |row| row.get::<_, i64>(1));
        if grown.is_ok_and(|grown| grown < frames) {
            return Ok(());
        }
        let emptied = self.connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()));
        match emptied.map_err(|error| Trouble::of(&error, &self.path)) {
            Ok(()) | Err(Trouble::Passing(_)) => Ok(()),
            Err(Trouble::Lasting(reason)) => Err(reason),
        }
    }
}

/// Opens the file so that nothing is written yet: a newer journal stays as it
/// is, log and all.
fn connect(path: &Path) -> rusqlite::Result<Connection> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags)?;
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true)?;
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_TRUSTED_SCHEMA, false)?;
    connection.busy_timeout(Duration::ZERO)?;
    // Alone, the index of the log lives in memory and needs no file of its own.
    connection.pragma_update(None, "locking_mode", "EXCLUSIVE")?;
    connection.pragma_update(None, "cell_size_check", true)?;
    connection.pragma_update(None, "temp_store", "MEMORY")?;
    connection.pragma_update(None, "cache_size", READING_PAGES)?;
    connection.pragma_update(None, "foreign_keys", false)?;
    Ok(connection)
}

/// Makes the file ready to be written.
fn prepare(connection: &Connection) -> rusqlite::Result<()> {
    connection.query_row("PRAGMA journal_mode = WAL", [], |_| Ok(()))?;
    connection.pragma_update(None, "synchronous", "FULL")?;
    connection.pragma_update(None, "cache_size", WRITING_PAGES)?;
    connection.query_row("PRAGMA wal_autocheckpoint = 0", [], |_| Ok(()))
}

/// Returns whether the log's last write is torn.
fn inspect_log(path: &Path) -> Result<bool, JournalError> {
    let log = match File::open(beside(path, "-wal")) {
        Ok(log) => log,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(false),
        Err(error) => return Err(volume(path, "open the log of", &error)),
    };
    match wal::inspect(BufReader::new(log)).map_err(|error| volume(path, "read the log of", &error))? {
        Tail::Whole => Ok(false),
        Tail::Torn => Ok(true),
        Tail::Damaged { frame } => Err(corrupt(
            path,
            &format!("frame {frame} of its -wal file is damaged, and what was written after it would be lost"),
        )),
    }
}

fn unreadable(error: LoadError, path: &Path) -> JournalError {
    match error {
        LoadError::Sqlite(error) => trouble::refusal(&error, path),
        LoadError::Damaged(finding) => corrupt(path, &finding),
    }
}

fn write(connection: &mut Connection, work: &Pending) -> rusqlite::Result<()> {
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    if !work.entries.is_empty() {
        let mut begin = transaction.prepare(
            "INSERT INTO upload (id, begun, entry, sum) VALUES (?1, ?2, ?3, ?4)
             ON CONFLICT (id) DO UPDATE SET begun = ?2, entry = ?3, sum = ?4",
        )?;
        for (id, entry) in &work.entries {
            let (begun, body) = (entry.plan.begun.timestamp_micros(), json(entry));
            begin.execute(params![id.0, begun, body, sum::of_upload(&id.0, begun, &body)])?;
        }
    }
    if !work.records.is_empty() {
        // A record of an upload already forgotten has nothing to belong to.
        let mut note = transaction.prepare(
            "INSERT OR REPLACE INTO record (upload, slot, seq, body, sum)
             SELECT ?1, ?2, ?3, ?4, ?5 WHERE EXISTS (SELECT 1 FROM upload WHERE id = ?1)",
        )?;
        let mut close = transaction.prepare("UPDATE upload SET closed_at = ?2 WHERE id = ?1")?;
        for ((upload, slot), held) in &work.records {
            let body = json(&held.record);
            let known = note.execute(params![
                upload.0,
                slot,
                held.seq,
                body,
                sum::of_record(&upload.0, slot, held.seq, &body)
            ])?;
            if known == 0 {
                tracing::warn!(%upload, slot, "did not keep a record of an upload the journal has no entry for");
            }
            if let Record::Closed { at, .. } = &held.record {
                close.execute(params![upload.0, at.timestamp_micros()])?;
            }
        }
    }
    for (name, value) in &work.facts {
        match value.as_ref().map(json) {
            Some(value) => transaction.execute(
                "INSERT OR REPLACE INTO fact (name, value, sum) VALUES (?1, ?2, ?3)",
                params![name, value, sum::of_fact(name, &value)],
            )?,
            None => transaction.execute("DELETE FROM fact WHERE name = ?1", [name])?,
        };
    }
    if let Some(before) = work.forget_closed_before.map(|date| date.timestamp_micros()) {
        transaction
            .execute("DELETE FROM record WHERE upload IN (SELECT id FROM upload WHERE closed_at < ?1)", [before])?;
        transaction.execute("DELETE FROM upload WHERE closed_at < ?1", [before])?;
    }
    transaction.commit()
}

fn json(value: &impl serde::Serialize) -> String {
    serde_json::to_string(value).expect("entries, records and facts are plain data with text keys")
}
