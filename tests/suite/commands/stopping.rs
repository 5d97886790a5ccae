//! Who is at work here, and how they stop.

use std::time::Duration;

use edm_agent::sandbox::{Operation, Phase};

use super::harness::{Host, now, pause, seen};

/// A line so slow that an upload lasts some seconds.
const SLOW: &str = "[quirks]\nbandwidth = \"10KiB\"\n";

async fn uploading(host: &Host) {
    seen("blocks are on their way", || (host.asked(Operation::PutBlock) > 0).then_some(())).await;
}

#[tokio::test]
async fn a_second_agent_of_a_state_directory_says_who_holds_it_and_exits_75() {
    let mut host = Host::new().await;
    let first = host.serve().await;
    let held = format!("held by pid {}", first.pid());
    host.set("control.socket", host.path("other.sock").to_str().unwrap());
    for command in [&["run"][..], &["upload", "--table", "patients"]] {
        host.run(command).await.assert_refused(75, &[&held, "state_dir"]);
    }
    assert_eq!(host.asked(Operation::Create), 0);
}

#[tokio::test]
async fn an_upload_goes_through_the_agent_at_work_and_is_followed_to_its_end() {
    let host = Host::new().await;
    let agent = host.serve().await;
    let ended = host.run(&["upload", "--table", "patients", "--json"]).await;
    assert_eq!((ended.code, &ended.json()["outcome"]), (Some(0), &"completed".into()), "{ended:?}");
    host.assert_uploaded_once("through the socket").await;
    let own = agent.stderr();
    assert!(own.contains("session open"), "the agent did it: {own}");
    let ended = host.run(&["upload", "--table", "nobody"]).await;
    ended.assert_refused(78, &["nobody", "it has patients"]);
}

#[tokio::test]
async fn an_agent_told_to_stop_leaves_the_session_alive_and_the_next_one_goes_on_with_it() {
    let host = Host::scripted(SLOW).await;
    host.configure("when = \"on-change\"\nrows_per_block = 10\n");
    let agent = host.serve().await;
    uploading(&host).await;
    let asked = now();
    agent.signal("TERM");
    let ended = agent.ended().await;
    assert_eq!(ended.code, Some(0), "{ended:?}");
    assert!(now().since(asked) < Duration::from_secs(12), "the grace is ten seconds");
    let session = host.only_session();
    assert_eq!(session.phase, Phase::Open);
    assert!(!session.tally.puts.is_empty() && session.tally.puts.len() < 20, "{:?}", session.tally.puts);

    let agent = host.serve().await;
    seen("it is live", || (host.only_session().phase == Phase::Completed).then_some(())).await;
    host.assert_uploaded_once(&agent.said()).await;
    let twice = host.only_session().tally.puts.into_values().filter(|&times| times > 1).count();
    assert_eq!(twice, 0, "blocks in flight were finished and known");
}

#[tokio::test]
async fn a_second_signal_ends_the_agent_at_once() {
    // Blocks that take longer than anybody's grace.
    let host = Host::scripted("[[fault]]\noperation = \"put-block\"\nalways = true\ndelay = \"60s\"\n").await;
    host.configure("when = \"on-change\"\nrows_per_block = 10\n");
    let mut agent = host.serve().await;
    seen("the session is open", || (!host.sandbox.sessions().is_empty()).then_some(())).await;
    pause(Duration::from_millis(500)).await;
    agent.signal("TERM");
    agent.says("stopping").await;
    assert!(agent.exit().is_none(), "it waits for its blocks");
    let asked = now();
    agent.signal("TERM");
    let ended = agent.ended().await;
    assert!(now().since(asked) < Duration::from_secs(2), "{ended:?}");
    assert_eq!(ended.code, Some(0), "{ended:?}");
    assert_eq!(host.only_session().phase, Phase::Open);
}

#[tokio::test]
async fn an_upload_told_to_stop_says_that_the_same_command_goes_on() {
    let host = Host::scripted(SLOW).await;
    let upload = host.start(&["upload", "--table", "patients"]);
    uploading(&host).await;
    upload.signal("TERM");
    upload.ended().await.assert_refused(75, &["the same command goes on"]);
    assert_eq!(host.only_session().phase, Phase::Open);
    assert_eq!(host.run(&["upload", "--table", "patients"]).await.code, Some(0));
    host.assert_uploaded_once("stopped once").await;
}

#[tokio::test]
async fn an_agent_killed_while_it_stops_loses_nothing() {
    let host =
        Host::scripted(&format!("[[fault]]\noperation = \"put-block\"\nnth = [6, 7, 8]\ndelay = \"30s\"\n{SLOW}"))
            .await;
    host.configure("when = \"on-change\"\nrows_per_block = 10\n");
    let mut agent = host.serve().await;
    seen("some blocks are stored", || (host.asked(Operation::PutBlock) > 3).then_some(())).await;
    agent.signal("TERM");
    agent.says("stopping").await;
    pause(Duration::from_millis(200)).await;
    assert!(agent.exit().is_none(), "it waits for held blocks");
    agent.kill();

    let agent = host.serve().await;
    seen("it is live", || (host.only_session().phase == Phase::Completed).then_some(())).await;
    host.assert_uploaded_once(&agent.said()).await;
}
