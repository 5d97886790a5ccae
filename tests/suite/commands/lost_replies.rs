//! An upload in which the answer to one request is lost, for each request
//! there is.

use std::collections::BTreeMap;
use std::sync::Arc;

use edm_agent::sandbox::Operation;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use super::harness::Host;

/// What the whole test uploads, small enough for an upload for each request.
async fn host(script: &str) -> Host {
    let mut host = Host::scripted(script).await;
    host.write_rows(40);
    // Reports between blocks, renewals between reports: short leases, a slow line.
    host.set("progress.min_interval", "50ms");
    host.set("upload.concurrency", "2");
    host
}

/// A slow enough line that the session is renewed on the way.
const SLOW: &str = "[quirks]\nbandwidth = \"5KiB\"\n";

#[tokio::test]
async fn a_lost_answer_to_any_single_request_changes_nothing_in_the_outcome() {
    let clean = host(SLOW).await;
    let ended = clean.run(&["upload", "--table", "patients"]).await;
    assert_eq!(ended.code, Some(0), "{ended:?}");
    let mut calls: BTreeMap<&str, u64> = BTreeMap::new();
    for seen in clean.sandbox.journal() {
        *calls.entry(seen.operation.name()).or_default() += 1;
    }
    let needed = ["create", "put-block", "patch", "get-block-list", "put-block-list", "commit", "get", "list-stores"];
    assert!(needed.iter().all(|name| calls.contains_key(name)), "{calls:?}");
    // Whether a renewal falls into so short an upload is chance: one is asked for below.
    let cases = calls.into_iter().flat_map(|(name, times)| (1..=times).map(move |nth| (name, nth)));

    let places = Arc::new(Semaphore::new(6));
    let mut uploads = JoinSet::new();
    for (name, nth) in cases {
        let places = Arc::clone(&places);
        uploads.spawn(async move {
            let _place = places.acquire_owned().await.unwrap();
            upload_losing(name, nth).await;
        });
    }
    while let Some(done) = uploads.join_next().await {
        done.unwrap();
    }
}

async fn upload_losing(name: &str, nth: u64) {
    let case = format!("the answer to {name} number {nth} is lost");
    let script = format!("[[fault]]\noperation = \"{name}\"\nnth = {nth}\nlost_reply = true\n{SLOW}");
    let host = host(&script).await;
    let ended = host.run(&["upload", "--table", "patients"]).await;
    assert_eq!(ended.code, Some(0), "{case}: {ended:?}");
    host.assert_uploaded_once(&case).await;
    let struck = host.sandbox.journal().iter().filter(|seen| seen.faulted).count();
    // The number of looks and reports of a run is its own affair.
    assert!(struck == 1 || ["get", "patch"].contains(&name), "{case}: it never came to that");
    let puts = host.only_session().tally.puts;
    let twice = puts.values().filter(|&&times| times > 1).count();
    assert!(puts.values().all(|&times| times <= 2) && twice <= usize::from(name == "put-block"), "{case}: {puts:?}");
}

#[tokio::test]
async fn a_lost_answer_to_a_renewal_changes_nothing_in_the_outcome() {
    let script = format!("[[fault]]\noperation = \"renew\"\nnth = [1, 3]\nlost_reply = true\n{SLOW}");
    let settings = edm_agent::sandbox::SandboxSettings {
        session_ttl: std::time::Duration::from_secs(3),
        ..edm_agent::sandbox::SandboxSettings::default()
    };
    let mut host = Host::with(&script, settings).await;
    host.set("upload.concurrency", "2");
    let ended = host.run(&["upload", "--table", "patients"]).await;
    assert_eq!(ended.code, Some(0), "{ended:?}");
    assert!(host.asked(Operation::Renew) >= 4, "{}", host.asked(Operation::Renew));
    host.assert_uploaded_once("lost renewals").await;
}
