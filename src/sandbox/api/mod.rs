//! The API: what every request must have, then the operation itself.

use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value};

use super::faults::Action;
use super::operation::Operation as Op;
use super::quirks::Wanted;
use super::reply::{Refusal, Reply};
use super::service::{Asked, Service};
use super::session::Phase;
use super::tokens::Admission;

mod agents;
mod lists;
mod lookup;
mod sessions;
mod stores;

/// The operations whose body is an object.
const TAKE_A_BODY: &[Op] = &[
    Op::CreateStore,
    Op::PatchStore,
    Op::Lookup,
    Op::Create,
    Op::Patch,
    Op::PatchSessionAgent,
    Op::CreateAgent,
    Op::PatchAgent,
];

/// Answers a request to the API.
pub(super) async fn handle(
    service: &Arc<Service>,
    asked: &Asked,
    body: &[u8],
    action: Option<&Action>,
    summary: &mut String,
) -> Result<Reply, Refusal> {
    permitted(service, asked)?;
    let object = read_body(service, asked, body)?;
    *summary = summarise(&object);
    if action == Some(&Action::LoseSession)
        && let Some(session) = service.world().sessions.get_mut(&asked.route.second)
    {
        session.end(Phase::Deleted, asked.now());
    }
    match asked.route.operation {
        Op::ListStores => stores::list(service, asked),
        Op::CountStores => Ok(lists::number(service.world().stores.len())),
        Op::CreateStore => stores::create(service, asked, &object),
        Op::GetStore => stores::get(service, asked),
        Op::PatchStore => stores::patch(service, asked, &object),
        Op::DeleteStore => stores::delete(service, asked),
        Op::Lookup => lookup::answer(service, asked, &object).await,
        Op::ListSessions => sessions::list(service, asked),
        Op::CountSessions => sessions::number(service, asked),
        Op::Create => sessions::create(service, asked, &object),
        Op::Get => sessions::get(service, asked),
        Op::Patch => sessions::patch(service, asked, &object),
        Op::Delete => sessions::delete(service, asked),
        Op::Renew => sessions::renew(service, asked),
        Op::Commit => sessions::commit(service, asked),
        Op::Cancel => sessions::cancel(service, asked),
        Op::GetSessionAgent => agents::of_session(service, asked),
        Op::PatchSessionAgent => agents::patch_of_session(service, asked, &object),
        Op::DeleteSessionAgent => agents::delete_of_session(service, asked),
        Op::ListAgents => agents::list(service, asked),
        Op::CountAgents => Ok(lists::number(service.world().agents.len())),
        Op::CreateAgent => agents::create(service, asked, &object),
        Op::GetAgent => agents::get(service, asked),
        Op::PatchAgent => agents::patch(service, asked, &object),
        Op::DeleteAgent => agents::delete(service, asked),
        Op::Token
        | Op::ImdsToken
        | Op::AppServiceToken
        | Op::ArcToken
        | Op::PutBlock
        | Op::PutBlockList
        | Op::GetBlockList
        | Op::PutBlob
        | Op::GetBlob
        | Op::PlainPut
        | Op::Unknown => Err(Refusal::breach(400, "BadRequest", "No such operation of the API.")),
    }
}

/// Checks the bearer token and the id of the request.
fn permitted(service: &Service, asked: &Asked) -> Result<(), Refusal> {
    let unauthorised = |message: &str, breach| {
        let challenge = format!(
            "Bearer realm=\"\", authorization_uri=\"{}/common/oauth2/authorize\", client_id=\"00000003-0000-0000-c000-000000000000\"",
            service.origin
        );
        Refusal { breach, ..Refusal::breach(401, "InvalidAuthenticationToken", message) }
            .with("www-authenticate", challenge)
    };
    let Some(said) = asked.header("authorization") else {
        return Err(unauthorised("Access token is empty.", true));
    };
    let Some(token) = said.strip_prefix("Bearer ") else {
        return Err(unauthorised("The authorization is no bearer token.", true));
    };
    match service.world().tokens.admits(token) {
        Admission::Yes => (),
        // A token may have been withdrawn or may have ended meanwhile.
        Admission::Unknown => {
            return Err(unauthorised(
                "Access token validation failure. Lifetime validation failed, the token is expired or unknown.",
                false,
            ));
        }
        Admission::MustAnswer(claims) => return Err(challenge(service, &claims)),
    }
    if !asked.headers.contains_key("client-request-id") {
        return Err(Refusal::breach(
            400,
            "BadRequest",
            "The header client-request-id is missing; send a fresh one with each request.",
        ));
    }
    Ok(())
}

/// Returns the refusal of a token that does not answer a claims challenge.
fn challenge(service: &Service, claims: &str) -> Refusal {
    let header = format!(
        "Bearer realm=\"\", authorization_uri=\"{}/common/oauth2/authorize\", \
         client_id=\"00000003-0000-0000-c000-000000000000\", error=\"insufficient_claims\", claims=\"{}\"",
        service.origin,
        STANDARD.encode(claims),
    );
    let message = "Continuous access evaluation resulted in challenge with result: InteractionRequired and code: \
                   TokenIssuedBeforeRevocationTimestamp";
    Refusal::no(401, "InvalidAuthenticationToken", message).with("www-authenticate", header)
}

/// Reads the body, if there may be one, as a JSON object.
fn read_body(service: &Service, asked: &Asked, body: &[u8]) -> Result<Map<String, Value>, Refusal> {
    let content_type = asked.header("content-type");
    let is_json = content_type.is_some_and(|text| {
        text.split(';').next().is_some_and(|kind| kind.trim().eq_ignore_ascii_case("application/json"))
    });
    let bad = |message: &str| Refusal::breach(400, "BadRequest", message);
    let wrong_type = || Refusal::breach(415, "UnsupportedMediaType", "Content-Type must be application/json.");
    let operation = asked.route.operation;
    if matches!(operation, Op::Renew | Op::Commit | Op::Cancel) {
        match (service.settings.quirks.bodiless_content_type, content_type) {
            (Wanted::Required, None) => return Err(wrong_type()),
            (Wanted::Refused, Some(_)) => return Err(bad("There is no body, so there must be no Content-Type.")),
            (Wanted::Any | Wanted::Required, Some(_)) if !is_json => return Err(wrong_type()),
            (Wanted::Any | Wanted::Refused, None) | (Wanted::Any | Wanted::Required, Some(_)) => (),
        }
        if !body.is_empty() && (body != b"{}" || !is_json) {
            return Err(bad("The action takes no body."));
        }
        return Ok(Map::new());
    }
    if !TAKE_A_BODY.contains(&operation) {
        return if body.is_empty() { Ok(Map::new()) } else { Err(bad("The operation takes no body.")) };
    }
    if !is_json {
        return Err(wrong_type());
    }
    match serde_json::from_slice(body) {
        Ok(Value::Object(object)) => Ok(object),
        Ok(_) => Err(bad("The body must be a JSON object.")),
        Err(error) => Err(bad(&format!("The body is not JSON: {error}."))),
    }
}

/// Returns the body in short, for the request log, without its secrets.
fn summarise(object: &Map<String, Value>) -> String {
    if object.is_empty() {
        return String::new();
    }
    let mut shown = object.clone();
    for secret in ["salt", "dataUploadURI", "values"] {
        if let Some(value) = shown.get_mut(secret) {
            *value = "<redacted>".into();
        }
    }
    Value::Object(shown).to_string()
}

/// Returns the text a property must be.
fn text<'a>(object: &'a Map<String, Value>, name: &str) -> Result<&'a str, Refusal> {
    object.get(name).and_then(Value::as_str).ok_or_else(|| {
        Refusal::breach(400, "BadRequest", format!("The property '{name}' is missing or is not a text."))
    })
}
