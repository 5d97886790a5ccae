//! Claims challenges: tokens that must be fetched anew, with certain claims.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use edm_agent::sandbox::{CLIENT_SECRET, Quirks, TENANT_ID};
use serde_json::{Value, json};

use super::Bench;

async fn fetch(bench: &Bench, claims: &str) -> String {
    let url = format!("{}/{TENANT_ID}/oauth2/v2.0/token", bench.sandbox.origin());
    let (_, granted) = bench.ask_authority(&url, &[("client_secret", CLIENT_SECRET), ("claims", claims)]).await;
    granted["access_token"].as_str().unwrap().to_owned()
}

/// The claims a list asked for with this token is challenged for.
async fn challenge(bench: &Bench, token: &str) -> String {
    let request = bench.http.get(bench.url("exactMatchDataStores")).bearer_auth(token);
    let response = request.header("client-request-id", "1").send().await.unwrap();
    assert_eq!(response.status(), 401);
    let header = response.headers()["www-authenticate"].to_str().unwrap().to_owned();
    assert!(header.starts_with("Bearer realm=\"\", ") && header.contains("error=\"insufficient_claims\""), "{header}");
    let claims = header.split("claims=\"").nth(1).unwrap().trim_end_matches('"');
    String::from_utf8(STANDARD.decode(claims).unwrap()).unwrap()
}

#[tokio::test]
async fn only_a_token_fetched_with_the_demanded_claims_passes() {
    let bench = Bench::new().await;
    let before = fetch(&bench, "").await;
    assert_eq!(bench.status_with(&before).await, 200);
    let demanded = bench.sandbox.demand_claims();
    assert_eq!(challenge(&bench, &before).await, demanded);
    let value: Value = serde_json::from_str(&demanded).unwrap();
    assert_eq!(value, json!({"access_token": {"nbf": {"essential": true, "value": "1772367400"}}}));

    let none = fetch(&bench, "").await;
    let other = fetch(&bench, "{\"access_token\":{\"nbf\":{\"essential\":true,\"value\":\"1\"}}}").await;
    let inessential = fetch(&bench, "{\"access_token\":{\"nbf\":{\"value\":\"1772367400\"}}}").await;
    for token in [none, other, inessential] {
        assert_eq!(challenge(&bench, &token).await, demanded);
    }
    let right = fetch(&bench, &demanded).await;
    assert_eq!(bench.status_with(&right).await, 200);
    // What clients say of themselves goes into the same object.
    let more = fetch(&bench, &demanded.replace("}}}", "},\"xms_cc\":{\"values\":[\"cp1\"]}}}")).await;
    assert_eq!(bench.status_with(&more).await, 200);
    let seen = bench.sandbox.journal();
    assert!(seen.iter().any(|seen| seen.body.ends_with("with claims")));

    let again = bench.sandbox.demand_claims();
    assert_ne!(again, demanded, "each demand is one of its own, also within a second");
    assert_eq!(challenge(&bench, &right).await, again);
}

#[tokio::test]
async fn the_bearer_token_is_challenged_until_it_is_made_anew() {
    let bench = Bench::quirky(Quirks { claims_challenge: true, ..Quirks::default() }).await;
    challenge(&bench, bench.sandbox.bearer()).await;
    let rotated = bench.sandbox.rotate_bearer();
    assert_eq!(bench.status_with(&rotated).await, 200);
}
