//! Reads everything, and refuses what it cannot vouch for.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use crc64fast_nvme::Digest;
use rusqlite::{Connection, Row, Rows};
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::sum;
use crate::ports::journal::{Account, CLOSED_KEPT, Entry, Memory};
use crate::upload::record::Record;

/// Why what stands in the file is not believed.
#[derive(Debug, thiserror::Error)]
pub(super) enum LoadError {
    /// SQLite would not read it.
    #[error(transparent)]
    Sqlite(#[from] rusqlite::Error),
    /// It reads, but not as it was written.
    #[error("{0}")]
    Damaged(String),
}

/// What was read.
#[derive(Debug, PartialEq)]
pub(super) struct Loaded {
    /// Everything it remembers.
    pub(super) memory: Memory,
    /// What the next record is to be numbered.
    pub(super) next_seq: i64,
    /// A sum over all rows of uploads and records, of which the memory does not
    /// hold all, so that two files that were read can be compared.
    rows: u64,
}

/// Checks the shape of all pages. Every table is its own only index, so the
/// quick check leaves nothing out.
pub(super) fn check_pages(connection: &Connection) -> Result<(), LoadError> {
    let finding: String = connection.query_row("PRAGMA quick_check(1)", [], |row| row.get(0))?;
    if finding == "ok" { Ok(()) } else { Err(LoadError::Damaged(format!("its pages are damaged: {finding}"))) }
}

/// Reads everything out of a file of a given version.
///
/// Both tables come in the order of their own keys, upload by upload: that costs
/// SQLite no sorting, and an upload that closed long ago is let go of before the
/// next one is read.
pub(super) fn load(connection: &Connection, version: u32) -> Result<Loaded, LoadError> {
    let mut uploads = connection.prepare("SELECT id, begun, closed_at, entry, sum FROM upload ORDER BY id")?;
    let mut records = connection.prepare("SELECT upload, slot, seq, body, sum FROM record ORDER BY upload, slot")?;
    let (mut uploads, mut records) = (uploads.query([])?, records.query([])?);
    let (mut kept, mut digest, mut next_seq) = (Kept::default(), Digest::new(), 1);
    let mut reading = next(&mut uploads, &mut digest)?;
    while let Some(row) = records.next()? {
        let (upload, slot, seq) = (text(row, 0)?, text(row, 1)?, row.get(2)?);
        let body = text(row, 3)?;
        let sum: i64 = row.get(4)?;
        let record: Record = parse(sum::of_record(upload, slot, seq, body) == sum, body, || {
            format!("record {slot} of upload {upload}")
        })?;
        while let Some(whole) = reading.take_if(|reading| *reading.id < *upload) {
            kept.add(whole.finish()?);
            reading = next(&mut uploads, &mut digest)?;
        }
        let Some(reading) = reading.as_mut().filter(|reading| reading.id == upload && record.slot() == slot) else {
            return Err(LoadError::Damaged(format!("record {slot} of upload {upload} is out of place")));
        };
        digest.write(&sum.to_le_bytes());
        reading.records.push((seq, record));
        next_seq = next_seq.max(seq + 1);
    }
    while let Some(whole) = reading {
        kept.add(whole.finish()?);
        reading = next(&mut uploads, &mut digest)?;
    }
    let facts = if version >= 2 { load_facts(connection)? } else { Vec::new() };
    Ok(Loaded { memory: kept.into_memory(facts), next_seq, rows: digest.sum64() })
}

/// An upload whose records are being read.
struct Reading {
    id: String,
    begun: i64,
    closed: Option<i64>,
    entry: Entry,
    records: Vec<(i64, Record)>,
}

/// Reads the next upload, without its records.
fn next(rows: &mut Rows<'_>, digest: &mut Digest) -> Result<Option<Reading>, LoadError> {
    let Some(row) = rows.next()? else { return Ok(None) };
    let (id, begun, closed, text): (_, _, Option<i64>, _) = (text(row, 0)?, row.get(1)?, row.get(2)?, text(row, 3)?);
    let sum: i64 = row.get(4)?;
    let entry = parse(sum::of_upload(id, begun, text) == sum, text, || format!("upload {id}"))?;
    // The sum of a row leaves out when the upload was closed.
    digest.write(&sum.to_le_bytes());
    digest.write(&closed.unwrap_or(i64::MIN).to_le_bytes());
    Ok(Some(Reading { id: id.to_owned(), begun, closed, entry, records: Vec::new() }))
}

impl Reading {
    /// Ends it: all its records were read.
    fn finish(self) -> Result<(Key, Account), LoadError> {
        let Self { id, begun, closed, entry, mut records } = self;
        records.sort_unstable_by_key(|&(seq, _)| seq);
        let account = Account { entry, records: records.into_iter().map(|(_, record)| record).collect() };
        if account.end().map(|(_, at)| at.timestamp_micros()) != closed {
            return Err(LoadError::Damaged(format!("upload {} is not closed as recorded", account.entry.plan.id)));
        }
        Ok(((begun, id), account))
    }
}

/// When an upload began, in microseconds since 1970, and its name.
type Key = (i64, String);

/// What is kept of what was read: uploads that go on, and the last that are over.
#[derive(Default)]
struct Kept {
    accounts: BTreeMap<Key, Account>,
    /// Which of them are over.
    closed: BTreeSet<Key>,
    spare_bundles: Vec<PathBuf>,
}

impl Kept {
    fn add(&mut self, (key, account): (Key, Account)) {
        if account.end().is_some() {
            self.closed.insert(key.clone());
        }
        self.accounts.insert(key, account);
        if self.closed.len() > CLOSED_KEPT
            && let Some(oldest) = self.closed.pop_first()
            && let Some(account) = self.accounts.remove(&oldest)
        {
            self.spare_bundles.extend(account.spare_bundle().map(Path::to_path_buf));
        }
    }

    fn into_memory(self, facts: Vec<(String, Value)>) -> Memory {
        Memory { accounts: self.accounts.into_values().collect(), spare_bundles: self.spare_bundles, facts }
    }
}

fn load_facts(connection: &Connection) -> Result<Vec<(String, Value)>, LoadError> {
    let mut facts = Vec::new();
    each(connection, "SELECT name, value, sum FROM fact ORDER BY name", |row| {
        let (name, value): (String, String) = (row.get(0)?, row.get(1)?);
        let whole = sum::of_fact(&name, &value) == row.get::<_, i64>(2)?;
        let value = parse(whole, &value, || format!("fact {name}"))?;
        facts.push((name, value));
        Ok(())
    })?;
    Ok(facts)
}

fn parse<T: DeserializeOwned>(whole: bool, text: &str, name: impl Fn() -> String) -> Result<T, LoadError> {
    if !whole {
        return Err(LoadError::Damaged(format!("{} does not match its checksum", name())));
    }
    serde_json::from_str(text).map_err(|error| LoadError::Damaged(format!("{} does not parse: {error}", name())))
}

/// Borrows a text of a row.
fn text<'r>(row: &'r Row<'_>, column: usize) -> Result<&'r str, LoadError> {
    Ok(row.get_ref(column)?.as_str().map_err(rusqlite::Error::from)?)
}

fn each(
    connection: &Connection,
    query: &str,
    mut take: impl FnMut(&Row<'_>) -> Result<(), LoadError>,
) -> Result<(), LoadError> {
    let mut statement = connection.prepare(query)?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        take(row)?;
    }
    Ok(())
}
