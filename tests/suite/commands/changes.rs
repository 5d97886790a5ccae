//! `run` with a table that is uploaded whenever its file changes.

use std::fs::File;
use std::io::Write;
use std::time::Duration;

use edm_agent::sandbox::Phase;
use serde_json::Value;

use super::harness::{Host, PATIENCE, now, pause, seen};

const ON_CHANGE: &str = "when = \"on-change\"\nrows_per_block = 10\n";

/// Waits until the table is shown as wanted.
async fn shown(host: &Host, wanted: impl Fn(&Value) -> bool) {
    let deadline = now() + PATIENCE;
    loop {
        let status = host.ask("GET", "v1/status", None).await.1;
        if wanted(&status["tables"][0]) {
            return;
        }
        assert!(now() < deadline, "{status}");
        pause(Duration::from_millis(5)).await;
    }
}

fn completed(host: &Host) -> usize {
    host.sandbox.sessions().iter().filter(|session| session.phase == Phase::Completed).count()
}

#[tokio::test]
async fn a_new_version_is_uploaded_once_and_one_that_comes_meanwhile_is_the_next() {
    let host = Host::scripted("[quirks]\nbandwidth = \"16KiB\"\n").await;
    host.configure(ON_CHANGE);
    let agent = host.serve().await;
    seen("the first upload is under way", || (!host.sandbox.sessions().is_empty()).then_some(())).await;
    assert_eq!(completed(&host), 0);

    // The first upload goes on with what it has hashed.
    host.write_rows(180);
    seen("both versions were live", || (completed(&host) == 2).then_some(())).await;
    let sessions = host.sandbox.sessions();
    assert_eq!((sessions[0].total_blocks, sessions[1].total_blocks), (Some(20), Some(18)), "{}", agent.said());
    assert_eq!(host.live_digest(), host.expected_digest().await);

    // The same content again: nothing changed, nothing is uploaded.
    pause(Duration::from_secs(5)).await;
    assert_eq!(host.opened(), 2);
    assert_eq!(host.breaches(), Vec::<String>::new());
}

#[tokio::test]
async fn a_file_still_being_written_is_left_alone_until_it_rests() {
    let host = Host::new().await;
    host.configure(ON_CHANGE);
    let whole = std::fs::read(host.path("patients.csv")).unwrap();
    // Cut inside a row, as a writer's buffer would: taken now, it would be refused.
    let mut at = whole.len() / 2 + 7;
    let mut file = File::create(host.path("patients.csv")).unwrap();
    file.write_all(&whole[..at]).unwrap();
    let agent = host.serve().await;
    let until = now() + Duration::from_secs(7);
    while now() < until {
        let next = (at + 5).min(whole.len() - 20);
        file.write_all(&whole[at..next]).unwrap();
        at = next;
        pause(Duration::from_millis(100)).await;
        assert!(host.sandbox.sessions().is_empty(), "{}", agent.said());
    }
    let (_, status) = host.ask("GET", "v1/status", None).await;
    assert_eq!(status["tables"][0]["doing"], "settling", "{status}");
    file.write_all(&whole[at..]).unwrap();
    drop(file);
    seen("the whole file is live", || (completed(&host) == 1).then_some(())).await;
    host.assert_uploaded_once("written slowly").await;
}

#[tokio::test]
async fn a_table_with_a_time_waits_for_it_and_shows_it() {
    let host = Host::new().await;
    host.configure("when = \"30 2 * * *\"\nrows_per_block = 10\n");
    let agent = host.serve().await;
    let next = loop {
        let (_, status) = host.ask("GET", "v1/status", None).await;
        if let Some(next) = status["tables"][0]["next_run"].as_str() {
            break next.to_owned();
        }
    };
    assert!(next.contains("T02:30:00"), "{next}: {}", agent.said());
    assert!(host.sandbox.sessions().is_empty());
    let text = host.run(&["status"]).await.stdout;
    assert!(text.contains("02:30:00Z") && text.contains("no open sessions"), "{text}");
}

#[tokio::test]
async fn a_bad_version_is_refused_once_shown_and_replaced_by_a_good_one() {
    let host = Host::new().await;
    host.configure(ON_CHANGE);
    host.write("patients.csv", "PatientID,FirstName\nP1,Ada,and,much,more\n");
    let agent = host.serve().await;
    agent.says("table patients").await;
    let (_, status) = host.ask("GET", "v1/status", None).await;
    let trouble = status["tables"][0]["trouble"].as_str().unwrap_or_default().to_owned();
    assert!(trouble.contains("patients") && !trouble.contains("Ada"), "{trouble}");
    pause(Duration::from_secs(5)).await;
    assert_eq!(agent.stderr().matches(&*trouble).count(), 1, "said once: {}", agent.stderr());
    assert!(host.sandbox.sessions().is_empty(), "a bad extract costs no session");

    host.write_rows(50);
    seen("the good version is live", || (completed(&host) == 1).then_some(())).await;
    let (_, status) = host.ask("GET", "v1/status", None).await;
    assert!(status["tables"][0]["trouble"].is_null(), "{status}");
}

/// Nothing but the news of the rename can have it taken in this time: a look
/// that finds it by chance would let it settle for an hour.
#[tokio::test]
async fn a_file_that_is_renamed_into_place_is_taken_by_the_news_of_it() {
    let host = Host::new().await;
    std::fs::remove_file(host.path("patients.csv")).unwrap();
    host.configure("when = \"on-change\"\nrows_per_block = 10\nsettle = \"1h\"\n");
    let agent = host.serve().await;
    shown(&host, |table| table["why"].is_string()).await;

    host.write_rows(50);
    seen("it is live", || (completed(&host) == 1).then_some(())).await;
    host.write_rows(60);
    seen("so is the next", || (completed(&host) == 2).then_some(())).await;
    assert!(!agent.stderr().contains("not told"), "{}", agent.said());
}

#[tokio::test]
async fn a_marker_is_waited_for_and_shown_and_the_next_run_is_shown_in_its_zone() {
    let host = Host::new().await;
    host.configure("when = \"on-change\"\nrows_per_block = 10\ndone_marker = \".done\"\n");
    let agent = host.serve().await;
    shown(&host, |table| table["doing"] == "waiting-for-marker").await;
    let text = host.run(&["status"]).await.stdout;
    assert!(text.contains("waiting-for-marker") && text.contains("patients.csv.done is there and not older"), "{text}");
    host.write("patients.csv.done", "");
    seen("it is live", || (completed(&host) == 1).then_some(())).await;
    drop(agent);

    host.configure("when = \"30 2 * * *\"\nrows_per_block = 10\ntimezone = \"Asia/Kolkata\"\n");
    let _agent = host.serve().await;
    let (_, status) = host.ask("GET", "v1/status", None).await;
    let local = status["tables"][0]["next_run_local"].as_str().unwrap_or_default().to_owned();
    assert!(local.contains("T02:30:00+05:30"), "{status}");
    let text = host.run(&["status"]).await.stdout;
    assert!(text.contains("02:30:00+05:30 (21:00:00Z)"), "{text}");
}
