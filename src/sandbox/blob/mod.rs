//! The blob endpoint: block blobs under a shared access signature, as Azure
//! Storage treats them.

use std::collections::BTreeMap;
use std::sync::Arc;

use hyper::body::Incoming;

use super::faults::Action;
use super::operation::Operation as Op;
use super::payload::Payload;
use super::quirks::UriForm;
use super::reply::{Refusal, Reply};
use super::service::{Asked, Service};
use super::session::{Phase, Session};
use super::world::World;
use container::Blob;

pub(super) mod container;
mod list;
mod receive;
pub(super) mod sas;

/// The largest block list taken, in bytes: 50,000 of the longest ids fit.
const LARGEST_LIST: u64 = 8 << 20;

/// The largest block taken, in bytes, as in Azure since version 2019-12-12.
const LARGEST_BLOCK: u64 = 4_000 << 20;

/// The largest blob put in one piece, in bytes.
const LARGEST_BLOB: u64 = 5_000 << 20;

/// What a request may reach.
struct Target {
    session: String,
    place: Arc<str>,
    name: String,
    may_overwrite: bool,
}

/// Answers a request to the blob endpoint.
pub(super) async fn handle(
    service: &Service,
    asked: &Asked,
    body: &mut Incoming,
    action: Option<&Action>,
    summary: &mut String,
) -> Result<Reply, Refusal> {
    acceptable(service, asked)?;
    let target = admit(service, asked)?;
    upset(&mut service.world(), &target, action, asked);
    let reply = match asked.route.operation {
        Op::PutBlock => {
            let id = parameter(asked, "blockid")?.to_owned();
            ask(service, &target, |blob| blob.admits(&id))?;
            let received = receive::block(service, asked, body, LARGEST_BLOCK, summary).await?;
            let part = received.part;
            change(service, &target, |puts, blob| {
                blob.admits(&id)?;
                blob.stage(&id, part);
                *puts.entry(id).or_default() += 1;
                Ok(())
            })?;
            received.echoes.into_iter().fold(Reply::bare(201), |reply, (name, value)| reply.with(name, value))
        }
        Op::PutBlob | Op::PlainPut => {
            if asked.route.operation == Op::PutBlob && asked.header("x-ms-blob-type") != Some("BlockBlob") {
                return Err(missing_header("x-ms-blob-type: BlockBlob"));
            }
            let received = receive::block(service, asked, body, LARGEST_BLOB, summary).await?;
            let (part, once) = (received.part, asked.header("if-none-match") == Some("*"));
            change(service, &target, |puts, blob| {
                if once && blob.parts().is_some() {
                    return Err(Refusal::no(409, "BlobAlreadyExists", "The specified blob already exists."));
                }
                overwritable(&target, blob)?;
                blob.replace(part);
                *puts.entry(target.name.clone()).or_default() += 1;
                Ok(())
            })?;
            let reply = Reply::bare(201).with("etag", format!("\"0x{}\"", &asked.ids.request[..8]));
            received.echoes.into_iter().fold(reply, |reply, (name, value)| reply.with(name, value))
        }
        Op::PutBlockList => {
            let xml = receive::text(service, asked, body, LARGEST_LIST).await?;
            let list = list::read(&xml)?;
            *summary = format!("{} blocks", list.len());
            let mut world = service.world();
            let session = open_session(&mut world, &target)?;
            let blob = blob_of(session, &target)?;
            overwritable(&target, blob)?;
            blob.commit(&list)?;
            session.tally.block_lists += 1;
            Reply::bare(201).with("etag", format!("\"0x{}\"", &asked.ids.request[..8]))
        }
        Op::GetBlockList => {
            let kind = asked.route.parameter("blocklisttype").unwrap_or("committed");
            let (committed, staged) = match kind {
                "committed" => (true, false),
                "uncommitted" => (false, true),
                "all" => (true, true),
                _ => return Err(bad_parameter("blocklisttype")),
            };
            let mut world = service.world();
            let blob = existing(&mut world, &target)?;
            let (known, waiting) = (blob.committed(), blob.staged());
            let xml = list::write(committed.then_some(&*known), staged.then_some(&*waiting));
            Reply::text(200, "application/xml", xml)
        }
        Op::GetBlob => {
            let mut world = service.world();
            let parts = existing(&mut world, &target)?.parts().ok_or_else(no_blob)?;
            let reply =
                Reply::bare(200).with("content-type", "application/octet-stream").with("x-ms-blob-type", "BlockBlob");
            Reply { payload: Payload::parts(parts), ..reply }
        }
        _ => {
            return Err(Refusal::breach(
                405,
                "UnsupportedHttpVerb",
                "The resource doesn't support specified Http Verb.",
            ));
        }
    };
    Ok(echo(reply, action))
}

/// Checks what every request must or must not have.
fn acceptable(service: &Service, asked: &Asked) -> Result<(), Refusal> {
    if asked.headers.contains_key("authorization") {
        let message = "The upload URI is pre-authenticated: a bearer token must never be sent here.";
        return Err(Refusal::breach(401, "InvalidAuthenticationInfo", message));
    }
    let version = asked.header("x-ms-version");
    match service.settings.quirks.ms_version.as_deref() {
        Some(known) if version != Some(known) => Err(Refusal::breach(
            400,
            "InvalidHeaderValue",
            "The value for one of the HTTP headers is not in the correct format: x-ms-version.",
        )),
        _ => Ok(()),
    }
}

/// Finds what the signature covers.
fn admit(service: &Service, asked: &Asked) -> Result<Target, Refusal> {
    let world = service.world();
    if service.settings.quirks.uri == UriForm::Plain {
        let leads_here = |session: &&Session| session.places.contains_key(&*asked.path);
        let session = world.sessions.values().find(leads_here).ok_or_else(no_container)?;
        let (place, _) = session.places.get_key_value(&*asked.path).ok_or_else(no_container)?;
        return Ok(Target {
            session: session.id.clone(),
            place: Arc::clone(place),
            name: String::new(),
            may_overwrite: true,
        });
    }
    let Some(signature) = asked.route.parameter("sig") else {
        return Err(Refusal::breach(
            401,
            "NoAuthenticationInformation",
            "Server failed to authenticate the request. Please refer to the information in the www-authenticate header.",
        ));
    };
    // One that was forgotten long after its end looks like one never given.
    let grant = world
        .grants
        .get(signature)
        .ok_or_else(|| Refusal { breach: false, ..sas::refused("Signature is not known.") })?;
    let rights = match asked.route.operation {
        Op::GetBlob | Op::GetBlockList => "r",
        _ => "cw",
    };
    let name = grant.admit(&asked.path, &asked.route.query, rights, asked.now())?;
    Ok(Target {
        session: grant.session.clone(),
        place: Arc::clone(&grant.place),
        name,
        may_overwrite: grant.may_overwrite(),
    })
}

/// Does to the session what the script says happens first.
fn upset(world: &mut World, target: &Target, action: Option<&Action>, asked: &Asked) {
    let Some(session) = world.sessions.get_mut(&target.session) else { return };
    match action {
        Some(Action::LoseSession) => session.end(Phase::Deleted, asked.now()),
        Some(Action::ForgetBlocks(count)) => {
            if let Ok(blob) = blob_of(session, target) {
                blob.forget(*count);
            }
        }
        _ => (),
    }
}

fn open_session<'a>(world: &'a mut World, target: &Target) -> Result<&'a mut Session, Refusal> {
    let session = world.sessions.get_mut(&target.session).ok_or_else(no_container)?;
    match session.phase {
        Phase::Open => Ok(session),
        Phase::Processing => {
            Err(Refusal::no(409, "BlobImmutableDueToPolicy", "The session is committed; its blobs cannot change."))
        }
        Phase::Completed | Phase::Failed | Phase::Cancelled | Phase::Expired | Phase::Deleted => Err(no_container()),
    }
}

fn blob_of<'a>(session: &'a mut Session, target: &Target) -> Result<&'a mut Blob, Refusal> {
    let place = session.places.get_mut(&target.place).ok_or_else(no_container)?;
    Ok(place.blobs.entry(target.name.clone()).or_default())
}

/// Returns a blob that has something, for reading.
fn existing<'a>(world: &'a mut World, target: &Target) -> Result<&'a Blob, Refusal> {
    let session = world.sessions.get_mut(&target.session).ok_or_else(no_container)?;
    let place = session.places.get(&target.place).ok_or_else(no_container)?;
    let blob = place.blobs.get(&target.name).filter(|blob| blob.parts().is_some() || !blob.staged().is_empty());
    blob.ok_or_else(no_blob)
}

/// Asks a blob something before a body is read for it.
fn ask<T>(
    service: &Service,
    target: &Target,
    question: impl FnOnce(&mut Blob) -> Result<T, Refusal>,
) -> Result<T, Refusal> {
    let mut world = service.world();
    question(blob_of(open_session(&mut world, target)?, target)?)
}

/// Changes a blob and the count of what was put.
fn change(
    service: &Service,
    target: &Target,
    put: impl FnOnce(&mut BTreeMap<String, u32>, &mut Blob) -> Result<(), Refusal>,
) -> Result<(), Refusal> {
    let mut world = service.world();
    let session = open_session(&mut world, target)?;
    let mut puts = std::mem::take(&mut session.tally.puts);
    let outcome = blob_of(session, target).and_then(|blob| put(&mut puts, blob));
    session.tally.puts = puts;
    outcome
}

fn overwritable(target: &Target, blob: &Blob) -> Result<(), Refusal> {
    if target.may_overwrite || blob.parts().is_none() {
        return Ok(());
    }
    Err(Refusal::no(403, "UnauthorizedBlobOverwrite", "This request is not authorized to perform blob overwrites."))
}

/// Alters the digests an answer echoes, if the script says so.
fn echo(mut reply: Reply, action: Option<&Action>) -> Reply {
    if let Some(Action::Echo(wrong)) = action {
        reply.headers.retain_mut(|(name, value)| {
            let is_digest = matches!(*name, "content-md5" | "x-ms-content-crc64");
            if is_digest && *wrong {
                *value = value.chars().rev().collect();
            }
            *wrong || !is_digest
        });
    }
    reply
}

fn parameter<'a>(asked: &'a Asked, name: &str) -> Result<&'a str, Refusal> {
    asked.route.parameter(name).ok_or_else(|| bad_parameter(name))
}

fn bad_parameter(name: &str) -> Refusal {
    let message = format!("Value for one of the query parameters specified in the request URI is invalid: {name}.");
    Refusal::breach(400, "InvalidQueryParameterValue", message)
}

fn missing_header(name: &str) -> Refusal {
    let message = format!("An HTTP header that's mandatory for this request is not specified: {name}.");
    Refusal::breach(400, "MissingRequiredHeader", message)
}

fn no_container() -> Refusal {
    Refusal::no(404, "ContainerNotFound", "The specified container does not exist.")
}

fn no_blob() -> Refusal {
    Refusal::no(404, "BlobNotFound", "The specified blob does not exist.")
}
