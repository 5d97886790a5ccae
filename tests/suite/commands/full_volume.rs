//! The agent while the volume of its state is full: sessions live on, nothing
//! new begins, and all of it resumes when there is space.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::time::Duration;

use edm_agent::sandbox::{Operation, Phase, SandboxSettings};
use serde_json::json;

use super::harness::{Host, pause, seen};
use crate::support::volume::Volume;

/// How long a session lives.
const TTL: Duration = Duration::from_secs(4);

#[tokio::test]
async fn a_volume_full_for_three_leases_costs_no_session_and_begins_none() {
    let Some(volume) = Volume::new() else { return };
    fs::set_permissions(volume.root(), Permissions::from_mode(0o700)).unwrap();
    let settings = SandboxSettings { session_ttl: TTL, sessions_per_day: 9, ..SandboxSettings::default() };
    let mut host = Host::with("[quirks]\nbandwidth = \"8KiB\"\n", settings).await;
    host.set("bundles.dir", host.path("bundles").to_str().unwrap());
    host.set("state_dir", volume.root().to_str().unwrap());

    let agent = host.serve().await;
    let track = json!({"data_store": "PatientRecords", "total_blocks": 3});
    assert_eq!(host.ask("POST", "v1/sessions", Some(track.clone())).await.0, 201);
    seen("the tracked session is open", || (host.sandbox.sessions().len() == 1).then_some(())).await;
    let upload = host.start(&["upload", "--table", "patients", "--json"]);
    seen("its first blocks", || (host.asked(Operation::PutBlock) > 2).then_some(())).await;

    volume.fill();
    let renewals = |which: usize| host.sandbox.sessions()[which].tally.renewals;
    let stalled = || agent.stderr().contains("renewals and blocks go on");
    seen("the agent says so", || stalled().then_some(())).await;
    let before = [renewals(0), renewals(1)];
    let (status, view) = host.ask("POST", "v1/sessions", Some(track)).await;
    assert!(status == 201 || status >= 500, "{status} {view}");
    pause(TTL * 3).await;
    let sessions = host.sandbox.sessions();
    assert_eq!(sessions.len(), 2, "no new session: {}", agent.said());
    assert!(sessions.iter().all(|session| session.phase == Phase::Open), "none lapsed, none was committed");
    assert!(renewals(0) >= before[0] + 3 && renewals(1) >= before[1] + 3, "{before:?}");
    assert_eq!((host.asked(Operation::Create), host.asked(Operation::Commit)), (2, 0));
    let (_, status) = host.ask("GET", "v1/status", None).await;
    assert!(status["journal"].as_str().is_some_and(|text| text.contains("full")), "{status}");
    assert!(host.run(&["status"]).await.stdout.contains("new sessions and commits wait"));

    volume.free();
    let ended = upload.ended().await;
    assert_eq!((ended.code, &ended.json()["outcome"]), (Some(0), &"completed".into()), "{ended:?}\n{}", agent.said());
    assert_eq!(host.live_digest(), host.expected_digest().await);
    seen("the session asked for meanwhile", || (host.sandbox.sessions().len() == 3).then_some(())).await;
    let session = &host.sandbox.sessions()[1];
    assert_eq!((session.tally.commits, session.phase.clone()), (1, Phase::Completed));
    assert!(session.tally.puts.values().all(|&times| times == 1), "{:?}", session.tally.puts);
    let (_, status) = host.ask("GET", "v1/status", None).await;
    assert!(status["journal"].is_null(), "{status}");
    assert_eq!(host.breaches(), Vec::<String>::new());
    agent.signal("TERM");
    assert_eq!(agent.ended().await.code, Some(0), "the volume is let go");
}
