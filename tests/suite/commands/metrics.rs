//! What the read-only listener of the real program shows.

use std::time::Duration;

use edm_agent::sandbox::{Operation, Phase, SandboxSettings};
use serde_json::json;

use super::harness::{Agent, Host, PATIENCE, now, pause, seen};
use crate::support::openmetrics::Exposition;

/// Asks the read-only listener; status 0 is no answer.
pub(super) async fn get(probes: &str, path: &str) -> (u16, String) {
    let client = reqwest::Client::builder().no_proxy().timeout(PATIENCE).build().unwrap();
    match client.get(format!("http://{probes}/{path}")).send().await {
        Ok(answer) => (answer.status().as_u16(), answer.text().await.unwrap_or_default()),
        Err(_) => (0, String::new()),
    }
}

/// Starts the service of a host and waits until its listener answers, which is
/// there a moment after its socket.
pub(super) async fn serve(host: &Host, probes: &str) -> Agent {
    let agent = host.serve().await;
    let deadline = now() + PATIENCE;
    while get(probes, "livez").await.0 == 0 {
        assert!(now() < deadline, "nobody listens: {}", agent.said());
        pause(Duration::from_millis(20)).await;
    }
    agent
}

/// Scrapes once.
pub(super) async fn scrape(probes: &str) -> Exposition {
    let (status, text) = get(probes, "metrics").await;
    assert_eq!(status, 200, "{text}");
    Exposition::read(&text)
}

/// Scrapes until it is as wished.
async fn scraped(probes: &str, what: &str, agent: &Agent, wished: impl Fn(&Exposition) -> bool) -> Exposition {
    let deadline = now() + PATIENCE;
    loop {
        let scraped = scrape(probes).await;
        if wished(&scraped) {
            return scraped;
        }
        assert!(now() < deadline, "not {what}: {:#?}\n{}", scraped.series, agent.said());
        pause(Duration::from_millis(100)).await;
    }
}

fn first(scraped: &Exposition) -> f64 {
    scraped.value("edm_agent_bytes_sent_total{kind=\"first\"}")
}

fn resent(scraped: &Exposition) -> f64 {
    scraped.value("edm_agent_bytes_sent_total{kind=\"resent\"}")
}

/// A line so slow that sessions of three seconds are renewed on the way.
const SLOW: &str = "[quirks]\nbandwidth = \"8KiB\"\n";

#[tokio::test]
async fn an_upload_moves_the_counters_by_what_the_service_saw() {
    let script = format!("[[fault]]\noperation = \"put-block\"\nnth = 5\nlost_reply = true\n{SLOW}");
    let settings = SandboxSettings { session_ttl: Duration::from_secs(3), ..SandboxSettings::default() };
    let mut host = Host::with(&script, settings).await;
    let probes = host.listen_for_probes();
    host.set("upload.concurrency", "2");
    let agent = serve(&host, &probes).await;
    let before = scrape(&probes).await;
    assert_eq!((first(&before), before.sum("edm_agent_uploads_total")), (0.0, 0.0));

    assert_eq!(host.run(&["upload", "--table", "patients"]).await.code, Some(0), "{}", agent.said());
    let live = "edm_agent_table_live_age_seconds{table=\"patients\"}";
    let after = scraped(&probes, "live", &agent, |scraped| scraped.get(live).is_some()).await;

    let bytes = host.sandbox.live_bytes(&host.store()).unwrap().len() as f64;
    let per_block = bytes / 20.0;
    assert_eq!(first(&after), bytes);
    // The block whose answer was lost went twice, and nothing else.
    assert!((resent(&after) - per_block).abs() < per_block / 2.0, "{} of {per_block}", resent(&after));
    assert_eq!(after.value("edm_agent_blocks_acked_total"), 20.0);
    assert_eq!(after.value("edm_agent_block_upload_seconds_count"), 20.0);
    assert_eq!(after.value("edm_agent_rows_hashed_total{table=\"patients\"}"), 200.0);
    assert_eq!(after.value("edm_agent_uploads_total{outcome=\"completed\"}"), 1.0);
    assert_eq!(after.value("edm_agent_quota_left{data_store=\"PatientRecords\"}"), 4.0);
    let renewals = host.asked(Operation::Renew) as f64;
    let good = after.value("edm_agent_renew_attempts_total{result=\"ok\"}");
    assert!(good >= 2.0 && good <= renewals, "{good} of {renewals}");
    assert_eq!(after.sum("edm_agent_renew_attempts_total"), renewals);
    assert_eq!(after.value("edm_agent_renew_slack_ratio_count"), good);
    let asked = |operation: &str, result: &str| {
        after.value(&format!("edm_agent_requests_total{{operation=\"{operation}\",result=\"{result}\"}}"))
    };
    assert_eq!((asked("create", "ok"), asked("commit", "ok"), asked("put_block", "ok")), (1.0, 1.0, 20.0));
    assert_eq!(asked("put_block", "transient"), 1.0);
    assert!(after.value("edm_agent_clock_offset_seconds").abs() < 5.0);
    assert!(after.value(live) < PATIENCE.as_secs_f64());
    assert_eq!(after.sum("edm_agent_sessions"), 0.0);
    let names = after.names();
    for place in ["state", "bundles"] {
        assert!(after.value(&format!("edm_agent_disk_free_bytes{{place=\"{place}\"}}")) > 0.0);
    }
    assert!(names.contains("process_resident_memory_bytes") && names.contains("process_open_fds"), "{names:?}");
}

#[tokio::test]
async fn what_a_kill_costs_is_shown_as_sent_once_more() {
    let mut host = Host::scripted(SLOW).await;
    let probes = host.listen_for_probes();
    host.set("upload.concurrency", "2");
    let mut agent = serve(&host, &probes).await;
    assert_eq!(host.ask("POST", "v1/uploads", Some(json!({ "table": "patients" }))).await.0, 202);
    scraped(&probes, "under way", &agent, |scraped| scraped.value("edm_agent_blocks_acked_total") >= 6.0).await;
    agent.kill();

    let agent = serve(&host, &probes).await;
    seen("the table is live", || host.sandbox.sessions().iter().find(|one| one.phase == Phase::Completed).cloned())
        .await;
    let is_over = |scraped: &Exposition| scraped.value("edm_agent_uploads_total{outcome=\"completed\"}") == 1.0;
    let after = scraped(&probes, "over", &agent, is_over).await;

    let bytes = host.sandbox.live_bytes(&host.store()).unwrap().len() as f64;
    let per_block = bytes / 20.0;
    let (first, resent) = (first(&after), resent(&after));
    assert!(first > 0.0 && first <= bytes - 6.0 * per_block, "what was stored did not go again: {first} of {bytes}");
    assert!(resent > 0.0 && resent <= 2.5 * per_block, "no more than was on its way: {resent} of {per_block}");
}

#[tokio::test]
async fn an_agent_that_drains_is_not_ready_and_alive() {
    let mut host = Host::scripted("[[fault]]\noperation = \"put-block\"\nalways = true\ndelay = \"3s\"\n").await;
    let probes = host.listen_for_probes();
    let mut agent = serve(&host, &probes).await;
    for path in ["livez", "readyz", "startupz"] {
        assert_eq!(get(&probes, path).await.0, 200, "{path}");
    }
    assert_eq!(host.ask("POST", "v1/uploads", Some(json!({ "table": "patients" }))).await.0, 202);
    seen("blocks on their way", || (host.asked(Operation::PutBlock) > 0).then_some(())).await;

    agent.signal("TERM");
    let deadline = now() + PATIENCE;
    let mut drained = 0;
    while agent.exit().is_none() {
        assert!(now() < deadline, "{}", agent.said());
        let (ready, alive) = (get(&probes, "readyz").await, get(&probes, "livez").await);
        // Before the signal is taken in it is ready, and after the end there is nobody.
        if ready.0 == 503 && alive.0 != 0 {
            assert_eq!((ready.1.trim(), alive.0), ("stopping", 200));
            drained += 1;
        }
        assert!(alive.0 != 503, "it was not alive while it drained: {}", alive.1);
        pause(Duration::from_millis(20)).await;
    }
    assert!(drained > 0, "it was seen draining: {}", agent.said());
    assert_eq!(agent.ended().await.code, Some(0));
}

#[tokio::test]
async fn a_scrape_and_the_page_work_while_the_service_is_away() {
    let mut host = Host::new().await;
    let probes = host.listen_for_probes();
    // The port of a listener that is gone.
    let nobody = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    host.set("graph.base_url", &format!("http://{nobody}/beta"));
    host.configure("when = \"on-change\"\n");
    let agent = serve(&host, &probes).await;
    let in_the_way = |scraped: &Exposition| scraped.value("edm_agent_table_trouble{table=\"patients\"}") == 1.0;
    let away = scraped(&probes, "in trouble", &agent, in_the_way).await;
    assert_eq!((away.value("edm_agent_live"), away.value("edm_agent_ready")), (1.0, 1.0));
    assert_eq!(away.value("edm_agent_table_held{table=\"patients\"}"), 0.0, "it is tried again by itself");
    assert!(away.value("edm_agent_requests_total{operation=\"list_stores\",result=\"transient\"}") >= 1.0);
    assert_eq!(away.get("edm_agent_table_live_age_seconds{table=\"patients\"}"), None);
    let (status, page) = get(&probes, "").await;
    assert!(status == 200 && page.contains("In the way") && page.contains("<li>table patients: "), "{page}");
}

#[tokio::test]
async fn neither_the_metrics_nor_the_page_show_a_cell_a_path_or_a_session() {
    let mut host = Host::scripted(SLOW).await;
    let probes = host.listen_for_probes();
    host.set("http.session_metrics", "true");
    let agent = serve(&host, &probes).await;
    assert_eq!(host.ask("POST", "v1/uploads", Some(json!({ "table": "patients" }))).await.0, 202);
    let each = "edm_agent_session_lease_expires_timestamp_seconds";
    scraped(&probes, "open", &agent, |scraped| scraped.names().contains(each)).await;
    let shown = get(&probes, "metrics").await.1 + &get(&probes, "").await.1 + &get(&probes, "readyz?verbose").await.1;
    assert!(shown.contains("patients") && shown.contains("PatientRecords"));
    let session = host.only_session().id;
    let home = host.home.path().to_str().unwrap().to_owned();
    for part in host.person(3).iter().chain([&session, &home]) {
        assert!(!shown.contains(part.as_str()), "{part} is in {shown}");
    }
}
