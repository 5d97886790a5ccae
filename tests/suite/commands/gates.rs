//! The gates, with the real binary: what is held costs no session, and what is
//! live already costs none either.

use std::fs;

use edm_agent::sandbox::Operation;
use serde_json::{Value, json};

use super::harness::{Agent, Host, seen};

/// Waits until the agent knows when the data of the store changed.
async fn settled(host: &Host) {
    for _ in 0..2_000 {
        let (_, status) = host.ask("GET", "v1/status", None).await;
        if status["tables"][0]["data_updated"].is_string() {
            return;
        }
        super::harness::pause(std::time::Duration::from_millis(10)).await;
    }
    panic!("the store's date is never seen")
}

/// Asks the agent for an upload, and waits until it is over or held.
async fn asked(host: &Host, body: Value) -> Value {
    let (status, begun) = host.ask("POST", "v1/uploads", Some(body)).await;
    assert_eq!(status, 202, "{begun}");
    let path = format!("v1/uploads/{}", begun["upload"].as_str().unwrap());
    loop {
        let (_, view) = host.ask("GET", &path, None).await;
        if !view["closed"].is_null() || !view["held"].is_null() {
            return view;
        }
        super::harness::pause(std::time::Duration::from_millis(10)).await;
    }
}

/// An agent whose table of 200 rows is live.
async fn live() -> (Host, Agent) {
    let host = Host::new().await;
    let agent = host.serve().await;
    assert_eq!(asked(&host, json!({ "table": "patients" })).await["outcome"], "completed", "{}", agent.said());
    settled(&host).await;
    (host, agent)
}

#[tokio::test]
async fn a_collapsed_extract_is_held_through_a_restart_and_uploaded_once_released() {
    let (host, mut agent) = live().await;
    let before = host.live_digest();
    host.write_rows(20);

    let held = host.run(&["upload", "--table", "patients"]).await;

    let reason = "it has 20 rows, 10.0 % of the 200 of the last good upload; min_rows_percent is 80";
    held.assert_refused(65, &["patients: held, and no session was opened", reason, "edm-agent sessions release "]);
    assert_eq!((host.opened(), host.live_digest()), (1, before), "no session was spent on it");
    agent.kill();
    let agent = host.serve().await;
    let (_, status) = host.ask("GET", "v1/status", None).await;
    let upload = status["tables"][0]["held"]["upload"].as_str().unwrap().to_owned();
    assert_eq!(status["uploads"][0]["phase"], "held", "{status}");
    assert_eq!(fs::read_dir(host.path("state/bundles")).unwrap().count(), 1);
    let shown = host.run(&["status"]).await;
    assert!(shown.stdout.contains(reason), "{shown:?}");

    let released = host.run(&["sessions", "release", &upload]).await;
    assert_eq!(released.code, Some(0), "{released:?}");
    let went = seen("the upload to be live", || (host.sandbox.sessions().len() == 2).then_some(())).await;
    let (status, _) = host.ask("POST", &format!("v1/uploads/{upload}/release"), None).await;
    assert_eq!((status, went), (409, ()), "there is nothing more to release");
    let ended = host.run(&["upload", "--table", "patients"]).await;
    assert_eq!(ended.code, Some(0), "{ended:?} {}", agent.said());
    assert_eq!(host.live_digest(), host.expected_digest().await);
    assert_eq!(host.breaches(), Vec::<String>::new());
}

#[tokio::test]
async fn a_command_without_an_agent_holds_releases_and_goes_on() {
    let host = Host::new().await;
    assert_eq!(host.run(&["upload", "--table", "patients"]).await.code, Some(0));
    host.write_rows(20);
    let held = host.run(&["upload", "--table", "patients", "--json"]).await;
    assert_eq!(held.code, Some(65), "{held:?}");
    let upload = held.json()["held"]["upload"].as_str().unwrap().to_owned();
    assert!(host.run(&["status"]).await.stdout.contains("held"));
    let shown = host.run(&["sessions", "show", &upload, "--json"]).await;
    assert_eq!(shown.json()["phase"], "held", "{shown:?}");

    let accepted = host.run(&["upload", "--table", "patients", "--accept", "--json"]).await;
    assert_eq!((accepted.code, &accepted.json()["upload"]), (Some(0), &upload.into()), "{accepted:?}");
    assert_eq!(host.opened(), 2);

    host.write_rows(2);
    let held = host.run(&["upload", "--table", "patients", "--json"]).await;
    let upload = held.json()["held"]["upload"].as_str().unwrap().to_owned();
    let cancelled = host.run(&["sessions", "cancel", &upload]).await;
    assert_eq!((cancelled.code, host.opened()), (Some(0), 2), "{cancelled:?}");
    assert_eq!(fs::read_dir(host.path("state/bundles")).unwrap().count(), 0, "its bundle went with it");
}

#[tokio::test]
async fn content_that_is_live_costs_no_session_unless_it_is_forced_or_somebody_else_uploaded() {
    let host = Host::new().await;
    assert_eq!(host.run(&["upload", "--table", "patients"]).await.code, Some(0));
    host.write_rows(200);
    let unchanged = host.run(&["upload", "--table", "patients"]).await;
    assert_eq!(unchanged.code, Some(0), "{unchanged:?}");
    assert!(
        unchanged.stdout.contains("patients: unchanged: the data store holds this content since "),
        "{unchanged:?}"
    );
    let unchanged = host.run(&["upload", "--table", "patients", "--json"]).await;
    assert_eq!((unchanged.code, &unchanged.json()["outcome"]), (Some(0), &"unchanged".into()), "{unchanged:?}");
    assert_eq!(host.opened(), 1, "neither opened a session");

    assert_eq!(host.run(&["upload", "--table", "patients", "--force"]).await.code, Some(0));
    assert_eq!(host.opened(), 2);

    // Another host, with a state of its own, puts another table there.
    host.write_rows(199);
    let text = fs::read_to_string(host.path("agent.toml")).unwrap();
    let state = host.path("state").display().to_string();
    host.write("agent.toml", &text.replace(&state, &format!("{state}-of-another")));
    assert_eq!(host.run(&["upload", "--table", "patients"]).await.code, Some(0));
    host.write("agent.toml", &text);
    host.write_rows(200);
    assert_eq!(host.run(&["upload", "--table", "patients"]).await.code, Some(0));
    assert_eq!((host.opened(), host.asked(Operation::Commit)), (4, 4));
    assert_eq!(host.live_digest(), host.expected_digest().await);
}

#[tokio::test]
async fn a_bundle_passes_the_same_gates_and_its_schema_is_compared_with_the_data_store() {
    let host = Host::new().await;
    let hash = async |name: &str, more: &[&str]| {
        let bundle = host.path(name).display().to_string();
        let arguments = [&["hash", "--table", "patients", "--output", &bundle], more].concat();
        assert_eq!(host.run(&arguments).await.code, Some(0));
        bundle
    };
    let bundle = hash("whole", &[]).await;
    assert_eq!(host.run(&["upload", "--bundle", &bundle]).await.code, Some(0));
    host.write_rows(20);
    let bundle = hash("part", &[]).await;
    host.run(&["upload", "--bundle", &bundle]).await.assert_refused(65, &["it has 20 rows, 10.0 % of the 200"]);
    assert_eq!(host.run(&["upload", "--bundle", &bundle, "--accept"]).await.code, Some(0));

    let schema = fs::read_to_string(host.path("patients.xml")).unwrap();
    host.write("patients.xml", &schema.replacen("caseInsensitive=\"true\"", "caseInsensitive=\"false\"", 1));
    let differs = "column PatientID has caseInsensitive=\"false\", in the data store \"true\"";
    let bundle = hash("drifted", &[]).await;
    host.run(&["upload", "--bundle", &bundle]).await.assert_refused(78, &["of the bundle", differs, "--allow-drift"]);
    host.run(&["upload", "--table", "patients"]).await.assert_refused(78, &[differs]);
    assert_eq!(host.opened(), 2, "none of it cost a session");
    assert_eq!(host.run(&["upload", "--bundle", &bundle, "--allow-drift"]).await.code, Some(0));
    let allowed = hash("allowed", &["--allow-drift"]).await;
    assert_eq!(host.run(&["upload", "--bundle", &allowed, "--force"]).await.code, Some(0));
}

#[tokio::test]
async fn what_is_wished_goes_through_the_socket() {
    let (host, _agent) = live().await;
    assert_eq!(asked(&host, json!({ "table": "patients" })).await["outcome"], "unchanged");
    let forced = asked(&host, json!({ "table": "patients", "force": true })).await;
    assert_eq!(forced["outcome"], "completed", "{forced}");
    host.write_rows(20);
    let accepted = asked(&host, json!({ "table": "patients", "accept": true })).await;
    assert_eq!(accepted["outcome"], "completed", "{accepted}");
    let schema = fs::read_to_string(host.path("patients.xml")).unwrap();
    host.write("patients.xml", &schema.replacen("caseInsensitive=\"true\"", "caseInsensitive=\"false\"", 1));
    assert_eq!(asked(&host, json!({ "table": "patients" })).await["phase"], "refused");
    let drifted = asked(&host, json!({ "table": "patients", "allow_drift": true })).await;
    assert_eq!(drifted["outcome"], "completed", "{drifted}");
    let (status, refused) = host.ask("POST", "v1/uploads", Some(json!({ "table": "patients", "force": "yes" }))).await;
    assert_eq!(status, 400, "{refused}");
}

#[tokio::test]
async fn the_key_of_content_digests_is_private_and_nothing_shows_it() {
    let (host, agent) = live().await;
    use std::os::unix::fs::PermissionsExt;
    let path = host.path("state/content.key");
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    let key = fs::read_to_string(&path).unwrap();
    assert_eq!(key.trim().len(), 64);
    assert!(!agent.said().contains(key.trim()));
    let found = super::harness::files_with(host.home.path(), key.trim().as_bytes());
    assert_eq!(found, [path], "nor does any other file hold it");
}
