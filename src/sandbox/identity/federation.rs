//! A client that brings the token of an outside issuer, as a pod brings its
//! cluster's.

use std::time::Duration;

use chrono::{DateTime, Utc};
use ring::signature::RSA_PKCS1_2048_8192_SHA256;
use serde_json::json;

use super::jwt::{self, Jwt};
use super::key::Key;
use super::{FEDERATED_AUDIENCE, FEDERATED_ISSUER, FEDERATED_SUBJECT, certificate};
use crate::sandbox::reply::Refusal;
use crate::sandbox::service::{Asked, Service};
use crate::sandbox::times;

/// The name of the issuer's key.
const KEY_ID: &str = "sandbox-issuer-1";

/// The issuer and the subject whose tokens the client may bring.
pub(super) struct Federation {
    pub(super) issuer: String,
    pub(super) subject: String,
}

impl Default for Federation {
    fn default() -> Self {
        Self { issuer: FEDERATED_ISSUER.to_owned(), subject: FEDERATED_SUBJECT.to_owned() }
    }
}

/// Mints a token as the issuer would.
pub(super) fn mint(key: &Key, id: &str, now: DateTime<Utc>, life: Duration) -> String {
    let header = json!({"alg": "RS256", "typ": "JWT", "kid": KEY_ID});
    let claims = json!({
        "iss": FEDERATED_ISSUER,
        "sub": FEDERATED_SUBJECT,
        "aud": [FEDERATED_AUDIENCE],
        "jti": id,
        "iat": now.timestamp(),
        "nbf": now.timestamp(),
        "exp": times::later(now, life).timestamp(),
    });
    let unsigned = jwt::unsigned(&header, &claims);
    jwt::signed(&unsigned, &key.sign(unsigned.as_bytes()))
}

/// Checks the token. It may be used until it ends: a pod has but one at a time.
pub(super) fn check(service: &Service, asked: &Asked, token: &Jwt<'_>) -> Result<(), Refusal> {
    let no = |message: String| Err(Refusal::no(401, "invalid_client", message));
    let mismatch = |code: u32, what: &str| {
        no(format!(
            "AADSTS{code}: No matching federated identity record found for presented assertion {what}. Please check your \
             federated identity credential Subject, Audience and Issuer against the presented assertion."
        ))
    };
    if token.header("alg") != Some("RS256") {
        let message = "AADSTS5002738: Invalid JWT token: its signature algorithm is not supported; use RS256.";
        return Err(Refusal::breach(401, "invalid_client", message));
    }
    {
        let federation = &service.identity.registry().federation;
        if token.text("iss") != Some(&federation.issuer) {
            return mismatch(700_211, "issuer");
        }
        if token.text("sub") != Some(&federation.subject) {
            return mismatch(700_213, "subject");
        }
    }
    if !token.is_for(|audience| audience == FEDERATED_AUDIENCE) {
        return mismatch(700_212, "audience");
    }
    let is_signed = token.is_signed_by(service.identity.key.public(), &RSA_PKCS1_2048_8192_SHA256);
    if token.header("kid") != Some(KEY_ID) || !is_signed {
        return no(
            "AADSTS700027: Client assertion failed signature validation. [Reason - The key was not found.]".into()
        );
    }
    let Some(ends) = token.time("exp") else {
        return Err(Refusal::breach(401, "invalid_client", "AADSTS50013: Assertion is malformed: no 'exp'."));
    };
    certificate::in_time(asked, token.time("nbf").unwrap_or(0), ends)
}
