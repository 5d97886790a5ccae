//! The local API over a real socket: every route's answers, and its limits.

use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use edm_agent::agent::control::{self, Control};
use edm_agent::agent::serve::{Door, serve};
use edm_agent::ports::clock::Clock;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;
use tokio::task::JoinSet;

use super::reload::{Page, reloading};
use super::schedule::{one_table, write_table};
use super::world::socket::{Got, ask, rest, say};
use super::world::{Fate, HOUR, House, MINUTE, Op, SECOND, SIGNATURE};
use crate::support::tokens::Fixed;

/// An agent that answers on a socket.
pub(super) struct Desk {
    pub(super) house: House,
    pub(super) socket: PathBuf,
    /// What the configuration file says.
    page: Page,
    reloading: JoinSet<()>,
    _serving: JoinSet<()>,
}

impl Desk {
    pub(super) async fn open() -> Self {
        let house = House::with(one_table);
        let socket = house.dir.path().join("run").join("agent.sock");
        let listener = control::bind(&socket).await.unwrap();
        let state_dir = house.settings.state_dir.clone();
        let page = Page::of(&house);
        let (reloader, reloads) = house.reloader(page.load());
        let control = Control {
            intake: house.intake(),
            notices: house.notices.clone(),
            tokens: Fixed::none("the secret has expired"),
            reloads,
            state_dir,
        };
        let mut serving = JoinSet::new();
        let reloading = reloading(reloader);
        serving.spawn(serve(listener, Arc::new(house.clock), move |request| control.clone().handle(request)));
        Self { house, socket, page, reloading, _serving: serving }
    }

    async fn ask(&self, method: &str, path: &str, body: Value) -> Got {
        let body = if body.is_null() { String::new() } else { body.to_string() };
        ask(&self.socket, method, path, &body).await
    }

    /// Asks and expects a status.
    pub(super) async fn expect(&self, status: u16, method: &str, path: &str, body: Value) -> Value {
        let got = self.ask(method, path, body).await;
        assert_eq!(got.status, status, "{method} {path}: {got:?}");
        let value = got.json();
        if status >= 400 {
            assert_eq!(value["error"]["status"], status, "{got:?}");
            assert!(value["error"]["message"].as_str().unwrap().len() > 10, "{got:?}");
        }
        value
    }
}

#[tokio::test(start_paused = true)]
async fn a_tracked_session_is_kept_reported_and_committed_over_the_socket() {
    let desk = Desk::open().await;
    desk.house.service.seed("theirs", "Letters", 10);
    let track = json!({ "data_store": "Letters", "session_id": "theirs", "total_blocks": 10 });
    let view = desk.expect(201, "POST", "/v1/sessions", track.clone()).await;
    assert_eq!(view["upload_id"], view["upload"]);
    desk.house.pass(SECOND).await;
    assert_eq!(desk.expect(201, "POST", "/v1/sessions", track).await["upload"], view["upload"], "asked twice is one");
    let other = json!({ "data_store": "Letters", "session_id": "theirs", "total_blocks": 11 });
    desk.expect(422, "POST", "/v1/sessions", other).await;

    let uri = desk.expect(200, "GET", "/v1/sessions/theirs/upload-uri", Value::Null).await;
    assert!(uri["upload_uri"].as_str().unwrap().contains(SIGNATURE) && uri["expires"].is_string());
    let progress = "/v1/sessions/theirs/progress";
    let done = desk.expect(200, "PUT", progress, json!({ "total_blocks": 10, "uploaded_blocks": 4 })).await;
    assert_eq!((&done["stored_blocks"], &done["remaining_blocks"]), (&json!(4), &json!(6)));
    let done = desk.expect(200, "PUT", progress, json!({ "uploaded": [[6, 7], [9, 9]] })).await;
    assert_eq!(done["stored_blocks"], 7);
    let done = desk.expect(200, "PUT", progress, json!({ "uploaded_blocks": 8 })).await;
    assert_eq!(done["stored_blocks"], 8, "a count after ranges counts them too");
    desk.expect(409, "PUT", progress, json!({ "uploaded_blocks": 3 })).await;
    desk.expect(409, "PUT", progress, json!({ "uploaded_blocks": 11 })).await;
    desk.expect(409, "PUT", progress, json!({ "uploaded": [[10, 10]] })).await;
    desk.expect(409, "PUT", progress, json!({ "total_blocks": 9, "uploaded_blocks": 8 })).await;
    for rubbish in [json!({}), json!({ "uploaded_blocks": -1 }), json!({ "uploaded": [[2, 1]] }), json!([])] {
        desk.expect(400, "PUT", progress, rubbish).await;
    }
    desk.expect(409, "POST", "/v1/sessions/theirs/commit", Value::Null).await;
    desk.expect(202, "POST", "/v1/sessions/theirs/renew", Value::Null).await;
    desk.expect(200, "PUT", progress, json!({ "uploaded": [[0, 9]] })).await;
    desk.expect(202, "POST", "/v1/sessions/theirs/commit", Value::Null).await;
    desk.expect(202, "POST", "/v1/sessions/theirs/commit", Value::Null).await;
    let upload = view["upload"].as_str().unwrap();
    let view = desk.house.until(upload, HOUR, |view| view.is_closed()).await;
    assert_eq!(view.outcome.as_deref(), Some("completed"));

    desk.house.pass(SECOND).await;
    assert_eq!(desk.expect(200, "GET", "/v1/sessions/theirs", Value::Null).await["outcome"], "completed");
    desk.expect(409, "POST", "/v1/sessions/theirs/cancel", Value::Null).await;
    desk.expect(409, "PUT", progress, json!({ "uploaded_blocks": 10 })).await;
    assert_eq!(desk.house.service.count(Op::Commit), 1);
}

#[tokio::test(start_paused = true)]
async fn the_status_says_why_signing_in_fails() {
    let desk = Desk::open().await;
    let status = desk.expect(200, "GET", "/v1/status", Value::Null).await;
    assert_eq!(status["sign_in"], "the secret has expired");
}

#[tokio::test(start_paused = true)]
async fn a_reload_is_answered_with_what_it_changed_or_why_it_changed_nothing() {
    let mut desk = Desk::open().await;
    let status = desk.expect(200, "GET", "/v1/status", Value::Null).await;
    assert_eq!(status["configuration"]["generation"], 1);
    assert_eq!(status["configuration"]["last_reload"], Value::Null);

    desk.page.write(|settings| settings.quota.reserved = 3);
    let done = desk.expect(200, "POST", "/v1/reload", Value::Null).await;
    assert_eq!(done, json!({ "generation": 2, "changed": ["quota.reserved"] }));
    desk.page.spoil("unknown key `frob` at agent.toml:3:1");
    let refused = desk.expect(422, "POST", "/v1/reload", Value::Null).await;
    assert_eq!((&refused["generation"], &refused["error"]["exit"]), (&json!(2), &json!(78)), "{refused}");
    assert_eq!(refused["error"]["message"], "unknown key `frob` at agent.toml:3:1");
    let status = desk.expect(200, "GET", "/v1/status", Value::Null).await;
    let last = &status["configuration"]["last_reload"];
    assert_eq!((&status["configuration"]["generation"], &last["ok"]), (&json!(2), &json!(false)));
    assert_eq!(last["reason"], "unknown key `frob` at agent.toml:3:1");

    desk.expect(405, "GET", "/v1/reload", Value::Null).await;
    desk.reloading.shutdown().await;
    desk.expect(503, "POST", "/v1/reload", Value::Null).await;
}

#[tokio::test(start_paused = true)]
async fn what_is_not_there_or_not_so_is_refused_with_its_own_status() {
    let desk = Desk::open().await;
    let status = desk.expect(200, "GET", "/v1/status", Value::Null).await;
    assert_eq!(status["state_dir"], json!(desk.house.settings.state_dir));
    assert_eq!(status["tables"][0]["table"], "letters");
    for list in ["/v1/sessions", "/v1/uploads"] {
        assert_eq!(desk.expect(200, "GET", list, Value::Null).await, json!({ "value": [] }));
    }
    for (method, path) in [
        ("GET", "/v1/sessions/nobody"),
        ("GET", "/v1/uploads/nobody"),
        ("GET", "/v1/sessions/nobody/upload-uri"),
        ("POST", "/v1/sessions/nobody/renew"),
        ("POST", "/v1/sessions/nobody/commit"),
        ("POST", "/v1/uploads/nobody/cancel"),
        ("GET", "/"),
        ("GET", "/v2/status"),
        ("GET", "/v1/uploads/nobody/upload-uri"),
        ("POST", "/v1/sessions/nobody/explode"),
    ] {
        desk.expect(404, method, path, Value::Null).await;
    }
    desk.expect(404, "PUT", "/v1/sessions/nobody/progress", json!({ "uploaded_blocks": 1 })).await;
    for (method, path) in [
        ("POST", "/v1/status"),
        ("POST", "/v1/events"),
        ("DELETE", "/v1/sessions/x"),
        ("PUT", "/v1/uploads"),
        ("GET", "/v1/sessions/x/renew"),
        ("POST", "/v1/sessions/x/progress"),
        ("GET", "/v1/uploads/x/cancel"),
    ] {
        desk.expect(405, method, path, Value::Null).await;
    }
    for body in [json!({}), json!({ "data_store": "Letters" }), json!({ "data_store": 7, "total_blocks": 1 })] {
        desk.expect(400, "POST", "/v1/sessions", body).await;
    }
    for body in [Value::Null, json!({ "table": "letters", "bundle": "/nowhere" }), json!([1])] {
        desk.expect(400, "POST", "/v1/uploads", body).await;
    }
    assert_eq!(ask(&desk.socket, "POST", "/v1/uploads", "{\"table\":").await.status, 400);
    let refused = desk.expect(422, "POST", "/v1/uploads", json!({ "table": "numbers" })).await;
    assert_eq!(refused["error"]["exit"], 78);
    desk.expect(422, "POST", "/v1/sessions", json!({ "data_store": "Nowhere", "total_blocks": 1 })).await;
    desk.expect(422, "POST", "/v1/sessions", json!({ "data_store": "Letters", "total_blocks": 0 })).await;

    desk.house.service.script(|_| Fate::Hung);
    let id = desk.house.track("theirs", 3).await;
    desk.expect(409, "GET", &format!("/v1/sessions/{id}/upload-uri"), Value::Null).await;
}

#[tokio::test(start_paused = true)]
async fn a_table_asked_for_twice_is_hashed_once_and_a_refusal_waits_for_whoever_asked() {
    let desk = Desk::open().await;
    write_table(&desk.house, 40);
    desk.house.service.script(|call| match call.op {
        Op::Stores => Fate::Slow(SECOND * 5),
        _ => Fate::Done,
    });
    let first = desk.expect(202, "POST", "/v1/uploads", json!({ "table": "letters" })).await;
    let again = desk.expect(202, "POST", "/v1/uploads", json!({ "table": "letters" })).await;
    assert_eq!((&first["phase"], &first["upload_id"]), (&json!("hashing"), &again["upload_id"]));
    let path = format!("/v1/uploads/{}", first["upload_id"].as_str().unwrap());
    desk.house.pass(HOUR).await;
    assert_eq!(desk.expect(200, "GET", &path, Value::Null).await["outcome"], "completed");
    assert_eq!(desk.house.service.count(Op::Create), 1);

    std::fs::write(&desk.house.settings.table[0].path, "A,B\nonly one\n").unwrap();
    let bad = desk.expect(202, "POST", "/v1/uploads", json!({ "table": "letters" })).await;
    desk.house.pass(MINUTE).await;
    let path = format!("/v1/uploads/{}", bad["upload_id"].as_str().unwrap());
    let view = desk.expect(200, "GET", &path, Value::Null).await;
    assert_eq!((&view["phase"], &view["exit"]), (&json!("refused"), &json!(65)));
}

#[tokio::test(start_paused = true)]
async fn a_bundle_asked_for_again_is_the_upload_it_was() {
    let desk = Desk::open().await;
    desk.house.store.takes(MINUTE);
    let (_, bundle) = desk.house.cargo("theirs", "Letters", 20);
    let body = json!({ "bundle": bundle.dir() });
    let first = desk.expect(202, "POST", "/v1/uploads", body.clone()).await;
    desk.house.pass(MINUTE).await;
    let again = desk.expect(202, "POST", "/v1/uploads", body).await;
    assert_eq!(first["upload_id"], again["upload_id"]);
    assert_eq!(again["phase"], "uploading");
    desk.house.pass(HOUR).await;
    assert!(bundle.dir().exists(), "a bundle of somebody else's is left to them");
}

#[tokio::test(start_paused = true)]
async fn a_body_too_large_is_refused() {
    let desk = Desk::open().await;
    let just = format!("{{\"table\":\"letters\",\"filler\":\"{}\"}}", "x".repeat((64 << 10) - 40));
    assert_eq!(ask(&desk.socket, "POST", "/v1/uploads", &just).await.status, 202);
    let large = "x".repeat(65 << 10);
    assert_eq!(ask(&desk.socket, "POST", "/v1/uploads", &large).await.status, 413);
    let claim = "POST /v1/uploads HTTP/1.1\r\nhost: agent\r\ncontent-length: 1073741824\r\n\r\n";
    assert_eq!(say(&desk.socket, &format!("{claim}{large}")).await.status, 413);
}

#[tokio::test(start_paused = true)]
async fn half_a_request_is_not_waited_for() {
    let desk = Desk::open().await;
    let started = desk.house.clock.now().moment;
    let nothing = say(&desk.socket, "").await;
    assert!(nothing.status == 0 && desk.house.since(started) <= SECOND * 6, "{:?}", desk.house.since(started));

    let started = desk.house.clock.now().moment;
    let half = say(&desk.socket, "GET /v1/status HTTP/1.1\r\nhost: ag").await;
    assert!(half.status == 0 || half.status == 408, "{half:?}");
    assert!(desk.house.since(started) <= SECOND * 6, "{:?}", desk.house.since(started));

    let started = desk.house.clock.now().moment;
    let half = "POST /v1/uploads HTTP/1.1\r\nhost: agent\r\nconnection: close\r\ncontent-length: 40\r\n\r\n{\"table\"";
    assert_eq!(say(&desk.socket, half).await.status, 408);
    assert!(desk.house.since(started) <= SECOND * 11, "{:?}", desk.house.since(started));
}

#[tokio::test(start_paused = true)]
async fn a_hundred_connections_that_say_nothing_hold_up_no_upload_and_the_next_only_for_a_while() {
    let desk = Desk::open().await;
    let mut silent = Vec::new();
    for _ in 0..100 {
        silent.push(UnixStream::connect(&desk.socket).await.unwrap());
    }
    let upload = desk.house.send("Letters", 50).await;
    let started = desk.house.clock.now().moment;
    let view = desk.house.until(&upload, MINUTE * 5, |view| view.is_closed()).await;
    assert_eq!(view.outcome.as_deref(), Some("completed"));
    desk.expect(200, "GET", "/v1/status", Value::Null).await;
    assert!(desk.house.since(started) <= MINUTE * 5);
}

#[tokio::test(start_paused = true)]
async fn whoever_does_not_read_its_answer_is_cut_off() {
    let desk = Desk::open().await;
    for number in 0..600 {
        desk.house.track(&format!("s{number}"), 1).await;
    }
    let mut deaf = Vec::new();
    for _ in 0..32 {
        let mut stream = UnixStream::connect(&desk.socket).await.unwrap();
        stream.write_all(b"GET /v1/status HTTP/1.1\r\nhost: agent\r\n\r\n").await.unwrap();
        deaf.push(stream);
    }
    desk.house.pass(SECOND).await;
    let started = desk.house.clock.now().moment;

    let got = desk.ask("GET", "/v1/sessions/s1", Value::Null).await;

    let waited = desk.house.since(started);
    assert!(got.status == 200 && waited >= SECOND * 50 && waited <= SECOND * 61, "{waited:?}: {got:?}");
}

#[tokio::test(start_paused = true)]
async fn a_host_without_descriptors_is_not_asked_in_a_hurry() {
    struct Shut(Arc<AtomicU32>);
    impl Door for Shut {
        type Connection = UnixStream;

        async fn accept(&self) -> std::io::Result<UnixStream> {
            self.0.fetch_add(1, Ordering::Relaxed);
            Err(std::io::Error::from_raw_os_error(24))
        }
    }
    let house = House::new();
    let tries = Arc::new(AtomicU32::new(0));
    let mut serving = JoinSet::new();
    serving.spawn(serve(Shut(tries.clone()), Arc::new(house.clock), |_| async { unreachable!("nobody comes in") }));

    house.pass(MINUTE).await;

    let tries = tries.load(Ordering::Relaxed);
    assert!((300..=601).contains(&tries), "{tries} in a minute");
}

#[tokio::test(start_paused = true)]
async fn events_come_as_lines_of_json_and_only_so_many_may_follow_them() {
    let desk = Desk::open().await;
    let mut streams = Vec::new();
    for _ in 0..16 {
        let mut stream = UnixStream::connect(&desk.socket).await.unwrap();
        stream.write_all(b"GET /v1/events HTTP/1.1\r\nhost: agent\r\n\r\n").await.unwrap();
        let mut head = [0; 12];
        stream.read_exact(&mut head).await.unwrap();
        assert_eq!(&head, b"HTTP/1.1 200");
        streams.push(stream);
    }
    desk.expect(503, "GET", "/v1/events", Value::Null).await;
    desk.expect(200, "GET", "/v1/status", Value::Null).await;

    let upload = desk.house.send("Letters", 4).await;
    desk.house.until(&upload, HOUR, |view| view.is_closed()).await;
    let mut seen = vec![0; 1 << 16];
    let mut stream = streams.pop().unwrap();
    desk.house.pass(SECOND).await;
    let length = stream.read(&mut seen).await.unwrap();
    let text = String::from_utf8(seen[..length].to_vec()).unwrap();
    assert!(text.contains("application/x-ndjson"), "{text}");
    let lines: Vec<Value> = text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect();
    let events: Vec<&str> = lines.iter().filter_map(|line| line["event"].as_str()).collect();
    assert!(events.starts_with(&["create", "opened", "placed"]), "{events:?}");
    assert!(lines.iter().filter(|line| line["event"].is_string()).all(|line| line["upload"] == json!(upload)));

    drop(streams);
    drop(stream);
    desk.house.pass(MINUTE).await;
    desk.house.track("theirs", 1).await;
    desk.house.pass(MINUTE).await;
    let mut stream = UnixStream::connect(&desk.socket).await.unwrap();
    stream.write_all(b"GET /v1/events HTTP/1.1\r\nhost: agent\r\n\r\n").await.unwrap();
    let mut head = [0; 12];
    stream.read_exact(&mut head).await.unwrap();
    assert_eq!(&head, b"HTTP/1.1 200", "those who left made room");
}

#[tokio::test(start_paused = true)]
async fn the_socket_is_for_its_owner_and_group_and_takes_the_place_of_a_dead_one_only() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("deep").join("agent.sock");

    let living = control::bind(&path).await.unwrap();
    let mode = std::fs::metadata(&path).unwrap().permissions().mode();
    assert_eq!(mode & 0o7777, 0o660);
    let refused = control::bind(&path).await.unwrap_err();
    assert_eq!(refused.kind(), std::io::ErrorKind::AddrInUse);
    drop(living);

    assert!(path.exists(), "a dead agent leaves its socket behind");
    let again = control::bind(&path).await.unwrap();
    drop(rest(UnixStream::connect(&path).await.map(|stream| (stream, drop(again))).unwrap().0).await);

    let file = dir.path().join("file");
    std::fs::write(&file, "precious").unwrap();
    assert!(control::bind(&file).await.is_err());
    assert_eq!(std::fs::read_to_string(&file).unwrap(), "precious");
}
