//! The authority's token endpoint: client credentials, proved by a secret, a
//! certificate or the token of an outside issuer.

use std::collections::HashMap;

use serde_json::Value;
use url::form_urlencoded;

use super::jwt::Jwt;
use super::{CLIENT_ID, TENANT_ID, answer, certificate, federation};
use crate::sandbox::reply::{Refusal, Reply};
use crate::sandbox::service::{Asked, Service};
use crate::sandbox::tokens::{self, Proof};

/// The one type of assertion.
const ASSERTION_TYPE: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";

/// The fields of a request that are there.
struct Form(HashMap<String, String>);

impl Form {
    fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str).filter(|text| !text.is_empty())
    }

    fn require(&self, name: &str) -> Result<&str, Refusal> {
        self.get(name).ok_or_else(|| {
            let message = format!("AADSTS900144: The request body must contain the following parameter: '{name}'.");
            Refusal::breach(400, "invalid_request", message)
        })
    }
}

pub(super) fn token(service: &Service, asked: &Asked, body: &[u8], summary: &mut String) -> Result<Reply, Refusal> {
    let form = read(asked, body)?;
    if asked.route.first != TENANT_ID {
        let message = format!("AADSTS90002: Tenant '{}' not found. Check the tenant id.", asked.route.first);
        return Err(Refusal::no(400, "invalid_request", message));
    }
    if form.require("grant_type")? != "client_credentials" {
        let message = "AADSTS70003: The app requested an unsupported grant type.";
        return Err(Refusal::breach(400, "unsupported_grant_type", message));
    }
    if form.require("client_id")? != CLIENT_ID {
        let message = "AADSTS700016: Application with this identifier was not found in the directory.";
        return Err(Refusal::no(400, "unauthorized_client", message));
    }
    authenticate(service, asked, &form, summary)?;
    let scope = form.require("scope")?;
    granted(service, scope)?;
    let proof = answered(&form)?;
    summary.push_str(&format!(" scope={scope}"));
    if proof != Proof::None {
        summary.push_str(" with claims");
    }
    let token = super::hand_out(service, asked, proof);
    Ok(answer::authority(service, asked, token))
}

fn read(asked: &Asked, body: &[u8]) -> Result<Form, Refusal> {
    let breach = |message| Err(Refusal::breach(400, "invalid_request", message));
    if !asked.header("content-type").is_some_and(|kind| kind.starts_with("application/x-www-form-urlencoded")) {
        return breach("AADSTS900144: The request body must be form-encoded.");
    }
    if asked.headers.contains_key("authorization") {
        return breach("AADSTS9001049: The token endpoint takes no bearer token.");
    }
    if !asked.route.query.is_empty() {
        return breach("AADSTS9002313: The request is malformed: the address takes no query.");
    }
    let mut form = HashMap::new();
    for (name, value) in form_urlencoded::parse(body).into_owned() {
        if form.insert(name, value).is_some() {
            return breach("AADSTS9000411: The request is not properly formatted: a parameter is duplicated.");
        }
    }
    Ok(Form(form))
}

/// Checks the proof that the client is who it says.
fn authenticate(service: &Service, asked: &Asked, form: &Form, summary: &mut String) -> Result<(), Refusal> {
    match (form.get("client_secret"), form.get("client_assertion")) {
        (Some(said), None) => {
            summary.push_str("client-secret");
            secret(service, said)
        }
        (None, Some(said)) => {
            let kind = form.require("client_assertion_type")?;
            if kind != ASSERTION_TYPE {
                let message = "AADSTS90023: Unsupported 'client_assertion_type' value.";
                return Err(Refusal::breach(400, "invalid_request", message));
            }
            let Some(assertion) = Jwt::read(said) else {
                let message = "AADSTS50027: JWT token is invalid or malformed.";
                return Err(Refusal::breach(400, "invalid_request", message));
            };
            // A client that signs for itself names itself as the issuer.
            if assertion.text("iss") == Some(CLIENT_ID) || assertion.header("x5t#S256").is_some() {
                summary.push_str("client-certificate");
                certificate::check(service, asked, &assertion)
            } else {
                summary.push_str("federated-token");
                federation::check(service, asked, &assertion)
            }
        }
        (Some(_), Some(_)) => {
            let message = "AADSTS9002313: The request is malformed: it has both a secret and an assertion.";
            Err(Refusal::breach(400, "invalid_request", message))
        }
        (None, None) => {
            let message = "AADSTS7000216: 'client_assertion' or 'client_secret' is required for the 'client_credentials' grant type.";
            Err(Refusal::breach(401, "invalid_client", message))
        }
    }
}

fn secret(service: &Service, said: &str) -> Result<(), Refusal> {
    let registry = service.identity.registry();
    if said != registry.secret {
        let message = "AADSTS7000215: Invalid client secret provided. Ensure the secret being sent in the request is the \
                       client secret value, not the client secret ID.";
        return Err(Refusal::no(401, "invalid_client", message));
    }
    if registry.is_secret_expired {
        let message = "AADSTS7000222: The provided client secret keys for the app are expired.";
        return Err(Refusal::no(401, "invalid_client", message));
    }
    Ok(())
}

/// Checks the scope: one resource, whole.
fn granted(service: &Service, scope: &str) -> Result<(), Refusal> {
    let refuse = |message: &str| Err(Refusal::no(400, "invalid_scope", message));
    let known = service.settings.quirks.token_scope.as_deref();
    if known.is_some_and(|known| known != scope) || scope.contains(' ') {
        return refuse("AADSTS70011: The provided value for the input parameter 'scope' is not valid.");
    }
    match scope.strip_suffix("/.default") {
        Some(resource) if !resource.is_empty() => Ok(()),
        Some(_) | None => refuse(
            "AADSTS1002012: The provided value for scope is not valid. Client credential flows must have a scope value with \
             /.default suffixed to the resource identifier.",
        ),
    }
}

/// Returns what the claims of the request prove.
fn answered(form: &Form) -> Result<Proof, Refusal> {
    let Some(claims) = form.get("claims") else { return Ok(Proof::None) };
    match serde_json::from_str::<Value>(claims) {
        Ok(claims @ Value::Object(_)) => Ok(tokens::proof(&claims)),
        Ok(_) | Err(_) => {
            let message = "AADSTS9002313: Invalid request. The parameter 'claims' is not a JSON object.";
            Err(Refusal::breach(400, "invalid_request", message))
        }
    }
}
