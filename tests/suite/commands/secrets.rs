//! Secrets and clear text, looked for wherever the agent leaves anything.

use std::collections::BTreeSet;
use std::fs;
use std::time::Duration;

use edm_agent::sandbox::{Phase, SandboxSettings};

use super::harness::{Host, SALT, files_with, pause};

/// The signature of an upload URI, raw and as it stands in an address.
fn signatures(uri: &str) -> Vec<String> {
    let raw = uri.split("sig=").nth(1).unwrap().split('&').next().unwrap().to_owned();
    let decoded = url::form_urlencoded::parse(uri.split_once('?').unwrap().1.as_bytes())
        .find(|(name, _)| name == "sig")
        .unwrap()
        .1
        .into_owned();
    vec![raw, decoded]
}

#[tokio::test]
async fn no_secret_and_no_cell_is_ever_written_said_or_logged() {
    let script = "[quirks]\nbandwidth = \"14KiB\"\n\
                  [[fault]]\noperation = [\"put-block\", \"patch\", \"renew\"]\nevery = 4\nstatus = 503\n\
                  [[fault]]\noperation = \"put-block\"\nnth = 9\nearly_403 = true\n\
                  [[fault]]\noperation = [\"get\", \"renew\", \"put-block\"]\nevery = 5\nlost_reply = true\n\
                  [[fault]]\noperation = \"patch\"\nnth = 2\nbody = \"html\"\n";
    let settings = SandboxSettings { session_ttl: Duration::from_secs(4), ..SandboxSettings::default() };
    let mut host = Host::with(script, settings).await;
    host.set("log.level", "trace");
    // Rows that are refused are reported too, without what is in them.
    let rows = fs::read_to_string(host.path("patients.csv")).unwrap();
    host.write("patients.csv", &rows.replacen("P000000003,", "P000000003,extra,cells,", 1));
    host.configure("when = \"manual\"\nrows_per_block = 10\nallowed_bad_lines_percent = 5\n");

    let mut agent = host.serve().await;
    let events = host.start(&["events", "--follow"]);
    let upload = host.start(&["upload", "--table", "patients", "--json"]);
    let (mut secrets, mut said) = (BTreeSet::new(), String::new());
    let mut restarted = false;
    while !host.sandbox.sessions().iter().any(|session| session.phase == Phase::Completed) {
        let (_, sessions) = host.service("GET", &format!("{}/sessions", host.store()), None).await;
        for session in sessions["value"].as_array().into_iter().flatten() {
            secrets.extend(session["dataUploadURI"].as_str().map(signatures).into_iter().flatten());
        }
        said += &host.ask("GET", "v1/status", None).await.1.to_string();
        if !restarted && host.sandbox.sessions().first().is_some_and(|session| session.tally.puts.len() > 5) {
            restarted = true;
            said += &agent.said();
            agent.kill();
            agent = host.serve().await;
        }
        pause(Duration::from_millis(50)).await;
    }
    said += &host.run(&["sessions", "list", "--json"]).await.stdout;
    said += &host.run(&["sessions", "list", "--data-store", "PatientRecords", "--json"]).await.stdout;
    let shown = host.run(&["sessions", "show", &host.only_session().id, "--data-store", "PatientRecords"]).await;
    said += &shown.stdout;
    agent.signal("TERM");
    let agent = agent.ended().await;
    said += &format!("{}{}{}{}", agent.stdout, agent.stderr, events.said(), upload.said());
    assert!(secrets.len() > 2, "several signatures were given out: {secrets:?}");
    assert!(said.contains("TRACE") || said.contains("DEBUG"), "it was told to say everything");

    secrets.insert(host.sandbox.bearer().to_owned());
    secrets.insert(SALT.to_owned());
    // The row that was refused, and one that was not; short cells occur by chance.
    for row in [3, 40, 199] {
        secrets.extend(host.person(row).into_iter().filter(|cell| cell.len() > 8));
    }
    for secret in &secrets {
        assert!(!said.contains(secret), "{secret} was said");
        let mut holders = files_with(&host.path("state"), secret.as_bytes());
        // The one salt at rest is the bundle's.
        holders.retain(|path| !(secret == SALT && path.ends_with("salt")));
        assert_eq!(holders, Vec::<std::path::PathBuf>::new(), "{secret} lies at rest");
    }
}
