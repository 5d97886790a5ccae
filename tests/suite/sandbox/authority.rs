//! The authority: what a client must prove, each proof checked for real.

use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use edm_agent::sandbox::quirks::ExpiresIn;
use edm_agent::sandbox::{
    CLIENT_ID, CLIENT_SECRET, FEDERATED_AUDIENCE, FEDERATED_ISSUER, FEDERATED_SUBJECT, Quirks, SandboxSettings,
    TENANT_ID,
};
use ring::rand::SystemRandom;
use ring::signature::{RSA_PKCS1_SHA256, RSA_PSS_SHA256, RsaEncoding, RsaKeyPair};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivatePkcs8KeyDer};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::{Bench, answer};

const ASSERTION_TYPE: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";

/// The date of a bench that was just started, in seconds.
const NOW: i64 = 1_772_367_400;

impl Bench {
    fn token_url(&self) -> String {
        format!("{}/{TENANT_ID}/oauth2/v2.0/token", self.sandbox.origin())
    }

    /// Asks the authority, with these fields besides the usual or instead of
    /// them; an empty one is left out.
    pub(super) async fn ask_authority(&self, url: &str, fields: &[(&str, &str)]) -> (u16, Value) {
        let usual = [
            ("grant_type", "client_credentials"),
            ("client_id", CLIENT_ID),
            ("scope", "https://graph.sandbox.invalid/.default"),
        ];
        let kept = usual.iter().filter(|(name, _)| fields.iter().all(|(other, _)| other != name));
        let mut form = url::form_urlencoded::Serializer::new(String::new());
        for (name, value) in kept.chain(fields).filter(|(_, value)| !value.is_empty()) {
            form.append_pair(name, value);
        }
        let request = self.http.post(url).header("content-type", "application/x-www-form-urlencoded");
        answer(request.body(form.finish()).send().await.unwrap()).await
    }

    async fn assert(&self, assertion: &str) -> (u16, Value) {
        let fields = [("client_assertion_type", ASSERTION_TYPE), ("client_assertion", assertion)];
        self.ask_authority(&self.token_url(), &fields).await
    }

    /// The status of a list that is asked for with this token.
    pub(super) async fn status_with(&self, token: &str) -> u16 {
        let request = self.http.get(self.url("exactMatchDataStores")).bearer_auth(token);
        request.header("client-request-id", "1").send().await.unwrap().status().as_u16()
    }
}

/// The AADSTS code of a refusal, 0 of a token.
fn code(answer: &Value) -> u64 {
    answer["error_codes"][0].as_u64().unwrap_or_else(|| u64::from(!answer["access_token"].is_string()))
}

fn sign(pem: &str, encoding: &'static dyn RsaEncoding, header: &Value, claims: &Value) -> String {
    let key = PrivatePkcs8KeyDer::from_pem_slice(pem.as_bytes()).unwrap();
    let key = RsaKeyPair::from_pkcs8(key.secret_pkcs8_der()).unwrap();
    let encode = |part: &Value| URL_SAFE_NO_PAD.encode(part.to_string());
    let unsigned = format!("{}.{}", encode(header), encode(claims));
    let mut signature = vec![0; key.public().modulus_len()];
    key.sign(encoding, &SystemRandom::new(), unsigned.as_bytes(), &mut signature).unwrap();
    format!("{unsigned}.{}", URL_SAFE_NO_PAD.encode(signature))
}

fn certificate(pem: &str) -> CertificateDer<'static> {
    CertificateDer::from_pem_slice(pem.as_bytes()).unwrap()
}

fn thumbprint(pem: &str) -> String {
    URL_SAFE_NO_PAD.encode(Sha256::digest(certificate(pem)))
}

/// The header and the claims of an assertion that is right.
fn right(bench: &Bench, pem: &str, id: &str) -> (Value, Value) {
    let header = json!({"alg": "PS256", "typ": "JWT", "x5t#S256": thumbprint(pem)});
    let claims = json!({
        "aud": bench.token_url(), "iss": CLIENT_ID, "sub": CLIENT_ID, "jti": id,
        "nbf": NOW, "iat": NOW, "exp": NOW + 600,
    });
    (header, claims)
}

/// Puts a value into an object; `null` takes it out.
fn put(object: &mut Value, name: &str, value: Value) {
    let fields = object.as_object_mut().unwrap();
    if value.is_null() {
        fields.remove(name);
    } else {
        fields.insert(name.to_owned(), value);
    }
}

#[tokio::test]
async fn each_field_of_a_request_is_checked() {
    let bench = Bench::new().await;
    let secret = ("client_secret", CLIENT_SECRET);
    let tenant = |tenant: &str| format!("{}/{tenant}/oauth2/v2.0/token", bench.sandbox.origin());
    for (url, fields, status, expected) in [
        (bench.token_url(), vec![secret], 200, 0),
        (tenant("contoso"), vec![secret], 400, 90_002),
        (tenant("common"), vec![secret], 400, 90_002),
        (bench.token_url() + "?x=1", vec![secret], 400, 9_002_313),
        (bench.token_url(), vec![secret, ("grant_type", "password")], 400, 70_003),
        (bench.token_url(), vec![secret, ("grant_type", "")], 400, 900_144),
        (bench.token_url(), vec![secret, ("client_id", "somebody")], 400, 700_016),
        (bench.token_url(), vec![("client_secret", "wrong")], 401, 7_000_215),
        (bench.token_url(), vec![], 401, 7_000_216),
        (bench.token_url(), vec![secret, ("client_assertion", "a.b.c")], 400, 9_002_313),
        (bench.token_url(), vec![secret, ("scope", "")], 400, 900_144),
        (bench.token_url(), vec![secret, ("scope", "https://x.invalid/User.Read")], 400, 1_002_012),
        (bench.token_url(), vec![secret, ("scope", "/.default")], 400, 1_002_012),
        (bench.token_url(), vec![secret, ("scope", "https://x/.default https://y/.default")], 400, 70_011),
        (bench.token_url(), vec![secret, ("claims", "{}")], 200, 0),
        (bench.token_url(), vec![secret, ("claims", "nbf")], 400, 9_002_313),
        (bench.token_url(), vec![secret, ("client_id", CLIENT_ID), ("client_id", CLIENT_ID)], 400, 9_000_411),
    ] {
        let (said, answer) = bench.ask_authority(&url, &fields).await;
        assert_eq!((said, code(&answer)), (status, expected), "{url} {fields:?} {answer}");
    }
}

#[tokio::test]
async fn only_the_scope_of_the_quirk_is_granted() {
    let quirks = Quirks { token_scope: Some("https://edm.invalid/.default".to_owned()), ..Quirks::default() };
    let bench = Bench::quirky(quirks).await;
    let secret = ("client_secret", CLIENT_SECRET);
    let (_, other) = bench.ask_authority(&bench.token_url(), &[secret]).await;
    assert_eq!(code(&other), 70_011);
    let fields = [secret, ("scope", "https://edm.invalid/.default")];
    assert_eq!(bench.ask_authority(&bench.token_url(), &fields).await.0, 200);
}

#[tokio::test]
async fn a_secret_can_be_set_anew_and_can_expire() {
    let bench = Bench::new().await;
    let with = async |secret| code(&bench.ask_authority(&bench.token_url(), &[("client_secret", secret)]).await.1);
    bench.sandbox.expire_client_secret();
    assert_eq!(with(CLIENT_SECRET).await, 7_000_222);
    assert_eq!(with("wrong").await, 7_000_215, "nobody learns of the end who does not know the secret");
    bench.sandbox.set_client_secret("another");
    assert_eq!(with(CLIENT_SECRET).await, 7_000_215);
    assert_eq!(with("another").await, 0);
}

#[tokio::test]
async fn an_assertion_of_the_certificate_gets_a_token_once() {
    let bench = Bench::new().await;
    let pem = bench.sandbox.client_certificate_pem();
    let (header, claims) = right(&bench, &pem, "1");
    let assertion = sign(&pem, &RSA_PSS_SHA256, &header, &claims);
    let (status, granted) = bench.assert(&assertion).await;
    assert_eq!(status, 200, "{granted}");
    assert_eq!(bench.status_with(granted["access_token"].as_str().unwrap()).await, 200);
    let seen = bench.sandbox.journal();
    assert!(seen[0].body.starts_with("client-certificate scope=https://graph.sandbox.invalid/"), "{}", seen[0].body);
    assert_eq!(code(&bench.assert(&assertion).await.1), 50_013, "an id counts once");
}

#[tokio::test]
async fn an_assertion_that_is_wrong_in_one_thing_is_refused() {
    let bench = Bench::new().await;
    let pem = bench.sandbox.client_certificate_pem();
    let url = bench.token_url();
    for (part, name, value, expected) in [
        ("header", "alg", json!("RS256"), 5_002_738),
        ("header", "alg", json!("none"), 5_002_738),
        ("header", "typ", Value::Null, 5_002_727),
        ("header", "x5t#S256", Value::Null, 5_002_723),
        ("header", "x5t#S256", json!("AAAA"), 700_027),
        ("claims", "iss", json!("somebody"), 700_021),
        ("claims", "sub", json!("somebody"), 700_021),
        ("claims", "sub", Value::Null, 700_021),
        ("claims", "aud", Value::Null, 50_013),
        ("claims", "aud", json!(bench.sandbox.origin()), 50_013),
        ("claims", "aud", json!(url.replace("127.0.0.1", "login.invalid")), 50_013),
        ("claims", "aud", json!(url.replace("http:", "https:")), 50_013),
        ("claims", "aud", json!(url.replace(TENANT_ID, "common")), 50_013),
        ("claims", "jti", Value::Null, 50_013),
        ("claims", "nbf", Value::Null, 50_013),
        ("claims", "exp", json!("soon"), 50_013),
        ("claims", "nbf", json!(NOW + 301), 700_024),
        ("claims", "exp", json!(NOW + 901), 700_024),
        ("claims", "exp", json!(NOW - 301), 700_024),
        // And what is still right.
        ("claims", "nbf", json!(NOW + 299), 0),
        ("claims", "exp", json!(NOW - 299), 0),
        ("claims", "aud", json!([url.clone()]), 0),
        ("claims", "aud", json!(url.replace("/oauth2/v2.0/token", "/v2.0")), 0),
    ] {
        let (mut header, mut claims) = right(&bench, &pem, &format!("{name} {value}"));
        put(if part == "header" { &mut header } else { &mut claims }, name, value.clone());
        let (_, answer) = bench.assert(&sign(&pem, &RSA_PSS_SHA256, &header, &claims)).await;
        assert_eq!(code(&answer), expected, "{part} {name} {value}: {answer}");
    }
}

#[tokio::test]
async fn a_signature_must_be_of_this_text_by_this_key_in_this_way() {
    let bench = Bench::new().await;
    let pem = bench.sandbox.client_certificate_pem();
    let (header, claims) = right(&bench, &pem, "1");
    let good = sign(&pem, &RSA_PSS_SHA256, &header, &claims);
    let (signed, signature) = good.rsplit_once('.').unwrap();
    let (_, other) = right(&bench, &pem, "2");
    let other = sign(&pem, &RSA_PSS_SHA256, &header, &other);
    let wrong_way = sign(&pem, &RSA_PKCS1_SHA256, &header, &claims);
    for (assertion, expected) in [
        (format!("{}.{signature}", other.rsplit_once('.').unwrap().0), 700_027),
        (wrong_way, 700_027),
        (format!("{signed}."), 700_027),
        (signed.to_owned(), 50_027),
        ("nonsense".to_owned(), 50_027),
        (good.clone(), 0),
    ] {
        assert_eq!(code(&bench.assert(&assertion).await.1), expected, "{assertion}");
    }
    let fields = [("client_assertion_type", "jwt"), ("client_assertion", &*good)];
    assert_eq!(code(&bench.ask_authority(&bench.token_url(), &fields).await.1), 90_023);
}

#[tokio::test]
async fn a_certificate_counts_while_it_is_registered() {
    let bench = Bench::new().await;
    let first = bench.sandbox.client_certificate_pem();
    let ask = async |pem: &str, id: &str| {
        let (header, claims) = right(&bench, pem, id);
        code(&bench.assert(&sign(pem, &RSA_PSS_SHA256, &header, &claims)).await.1)
    };
    assert_eq!(ask(&first, "1").await, 0);
    let second = bench.sandbox.rotate_client_certificate().unwrap();
    assert_ne!(thumbprint(&first), thumbprint(&second));
    assert_eq!(second, bench.sandbox.client_certificate_pem());
    assert_eq!(ask(&first, "2").await, 700_027);
    assert_eq!(ask(&second, "3").await, 0);
    assert_eq!(bench.sandbox.register_certificate(&certificate(&first)), thumbprint(&first));
    assert_eq!((ask(&first, "4").await, ask(&second, "5").await), (0, 0), "both are good during a rotation");
    bench.sandbox.forget_certificate(&certificate(&second));
    assert_eq!((ask(&first, "6").await, ask(&second, "7").await), (0, 700_027));
}

#[tokio::test]
async fn a_certificate_outside_its_own_time_signs_nothing() {
    let bench = Bench::new().await;
    let pem = bench.sandbox.client_certificate_pem();
    let key = PrivatePkcs8KeyDer::from_pem_slice(pem.as_bytes()).unwrap();
    let pair = rcgen::KeyPair::from_pkcs8_der_and_sign_algo(&key, &rcgen::PKCS_RSA_SHA256).unwrap();
    for (from, to) in [(2020, 2025), (2030, 2040)] {
        let mut parameters = rcgen::CertificateParams::default();
        parameters.not_before = rcgen::date_time_ymd(from, 1, 1);
        parameters.not_after = rcgen::date_time_ymd(to, 1, 1);
        let expired = parameters.self_signed(&pair).unwrap();
        bench.sandbox.register_certificate(expired.der());
        let (mut header, claims) = right(&bench, &pem, &from.to_string());
        header["x5t#S256"] = json!(thumbprint(&expired.pem()));
        let (_, answer) = bench.assert(&sign(&pem, &RSA_PSS_SHA256, &header, &claims)).await;
        assert!(
            code(&answer) == 700_027 && answer["error_description"].as_str().unwrap().contains("expired"),
            "{answer}"
        );
    }
}

#[tokio::test]
async fn the_pkcs12_form_holds_the_same_certificate_and_key() {
    let bench = Bench::new().await;
    let archive = bench.sandbox.client_certificate_p12("open").unwrap();
    let policy = p12_keystore::Pkcs12ImportPolicy::Strict;
    assert!(p12_keystore::KeyStore::from_pkcs12(&archive, "wrong", policy).is_err());
    let store = p12_keystore::KeyStore::from_pkcs12(&archive, "open", policy).unwrap();
    let (_, chain) = store.private_key_chain().unwrap();
    let pem = bench.sandbox.client_certificate_pem();
    assert_eq!(chain.certs()[0].as_der(), &*certificate(&pem));
    assert_eq!(chain.key().as_der(), PrivatePkcs8KeyDer::from_pem_slice(pem.as_bytes()).unwrap().secret_pkcs8_der());
}

#[tokio::test]
async fn a_token_of_the_outside_issuer_is_taken_until_it_ends() {
    let bench = Bench::new().await;
    let token = bench.sandbox.federated_token(Duration::from_secs(3_600));
    for _ in 0..2 {
        assert_eq!(code(&bench.assert(&token).await.1), 0, "a pod has but one, and uses it again");
    }
    assert!(bench.sandbox.journal()[0].body.starts_with("federated-token"));
    bench.clock.advance(Duration::from_secs(3_600 + 301));
    assert_eq!(code(&bench.assert(&token).await.1), 700_024);
    assert_eq!(code(&bench.assert(&bench.sandbox.federated_token(Duration::from_secs(60))).await.1), 0);
    bench.sandbox.set_federation(FEDERATED_ISSUER, "system:serviceaccount:other:other");
    assert_eq!(code(&bench.assert(&bench.sandbox.federated_token(Duration::from_secs(60))).await.1), 700_213);
}

#[tokio::test]
async fn a_token_of_an_outside_issuer_that_is_wrong_in_one_thing_is_refused() {
    let bench = Bench::new().await;
    let pem = bench.sandbox.client_certificate_pem();
    let genuine = bench.sandbox.federated_token(Duration::from_secs(600));
    let header = URL_SAFE_NO_PAD.decode(genuine.split('.').next().unwrap()).unwrap();
    let header: Value = serde_json::from_slice(&header).unwrap();
    for (part, name, value, expected) in [
        ("claims", "none", Value::Null, 0),
        ("claims", "aud", json!(FEDERATED_AUDIENCE), 0),
        ("claims", "iss", json!("https://issuer.invalid/"), 700_211),
        ("claims", "iss", json!(FEDERATED_ISSUER.trim_end_matches('/')), 700_211),
        ("claims", "sub", json!(FEDERATED_SUBJECT.to_uppercase()), 700_213),
        ("claims", "aud", json!([bench.token_url()]), 700_212),
        ("claims", "exp", Value::Null, 50_013),
        ("claims", "exp", json!(NOW - 301), 700_024),
        ("claims", "nbf", json!(NOW + 301), 700_024),
        ("header", "kid", json!("another"), 700_027),
        ("header", "alg", json!("PS256"), 5_002_738),
    ] {
        let mut claims = json!({
            "iss": FEDERATED_ISSUER, "sub": FEDERATED_SUBJECT, "aud": [FEDERATED_AUDIENCE], "nbf": NOW, "exp": NOW + 60,
        });
        let mut header = header.clone();
        put(if part == "header" { &mut header } else { &mut claims }, name, value.clone());
        let (_, answer) = bench.assert(&sign(&pem, &RSA_PKCS1_SHA256, &header, &claims)).await;
        assert_eq!(code(&answer), expected, "{part} {name} {value}: {answer}");
    }
    let forged = genuine[..genuine.len() - 8].to_owned() + "AAAAAAAA";
    assert_eq!(code(&bench.assert(&forged).await.1), 700_027);
}

#[tokio::test]
async fn a_clock_that_is_off_makes_assertions_untimely() {
    let (_, quirks) = edm_agent::sandbox::parse_script("[quirks]\nclock_offset = \"+20m\"\n").unwrap();
    let bench = Bench::quirky(quirks).await;
    let pem = bench.sandbox.client_certificate_pem();
    let (header, claims) = right(&bench, &pem, "1");
    assert_eq!(code(&bench.assert(&sign(&pem, &RSA_PSS_SHA256, &header, &claims)).await.1), 700_024);
}

#[tokio::test]
async fn a_tokens_life_is_told_in_the_form_of_the_quirk() {
    for (expires_in, expected) in [
        (ExpiresIn::Usual, json!({"expires_in": 60, "ext_expires_in": 60})),
        (ExpiresIn::Text, json!({"expires_in": "60"})),
        (ExpiresIn::Fraction, json!({"expires_in": 60.5})),
        (ExpiresIn::Missing, json!({})),
        (ExpiresIn::Zero, json!({"expires_in": 0})),
        (ExpiresIn::Negative, json!({"expires_in": -1})),
        (ExpiresIn::Huge, json!({"expires_in": u64::MAX})),
        (ExpiresIn::Nonsense, json!({"expires_in": "soon"})),
        (ExpiresIn::ExpiresOn, json!({"expires_on": (NOW + 60).to_string()})),
    ] {
        let quirks = Quirks { expires_in, token_ttl: Some(Duration::from_secs(60)), ..Quirks::default() };
        let bench = Bench::quirky(quirks).await;
        let (_, mut granted) = bench.ask_authority(&bench.token_url(), &[("client_secret", CLIENT_SECRET)]).await;
        let token = granted["access_token"].as_str().unwrap().to_owned();
        put(&mut granted, "access_token", Value::Null);
        put(&mut granted, "token_type", Value::Null);
        assert_eq!(granted, expected, "{expires_in:?}");
        assert_eq!(bench.status_with(&token).await, 200);
        bench.clock.advance(Duration::from_secs(60));
        assert_eq!(bench.status_with(&token).await, 401, "whatever is told, it ends after its life");
    }
}

#[tokio::test]
async fn revoked_tokens_are_refused_and_fresh_ones_are_not() {
    let bench = Bench::new().await;
    let fresh = async || {
        let (_, granted) = bench.ask_authority(&bench.token_url(), &[("client_secret", CLIENT_SECRET)]).await;
        granted["access_token"].as_str().unwrap().to_owned()
    };
    let first = fresh().await;
    bench.sandbox.revoke_tokens();
    assert_eq!(bench.status_with(&first).await, 401);
    assert_eq!(bench.status_with(&fresh().await).await, 200);
    assert_eq!(bench.status_with(bench.sandbox.bearer()).await, 200, "that one was not handed out");
}

#[tokio::test]
async fn the_log_of_the_authority_shows_no_secret() {
    let bench = Bench::with(SandboxSettings::default()).await;
    let pem = bench.sandbox.client_certificate_pem();
    let (header, claims) = right(&bench, &pem, "1");
    let assertion = sign(&pem, &RSA_PSS_SHA256, &header, &claims);
    let federated = bench.sandbox.federated_token(Duration::from_secs(600));
    let mut secrets = vec![CLIENT_SECRET.to_owned(), "wr0ng-secret".to_owned(), assertion.clone(), federated.clone()];
    for secret in [CLIENT_SECRET, "wr0ng-secret"] {
        bench.ask_authority(&bench.token_url(), &[("client_secret", secret)]).await;
    }
    for assertion in [&assertion, &assertion, &federated] {
        secrets.extend(bench.assert(assertion).await.1["access_token"].as_str().map(str::to_owned));
    }
    let log = format!("{:?}", bench.sandbox.journal());
    for secret in secrets {
        assert!(!log.contains(&secret), "{secret} is in {log}");
    }
}
