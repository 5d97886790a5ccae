//! The schema, version by version.
//!
//! A released step never changes; a new version appends one. Files of every
//! released version are kept as fixtures and opened by the tests.

use rusqlite::{Connection, Transaction};

/// Marks the file as a journal of this agent: `EDMj`.
pub(super) const APPLICATION_ID: u32 = 0x4544_4D6A;

/// The version this build writes.
pub(super) const VERSION: u32 = STEPS.len() as u32;

/// Step *n* leads from version *n* to version *n + 1*; 0 is an empty file.
///
/// Times are microseconds since 1970, so that they compare as numbers. Tables
/// have no row id: then there is no second index that a check of the pages
/// would have to compare. `sum` is explained in the module of that name.
const STEPS: [&str; 2] = [
    "CREATE TABLE upload (
         id TEXT PRIMARY KEY,
         begun INTEGER NOT NULL,
         closed_at INTEGER,
         entry TEXT NOT NULL,
         sum INTEGER NOT NULL
     ) STRICT, WITHOUT ROWID;
     CREATE TABLE record (
         upload TEXT NOT NULL,
         slot TEXT NOT NULL,
         seq INTEGER NOT NULL,
         body TEXT NOT NULL,
         sum INTEGER NOT NULL,
         PRIMARY KEY (upload, slot)
     ) STRICT, WITHOUT ROWID;",
    "CREATE TABLE fact (
         name TEXT PRIMARY KEY,
         value TEXT NOT NULL,
         sum INTEGER NOT NULL
     ) STRICT, WITHOUT ROWID;",
];

/// Returns the version of an open file.
pub(super) fn version(connection: &Connection) -> rusqlite::Result<u32> {
    let stored: i32 = connection.query_row("PRAGMA user_version", [], |row| row.get(0))?;
    Ok(stored.cast_unsigned())
}

/// Leads a file from `from` to [`VERSION`] in one transaction: after a crash
/// it is wholly the one or wholly the other.
pub(super) fn migrate(connection: &mut Connection, from: u32) -> rusqlite::Result<()> {
    let transaction: Transaction<'_> = connection.transaction()?;
    for step in &STEPS[from as usize..] {
        transaction.execute_batch(step)?;
    }
    transaction.pragma_update(None, "application_id", APPLICATION_ID)?;
    transaction.pragma_update(None, "user_version", VERSION)?;
    transaction.commit()
}
