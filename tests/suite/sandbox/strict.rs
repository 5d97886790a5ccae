//! What a client must not do: refused, logged, and without effect.

use edm_agent::sandbox::{CLIENT_ID, CLIENT_SECRET, TENANT_ID};
use reqwest::Method;
use serde_json::json;

use super::{Bench, STORE, answer, draft, path_of, sessions};

#[tokio::test]
async fn a_request_without_the_right_bearer_is_challenged() {
    let bench = Bench::new().await;
    for bearer in [None, Some("Bearer wrong"), Some("Basic abc")] {
        let mut request = bench.http.get(bench.url("exactMatchDataStores")).header("client-request-id", "1");
        if let Some(bearer) = bearer {
            request = request.header("authorization", bearer);
        }
        let response = request.send().await.unwrap();
        assert_eq!(response.status(), 401, "{bearer:?}");
        assert!(response.headers()["www-authenticate"].to_str().unwrap().starts_with("Bearer "));
    }
    let rotated = bench.sandbox.rotate_bearer();
    assert_eq!(bench.get("exactMatchDataStores").await.0, 401, "the old one was withdrawn");
    let request = bench.http.get(bench.url("exactMatchDataStores")).bearer_auth(rotated);
    assert_eq!(request.header("client-request-id", "1").send().await.unwrap().status(), 200);
}

#[tokio::test]
async fn every_request_needs_an_id_of_the_client() {
    let bench = Bench::new().await;
    let request = bench.http.get(bench.url("exactMatchDataStores")).bearer_auth(bench.sandbox.bearer());
    assert_eq!(request.send().await.unwrap().status(), 400);
    assert_eq!(bench.breaches().len(), 1);
}

#[tokio::test]
async fn answers_carry_the_headers_and_the_error_body_of_the_service() {
    let bench = Bench::new().await;
    let response = bench.request(Method::GET, &path_of("nobody")).send().await.unwrap();
    let header = |name: &str| response.headers()[name].to_str().unwrap().to_owned();
    assert_eq!(header("client-request-id"), "0f4e8f4c-1111-4222-8333-444444444444");
    assert_eq!(header("date"), "Sun, 01 Mar 2026 12:16:40 GMT");
    assert!(header("x-ms-ags-diagnostic").contains("ServerInfo"));
    let id = header("request-id");
    let (_, body) = answer(response).await;
    let inner = &body["error"]["innerError"];
    assert_eq!(
        (&inner["request-id"], &inner["client-request-id"]),
        (&json!(id), &json!("0f4e8f4c-1111-4222-8333-444444444444"))
    );
    assert_eq!(inner["date"], "2026-03-01T12:16:40");
}

#[tokio::test]
async fn a_wrong_method_is_refused_with_the_right_ones() {
    let bench = Bench::new().await;
    let (session, uri) = bench.open(draft(b"")).await;
    let renew = format!("{}/renew", path_of(&session));
    for (method, path, allowed) in [
        (Method::GET, renew.clone(), "POST"),
        (Method::PATCH, renew, "POST"),
        (Method::PUT, path_of(&session), "GET, PATCH, DELETE"),
        (Method::DELETE, sessions(), "GET, POST"),
    ] {
        let response = bench.request(method.clone(), &path).send().await.unwrap();
        assert_eq!(response.status(), 405, "{method} {path}");
        assert_eq!(response.headers()["allow"], allowed);
    }
    assert_eq!(bench.http.post(&uri).send().await.unwrap().status(), 405);
    assert_eq!(bench.breaches().len(), 5);
    assert_eq!(bench.sandbox.session(&session).unwrap().tally.renewals, 0);
}

#[tokio::test]
async fn an_action_takes_no_body_but_an_empty_object() {
    let bench = Bench::new().await;
    let (session, _) = bench.open(draft(b"")).await;
    let renew = |kind: Option<&'static str>, body: &'static str| {
        let mut request = bench.request(Method::POST, &format!("{}/renew", path_of(&session))).body(body);
        if let Some(kind) = kind {
            request = request.header("content-type", kind);
        }
        async { request.send().await.unwrap().status().as_u16() }
    };
    assert_eq!(renew(None, "").await, 200);
    assert_eq!(renew(Some("application/json"), "").await, 200);
    assert_eq!(renew(Some("application/json"), "{}").await, 200);
    assert_eq!(renew(None, "{}").await, 400);
    assert_eq!(renew(Some("application/json"), "{\"a\":1}").await, 400);
    assert_eq!(renew(Some("text/plain"), "").await, 415);
    assert_eq!(bench.sandbox.session(&session).unwrap().tally.renewals, 3);
}

#[tokio::test]
async fn a_body_must_be_a_json_object_and_be_called_one() {
    let bench = Bench::new().await;
    for (kind, body, status) in [
        ("text/plain", "{}", 415),
        ("application/json", "[]", 400),
        ("application/json", "{", 400),
        ("application/json; charset=utf-8", "{}", 201),
    ] {
        let request = bench.request(Method::POST, &sessions()).header("content-type", kind).body(body);
        assert_eq!(request.send().await.unwrap().status(), status, "{kind} {body}");
    }
    let with_body = bench.request(Method::GET, &sessions()).body("{}").send().await.unwrap();
    assert_eq!(with_body.status(), 400, "a GET takes no body");
    let huge = "x".repeat((1 << 20) + 1);
    let request = bench.request(Method::POST, &sessions()).header("content-type", "application/json").body(huge);
    assert_eq!(request.send().await.unwrap().status(), 413);
}

#[tokio::test]
async fn only_a_clients_own_properties_are_taken_and_all_or_none() {
    let bench = Bench::new().await;
    let (session, _) = bench.open(json!({"totalBlockCount": 9, "remainingBlockCount": 9})).await;
    for (name, value) in [
        ("id", json!("x")),
        ("creationDateTime", json!("2026-01-01T00:00:00Z")),
        ("completionDateTime", json!(null)),
        ("dataUploadURI", json!("https://x")),
        ("totalJobCount", json!(1)),
        ("error", json!(null)),
        ("nonsense", json!(1)),
        ("fileName", json!(1)),
        ("fields", json!([1])),
        ("rowsPerBlock", json!(0)),
        ("rowsPerBlock", json!("1")),
        ("@odata.type", json!("#microsoft.graph.exactMatchDataStore")),
        ("dataStoreId", json!("another")),
        ("datastoreId", json!(STORE)),
        ("state", json!("Completed")),
        ("remainingBlockCount", json!(-1)),
        ("remainingBlockCount", json!(10)),
        ("remainingBlockCount", json!(1.5)),
        ("remainingBlockCount", json!(3_000_000_000_u64)),
        ("totalBlockCount", json!(8)),
    ] {
        let mut body = json!({"remainingBlockCount": 5});
        body[name] = value.clone();
        let (status, error) = bench.report(&session, body.clone()).await;
        assert_eq!(status, 400, "PATCH {name}: {value} {error}");
        assert_eq!(error["error"]["code"], "BadRequest");
        if !matches!(name, "remainingBlockCount" | "totalBlockCount") {
            assert_eq!(bench.call(Method::POST, &sessions(), Some(body)).await.0, 400, "POST {name}: {value}");
        }
    }
    let seen = bench.sandbox.session(&session).unwrap();
    assert_eq!((seen.remaining_blocks, seen.tally.reports.len()), (Some(9), 0));
    assert_eq!(bench.sandbox.sessions().len(), 1);
    let ours =
        json!({"@odata.type": "#microsoft.graph.exactMatchSession", "dataStoreId": STORE, "remainingBlockCount": 5});
    assert_eq!(bench.report(&session, ours).await.0, 200);
}

#[tokio::test]
async fn a_count_of_remaining_blocks_never_rises() {
    let bench = Bench::new().await;
    let (session, _) = bench.open(json!({"totalBlockCount": 9, "remainingBlockCount": 9})).await;
    for (remaining, status) in [(5, 200), (5, 200), (6, 400), (4, 200), (0, 200), (1, 400)] {
        assert_eq!(bench.report(&session, json!({"remainingBlockCount": remaining})).await.0, status, "{remaining}");
    }
    assert_eq!(bench.breaches().len(), 2);
}

#[tokio::test]
async fn a_bearer_at_the_blob_endpoint_is_refused_and_logged() {
    let bench = Bench::new().await;
    let (session, uri) = bench.open(draft(b"")).await;
    let request = bench.http.put(super::block_uri(&uri, "AAAA")).bearer_auth(bench.sandbox.bearer()).body("x");
    assert_eq!(request.send().await.unwrap().status(), 401);
    let seen = bench.sandbox.journal().pop().unwrap();
    assert!(seen.breach && seen.refused.unwrap().contains("bearer"));
    assert!(bench.sandbox.session(&session).unwrap().tally.puts.is_empty());
}

#[tokio::test]
async fn the_request_log_shows_no_secret() {
    let bench = Bench::new().await;
    let mut body = draft(b"");
    body["salt"] = json!("canary");
    let (_, uri) = bench.open(body).await;
    bench.put_block(&uri, "AAAA", b"x").await;
    let signature = uri.split("sig=").nth(1).unwrap();
    let log = format!("{:?}", bench.sandbox.journal());
    assert!(!log.contains("canary") && !log.contains(signature) && !log.contains(bench.sandbox.bearer()));
    assert!(log.contains("patients-1.EdmHash"));
}

#[tokio::test]
async fn the_token_endpoint_gives_a_bearer_that_ends() {
    let bench = Bench::new().await;
    let url = format!("{}/{TENANT_ID}/oauth2/v2.0/token", bench.sandbox.origin());
    let ask = |secret: &str| {
        let form = format!(
            "grant_type=client_credentials&client_id={CLIENT_ID}&client_secret={secret}&scope=https%3A%2F%2Fx%2F.default"
        );
        let request = bench.http.post(&url).header("content-type", "application/x-www-form-urlencoded").body(form);
        async { answer(request.send().await.unwrap()).await }
    };
    let (status, refused) = ask("wrong").await;
    assert_eq!(
        (status, &refused["error"], &refused["error_codes"]),
        (401, &json!("invalid_client"), &json!([7_000_215]))
    );
    let (status, granted) = ask(CLIENT_SECRET).await;
    assert_eq!((status, &granted["token_type"], &granted["expires_in"]), (200, &json!("Bearer"), &json!(3_599)));
    let list = || {
        let token = granted["access_token"].as_str().unwrap();
        let request = bench.http.get(bench.url("exactMatchDataStores")).bearer_auth(token);
        async { request.header("client-request-id", "1").send().await.unwrap().status().as_u16() }
    };
    assert_eq!(list().await, 200);
    bench.clock.advance(std::time::Duration::from_secs(3_599));
    assert_eq!(list().await, 401);
}
