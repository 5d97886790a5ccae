//! Sessions of another uploader, which the agent keeps alive.

use std::time::Duration;

use edm_agent::sandbox::{Phase, SandboxSettings};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::harness::{Host, assert_counts_fall, hex, now, pause, seen};

/// How long a session lives here: a few lives fit into a test.
const TTL: Duration = Duration::from_secs(3);
/// Blocks of the other uploader.
pub(super) const BLOCKS: u32 = 4;

pub(super) async fn short_lived() -> Host {
    let settings = SandboxSettings {
        session_ttl: TTL,
        upload_uri_ttl: Duration::from_secs(5),
        sessions_per_day: 20,
        ..SandboxSettings::default()
    };
    Host::with("", settings).await
}

/// Opens a session as another uploader does, for bytes of no known encoding.
pub(super) async fn open(host: &Host) -> String {
    let draft = json!({"fileName": "foreign.bin", "totalBlockCount": BLOCKS, "remainingBlockCount": BLOCKS});
    let (status, session) = host.service("POST", &format!("{}/sessions", host.store()), Some(draft)).await;
    assert_eq!(status, 201, "{session}");
    session["id"].as_str().unwrap().to_owned()
}

fn block_id(block: u32) -> String {
    // Base64 of three bytes needs no escaping in an address.
    ["AAAA", "AAAB", "AAAC", "AAAD"][block as usize].to_owned()
}

async fn put(uri: &str, query: &str, body: String) {
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    let answer = client.put(format!("{uri}&{query}")).body(body).send().await.unwrap();
    assert_eq!(answer.status().as_u16(), 201, "{query}");
}

pub(super) async fn put_block(uri: &str, block: u32) {
    put(uri, &format!("comp=block&blockid={}", block_id(block)), format!("block {block}")).await;
}

pub(super) async fn put_list(uri: &str) {
    let entries: String = (0..BLOCKS).map(|block| format!("<Latest>{}</Latest>", block_id(block))).collect();
    put(uri, "comp=blocklist", format!("<?xml version=\"1.0\" encoding=\"utf-8\"?><BlockList>{entries}</BlockList>"))
        .await;
}

/// The current upload URI, as the agent hands it out.
pub(super) async fn upload_uri(host: &Host, id: &str) -> String {
    let deadline = now() + Duration::from_secs(30);
    loop {
        let (status, answer) = host.ask("GET", &format!("v1/sessions/{id}/upload-uri"), None).await;
        if status == 200 {
            assert!(answer["expires"].is_string(), "{answer}");
            return answer["upload_uri"].as_str().unwrap().to_owned();
        }
        assert!(status == 409 && now() < deadline, "{status} {answer}");
        pause(Duration::from_millis(50)).await;
    }
}

pub(super) async fn progress(host: &Host, id: &str, body: Value) -> (u16, Value) {
    host.ask("PUT", &format!("v1/sessions/{id}/progress"), Some(body)).await
}

#[tokio::test]
async fn a_session_of_another_uploader_is_kept_reported_and_committed_through_a_restart() {
    let host = short_lived().await;
    let mut agent = host.serve().await;
    let id = open(&host).await;
    let tracked = host
        .run(&[
            "sessions",
            "track",
            "--data-store",
            "PatientRecords",
            "--session",
            &id,
            "--total-blocks",
            "4",
            "--json",
        ])
        .await;
    assert_eq!((tracked.code, &tracked.json()["tracked"]), (Some(0), &true.into()), "{tracked:?}");

    let first = upload_uri(&host, &id).await;
    put_block(&first, 0).await;
    assert_eq!(progress(&host, &id, json!({"total_blocks": BLOCKS, "uploaded_blocks": 1})).await.0, 200);
    let (status, refusal) = progress(&host, &id, json!({"total_blocks": BLOCKS, "uploaded_blocks": 0})).await;
    assert_eq!(status, 409, "a count that shrinks: {refusal}");
    let (status, refusal) = progress(&host, &id, json!({"total_blocks": 5, "uploaded_blocks": 2})).await;
    assert_eq!(status, 409, "another total: {refusal}");
    let (status, refusal) = host.ask("POST", &format!("v1/sessions/{id}/commit"), None).await;
    assert!(status == 409 && refusal["error"]["message"].as_str().unwrap().contains("3 of 4"), "{status} {refusal}");

    // Several lives of the session, over a restart of the agent.
    let renewals = || host.only_session().tally.renewals;
    seen("three renewals", || (renewals() >= 3).then_some(())).await;
    agent.kill();
    let before = renewals();
    let agent = host.serve().await;
    seen("three more", || (renewals() >= before + 3).then_some(())).await;
    assert_eq!(host.only_session().phase, Phase::Open, "{}", agent.said());

    let second = upload_uri(&host, &id).await;
    assert_ne!(first, second, "the URI of now");
    for block in 1..BLOCKS {
        put_block(&second, block).await;
    }
    assert_eq!(progress(&host, &id, json!({"uploaded": [[1, 2], [3, 3]]})).await.0, 200, "ranges add up");
    put_list(&second).await;
    let committed = host.run(&["sessions", "commit", &id, "--json"]).await;
    assert_eq!(committed.code, Some(0), "{committed:?}");
    let live = seen("the table is live", || Some(host.only_session()).filter(|it| it.phase == Phase::Completed)).await;

    assert_eq!(live.tally.commits, 1);
    assert_counts_fall(&live, "tracked");
    assert_eq!(live.tally.reports.last().unwrap().remaining, Some(0));
    let bytes = (0..BLOCKS).map(|block| format!("block {block}")).collect::<String>();
    assert_eq!(live.seal.unwrap().sha256, hex(&Sha256::digest(bytes)));
    assert_eq!(host.breaches(), Vec::<String>::new());
    let shown = closed(&host, &id).await;
    assert_eq!(shown["outcome"], "completed", "{shown}");
    let (status, refusal) = progress(&host, &id, json!({"uploaded_blocks": 4})).await;
    assert!([404, 409].contains(&status), "it is over: {status} {refusal}");
}

/// Waits until the agent shows a session as closed.
async fn closed(host: &Host, id: &str) -> Value {
    let deadline = now() + Duration::from_secs(30);
    loop {
        let shown = host.run(&["sessions", "show", id, "--json"]).await;
        assert_eq!(shown.code, Some(0), "{shown:?}");
        if !shown.json()["closed"].is_null() {
            return shown.json();
        }
        assert!(now() < deadline, "{shown:?}");
    }
}

#[tokio::test]
async fn the_agent_opens_a_session_for_another_uploader_renews_it_on_request_and_cancels_it() {
    let host = Host::with("", SandboxSettings { session_ttl: Duration::from_secs(600), ..SandboxSettings::default() });
    let host = host.await;
    let _agent = host.serve().await;
    let body = json!({"data_store": "PatientRecords", "total_blocks": BLOCKS});
    let (status, view) = host.ask("POST", "v1/sessions", Some(body)).await;
    assert_eq!((status, &view["tracked"]), (201, &true.into()), "{view}");
    let upload = view["upload_id"].as_str().unwrap().to_owned();
    let uri = upload_uri(&host, &upload).await;
    put_block(&uri, 0).await;
    let session = host.only_session();
    assert_eq!(session.total_blocks, Some(BLOCKS));

    let renewed = host.run(&["sessions", "renew", &session.id, "--json"]).await;
    assert_eq!(renewed.code, Some(0), "{renewed:?}");
    assert_eq!(host.only_session().tally.renewals, 1, "ten minutes give no other reason");
    let list = host.run(&["sessions", "list", "--json"]).await.json();
    assert_eq!(
        (list["value"][0]["session"].as_str(), list["value"][1].is_null()),
        (Some(&*session.id), true),
        "{list}"
    );
    let text = host.run(&["sessions", "list"]).await.stdout;
    assert!(text.contains(&session.id) && text.contains("(tracked)") && text.contains("0/4"), "{text}");
    let remote = host.run(&["sessions", "list", "--data-store", "PatientRecords"]).await.stdout;
    assert!(remote.contains(&session.id), "{remote}");
    let remote = host.run(&["sessions", "show", &session.id, "--data-store", "PatientRecords", "--json"]).await;
    assert_eq!(remote.json()["id"], session.id, "{remote:?}");

    let cancelled = host.run(&["sessions", "cancel", &session.id, "--json"]).await;
    assert_eq!((cancelled.code, &cancelled.json()["outcome"]), (Some(0), &"cancelled".into()), "{cancelled:?}");
    assert_eq!(host.only_session().phase, Phase::Cancelled);
    assert_eq!(host.breaches(), Vec::<String>::new());
    host.run(&["sessions", "renew", "nothing"]).await.assert_refused(1, &["nothing is known here", "status"]);
}

#[tokio::test]
async fn a_session_is_tracked_from_the_command_line_without_an_agent_and_kept_once_there_is_one() {
    let host = short_lived().await;
    let id = open(&host).await;
    let tracked = host
        .run(&["sessions", "track", "--data-store", "PatientRecords", "--session", &id, "--total-blocks", "4"])
        .await;
    assert_eq!(tracked.code, Some(0), "{tracked:?}");
    let _agent = host.serve().await;
    let before = host.only_session().tally.renewals;
    seen("it is renewed", || (host.only_session().tally.renewals >= before + 3).then_some(())).await;
    assert_eq!(host.only_session().phase, Phase::Open);
    let (status, refusal) = host
        .ask("POST", "v1/sessions", Some(json!({"data_store": "PatientRecords", "session_id": id, "total_blocks": 9})))
        .await;
    assert!(status >= 400, "tracked already, with another total: {status} {refusal}");
    let (status, refusal) = host.ask("POST", "v1/sessions", Some(json!({"data_store": "PatientRecords"}))).await;
    assert!(status == 400 && refusal["error"]["message"].as_str().unwrap().contains("total_blocks"), "{refusal}");
}

#[tokio::test]
async fn a_session_is_kept_when_renewals_bring_no_other_upload_uri_than_one_that_ended() {
    let settings =
        SandboxSettings { session_ttl: TTL, upload_uri_ttl: Duration::from_secs(2), ..SandboxSettings::default() };
    let host = Host::with("[quirks]\nrenewed_uri = \"same\"\n", settings).await;
    let agent = host.serve().await;
    let body = json!({"data_store": "PatientRecords", "total_blocks": BLOCKS});
    assert_eq!(host.ask("POST", "v1/sessions", Some(body)).await.0, 201);
    seen("it is open", || (!host.sandbox.sessions().is_empty()).then_some(())).await;
    pause(TTL * 4).await;
    let session = host.only_session();
    assert_eq!(session.phase, Phase::Open, "{} renewals: {}", session.tally.renewals, agent.said());
    assert!(session.tally.renewals < 40, "{} renewals in four lives are a storm", session.tally.renewals);
}
