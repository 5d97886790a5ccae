//! Reads everything, and refuses what it cannot vouch for.

use std::collections::HashMap;

use chrono::{DateTime, Utc};
use rusqlite::{Connection, Row};
use serde::de::DeserializeOwned;

use super::sum;
use crate::ports::journal::{Account, Entry, Memory};
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
}

/// Checks the shape of all pages. Every table is its own only index, so the
/// quick check leaves nothing out.
pub(super) fn check_pages(connection: &Connection) -> Result<(), LoadError> {
    let finding: String = connection.query_row("PRAGMA quick_check(1)", [], |row| row.get(0))?;
    if finding == "ok" { Ok(()) } else { Err(LoadError::Damaged(format!("its pages are damaged: {finding}"))) }
}

/// Reads everything out of a file of a given version.
pub(super) fn load(connection: &Connection, version: u32) -> Result<Loaded, LoadError> {
    let mut accounts: Vec<Account> = Vec::new();
    let mut closed: Vec<Option<i64>> = Vec::new();
    let mut places: HashMap<String, usize> = HashMap::new();
    each(connection, "SELECT id, begun, closed_at, entry, sum FROM upload ORDER BY begun, id", |row| {
        let (id, begun, entry): (String, i64, String) = (row.get(0)?, row.get(1)?, row.get(3)?);
        let whole = sum::of_upload(&id, begun, &entry) == row.get::<_, i64>(4)?;
        let entry: Entry = parse(whole, &entry, || format!("upload {id}"))?;
        closed.push(row.get(2)?);
        places.insert(id, accounts.len());
        accounts.push(Account { entry, records: Vec::new() });
        Ok(())
    })?;

    // In the order of the table's own key, which costs SQLite no sorting: of ten
    // thousand uploads that is more work than all the rest.
    let mut next_seq = 1;
    let mut records: Vec<Vec<(i64, Record)>> = accounts.iter().map(|_| Vec::new()).collect();
    each(connection, "SELECT upload, slot, seq, body, sum FROM record", |row| {
        let (upload, slot, seq) = (text(row, 0)?, text(row, 1)?, row.get(2)?);
        let body = text(row, 3)?;
        let whole = sum::of_record(upload, slot, seq, body) == row.get::<_, i64>(4)?;
        let record: Record = parse(whole, body, || format!("record {slot} of upload {upload}"))?;
        let Some(&place) = places.get(upload).filter(|_| record.slot() == slot) else {
            return Err(LoadError::Damaged(format!("record {slot} of upload {upload} is out of place")));
        };
        records[place].push((seq, record));
        next_seq = next_seq.max(seq + 1);
        Ok(())
    })?;
    for (account, mut records) in accounts.iter_mut().zip(records) {
        records.sort_unstable_by_key(|&(seq, _)| seq);
        account.records = records.into_iter().map(|(_, record)| record).collect();
    }

    for (account, closed) in accounts.iter().zip(closed) {
        if closing(&account.records).map(|at| at.timestamp_micros()) != closed {
            return Err(LoadError::Damaged(format!("upload {} is not closed as recorded", account.entry.plan.id)));
        }
    }
    let facts = if version >= 2 { load_facts(connection)? } else { Vec::new() };
    Ok(Loaded { memory: Memory { accounts, facts }, next_seq })
}

fn load_facts(connection: &Connection) -> Result<Vec<(String, serde_json::Value)>, LoadError> {
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

fn closing(records: &[Record]) -> Option<DateTime<Utc>> {
    records.iter().find_map(|record| if let Record::Closed { at, .. } = record { Some(*at) } else { None })
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
