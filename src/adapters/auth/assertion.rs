//! The statement with which an application proves that it has the key of a
//! registered certificate (RFC 7523 section 3; Entra documentation, "Application
//! authentication certificate credentials").

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use chrono::{DateTime, TimeDelta, Utc};
use ring::rand::SystemRandom;
use ring::signature::RSA_PSS_SHA256;
use serde_json::json;

use super::certificate::Certificate;
use crate::adapters::http::guid::guid;
use crate::ground::secret::Secret;

/// How long a statement holds. It is used at once; the authority advises five to
/// ten minutes, and the most of that bears with a clock that is a little off.
pub const HOLDS: TimeDelta = TimeDelta::minutes(10);

/// Makes a statement for one request. `audience` is the address it is sent to,
/// `date` what the time is by the clock of whoever reads it.
///
/// The padding of a signature is random. It comes from the system's generator,
/// which the signing library asks itself, and nothing else hangs on it.
///
/// # Errors
///
/// Says that there is no signature, which a key that was read does not bring about.
pub fn sign(
    certificate: &Certificate,
    audience: &str,
    client: &str,
    date: DateTime<Utc>,
) -> Result<Secret, &'static str> {
    let now = date.timestamp();
    let head = json!({"alg": "PS256", "typ": "JWT", "x5t#S256": certificate.x5t()});
    let claims = json!({
        "aud": audience,
        "iss": client,
        "sub": client,
        "jti": guid(),
        "nbf": now,
        "iat": now,
        "exp": now + HOLDS.num_seconds(),
    });
    let [head, claims] = [head, claims].map(|part| URL_SAFE_NO_PAD.encode(part.to_string()));
    let mut statement = format!("{head}.{claims}");
    let key = certificate.key();
    let mut signature = vec![0; key.public().modulus_len()];
    key.sign(&RSA_PSS_SHA256, &SystemRandom::new(), statement.as_bytes(), &mut signature)
        .map_err(|_| "sign with the certificate's key: it cannot be done with this key; make another certificate")?;
    statement.push('.');
    URL_SAFE_NO_PAD.encode_string(signature, &mut statement);
    Ok(Secret::new(statement))
}
