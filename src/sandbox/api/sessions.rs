//! Sessions: opened, read, reported on, renewed, committed, ended.

use std::sync::Arc;

use serde_json::{Map, Value, json};

use super::lists;
use crate::sandbox::blob::container::Place;
use crate::sandbox::held;
use crate::sandbox::process::{self, Claim};
use crate::sandbox::quirks::{Envelope, RenewedUri};
use crate::sandbox::reply::{Refusal, Reply};
use crate::sandbox::service::{Asked, Service};
use crate::sandbox::session::{Phase, Session, store_id_name};

/// Returns the session as an object of the API.
fn object(service: &Service, asked: &Asked, session: &Session) -> Value {
    let total = service.settings.processing_jobs;
    let left = session.jobs_left(asked.now(), total, service.settings.processing_time);
    session.object(&service.settings.quirks, session.committed_at.map(|_| (total, left)))
}

/// Answers with a session, wrapped as the quirks say.
fn wrapped(status: u16, envelope: Envelope, object: Value) -> Reply {
    match envelope {
        Envelope::Bare => Reply::json(status, &object),
        Envelope::Value => Reply::json(status, &json!({"value": object})),
        Envelope::Null => Reply::json(200, &Value::Null),
        Envelope::Empty => Reply::bare(200),
        Envelope::NoContent => Reply::bare(204),
    }
}

/// Answers with a session; one that was asked for is never left out.
fn reply(service: &Service, asked: &Asked, status: u16, session: &Session) -> Reply {
    let envelope = match service.settings.quirks.envelope {
        Envelope::Value => Envelope::Value,
        Envelope::Bare | Envelope::Null | Envelope::Empty | Envelope::NoContent => Envelope::Bare,
    };
    let reply = wrapped(status, envelope, object(service, asked, session));
    if service.settings.quirks.etags { reply.with("etag", session.etag()) } else { reply }
}

fn matches(service: &Service, asked: &Asked, session: &Session) -> Result<(), Refusal> {
    match asked.header("if-match") {
        Some(tag) if service.settings.quirks.etags && tag != "*" && tag != session.etag() => {
            Err(Refusal::no(412, "PreconditionFailed", "The session has changed since the entity tag was given."))
        }
        _ => Ok(()),
    }
}

pub(super) fn list(service: &Service, asked: &Asked) -> Result<Reply, Refusal> {
    let mut world = service.world();
    world.store(&asked.route.first)?;
    let items =
        world.sessions_of(&asked.route.first).into_iter().map(|session| object(service, asked, session)).collect();
    drop(world);
    lists::page(service, asked, items)
}

pub(super) fn number(service: &Service, asked: &Asked) -> Result<Reply, Refusal> {
    let mut world = service.world();
    world.store(&asked.route.first)?;
    Ok(lists::number(world.sessions_of(&asked.route.first).len()))
}

pub(super) fn create(service: &Service, asked: &Asked, body: &Map<String, Value>) -> Result<Reply, Refusal> {
    let quirks = &service.settings.quirks;
    let bad = |message| Err(Refusal::breach(400, "BadRequest", message));
    let mut required = quirks
        .required_on_create
        .iter()
        .map(String::as_str)
        .chain(quirks.require_datastore_id.then(|| store_id_name(quirks)));
    if let Some(name) = required.find(|name| !body.contains_key(*name)) {
        return bad(format!("The property '{name}' is required."));
    }
    if let Some(name) = quirks.refused_on_create.iter().find(|name| body.contains_key(*name)) {
        return bad(format!("The property '{name}' does not exist."));
    }
    let mut world = service.world();
    let store = &asked.route.first;
    let columns = world.store(store)?.properties["columns"].clone();
    let mut session = world.draft(store, asked.now(), &service.mint, &service.settings);
    session.take(body, quirks)?;
    if session.total == Some(0) {
        return bad("totalBlockCount must be positive.".to_owned());
    }
    let known = |field: &String| columns.as_array().into_iter().flatten().any(|column| column["name"] == *field);
    if quirks.strict_fields && !session.fields().iter().all(known) {
        return bad("A field is not a column of the data store.".to_owned());
    }
    if let Some(agent) = session.said_text("uploadAgentId")
        && !world.agents.contains_key(agent)
    {
        return bad(format!("There is no upload agent '{agent}'."));
    }
    world.charge(store, asked.now(), &service.settings)?;
    let id = session.id.clone();
    world.sessions.insert(id.clone(), session);
    world.sign(&id, asked.now(), &service.mint, &service.origin, &service.settings);
    let session = world.session(store, &id)?;
    Ok(reply(service, asked, 201, session).with("location", format!("{}{}/{id}", service.origin, asked.path)))
}

pub(super) fn get(service: &Service, asked: &Asked) -> Result<Reply, Refusal> {
    let mut world = service.world();
    let session = world.session(&asked.route.first, &asked.route.second)?;
    Ok(reply(service, asked, 200, session))
}

pub(super) fn patch(service: &Service, asked: &Asked, body: &Map<String, Value>) -> Result<Reply, Refusal> {
    let quirks = &service.settings.quirks;
    let mut world = service.world();
    let session = world.session(&asked.route.first, &asked.route.second)?;
    if let Some(status) = quirks.refuse_reports {
        return Err(Refusal::no(status, "NotSupported", "The session cannot be updated."));
    }
    session.expect_open("update")?;
    matches(service, asked, session)?;
    let report = session.take(body, quirks)?;
    session.touch(asked.now());
    let report = crate::sandbox::Report { at: asked.now(), ..report };
    session.remember(report);
    Ok(reply(service, asked, 200, session))
}

pub(super) fn delete(service: &Service, asked: &Asked) -> Result<Reply, Refusal> {
    let mut world = service.world();
    let session = world.session(&asked.route.first, &asked.route.second)?;
    matches(service, asked, session)?;
    session.end(Phase::Deleted, asked.now());
    Ok(Reply::bare(204))
}

pub(super) fn renew(service: &Service, asked: &Asked) -> Result<Reply, Refusal> {
    let quirks = &service.settings.quirks;
    let (store, id) = (&asked.route.first, &asked.route.second);
    let mut world = service.world();
    world.session(store, id)?.expect_open("renew")?;
    world.renew(id, asked.now(), &service.mint, &service.origin, &service.settings);
    let session = world.session(store, id)?;
    let mut object = object(service, asked, session);
    if quirks.renewed_uri == RenewedUri::Missing {
        object["dataUploadURI"] = Value::Null;
    }
    Ok(wrapped(200, quirks.renew_answer, object))
}

pub(super) fn cancel(service: &Service, asked: &Asked) -> Result<Reply, Refusal> {
    let mut world = service.world();
    let session = world.session(&asked.route.first, &asked.route.second)?;
    session.expect_open("cancel")?;
    session.end(Phase::Cancelled, asked.now());
    Ok(Reply::bare(204))
}

pub(super) fn commit(service: &Arc<Service>, asked: &Asked) -> Result<Reply, Refusal> {
    let mut world = service.world();
    let session = world.session(&asked.route.first, &asked.route.second)?;
    session.expect_open("commit")?;
    let place = session.places.get(&session.place);
    let (stored, whole) = place.map_or((0, false), Place::stored);
    let total = session.total.unwrap_or(1) as usize;
    if stored == 0 || (!whole && stored < total) {
        let message = format!("The session cannot be committed: {stored} of {total} blocks are stored.");
        return Err(Refusal::breach(409, "Conflict", message));
    }
    let parts = place.map(Place::parts).unwrap_or_default();
    let claim = Claim {
        form: service.settings.quirks.checksum,
        checksum: session.said_text("checksum").map(str::to_owned),
        blocks: session.total,
        columns: session.fields().len(),
    };
    session.phase = Phase::Processing;
    session.committed_at = Some(asked.now());
    session.tally.commits += 1;
    session.touch(asked.now());
    let id = session.id.clone();
    drop(world);
    let service = Arc::clone(service);
    // Reading a gigabyte takes seconds, and nobody waits for it here.
    tokio::task::spawn_blocking(move || {
        let verdict = process::examine(&parts, &claim, &service.stopping);
        if let Some(session) = held(&service.world).sessions.get_mut(&id) {
            session.verdict = Some(verdict);
        }
    });
    Ok(Reply::bare(204))
}
