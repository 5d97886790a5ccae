//! Data stores.

use serde_json::{Map, Value, json};

use super::{lists, text};
use crate::sandbox::reply::{Refusal, Reply};
use crate::sandbox::service::{Asked, Service};
use crate::sandbox::settings::StoreSpec;
use crate::sandbox::world::{MOST_OBJECTS, Store, not_found};

impl Store {
    /// Makes a data store as the settings describe it.
    pub(in crate::sandbox) fn from_spec(spec: &StoreSpec, id: &str) -> Self {
        let column = |column: &crate::sandbox::settings::ColumnSpec| {
            json!({
                "name": column.name,
                "isSearchable": column.searchable,
                "isCaseInsensitive": column.case_insensitive,
                "ignoredDelimiters": column.ignored_delimiters,
            })
        };
        let columns: Vec<Value> = spec.columns.iter().map(column).collect();
        let object = json!({
            "id": id,
            "displayName": spec.display_name,
            "description": spec.description,
            "dataLastUpdatedDateTime": null,
            "columns": columns,
        });
        let Value::Object(properties) = object else { unreachable!("an object was just written") };
        Self { properties, opened: Vec::new(), live: None }
    }
}

/// Takes what a client says about a data store: all of it, or nothing.
fn take(properties: &mut Map<String, Value>, body: &Map<String, Value>) -> Result<(), Refusal> {
    for (name, value) in body {
        let fits = match name.as_str() {
            "displayName" | "description" | "@odata.type" => value.is_string(),
            "columns" => {
                value.as_array().is_some_and(|columns| columns.iter().all(|column| column["name"].is_string()))
            }
            _ => false,
        };
        if !fits {
            return Err(Refusal::breach(
                400,
                "BadRequest",
                format!("The property '{name}' does not exist, has the wrong type or is not a client's to set."),
            ));
        }
    }
    let said = body.iter().filter(|(name, _)| *name != "@odata.type");
    properties.extend(said.map(|(name, value)| (name.clone(), value.clone())));
    Ok(())
}

fn object(service: &Service, store: &Store) -> Value {
    let mut properties = store.properties.clone();
    if service.settings.quirks.extra_properties {
        properties.insert("maximumNumberOfTokens".to_owned(), 5_000_000.into());
        properties.insert("shardMap".to_owned(), json!([{"shard": 0, "ready": true}]));
    }
    Value::Object(properties)
}

pub(super) fn list(service: &Service, asked: &Asked) -> Result<Reply, Refusal> {
    let items = service.world().stores.values().map(|store| object(service, store)).collect();
    lists::page(service, asked, items)
}

pub(super) fn create(service: &Service, _asked: &Asked, body: &Map<String, Value>) -> Result<Reply, Refusal> {
    let id = service.mint.guid();
    let mut store = Store::from_spec(&StoreSpec::named(text(body, "displayName")?), &id);
    take(&mut store.properties, body)?;
    let answer = object(service, &store);
    let mut world = service.world();
    if world.stores.len() >= MOST_OBJECTS {
        return Err(Refusal::no(507, "QuotaExceeded", "There are too many data stores."));
    }
    world.stores.insert(id, store);
    Ok(Reply::json(201, &answer))
}

pub(super) fn get(service: &Service, asked: &Asked) -> Result<Reply, Refusal> {
    let mut world = service.world();
    let answer = object(service, world.store(&asked.route.first)?);
    Ok(Reply::json(200, &answer))
}

pub(super) fn patch(service: &Service, asked: &Asked, body: &Map<String, Value>) -> Result<Reply, Refusal> {
    let mut world = service.world();
    let store = world.store(&asked.route.first)?;
    take(&mut store.properties, body)?;
    Ok(Reply::json(200, &object(service, store)))
}

pub(super) fn delete(service: &Service, asked: &Asked) -> Result<Reply, Refusal> {
    let mut world = service.world();
    let id = &asked.route.first;
    world.stores.remove(id).ok_or_else(|| not_found("data store", id))?;
    world.sessions.retain(|_, session| session.store != *id);
    Ok(Reply::bare(204))
}
