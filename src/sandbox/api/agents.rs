//! Upload agents.

use chrono::{DateTime, Utc};
use serde_json::{Map, Value, json};

use super::{lists, text};
use crate::sandbox::reply::{Refusal, Reply};
use crate::sandbox::service::{Asked, Service};
use crate::sandbox::times;
use crate::sandbox::world::{MOST_OBJECTS, not_found};

fn object(service: &Service, id: &str, agent: &(String, DateTime<Utc>)) -> Value {
    json!({"id": id, "description": agent.0, "creationDateTime": times::property(agent.1, &service.settings.quirks)})
}

/// Returns the description, if it is all that is said.
fn description(body: &Map<String, Value>) -> Result<String, Refusal> {
    if let Some(name) = body.keys().find(|name| !matches!(name.as_str(), "description" | "@odata.type")) {
        return Err(Refusal::breach(
            400,
            "BadRequest",
            format!("The property '{name}' does not exist or is not a client's to set."),
        ));
    }
    Ok(text(body, "description")?.to_owned())
}

pub(super) fn list(service: &Service, asked: &Asked) -> Result<Reply, Refusal> {
    let items = service.world().agents.iter().map(|(id, agent)| object(service, id, agent)).collect();
    lists::page(service, asked, items)
}

pub(super) fn create(service: &Service, asked: &Asked, body: &Map<String, Value>) -> Result<Reply, Refusal> {
    let agent = (description(body)?, asked.now());
    let mut world = service.world();
    if world.agents.len() >= MOST_OBJECTS {
        return Err(Refusal::no(507, "QuotaExceeded", "There are too many upload agents."));
    }
    let id = service.mint.guid();
    let answer = object(service, &id, &agent);
    world.agents.insert(id, agent);
    Ok(Reply::json(201, &answer))
}

pub(super) fn get(service: &Service, asked: &Asked) -> Result<Reply, Refusal> {
    read(service, &asked.route.first)
}

pub(super) fn patch(service: &Service, asked: &Asked, body: &Map<String, Value>) -> Result<Reply, Refusal> {
    change(service, &asked.route.first, body)
}

pub(super) fn delete(service: &Service, asked: &Asked) -> Result<Reply, Refusal> {
    remove(service, &asked.route.first)
}

pub(super) fn of_session(service: &Service, asked: &Asked) -> Result<Reply, Refusal> {
    let id = named_by_session(service, asked)?;
    if !service.settings.quirks.upload_agent_list {
        return read(service, &id);
    }
    let world = service.world();
    let items: Vec<Value> = world.agents.get(&id).map(|agent| object(service, &id, agent)).into_iter().collect();
    Ok(Reply::json(200, &json!({"value": items})))
}

pub(super) fn patch_of_session(service: &Service, asked: &Asked, body: &Map<String, Value>) -> Result<Reply, Refusal> {
    change(service, &named_by_session(service, asked)?, body)
}

pub(super) fn delete_of_session(service: &Service, asked: &Asked) -> Result<Reply, Refusal> {
    remove(service, &named_by_session(service, asked)?)
}

fn named_by_session(service: &Service, asked: &Asked) -> Result<String, Refusal> {
    let mut world = service.world();
    let session = world.session(&asked.route.first, &asked.route.second)?;
    let id = session.said_text("uploadAgentId").map(str::to_owned);
    id.ok_or_else(|| not_found("upload agent of session", &asked.route.second))
}

fn read(service: &Service, id: &str) -> Result<Reply, Refusal> {
    let world = service.world();
    let agent = world.agents.get(id).ok_or_else(|| not_found("upload agent", id))?;
    Ok(Reply::json(200, &object(service, id, agent)))
}

fn change(service: &Service, id: &str, body: &Map<String, Value>) -> Result<Reply, Refusal> {
    let description = description(body)?;
    let mut world = service.world();
    let agent = world.agents.get_mut(id).ok_or_else(|| not_found("upload agent", id))?;
    agent.0 = description;
    Ok(Reply::json(200, &object(service, id, agent)))
}

fn remove(service: &Service, id: &str) -> Result<Reply, Refusal> {
    let removed = service.world().agents.remove(id);
    removed.map(|_| Reply::bare(204)).ok_or_else(|| not_found("upload agent", id))
}
