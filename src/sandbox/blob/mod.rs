//! The blob endpoint: block blobs under a shared access signature, as Azure
//! Storage treats them.

use std::sync::Arc;

use hyper::body::Incoming;

use super::faults::Action;
use super::operation::Operation as Op;
use super::payload::Payload;
use super::quirks::UriForm;
use super::reply::{Refusal, Reply};
use super::service::{Asked, Service};
use super::session::{Phase, Session, Tally};
use super::world::World;
use container::Blob;
use receive::Received;

pub(super) mod container;
mod list;
mod receive;
pub(super) mod sas;

/// The largest block list taken, in bytes: 50,000 of the longest ids fit.
const LARGEST_LIST: u64 = 8 << 20;

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
    let operation = asked.route.operation;
    let reply = if operation == Op::PutBlock {
        put_block(service, asked, &target, body, summary).await
    } else if operation == Op::PutBlockList {
        put_list(service, asked, &target, body, summary).await
    } else if operation == Op::GetBlockList {
        get_list(service, asked, &target)
    } else if operation == Op::GetBlob {
        get_blob(service, &target)
    } else {
        put_blob(service, asked, &target, body, summary).await
    };
    Ok(echo(reply?, action))
}

async fn put_block(
    service: &Service,
    asked: &Asked,
    target: &Target,
    body: &mut Incoming,
    summary: &mut String,
) -> Result<Reply, Refusal> {
    let id = asked.route.parameter("blockid").ok_or_else(|| bad_parameter("blockid"))?;
    change(service, target, |_, blob| blob.admits(id))?;
    let Received { part, echoes } = receive::bytes(service, asked, body, summary).await?;
    change(service, target, |tally, blob| {
        blob.admits(id)?;
        blob.stage(id, part);
        *tally.puts.entry(id.to_owned()).or_default() += 1;
        Ok(())
    })?;
    Ok(Reply { headers: echoes, ..Reply::bare(201) })
}

/// Put Blob, and a PUT to an address without a signature.
async fn put_blob(
    service: &Service,
    asked: &Asked,
    target: &Target,
    body: &mut Incoming,
    summary: &mut String,
) -> Result<Reply, Refusal> {
    if asked.route.operation == Op::PutBlob && asked.header("x-ms-blob-type") != Some("BlockBlob") {
        return Err(missing_header("x-ms-blob-type: BlockBlob"));
    }
    let Received { part, echoes } = receive::bytes(service, asked, body, summary).await?;
    change(service, target, |tally, blob| {
        if asked.header("if-none-match") == Some("*") && blob.parts().is_some() {
            return Err(Refusal::no(409, "BlobAlreadyExists", "The specified blob already exists."));
        }
        overwritable(target, blob)?;
        blob.replace(part);
        *tally.puts.entry(target.name.clone()).or_default() += 1;
        Ok(())
    })?;
    Ok(Reply { headers: echoes, ..Reply::bare(201) }.with("etag", etag(asked)))
}

async fn put_list(
    service: &Service,
    asked: &Asked,
    target: &Target,
    body: &mut Incoming,
    summary: &mut String,
) -> Result<Reply, Refusal> {
    let list = list::read(&receive::text(service, asked, body, LARGEST_LIST).await?)?;
    *summary = format!("{} blocks", list.len());
    change(service, target, |tally, blob| {
        overwritable(target, blob)?;
        blob.commit(&list)?;
        tally.block_lists += 1;
        Ok(())
    })?;
    Ok(Reply::bare(201).with("etag", etag(asked)))
}

fn get_list(service: &Service, asked: &Asked, target: &Target) -> Result<Reply, Refusal> {
    let (committed, staged) = match asked.route.parameter("blocklisttype").unwrap_or("committed") {
        "committed" => (true, false),
        "uncommitted" => (false, true),
        "all" => (true, true),
        _ => return Err(bad_parameter("blocklisttype")),
    };
    let mut world = service.world();
    let blob = existing(&mut world, target)?;
    let (known, waiting) = (blob.committed(), blob.staged());
    let xml = list::write(committed.then_some(&*known), staged.then_some(&*waiting));
    Ok(Reply::text(200, "application/xml", xml))
}

fn get_blob(service: &Service, target: &Target) -> Result<Reply, Refusal> {
    let parts = existing(&mut service.world(), target)?.parts().ok_or_else(no_blob)?;
    let reply = Reply::bare(200).with("content-type", "application/octet-stream").with("x-ms-blob-type", "BlockBlob");
    Ok(Reply { payload: Payload::parts(parts), ..reply })
}

fn etag(asked: &Asked) -> String {
    format!("\"0x{}\"", &asked.ids.request[..8])
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
    let reads = matches!(asked.route.operation, Op::GetBlob | Op::GetBlockList);
    let rights = if reads { "r" } else { "cw" };
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

/// Changes a blob, and the account of what was done to its session.
fn change(
    service: &Service,
    target: &Target,
    put: impl FnOnce(&mut Tally, &mut Blob) -> Result<(), Refusal>,
) -> Result<(), Refusal> {
    let mut world = service.world();
    let session = open_session(&mut world, target)?;
    let mut tally = std::mem::take(&mut session.tally);
    let outcome = blob_of(session, target).and_then(|blob| put(&mut tally, blob));
    session.tally = tally;
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
