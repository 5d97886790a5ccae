//! The local API of the real program, held to `docs/openapi.yaml`: every route
//! is asked, every answer judged, and every line of the event stream.

use std::collections::BTreeSet;
use std::fs;

use edm_agent::sandbox::SandboxSettings;
use serde_json::{Value, json};

use super::harness::{Agent, Host, PATIENCE, now, pause, seen};
use super::socket::sockets;
use super::tracked::{BLOCKS, open, put_block, put_list};
use crate::support::openapi::{PAGE, Page};

/// An agent, and what it was asked so far.
struct Desk {
    host: Host,
    page: Page,
    answered: BTreeSet<(String, String, u16)>,
}

impl Desk {
    /// Asks, holds the question and the answer to the page, and returns the
    /// answer. `id` stands for `{id}` in the path.
    async fn call(&mut self, status: u16, method: &str, path: &str, id: &str, body: Value) -> Value {
        let asked = format!("{method} {}", path.replace("{id}", id));
        let wrong = self.page.wrong_request(method, path, &body);
        match status {
            200..300 => assert_eq!(wrong, Vec::<String>::new(), "{asked} takes {body}"),
            400 => assert_ne!(wrong, Vec::<String>::new(), "{asked} refuses {body}, and {PAGE} does not say that"),
            _ => (),
        }
        let (got, kind, _, answer) = send(&self.host, method, &path.replace("{id}", id), &body).await;
        assert_eq!(got, status, "{asked} {body}: {answer}");
        let wrong = self.page.wrong_answer(method, path, got, &kind, &answer);
        assert!(wrong.is_empty(), "{asked} {body}: {wrong:#?}\n{answer}");
        self.answered.insert((method.to_owned(), path.to_owned(), got));
        answer
    }

    /// Asks for one upload until it is as wanted.
    async fn until(&mut self, id: &str, wanted: impl Fn(&Value) -> bool) -> Value {
        let deadline = now() + PATIENCE;
        loop {
            let view = self.call(200, "GET", "/v1/uploads/{id}", id, Value::Null).await;
            if wanted(&view) {
                return view;
            }
            assert!(now() < deadline, "it stays {view}");
            pause(std::time::Duration::from_millis(20)).await;
        }
    }

    /// Has a session of another uploader tracked.
    async fn track(&mut self, session: Option<&str>) -> String {
        let mut body = json!({ "data_store": "PatientRecords", "total_blocks": BLOCKS });
        if let Some(session) = session {
            body["session_id"] = json!(session);
        }
        let view = self.call(201, "POST", "/v1/sessions", "", body).await;
        view["upload_id"].as_str().unwrap().to_owned()
    }
}

/// Asks on the socket; returns the status, the type, the methods allowed and the body.
async fn send(host: &Host, method: &str, path: &str, body: &Value) -> (u16, String, String, Value) {
    let client = reqwest::Client::builder().unix_socket(host.path("agent.sock")).no_proxy().build().unwrap();
    let mut request = client.request(method.parse().unwrap(), format!("http://localhost{path}")).timeout(PATIENCE);
    if !body.is_null() {
        request = request.body(body.to_string());
    }
    let answer = request.send().await.unwrap();
    let header = |name: &str| answer.headers().get(name).map(|value| value.to_str().unwrap().to_owned());
    let (status, kind, allow) = (answer.status().as_u16(), header("content-type"), header("allow"));
    let kind = kind.unwrap_or_default();
    // A stream has no end to read to.
    let text = if kind == "application/x-ndjson" { String::new() } else { answer.text().await.unwrap() };
    (status, kind, allow.unwrap_or_default(), serde_json::from_str(&text).unwrap_or_default())
}

#[tokio::test]
async fn every_route_answers_as_it_is_described() {
    let settings = SandboxSettings { sessions_per_day: 20, ..SandboxSettings::default() };
    let mut host = Host::with("[quirks]\nbandwidth = \"16KiB\"\n", settings).await;
    host.set("quota.sessions_per_day", "20");
    let agent = host.serve().await;
    let events = host.start(&["events", "--follow"]);
    let socket = host.path("agent.sock");
    seen("a follower", || (sockets(&socket) > 1).then_some(())).await;
    let mut desk = Desk { host, page: Page::read(), answered: BTreeSet::new() };
    follow(&mut desk).await;

    let completed = uploads(&mut desk).await;
    tracks(&mut desk).await;
    releases(&mut desk).await;
    desk.call(200, "POST", "/v1/reload", "", Value::Null).await;
    let failed = fails(&mut desk).await;
    let refused = refuses(&mut desk).await;
    let status = desk.call(200, "GET", "/v1/status", "", Value::Null).await;
    for list in ["/v1/sessions", "/v1/uploads"] {
        desk.call(200, "GET", list, "", Value::Null).await;
    }
    let closed = |id: &str| status["closed"].as_array().unwrap().iter().any(|view| view["upload"] == *id);
    assert!(closed(&completed) && closed(&failed) && status["hashing"][0]["upload"] == *refused, "{status}");

    nothing_else_is_there(&mut desk).await;
    for ((method, path), statuses) in desk.page.operations() {
        for status in statuses.into_iter().filter(|status| [200, 201, 202, 400, 404].contains(status)) {
            assert!(
                desk.answered.contains(&(method.clone(), path.clone(), status)),
                "{PAGE} says that {method} {path} answers with {status}, and nothing here sees that: \
                 add `desk.call({status}, {method:?}, {path:?}, …)` to tests/suite/commands/openapi.rs"
            );
        }
    }
    told(&desk.page, &events, &[&completed, &failed]).await;
    drop(agent);
}

/// Sees that the stream begins; the lines come from a command that follows it.
async fn follow(desk: &mut Desk) {
    let (status, kind, _, _) = send(&desk.host, "GET", "/v1/events", &Value::Null).await;
    assert_eq!((status, &*kind), (200, "application/x-ndjson"));
    desk.answered.insert(("GET".to_owned(), "/v1/events".to_owned(), status));
}

/// A table, from the wish to the end.
async fn uploads(desk: &mut Desk) -> String {
    desk.call(200, "GET", "/v1/status", "", Value::Null).await;
    for nonsense in [json!({}), json!({ "table": 7 }), json!({ "table": "patients", "bundle": "/nowhere" })] {
        desk.call(400, "POST", "/v1/uploads", "", nonsense).await;
    }
    desk.call(422, "POST", "/v1/uploads", "", json!({ "table": "numbers" })).await;
    let begun = desk.call(202, "POST", "/v1/uploads", "", json!({ "table": "patients" })).await;
    let id = begun["upload_id"].as_str().unwrap().to_owned();
    let under_way = desk.until(&id, |view| view["phase"] == "uploading" && view["stored_blocks"] != 0).await;
    let session = under_way["session"].as_str().unwrap();
    for list in ["/v1/status", "/v1/sessions", "/v1/uploads"] {
        desk.call(200, "GET", list, "", Value::Null).await;
    }
    desk.call(200, "GET", "/v1/sessions/{id}", session, Value::Null).await;
    desk.call(202, "POST", "/v1/sessions/{id}/renew", session, Value::Null).await;
    desk.call(409, "POST", "/v1/sessions/{id}/commit", session, Value::Null).await;
    desk.call(409, "PUT", "/v1/sessions/{id}/progress", session, json!({ "uploaded_blocks": 99_999 })).await;
    let view = desk.until(&id, |view| !view["closed"].is_null()).await;
    assert_eq!(view["outcome"], "completed", "{view}");
    desk.call(409, "POST", "/v1/uploads/{id}/cancel", &id, Value::Null).await;
    id
}

/// The sessions of other uploaders: one to its end, two cancelled.
async fn tracks(desk: &mut Desk) {
    for nonsense in
        [json!({}), json!({ "data_store": "PatientRecords" }), json!({ "data_store": 7, "total_blocks": 1 })]
    {
        desk.call(400, "POST", "/v1/sessions", "", nonsense).await;
    }
    let nowhere = json!({ "data_store": "Nowhere", "total_blocks": 1 });
    desk.call(422, "POST", "/v1/sessions", "", nowhere).await;

    let session = open(&desk.host).await;
    let upload = desk.track(Some(&session)).await;
    desk.until(&upload, |view| view["phase"] == "uploading").await;
    let other = json!({ "data_store": "PatientRecords", "session_id": session, "total_blocks": 9 });
    desk.call(422, "POST", "/v1/sessions", "", other).await;
    let uri = desk.call(200, "GET", "/v1/sessions/{id}/upload-uri", &session, Value::Null).await;
    let progress = "/v1/sessions/{id}/progress";
    for nonsense in [json!({}), json!({ "uploaded_blocks": -1 }), json!({ "uploaded": [[1]] })] {
        desk.call(400, "PUT", progress, &session, nonsense).await;
    }
    desk.call(409, "POST", "/v1/sessions/{id}/commit", &session, Value::Null).await;
    for block in 0..BLOCKS {
        put_block(uri["upload_uri"].as_str().unwrap(), block).await;
    }
    put_list(uri["upload_uri"].as_str().unwrap()).await;
    desk.call(200, "PUT", progress, &session, json!({ "total_blocks": BLOCKS, "uploaded_blocks": 1 })).await;
    desk.call(409, "PUT", progress, &session, json!({ "uploaded_blocks": 0 })).await;
    desk.call(200, "PUT", progress, &session, json!({ "uploaded": [[1, 2], [3, 3]] })).await;
    desk.call(202, "POST", "/v1/sessions/{id}/renew", &session, Value::Null).await;
    desk.call(202, "POST", "/v1/sessions/{id}/commit", &session, Value::Null).await;
    desk.until(&upload, |view| view["outcome"] == "completed").await;

    for cancel in ["/v1/sessions/{id}/cancel", "/v1/uploads/{id}/cancel"] {
        let upload = desk.track(None).await;
        desk.until(&upload, |view| view["phase"] == "uploading").await;
        desk.call(202, "POST", cancel, &upload, Value::Null).await;
        desk.until(&upload, |view| view["outcome"] == "cancelled").await;
    }
}

/// Extracts that a gate holds, let pass by either route.
async fn releases(desk: &mut Desk) {
    for (rows, release) in [(40, "/v1/uploads/{id}/release"), (4, "/v1/sessions/{id}/release")] {
        desk.host.write_rows(rows);
        let begun = desk.call(202, "POST", "/v1/uploads", "", json!({ "table": "patients" })).await;
        let id = begun["upload_id"].as_str().unwrap().to_owned();
        desk.until(&id, |view| view["phase"] == "held").await;
        desk.call(200, "GET", "/v1/status", "", Value::Null).await;
        desk.call(202, "POST", release, &id, Value::Null).await;
        let view = desk.until(&id, |view| !view["closed"].is_null()).await;
        assert_eq!(view["outcome"], "completed", "{view}");
        desk.call(409, "POST", release, &id, Value::Null).await;
    }
}

/// A session that the service loses.
async fn fails(desk: &mut Desk) -> String {
    let session = open(&desk.host).await;
    let upload = desk.track(Some(&session)).await;
    desk.until(&upload, |view| view["phase"] == "uploading").await;
    desk.host.sandbox.lose_session(&session);
    desk.call(202, "POST", "/v1/sessions/{id}/renew", &session, Value::Null).await;
    let view = desk.until(&upload, |view| !view["closed"].is_null()).await;
    assert!(view["outcome"] == "failed" && view["reason"].is_string() && view["exit"] == 1, "{view}");
    upload
}

/// A table that does not read.
async fn refuses(desk: &mut Desk) -> String {
    fs::write(desk.host.path("patients.csv"), "A,B\nonly one\n").unwrap();
    let begun = desk.call(202, "POST", "/v1/uploads", "", json!({ "table": "patients" })).await;
    let id = begun["upload_id"].as_str().unwrap().to_owned();
    let view = desk.until(&id, |view| view["phase"] == "refused").await;
    assert_eq!((&view["outcome"], &view["exit"]), (&json!("failed"), &json!(65)), "{view}");
    id
}

/// An id that nobody has is not found, and a method that is not described is
/// not allowed.
async fn nothing_else_is_there(desk: &mut Desk) {
    let operations: Vec<(String, String)> = desk.page.operations().into_keys().collect();
    for (method, path) in operations.iter().filter(|(_, path)| path.contains("{id}")) {
        let body = if method == "PUT" { json!({ "uploaded_blocks": 1 }) } else { Value::Null };
        desk.call(404, method, path, "nobody", body).await;
    }
    let paths: BTreeSet<&String> = operations.iter().map(|(_, path)| path).collect();
    for path in paths {
        let described: BTreeSet<&str> =
            operations.iter().filter(|(_, other)| other == path).map(|(method, _)| method.as_str()).collect();
        for method in ["DELETE", "GET", "PATCH", "POST", "PUT"] {
            if described.contains(method) {
                continue;
            }
            let (status, kind, allow, answer) =
                send(&desk.host, method, &path.replace("{id}", "x"), &Value::Null).await;
            assert_eq!((status, &*kind), (405, "application/json"), "{method} {path}: {answer}");
            assert_eq!(allow.split(", ").collect::<BTreeSet<_>>(), described, "{method} {path}");
            let wrong = desk.page.wrong(desk.page.schema("Refused"), &answer, "the refusal");
            assert!(wrong.is_empty(), "{method} {path}: {wrong:#?}");
        }
    }
    let (status, _, _, answer) = send(&desk.host, "GET", "/v1/nothing", &Value::Null).await;
    let wrong = desk.page.wrong(desk.page.schema("Refused"), &answer, "the refusal");
    assert!(status == 404 && wrong.is_empty(), "{status} {wrong:#?}");
}

/// Every line of the stream is as described, to the end of these uploads.
async fn told(page: &Page, events: &Agent, ended: &[&str]) {
    let lines = || events.stdout().lines().map(|line| serde_json::from_str(line).unwrap()).collect::<Vec<Value>>();
    let is_told = |id: &str| lines().iter().any(|line| line["event"] == "closed" && line["upload"] == *id);
    seen("the ends of the uploads", || ended.iter().all(|id| is_told(id)).then_some(())).await;
    let mut kinds = BTreeSet::new();
    for line in lines() {
        let wrong = page.wrong(page.schema("Event"), &line, "the line");
        assert!(wrong.is_empty(), "describe it in {PAGE} under `components: schemas: Event`: {line}\n{wrong:#?}");
        kinds.insert(line["event"].as_str().unwrap().to_owned());
    }
    for kind in ["create", "opened", "renewed", "placed", "stored", "listed", "reported", "commit", "closed"] {
        assert!(kinds.contains(kind), "{kind} is not among {kinds:?}");
    }
}
