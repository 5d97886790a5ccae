//! The statement an application signs.

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use chrono::{DateTime, Utc};
use edm_agent::adapters::auth::assertion::sign;
use edm_agent::adapters::auth::certificate::Certificate;
use ring::signature::{RSA_PSS_2048_8192_SHA256, UnparsedPublicKey};
use serde_json::{Value, json};

use super::{today, vectors};

const AUDIENCE: &str = "https://login.microsoftonline.com/contoso.example/oauth2/v2.0/token";

fn statement(date: DateTime<Utc>) -> String {
    let pair = Certificate::read(&vectors(&["certificate.pem", "key.pem"]), None, today()).ok().unwrap();
    sign(&pair, AUDIENCE, "client", date).ok().unwrap().expose().to_owned()
}

fn parts(statement: &str) -> [Vec<u8>; 3] {
    let parts: Vec<Vec<u8>> = statement.split('.').map(|part| URL_SAFE_NO_PAD.decode(part).unwrap()).collect();
    parts.try_into().unwrap()
}

/// Reads the certificate in another way than the program does.
fn der() -> Vec<u8> {
    let pem = String::from_utf8(vectors(&["certificate.pem"])).unwrap();
    STANDARD.decode(pem.lines().filter(|line| !line.starts_with('-')).collect::<String>()).unwrap()
}

#[test]
fn the_statement_says_who_to_whom_and_for_ten_minutes_and_names_its_certificate() {
    let date = "2026-03-04T05:06:07.890Z".parse().unwrap();
    let [head, claims, _] = parts(&statement(date));
    let head: Value = serde_json::from_slice(&head).unwrap();
    let thumb = URL_SAFE_NO_PAD.encode(ring::digest::digest(&ring::digest::SHA256, &der()));
    assert_eq!(head, json!({"alg": "PS256", "typ": "JWT", "x5t#S256": thumb}));
    let mut claims: Value = serde_json::from_slice(&claims).unwrap();
    let name = claims.as_object_mut().unwrap().remove("jti").unwrap();
    assert_eq!(name.as_str().unwrap().len(), 36);
    assert_eq!(
        claims,
        json!({
            "aud": AUDIENCE,
            "iss": "client",
            "sub": "client",
            "nbf": 1_772_600_767,
            "iat": 1_772_600_767,
            "exp": 1_772_601_367,
        })
    );
}

#[test]
fn the_signature_is_the_certificates_and_covers_every_byte() {
    let statement = statement(today());
    let [_, _, signature] = parts(&statement);
    let (signed, _) = statement.rsplit_once('.').unwrap();
    let der = der();
    let (_, certificate) = x509_parser::parse_x509_certificate(&der).unwrap();
    let public = certificate.public_key().subject_public_key.data.as_ref();
    let key = UnparsedPublicKey::new(&RSA_PSS_2048_8192_SHA256, public);
    key.verify(signed.as_bytes(), &signature).unwrap();
    assert!(key.verify(&signed.as_bytes()[1..], &signature).is_err());
}

#[test]
fn no_two_statements_are_the_same() {
    let [one, two] = [(); 2].map(|()| parts(&statement(today())));
    assert_ne!(one[1], two[1]);
    assert_ne!(one[2], two[2]);
}
