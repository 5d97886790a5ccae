//! The sessions of a day, as the real binary counts and shows them.

use edm_agent::sandbox::{Operation, SandboxSettings};
use serde_json::{Value, json};

use super::harness::{Host, now, pause, seen};

const ON_CHANGE: &str = "when = \"on-change\"\nrows_per_block = 10\n";

/// Opens a session as another host does.
async fn foreign(host: &Host) {
    let draft = json!({"fileName": "theirs.EdmHash", "totalBlockCount": 2, "remainingBlockCount": 2});
    let (status, session) = host.service("POST", &format!("{}/sessions", host.store()), Some(draft)).await;
    assert_eq!(status, 201, "{session}");
}

/// Waits until an upload waits for the quota, and returns the status.
async fn waits(host: &Host) -> Value {
    let deadline = now() + super::harness::PATIENCE;
    loop {
        let (_, status) = host.ask("GET", "v1/status", None).await;
        if status["uploads"].as_array().is_some_and(|all| all.iter().any(|view| view["waiting"] == "quota")) {
            return status;
        }
        assert!(now() < deadline, "{status}");
        pause(std::time::Duration::from_millis(50)).await;
    }
}

#[tokio::test]
async fn sessions_of_other_hosts_use_the_day_up_and_status_says_what_is_left() {
    let host = Host::new().await;
    host.configure(ON_CHANGE);
    for _ in 0..4 {
        foreign(&host).await;
    }
    let agent = host.serve().await;

    let status = waits(&host).await;

    assert_eq!(host.opened(), 4, "the last is kept for people: {}", agent.said());
    let quota = &status["quota"][0];
    assert_eq!(quota["data_store"], host.store(), "{status}");
    for (key, value) in [("allowed", 5), ("used", 4), ("reserved", 1), ("left", 1)] {
        assert_eq!(quota[key], value, "{key} of {quota}");
    }
    assert_eq!((&quota["learned"], &quota["known_from"]), (&Value::Null, &"service".into()), "{quota}");
    let waited = seen("the wait in the log", || agent.stderr().contains("waits for the quota").then(|| agent.stderr()));
    let waited = waited.await;
    assert_eq!(waited.matches("waits for the quota").count(), 1, "{waited}");
    assert!(waited.contains("but for what quota.reserved keeps for people; the next slot is at "), "{waited}");
    let text = host.run(&["status"]).await;
    assert!(text.stdout.contains("quota left 1 of 5 (next slot "), "{}", text.stdout);
    assert_eq!(host.breaches(), Vec::<String>::new());
}

#[tokio::test]
async fn a_person_has_the_reserved_session() {
    let host = Host::new().await;
    for _ in 0..4 {
        foreign(&host).await;
    }
    let ended = host.run(&["upload", "--table", "patients"]).await;
    assert_eq!((ended.code, host.opened()), (Some(0), 5), "{ended:?}");
}

#[tokio::test]
async fn a_creation_the_service_throttles_is_not_repeated_and_the_limit_is_learned_for_good() {
    let settings = SandboxSettings { sessions_per_day: 1, ..SandboxSettings::default() };
    let host = Host::with("", settings).await;
    host.configure(ON_CHANGE);
    foreign(&host).await;
    let creations = || host.asked(Operation::Create);
    let agent = host.serve().await;
    let status = waits(&host).await;

    assert_eq!(creations(), 2, "theirs, and ours that was refused: {}", agent.said());
    assert_eq!((&status["quota"][0]["learned"], &status["quota"][0]["left"]), (&1.into(), &0.into()), "{status}");
    seen("it is told", || agent.stderr().contains("refuses another session").then_some(())).await;
    // A stop waits for the journal; a kill may come before it.
    agent.signal("TERM");
    assert_eq!(agent.ended().await.code, Some(0));

    let agent = host.serve().await;
    waits(&host).await;
    let text = host.run(&["status"]).await;
    assert!(text.stdout.contains("quota left 0 of 1 (next slot "), "{}", text.stdout);
    assert!(text.stdout.contains("5 are configured"), "{}", text.stdout);
    assert_eq!(creations(), 2, "a restart asks no sooner: {}", agent.said());
}
