//! The agent killed at random moments, as the kernel kills, and started again.

use std::time::Duration;

use edm_agent::ground::chance;
use edm_agent::sandbox::Phase;

use super::harness::{Agent, Host, count, now, pause, tell};

/// Blocks in flight at a time.
const CONCURRENCY: u64 = 3;

/// A line so slow, and a service so slow to answer, that a kill finds every
/// phase under way.
const SLOW: &str = r#"
[[fault]]
operation = ["list-stores", "create", "get", "patch", "commit", "list-sessions", "put-block-list", "get-block-list"]
always = true
delay = "60ms"
[quirks]
bandwidth = "16KiB"
"#;

/// A moment to kill at.
struct Draws {
    seed: u64,
    drawn: u64,
    /// Kills that are wanted.
    wanted: u64,
}

impl Draws {
    /// A seed of the environment, or a new one; printed either way.
    fn new() -> Self {
        let fresh = u64::from(std::process::id()) ^ now().since_boot().as_nanos() as u64;
        let seed = count("EDM_AGENT_TEST_SEED", fresh);
        tell(&format!("EDM_AGENT_TEST_SEED={seed}"));
        Self { seed, drawn: 0, wanted: count("EDM_AGENT_TEST_KILLS", 6) }
    }

    fn below(&mut self, limit: u64) -> u64 {
        self.drawn += 1;
        (chance::draw(self.seed, self.drawn) * limit as f64) as u64
    }
}

async fn slow_host() -> Host {
    let mut host = Host::scripted(SLOW).await;
    host.set("upload.concurrency", &CONCURRENCY.to_string());
    host
}

/// Waits for a random moment: some requests later, or some time after the
/// start. Returns whether the child still runs.
async fn reaches_a_moment(host: &Host, agent: &mut Agent, draws: &mut Draws) -> bool {
    let by_time = draws.below(4) == 0;
    // The requests of an upload, about, shared out among the kills.
    let most = 2 + 60 / draws.wanted;
    let requests = host.sandbox.journal().len() + if by_time { 0 } else { draws.below(most) as usize };
    let jitter = Duration::from_millis(draws.below(if by_time { 300 } else { 80 }));
    let deadline = now() + Duration::from_secs(5);
    while host.sandbox.journal().len() < requests && now() < deadline && agent.exit().is_none() {
        pause(Duration::from_millis(2)).await;
    }
    pause(jitter).await;
    agent.exit().is_none()
}

/// Each block was put once, and once more for each time it was in flight at a kill.
fn assert_few_blocks_twice(host: &Host, kills: u64) {
    let puts = host.only_session().tally.puts;
    let all: u64 = puts.values().map(|&times| u64::from(times)).sum();
    assert_eq!(puts.len(), 20, "{puts:?}");
    assert!(all <= 20 + CONCURRENCY * kills, "{kills} kills: {puts:?}");
}

#[tokio::test]
async fn an_upload_killed_at_random_moments_goes_on_with_the_same_command() {
    let host = slow_host().await;
    let mut draws = Draws::new();
    let mut kills = 0;
    let ended = loop {
        let mut agent = host.start(&["upload", "--table", "patients", "--json"]);
        if kills == draws.wanted || !reaches_a_moment(&host, &mut agent, &mut draws).await {
            break agent.ended().await;
        }
        agent.kill();
        kills += 1;
    };
    tell(&format!("{kills} kills of upload"));
    assert_eq!((ended.code, &ended.json()["outcome"]), (Some(0), &"completed".into()), "{ended:?}");
    host.assert_uploaded_once(&format!("{kills} kills")).await;
    assert_few_blocks_twice(&host, kills);
}

#[tokio::test]
async fn a_service_killed_at_random_moments_uploads_what_changed_exactly_once() {
    let host = slow_host().await;
    host.configure("when = \"on-change\"\nrows_per_block = 10\n");
    let mut draws = Draws::new();
    let is_live = || host.sandbox.sessions().iter().any(|session| session.phase == Phase::Completed);
    let mut kills = 0;
    while kills < draws.wanted && !is_live() {
        let mut agent = host.start(&["run"]);
        // A change is taken after two looks; then the upload is under way.
        reaches_a_moment(&host, &mut agent, &mut draws).await;
        agent.kill();
        kills += 1;
    }
    tell(&format!("{kills} kills of run"));
    let agent = host.serve().await;
    super::harness::seen("the table is live", || is_live().then_some(())).await;
    // Long enough for a second upload to begin, were there a reason.
    pause(Duration::from_secs(5)).await;
    host.assert_uploaded_once(&format!("{kills} kills: {}", agent.said())).await;
    assert_few_blocks_twice(&host, kills);
}

#[tokio::test]
async fn an_upload_killed_after_its_end_and_before_its_report_is_reported_and_not_repeated() {
    let host = Host::new().await;
    let mut upload = host.start(&["upload", "--table", "patients", "--json"]);
    upload.says("upload completed").await;
    if upload.exit().is_some() {
        return tell("the upload had reported before it could be killed");
    }
    upload.kill();
    let ended = host.run(&["upload", "--table", "patients", "--json"]).await;
    assert_eq!((ended.code, &ended.json()["outcome"]), (Some(0), &"completed".into()), "{ended:?}");
    assert_eq!((ended.json()["rows"].as_u64(), ended.json()["total_blocks"].as_u64()), (Some(200), Some(20)));
    host.assert_uploaded_once("killed at the end").await;

    // Who has heard of it and forces it means another upload.
    assert_eq!(host.run(&["upload", "--table", "patients", "--force"]).await.code, Some(0));
    assert_eq!(host.opened(), 2);
}
