//! Lookup: which rows of the live table hold some values.
//!
//! A table has no index here, it is read from disk each time: five million
//! rows of digests would be more than a gigabyte in memory.

use std::collections::HashSet;
use std::sync::Arc;

use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};

use super::text;
use crate::sandbox::mint::{hex, unhex};
use crate::sandbox::process::{self, Table};
use crate::sandbox::quirks::LookupTakes;
use crate::sandbox::reply::{Refusal, Reply};
use crate::sandbox::service::{Asked, Service};
use crate::table::block::CELL;

/// Values asked for at once.
const MOST_VALUES: usize = 100;

/// Rows answered at once.
const MOST_ROWS: usize = 1_000;

pub(super) async fn answer(service: &Arc<Service>, asked: &Asked, body: &Map<String, Value>) -> Result<Reply, Refusal> {
    if let Some(name) = body.keys().find(|name| !matches!(name.as_str(), "key" | "values" | "resultColumnNames")) {
        return Err(bad(format!("The parameter '{name}' does not exist.")));
    }
    let key = text(body, "key")?.to_owned();
    let values = texts(body, "values")?;
    let columns = texts(body, "resultColumnNames")?;
    if values.is_empty() || values.len() > MOST_VALUES {
        return Err(bad(format!("A lookup takes 1 to {MOST_VALUES} values.")));
    }
    let live = service.world().store(&asked.route.first)?.live.clone();
    let takes = service.settings.quirks.lookup_takes;
    let salt = live.as_ref().map_or("", |table| &table.salt);
    let wanted: HashSet<[u8; CELL]> =
        values.iter().map(|value| digest(value, salt, takes)).collect::<Result<_, _>>()?;
    let Some(table) = live.filter(|table| table.readable) else {
        return Ok(Reply::json(200, &json!({"value": []})));
    };
    let key = position(&table, &key)?;
    let columns = columns.iter().map(|name| position(&table, name)).collect::<Result<Vec<_>, _>>()?;
    let permit = Arc::clone(&service.heavy).acquire_owned().await;
    let service = Arc::clone(service);
    let search = tokio::task::spawn_blocking(move || {
        let _permit = permit;
        let mut rows = Vec::new();
        let found = process::scan(&table, &service.stopping, |row| {
            let cell = |at: usize| row.get(at * CELL..(at + 1) * CELL).unwrap_or_default();
            if <[u8; CELL]>::try_from(cell(key)).is_ok_and(|digest| wanted.contains(&digest)) {
                let cells: Vec<String> = columns.iter().map(|&at| hex(cell(at))).collect();
                rows.push(cells.join(","));
            }
            rows.len() < MOST_ROWS
        });
        found.map(|()| rows)
    });
    match search.await {
        Ok(Ok(rows)) => Ok(Reply::json(200, &json!({"value": rows}))),
        Ok(Err(failure)) => Err(Refusal::no(500, failure.code, failure.message)),
        Err(_) => Err(Refusal::no(503, "serviceNotAvailable", "The service is stopping.")),
    }
}

fn bad(message: impl Into<String>) -> Refusal {
    Refusal::breach(400, "BadRequest", message)
}

fn texts(body: &Map<String, Value>, name: &str) -> Result<Vec<String>, Refusal> {
    let items = body.get(name).and_then(Value::as_array);
    let texts = items.and_then(|items| items.iter().map(|item| item.as_str().map(str::to_owned)).collect());
    texts.ok_or_else(|| bad(format!("The parameter '{name}' is missing or is not a list of texts.")))
}

fn position(table: &Table, name: &str) -> Result<usize, Refusal> {
    let found = table.fields.iter().position(|field| field == name);
    found.ok_or_else(|| bad(format!("The table has no column '{name}'.")))
}

fn digest(value: &str, salt: &str, takes: LookupTakes) -> Result<[u8; CELL], Refusal> {
    match takes {
        LookupTakes::Clear => Ok(Sha256::new().chain_update(salt).chain_update(value).finalize().into()),
        LookupTakes::Hashes => unhex(value).ok_or_else(|| bad("A value is not a SHA-256 in lower-case hexadecimal.")),
    }
}
