//! An uploader that waits until its table is live.

use std::time::Duration;

use edm_agent::sandbox::{Phase, SandboxSettings};
use serde_json::json;

use super::harness::{Agent, Host, seen};
use super::tracked::{BLOCKS, open, progress, put_block, put_list, upload_uri};

/// Sends all blocks of a tracked session, for the agent to commit.
async fn filled(host: &Host, id: String) -> String {
    let body = json!({"data_store": "PatientRecords", "session_id": id, "total_blocks": BLOCKS});
    assert_eq!(host.ask("POST", "v1/sessions", Some(body)).await.0, 201);
    let uri = upload_uri(host, &id).await;
    for block in 0..BLOCKS {
        put_block(&uri, block).await;
    }
    put_list(&uri).await;
    id
}

async fn stored(host: &Host, id: &str) {
    let all = json!({"total_blocks": BLOCKS, "uploaded_blocks": BLOCKS});
    assert_eq!(progress(host, id, all).await.0, 200);
}

async fn processing(host: &Host, waiting: &mut Agent) {
    seen("it is processed", || (host.only_session().phase == Phase::Processing).then_some(())).await;
    assert!(waiting.exit().is_none(), "it waits for more than the commit: {}", waiting.said());
}

#[tokio::test]
async fn a_commit_can_be_waited_for_until_the_table_is_live_over_a_restart_of_the_agent() {
    let settings = SandboxSettings { processing_time: Duration::from_secs(4), ..SandboxSettings::default() };
    let host = Host::with("", settings).await;
    let mut agent = host.serve().await;
    let id = filled(&host, open(&host).await).await;
    host.run(&["sessions", "commit", &id, "--wait", "live"]).await.assert_refused(1, &["4 of 4", "not stored"]);
    stored(&host, &id).await;

    let mut waiting = host.start(&["sessions", "commit", &id, "--wait", "live", "--json"]);
    processing(&host, &mut waiting).await;
    agent.kill();
    let _agent = host.serve().await;

    let ended = waiting.ended().await;
    assert_eq!((ended.code, &ended.json()["outcome"]), (Some(0), &"completed".into()), "{ended:?}");
    assert_eq!((host.only_session().phase, host.only_session().tally.commits), (Phase::Completed, 1));
    let again = host.run(&["sessions", "commit", &id, "--wait", "live"]).await;
    assert_eq!(again.code, Some(0), "what is live already needs no waiting: {again:?}");
}

#[tokio::test]
async fn whoever_waits_for_a_table_that_does_not_go_live_is_told_by_the_exit_code() {
    let settings = SandboxSettings { processing_time: Duration::from_secs(1), ..SandboxSettings::default() };
    let host = Host::with("", settings).await;
    let _agent = host.serve().await;
    // The service looks at what it got, and it is not what was announced.
    let draft = json!({
        "fileName": "foreign.bin", "totalBlockCount": BLOCKS, "remainingBlockCount": BLOCKS, "checksum": "0".repeat(64),
    });
    let (status, session) = host.service("POST", &format!("{}/sessions", host.store()), Some(draft)).await;
    assert_eq!(status, 201, "{session}");
    let id = filled(&host, session["id"].as_str().unwrap().to_owned()).await;
    stored(&host, &id).await;
    let ended = host.run(&["sessions", "commit", &id, "--wait", "live", "--json"]).await;
    assert_eq!((ended.code, &ended.json()["outcome"]), (Some(1), &"failed".into()), "{ended:?}");
    host.run(&["sessions", "commit", &id, "--wait", "tomorrow"]).await.assert_refused(2, &["committed", "live"]);
}
