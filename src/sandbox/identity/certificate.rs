//! A client that signs an assertion with the key of its certificate.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::signature::RSA_PSS_2048_8192_SHA256;
use sha2::{Digest, Sha256};
use x509_parser::prelude::{FromDer, X509Certificate};

use super::jwt::Jwt;
use super::{CLIENT_ID, MOST_ASSERTIONS, TENANT_ID};
use crate::sandbox::reply::Refusal;
use crate::sandbox::service::{Asked, Service};
use crate::sandbox::times;

/// How far the client's clock may be off, in seconds.
pub(super) const ALLOWANCE: i64 = 300;

/// The longest life of an assertion, in seconds.
const LONGEST_LIFE: i64 = 600;

/// A certificate the client may sign with.
pub(super) struct Registered {
    /// Its SHA-256 in base64 for URLs.
    pub(super) thumbprint: String,
    pub(super) der: Vec<u8>,
}

impl Registered {
    pub(super) fn new(der: Vec<u8>) -> Self {
        Self { thumbprint: URL_SAFE_NO_PAD.encode(Sha256::digest(&der)), der }
    }
}

/// Checks an assertion, and uses it up.
pub(super) fn check(service: &Service, asked: &Asked, assertion: &Jwt<'_>) -> Result<(), Refusal> {
    signed_by_a_registered_one(service, asked, assertion)?;
    if assertion.text("iss") != Some(CLIENT_ID) || assertion.text("sub") != Some(CLIENT_ID) {
        let message = "AADSTS700021: Client assertion application identifier doesn't match 'client_id' parameter. Check 'iss' and 'sub'.";
        return Err(Refusal::breach(401, "invalid_client", message));
    }
    if !assertion.is_for(|audience| is_address_asked(service, asked, audience)) {
        let message = "AADSTS50013: Assertion is invalid: its audience is not the address of this token endpoint.";
        return Err(Refusal::breach(401, "invalid_client", message));
    }
    let (Some(begins), Some(ends)) = (assertion.time("nbf"), assertion.time("exp")) else {
        return Err(Refusal::breach(401, "invalid_client", "AADSTS50013: Assertion is malformed: no 'nbf' or 'exp'."));
    };
    if ends.saturating_sub(begins) > LONGEST_LIFE + ALLOWANCE {
        let message =
            "AADSTS700024: Client assertion is not within its valid time range: its life is longer than ten minutes.";
        return Err(Refusal::breach(401, "invalid_client", message));
    }
    in_time(asked, begins, ends)?;
    use_up(service, asked, assertion, ends)
}

fn signed_by_a_registered_one(service: &Service, asked: &Asked, assertion: &Jwt<'_>) -> Result<(), Refusal> {
    let breach = |message: &str| Err(Refusal::breach(401, "invalid_client", message));
    if assertion.header("typ") != Some("JWT") {
        return breach("AADSTS5002727: Invalid JWT header type specified. Allowed types: 'JWT'.");
    }
    if assertion.header("alg") != Some("PS256") {
        return breach("AADSTS5002738: Invalid JWT token: its signature algorithm is not supported here; use PS256.");
    }
    let Some(thumbprint) = assertion.header("x5t#S256") else {
        return breach(
            "AADSTS5002723: Invalid JWT token. No certificate SHA-256 thumbprint specified in token header.",
        );
    };
    let failed = |reason: &str| {
        let message = format!("AADSTS700027: Client assertion contains an invalid signature. [Reason - {reason}]");
        Refusal::no(401, "invalid_client", message)
    };
    let registry = service.identity.registry();
    let known = registry.certificates.iter().find(|known| known.thumbprint == thumbprint);
    let known = known.ok_or_else(|| failed("The key was not found."))?;
    let (_, parsed) = X509Certificate::from_der(&known.der).map_err(|_| failed("The key is no certificate."))?;
    let now = asked.now().timestamp();
    let validity = parsed.validity();
    if !(validity.not_before.timestamp()..=validity.not_after.timestamp()).contains(&now) {
        return Err(failed("The key used is expired."));
    }
    let key = &parsed.public_key().subject_public_key.data;
    if !assertion.is_signed_by(key, &RSA_PSS_2048_8192_SHA256) {
        return Err(failed("The provided signature value did not match the expected signature value."));
    }
    Ok(())
}

/// Returns whether an audience is this token endpoint, under the name the client
/// asked or the sandbox's own.
fn is_address_asked(service: &Service, asked: &Asked, audience: &str) -> bool {
    let scheme = if service.tls.is_some() { "https://" } else { "http://" };
    let Some((authority, path)) = audience.strip_prefix(scheme).and_then(|rest| rest.split_once('/')) else {
        return false;
    };
    let tail = path.strip_prefix(TENANT_ID);
    let is_asked = asked.authority.as_deref().is_some_and(|asked| asked.eq_ignore_ascii_case(authority));
    (is_asked || service.origin.ends_with(authority))
        && service.is_named(authority)
        && matches!(tail, Some("/oauth2/v2.0/token" | "/v2.0"))
}

/// Checks the times of an assertion against the authority's clock.
pub(super) fn in_time(asked: &Asked, begins: i64, ends: i64) -> Result<(), Refusal> {
    let now = asked.now().timestamp();
    if begins <= now + ALLOWANCE && now <= ends.saturating_add(ALLOWANCE) {
        return Ok(());
    }
    let shown = |seconds| {
        let date = chrono::DateTime::from_timestamp(seconds, 0);
        date.map_or_else(|| seconds.to_string(), times::signature_date)
    };
    let message = format!(
        "AADSTS700024: Client assertion is not within its valid time range. Current time: {}, assertion valid from {}, \
         expiry time of assertion {}.",
        shown(now),
        shown(begins),
        shown(ends),
    );
    Err(Refusal::no(401, "invalid_client", message))
}

/// Refuses an assertion that was used before.
fn use_up(service: &Service, asked: &Asked, assertion: &Jwt<'_>, ends: i64) -> Result<(), Refusal> {
    let Some(id) = assertion.text("jti").filter(|id| !id.is_empty()) else {
        return Err(Refusal::breach(401, "invalid_client", "AADSTS50013: Assertion is malformed: no 'jti'."));
    };
    let used = &mut service.identity.registry().used;
    let now = asked.now();
    used.retain(|(_, ends)| now <= *ends);
    if used.iter().any(|(known, _)| known == id) {
        let message = "AADSTS50013: Assertion is invalid: its 'jti' was used before.";
        return Err(Refusal::breach(401, "invalid_client", message));
    }
    if used.len() == MOST_ASSERTIONS {
        used.pop_front();
    }
    let ends = chrono::DateTime::from_timestamp(ends.saturating_add(ALLOWANCE), 0);
    used.push_back((id.to_owned(), ends.unwrap_or(chrono::DateTime::<chrono::Utc>::MAX_UTC)));
    Ok(())
}
