//! `lookup`: are these values in the live table?
//!
//! Values come from stdin, never from the command line, which other users of
//! the host can read. They are normalised and hashed here, under the salt of
//! the live table, and only the hashes are sent.

use std::io::BufRead;
use std::sync::Arc;

use serde_json::json;

use super::args::LookupArguments;
use super::output::{say, say_json};
use crate::adapters::bundle::{self, Bundle};
use crate::adapters::clock::SystemClock;
use crate::agent::exit::{Exit, Trouble};
use crate::agent::exit::{bundle_trouble, hash_trouble, service_trouble};
use crate::agent::perform::hash_values;
use crate::agent::settings::{Settings, TableSettings};
use crate::agent::tables::{find_store, read_schema, salt_source, schema_of};
use crate::agent::{outside, sign_in};
use crate::ports::clock::Clock;
use crate::ports::contract::DataStore;
use crate::ports::service::{LookupQuery, SessionService};
use crate::table::digest::CellDigest;
use crate::table::salt::Salt;

/// Values asked for at a time.
const VALUES: usize = 100;

pub(crate) async fn lookup(settings: &Settings, arguments: &LookupArguments, json: bool) -> Result<Exit, Trouble> {
    let table = settings.find_table(&arguments.table).ok_or_else(|| {
        Trouble::new(
            Exit::BadConfiguration,
            format!("find table {} in the configuration: it has none", arguments.table),
        )
    })?;
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let service = outside::service(settings, &sign_in::tokens(settings, &clock)?, &clock)?;
    let store = find_store(service.as_ref(), &table.data_store).await?;
    let values = read_values()?;
    let keys = match arguments.send_clear_text {
        true => values.iter().map(|value| String::from_utf8_lossy(value).into_owned()).collect(),
        false => hashed(table, &store, service.as_ref(), arguments, &values).await?,
    };
    let mut found = Vec::new();
    for key in keys {
        let query = LookupQuery {
            key: arguments.column.clone(),
            values: vec![key],
            result_columns: vec![arguments.column.clone()],
        };
        let rows = service.lookup(&store.id, query).await.map_err(|error| service_trouble(&error))?.value;
        found.push(rows.len());
    }
    // A value is named by its place on stdin: it is not repeated on stdout.
    for (line, rows) in found.iter().enumerate() {
        if json {
            say_json(&json!({ "line": line + 1, "found": *rows > 0, "rows": rows }));
        } else {
            let verdict = if *rows > 0 { format!("found in {rows} rows") } else { "not found".to_owned() };
            say(&format!("line {}: {verdict}", line + 1));
        }
    }
    Ok(Exit::Done)
}

fn read_values() -> Result<Vec<Vec<u8>>, Trouble> {
    let mut values = Vec::new();
    for line in std::io::stdin().lock().split(b'\n') {
        let mut line =
            line.map_err(|error| Trouble::new(Exit::LocalIo, format!("read the values from stdin: {error}")))?;
        if line.last() == Some(&b'\r') {
            line.pop();
        }
        if !line.is_empty() {
            values.push(line);
        }
        if values.len() > VALUES {
            return Err(Trouble::new(Exit::Usage, format!("read the values from stdin: at most {VALUES} at a time")));
        }
    }
    if values.is_empty() {
        return Err(Trouble::new(Exit::Usage, "read the values from stdin: there are none; write one on each line"));
    }
    Ok(values)
}

async fn hashed(
    table: &TableSettings,
    store: &DataStore,
    service: &dyn SessionService,
    arguments: &LookupArguments,
    values: &[Vec<u8>],
) -> Result<Vec<String>, Trouble> {
    let schema = match table.schema.as_str() {
        "service" => schema_of(store)?,
        path => read_schema(std::path::Path::new(path))?,
    };
    let field = schema.fields().iter().find(|field| field.name == arguments.column).ok_or_else(|| {
        let names = schema.names().join(", ");
        Trouble::new(Exit::Usage, format!("look up column {}: the table has {names}", arguments.column))
    })?;
    let bundle = arguments.bundle.as_deref().map(Bundle::open).transpose().map_err(|error| bundle_trouble(&error))?;
    let (salt, digest) = match &bundle {
        Some(bundle) => (bundle.salt().clone(), CellDigest::named(&bundle.manifest().digest).unwrap_or_default()),
        None => (salt(table, store, service).await?, table.digest),
    };
    let values: Vec<&[u8]> = values.iter().map(Vec::as_slice).collect();
    hash_values(field, digest, &salt, &values)
        .ok_or_else(|| Trouble::new(Exit::BadData, "hash the values: one is not UTF-8"))
}

/// Finds the salt of the live table: of a file, or as the service
/// shows it in the session that made the table live.
async fn salt(table: &TableSettings, store: &DataStore, service: &dyn SessionService) -> Result<Salt, Trouble> {
    if !table.salt_file.as_os_str().is_empty() {
        return bundle::salt(&salt_source(table)).map_err(|error| hash_trouble(&table.name, &error));
    }
    let sessions = service.sessions(&store.id).await.map_err(|error| service_trouble(&error))?.value;
    let live = sessions
        .into_iter()
        .filter(|session| session.state.eq_ignore_ascii_case("completed"))
        .max_by_key(|session| session.processing_completion_date_time.or(session.completion_date_time));
    let salt = live.and_then(|session| session.salt).and_then(|salt| Salt::parse(salt.expose()).ok());
    salt.ok_or_else(|| {
        let message = "find the salt of the live table: the service does not show it; \
                       give --bundle, or upload with a fixed salt_file";
        Trouble::new(Exit::BadConfiguration, message)
    })
}
