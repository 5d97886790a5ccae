//! A state directory that was emptied, and the session that is still open.

use std::fs;
use std::time::Duration;

use edm_agent::sandbox::{Operation, Phase, SandboxSettings};
use serde_json::{Value, json};

use super::harness::{Agent, Host, seen};

/// A line so slow that a kill finds blocks under way.
const SLOW: &str = "[quirks]\nbandwidth = \"12KiB\"\n";
const ON_CHANGE: &str = "when = \"on-change\"\nrows_per_block = 10\n";

/// Has each bundle be hashed under a salt of its own.
fn unsalt(host: &Host) {
    let text = fs::read_to_string(host.path("agent.toml")).unwrap();
    let lines: String =
        text.lines().filter(|line| !line.starts_with("salt_file")).map(|line| format!("{line}\n")).collect();
    host.write("agent.toml", &lines);
}

/// Starts the service, kills it once so many blocks are stored, and empties its
/// state directory. Returns the session's id.
async fn lose_everything(host: &Host, blocks: usize) -> String {
    let mut agent = host.serve().await;
    let stored = || host.sandbox.sessions().first().map_or(0, |session| session.tally.puts.len());
    seen("some blocks are stored", || (stored() >= blocks).then_some(())).await;
    agent.kill();
    assert!(host.only_session().tally.puts.len() < 20, "it was not done");
    fs::remove_dir_all(host.path("state")).unwrap();
    host.only_session().id
}

async fn completes(host: &Host, agent: &Agent) {
    let is_live = || host.sandbox.sessions().iter().any(|session| session.phase == Phase::Completed);
    seen(&format!("the table is live: {}", agent.said()), || is_live().then_some(())).await;
}

/// Every row of the table, and nothing else, is found under the live session.
async fn assert_found(host: &Host, salted: bool) {
    if salted {
        let found =
            host.run_reading(&["lookup", "--table", "patients", "--column", "PatientID"], &host.person(3)[0]).await;
        assert_eq!(found.code, Some(0), "{found:?}");
    }
    let live = host.sandbox.sessions().into_iter().find(|session| session.phase == Phase::Completed).unwrap();
    assert_eq!(live.checksum.as_deref(), Some(&*host.live_digest()));
}

#[tokio::test]
async fn an_agent_whose_volume_was_emptied_goes_on_with_its_open_session_and_the_blocks_that_are_there() {
    let host = Host::scripted(SLOW).await;
    host.configure(ON_CHANGE);
    unsalt(&host);
    let session = lose_everything(&host, 6).await;

    let agent = host.serve().await;
    completes(&host, &agent).await;

    assert_eq!((host.only_session().id, host.opened()), (session, 1), "{}", agent.said());
    let puts = host.only_session().tally.puts;
    let twice = puts.values().filter(|&&times| times > 1).count();
    assert!(
        puts.len() == 20 && twice <= 8,
        "hashed under the session's own salt, only what was in flight goes twice: {puts:?}"
    );
    assert_eq!(host.asked(Operation::CreateAgent), 1, "and the agent is who it was");
    assert_eq!(host.breaches(), Vec::<String>::new());
    assert_found(&host, false).await;
}

#[tokio::test]
async fn a_table_that_changed_meanwhile_goes_into_the_same_session_whatever_its_length() {
    for rows in [195, 333] {
        let host = Host::scripted(SLOW).await;
        host.configure(ON_CHANGE);
        let session = lose_everything(&host, 6).await;
        host.write_rows(rows);

        let agent = host.serve().await;
        completes(&host, &agent).await;

        assert_eq!((host.only_session().id, host.opened()), (session, 1), "{rows} rows: {}", agent.said());
        assert_eq!(host.only_session().total_blocks, Some(20), "{rows} rows");
        assert_eq!(host.breaches(), Vec::<String>::new(), "{rows} rows");
        assert_found(&host, true).await;
    }
}

#[tokio::test]
async fn a_session_that_cannot_take_the_table_is_ended_and_replaced_and_that_is_said() {
    let host = Host::scripted(&format!("{SLOW}uri = \"container\"\n")).await;
    host.configure(ON_CHANGE);
    let session = lose_everything(&host, 6).await;
    host.write_rows(195);

    let agent = host.serve().await;
    completes(&host, &agent).await;

    let phases: Vec<(bool, Phase)> =
        host.sandbox.sessions().into_iter().map(|one| (one.id == session, one.phase)).collect();
    assert!(phases.contains(&(true, Phase::Cancelled)) && phases.contains(&(false, Phase::Completed)), "{phases:?}");
    assert_eq!((phases.len(), host.opened()), (2, 2));
    assert!(agent.stderr().contains("the open session cannot be taken over"), "{}", agent.said());
    assert_found(&host, true).await;
}

#[tokio::test]
async fn a_commit_of_the_same_content_that_is_being_processed_is_followed_and_not_repeated() {
    let settings = SandboxSettings { processing_time: Duration::from_secs(4), ..SandboxSettings::default() };
    let host = Host::with("", settings).await;
    host.configure(ON_CHANGE);
    unsalt(&host);
    let mut agent = host.serve().await;
    let is_committed = || host.sandbox.sessions().first().is_some_and(|session| session.tally.commits == 1);
    seen("the commit", || is_committed().then_some(())).await;
    agent.kill();
    fs::remove_dir_all(host.path("state")).unwrap();
    assert_eq!(host.only_session().phase, Phase::Processing);

    let agent = host.serve().await;
    agent.says("upload completed").await;

    assert_eq!((host.only_session().tally.commits, host.opened()), (1, 1), "{}", agent.said());
}

#[tokio::test]
async fn a_session_of_another_agent_or_of_none_is_never_taken_over() {
    let host = Host::new().await;
    let store = host.store();
    let (_, other) = host.service("POST", "../exactMatchUploadAgents", Some(json!({"description": "elsewhere"}))).await;
    for (at, agent) in [other["id"].clone(), Value::Null].into_iter().enumerate() {
        let mut draft = json!({
            "fileName": format!("patients-20260101T00000{at}-0123abcd.EdmHash"),
            "totalBlockCount": 20, "remainingBlockCount": 20, "rowsPerBlock": 10,
        });
        if !agent.is_null() {
            draft["uploadAgentId"] = agent;
        }
        let (status, session) = host.service("POST", &format!("{store}/sessions"), Some(draft)).await;
        assert_eq!(status, 201, "{session}");
    }

    let ended = host.run(&["upload", "--table", "patients"]).await;

    assert_eq!(ended.code, Some(0), "{ended:?}");
    let open = host.sandbox.sessions().iter().filter(|session| session.phase == Phase::Open).count();
    assert_eq!((open, host.opened()), (2, 3), "theirs are as they were");
}

#[tokio::test]
async fn a_sidecar_whose_volume_was_emptied_keeps_the_session_it_had_opened() {
    let host = Host::new().await;
    let mut agent = host.serve().await;
    let wish = |total: u32| json!({"data_store": "PatientRecords", "total_blocks": total});
    let (status, view) = host.ask("POST", "v1/sessions", Some(wish(4))).await;
    assert!((200..300).contains(&status), "{status} {view}");
    let session = seen("a session", || host.sandbox.sessions().first().map(|one| one.id.clone())).await;
    agent.kill();
    fs::remove_dir_all(host.path("state")).unwrap();

    let agent = host.serve().await;
    let (status, view) = host.ask("POST", "v1/sessions", Some(wish(4))).await;

    assert!((200..300).contains(&status), "{status} {view}");
    assert_eq!((&view["session"], host.opened()), (&session.clone().into(), 1), "{}", agent.said());
    seen("it is renewed", || (host.only_session().tally.renewals > 0).then_some(())).await;
    let (status, view) = host.ask("POST", "v1/sessions", Some(wish(5))).await;
    assert!((200..300).contains(&status), "another total is another upload: {status} {view}");
    seen("another session", || (host.opened() == 2).then_some(())).await;
}
