//! Commands and the agent they ask, or do not.

use std::time::Duration;

use edm_agent::sandbox::{Operation, Phase, SandboxSettings};
use serde_json::{Value, json};

use super::harness::{Host, pause, seen};

/// Asks the agent for an upload of the table, and returns its id.
async fn begin(host: &Host) -> String {
    let (status, begun) = host.ask("POST", "v1/uploads", Some(json!({ "table": "patients" }))).await;
    assert_eq!(status, 202, "{begun}");
    begun["upload"].as_str().unwrap().to_owned()
}

/// Looks at an upload until it is as wished.
async fn until(host: &Host, upload: &str, wished: impl Fn(&Value) -> bool) -> Value {
    for _ in 0..3_000 {
        let (_, view) = host.ask("GET", &format!("v1/uploads/{upload}"), None).await;
        if wished(&view) {
            return view;
        }
        pause(Duration::from_millis(20)).await;
    }
    panic!("never: {:?}", host.ask("GET", &format!("v1/uploads/{upload}"), None).await);
}

#[tokio::test]
async fn a_session_that_was_committed_is_not_said_to_be_cancelled() {
    let settings = SandboxSettings { processing_time: Duration::from_secs(8), ..SandboxSettings::default() };
    let host = Host::with("", settings).await;
    let agent = host.serve().await;
    let upload = begin(&host).await;
    let is_processed = || host.sandbox.sessions().iter().any(|session| session.phase == Phase::Processing);
    seen("the service has the commit", || is_processed().then_some(())).await;

    let late = host.run(&["sessions", "cancel", &host.only_session().id]).await;

    late.assert_refused(1, &["it was committed before, and table patients will be live"]);
    assert!(!late.stdout.contains("cancelled"), "{late:?}");
    let ended = until(&host, &upload, |view| !view["closed"].is_null()).await;
    assert_eq!(ended["outcome"], "completed", "it is followed to its end: {ended} {}", agent.said());
    assert_eq!((host.only_session().phase, host.asked(Operation::Cancel)), (Phase::Completed, 1));
}

/// Without an agent the process that cancels is the one that goes on with it.
#[tokio::test]
async fn a_released_upload_that_is_cancelled_without_an_agent_does_not_go_live_first() {
    let host = Host::new().await;
    assert_eq!(host.run(&["upload", "--table", "patients"]).await.code, Some(0));
    let before = host.live_digest();
    host.write_rows(3);
    let held = host.run(&["upload", "--table", "patients", "--json"]).await;
    let upload = held.json()["held"]["upload"].as_str().unwrap().to_owned();
    for command in ["release", "cancel"] {
        let ended = host.run(&["sessions", command, &upload]).await;
        assert_eq!(ended.code, Some(0), "{command}: {ended:?}");
    }
    assert_eq!((host.live_digest(), host.asked(Operation::Commit)), (before, 1));
}

#[tokio::test]
async fn a_cancelled_upload_is_shown_without_what_kept_it_waiting() {
    let host = Host::scripted("[[fault]]\noperation = \"create\"\nalways = true\nstatus = 403\n").await;
    let _agent = host.serve().await;
    let upload = begin(&host).await;
    let waiting = until(&host, &upload, |view| view["trouble"].is_string()).await;

    let cancelled = host.run(&["sessions", "cancel", &upload]).await;

    assert_eq!(cancelled.code, Some(0), "{cancelled:?}");
    assert!(!cancelled.stdout.contains(waiting["trouble"].as_str().unwrap()), "{cancelled:?}");
}

#[tokio::test]
async fn a_bad_file_keeps_nobody_from_the_agent_that_is_at_work() {
    let host = Host::new().await;
    let mut agent = host.serve().await;
    let good = std::fs::read_to_string(host.path("agent.toml")).unwrap();
    host.write("agent.toml", &format!("{good}[log\n"));

    let commands: [&[&str]; 4] = [&["upload", "--table", "patients"], &["sessions", "list"], &["status"], &["events"]];
    for command in commands {
        let ended = host.run(command).await;
        assert_eq!(ended.code, Some(0), "{command:?}: {ended:?}");
        let is_told = ended.stderr.contains("not TOML") && ended.stderr.contains("goes by the configuration it has");
        assert!(is_told || command == ["events"], "{command:?}: {ended:?}");
    }
    assert_eq!(host.opened(), 1, "the agent did it: {}", agent.said());
    for (method, path, status) in [("GET", "v1/nothing", 404), ("PUT", "v1/status", 405)] {
        let (refused, answer) = host.ask(method, path, None).await;
        assert_eq!(refused, status, "{answer}");
        assert!(answer["error"]["message"].as_str().unwrap().contains("docs/openapi.yaml"), "{answer}");
    }

    agent.kill();
    for command in commands.into_iter().chain([&["reload"][..]]) {
        host.run(command).await.assert_refused(78, &["agent.toml:", "not TOML"]);
    }
}

/// As in a sidecar's uploader: it has the file and the socket, and no secret.
#[tokio::test]
async fn who_has_the_socket_and_the_file_needs_no_secret_and_no_state_but_the_right_file() {
    let host = Host::new().await;
    let _agent = host.serve().await;
    let text = std::fs::read_to_string(host.path("agent.toml")).unwrap();
    let (token, state) = (host.path("token").display().to_string(), host.path("state").display().to_string());
    host.write("bare.toml", &text.replace(&token, "/nowhere/token"));
    let bare = host.path("bare.toml").display().to_string();
    let upload = host.run(&["upload", "--table", "patients", "--config", &bare]).await;
    assert_eq!(upload.code, Some(0), "{upload:?}");

    let another = format!("{state}-of-another");
    host.write("other.toml", &text.replace(&state, &another));
    let other = host.path("other.toml").display().to_string();
    let track = ["sessions", "track", "--data-store", "PatientRecords", "--total-blocks", "4"];
    let commands: [&[&str]; 3] = [&["upload", "--table", "patients"], &["sessions", "cancel", "x"], &track];
    for command in commands {
        let refused = host.run(&[command, &["--config", &other]].concat()).await;
        refused.assert_refused(78, &[&format!("state directory {state},"), &format!("the configuration {another}:")]);
    }
    assert!(!std::path::Path::new(&another).exists(), "nothing was begun beside it");
    assert_eq!(host.opened(), 1);
    let looked = host.run(&["status", "--config", &other]).await;
    assert!(looked.code == Some(0) && looked.stderr.contains(&another), "{looked:?}");
}
