//! `stores`: list and show data stores, and save their schemas.

use std::fs::File;
use std::io::Write;
use std::path::Path;
use std::sync::Arc;

use serde_json::json;

use super::args::StoreCommand;
use super::output::{say, say_json, table};
use crate::adapters::clock::SystemClock;
use crate::agent::exit::service_trouble;
use crate::agent::exit::{Exit, Trouble};
use crate::agent::settings::Settings;
use crate::agent::tables::{find_store, schema_of};
use crate::agent::{outside, sign_in};
use crate::ports::clock::Clock;
use crate::ports::contract::DataStore;
use crate::table::schema::Schema;

pub(crate) async fn stores(settings: &Settings, command: StoreCommand, json: bool) -> Result<Exit, Trouble> {
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let service = outside::service(settings, &sign_in::tokens(settings, &clock)?, &clock)?;
    match command {
        StoreCommand::List => {
            let stores = service.stores().await.map_err(|error| service_trouble(&error))?.value;
            if json {
                say_json(&json!({ "value": stores }));
            } else {
                let rows: Vec<Vec<String>> = stores.iter().map(row).collect();
                say(&table(&["NAME", "ID", "LAST UPDATED", "COLUMNS"], &rows));
            }
        }
        StoreCommand::Show { store } => {
            let store = find_store(service.as_ref(), &store).await?;
            if json {
                say_json(&serde_json::to_value(&store).unwrap_or_default());
            } else {
                show(&store);
            }
        }
        StoreCommand::Schema { store, output } => {
            let store = find_store(service.as_ref(), &store).await?;
            let schema = schema_of(&store)?;
            write(&schema, output.as_deref(), json)?;
        }
    }
    Ok(Exit::Done)
}

/// Writes a schema to a new file, or to stdout.
fn write(schema: &Schema, output: Option<&Path>, json: bool) -> Result<(), Trouble> {
    let xml = schema.to_xml();
    let Some(path) = output else {
        match json {
            true => say_json(&json!({ "data_store": schema.store(), "schema": xml })),
            false => say(xml.trim_end()),
        }
        return Ok(());
    };
    let written = File::create_new(path).and_then(|mut file| file.write_all(xml.as_bytes()));
    written.map_err(|error| {
        let message = format!("write the schema to {}: {error}; name a file that is yet to be made", path.display());
        Trouble::new(Exit::LocalIo, message)
    })?;
    match json {
        true => say_json(&json!({ "data_store": schema.store(), "output": path })),
        false => say(&format!("{}: {} columns, written to {}", schema.store(), schema.fields().len(), path.display())),
    }
    Ok(())
}

fn row(store: &DataStore) -> Vec<String> {
    vec![store.display_name.clone(), store.id.clone(), updated(store), store.columns.len().to_string()]
}

fn updated(store: &DataStore) -> String {
    let date = store.data_last_updated_date_time;
    date.map_or_else(|| "never".to_owned(), |date| date.format("%Y-%m-%d %H:%M:%SZ").to_string())
}

fn show(store: &DataStore) {
    say(&format!("{} ({})", store.display_name, store.id));
    say(&format!("last updated: {}", updated(store)));
    let rows: Vec<Vec<String>> = store
        .columns
        .iter()
        .map(|column| {
            let yes = |is: bool| if is { "yes" } else { "-" }.to_owned();
            let delimiters = column.ignored_delimiters.concat();
            vec![column.name.clone(), yes(column.is_searchable), yes(column.is_case_insensitive), delimiters]
        })
        .collect();
    say(&table(&["COLUMN", "SEARCHABLE", "IGNORES CASE", "IGNORES"], &rows));
}
