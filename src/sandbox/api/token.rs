//! The token endpoint: client credentials with a secret.

use std::collections::HashMap;

use serde_json::json;
use url::form_urlencoded;

use crate::sandbox::reply::{Refusal, Reply};
use crate::sandbox::service::{Asked, Service};
use crate::sandbox::times;

/// The client id the sandbox knows.
pub const CLIENT_ID: &str = "5a4db0c5-0000-4000-8000-000000000001";

/// The secret of that client.
pub const CLIENT_SECRET: &str = "sandbox-secret";

pub(super) fn grant(service: &Service, asked: &Asked, body: &[u8]) -> Result<Reply, Refusal> {
    let refuse = |status, code: &str, message: &str| Err(Refusal::no(status, code, message));
    if !asked.header("content-type").is_some_and(|kind| kind.starts_with("application/x-www-form-urlencoded")) {
        return Err(Refusal::breach(400, "invalid_request", "AADSTS900144: The request body must be form-encoded."));
    }
    if asked.headers.contains_key("authorization") {
        return Err(Refusal::breach(
            400,
            "invalid_request",
            "AADSTS9001049: The token endpoint takes no bearer token.",
        ));
    }
    let form: HashMap<String, String> = form_urlencoded::parse(body).into_owned().collect();
    let said = |name: &str| form.get(name).map_or("", String::as_str);
    if said("grant_type") != "client_credentials" {
        return refuse(400, "unsupported_grant_type", "AADSTS70003: The app requested an unsupported grant type.");
    }
    if said("client_id") != CLIENT_ID {
        return refuse(
            400,
            "unauthorized_client",
            "AADSTS700016: Application with this identifier was not found in the directory.",
        );
    }
    if said("client_secret") != CLIENT_SECRET {
        return refuse(401, "invalid_client", "AADSTS7000215: Invalid client secret provided.");
    }
    let scope = said("scope");
    let known = service.settings.quirks.token_scope.as_deref();
    if known.is_some_and(|known| known != scope) || !scope.ends_with("/.default") {
        return refuse(
            400,
            "invalid_scope",
            "AADSTS70011: The provided value for the input parameter 'scope' is not valid.",
        );
    }
    let token = service.mint.token();
    let ttl = service.settings.token_ttl;
    service.world().admit(token.clone(), times::later(asked.now(), ttl));
    Ok(Reply::json(
        200,
        &json!({
            "token_type": "Bearer",
            "expires_in": ttl.as_secs(),
            "ext_expires_in": ttl.as_secs(),
            "access_token": token,
        }),
    ))
}
