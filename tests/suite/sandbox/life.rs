//! The life of a session.

use std::time::Duration;

use edm_agent::sandbox::{Phase, SandboxSettings};
use reqwest::Method;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::{Bench, STORE, digest, draft, hex, path_of, sessions, table};

const ROWS: &[[&str; 2]] = &[["1", "ada"], ["2", "alan"], ["3", "ada"]];

#[tokio::test]
async fn a_committed_table_counts_its_jobs_down_and_goes_live() {
    let bench = Bench::new().await;
    let session = bench.upload(ROWS).await;

    let (_, fresh) = bench.get(&path_of(&session)).await;
    assert_eq!(fresh["state"], "ProcessingInProgress");
    assert_eq!((&fresh["totalJobCount"], &fresh["remainingJobCount"]), (&json!(5), &json!(5)));
    bench.clock.advance(Duration::from_millis(1_000));
    let (_, half) = bench.get(&path_of(&session)).await;
    assert_eq!(half["remainingJobCount"], 3, "half of the processing time has gone");
    let seen = bench.processed(&session).await;

    assert_eq!(seen.phase, Phase::Completed, "{:?}", seen.error);
    assert_eq!(seen.seal.unwrap().sha256, hex(&Sha256::digest(table(ROWS))));
    let (_, done) = bench.get(&path_of(&session)).await;
    assert_eq!((&done["state"], &done["remainingJobCount"]), (&json!("Completed"), &json!(0)));
    for date in ["uploadCompletionDateTime", "processingCompletionDateTime", "completionDateTime"] {
        assert!(done[date].is_string(), "{date} is {}", done[date]);
    }
    let (_, store) = bench.get(&format!("exactMatchDataStores/{STORE}")).await;
    assert!(store["dataLastUpdatedDateTime"].is_string());
    assert_eq!(bench.sandbox.live_bytes(STORE).unwrap(), table(ROWS));
    assert_eq!(bench.breaches(), Vec::<String>::new());
}

#[tokio::test]
async fn a_lookup_finds_the_hashed_rows_of_the_live_table_only() {
    let bench = Bench::new().await;
    let lookup = |values: Value| {
        let body = json!({"key": "Name", "values": values, "resultColumnNames": ["Id", "Name"]});
        bench.call(Method::POST, "exactMatchDataStores/7b1f0a52-0000-4000-8000-00000000000a/lookup", Some(body))
    };
    let ada = json!([hex(&digest("ada"))]);
    assert_eq!(lookup(ada.clone()).await, (200, json!({"value": []})), "nothing is live yet");
    let session = bench.upload(ROWS).await;
    bench.processed(&session).await;

    let rows = |ids: &[&str], name: &str| -> Value {
        ids.iter().map(|id| format!("{},{}", hex(&digest(id)), hex(&digest(name)))).collect()
    };
    assert_eq!(lookup(ada.clone()).await.1["value"], rows(&["1", "3"], "ada"));
    assert_eq!(lookup(json!([hex(&digest("nobody"))])).await.1["value"], json!([]));
    assert_eq!(lookup(json!(["ada"])).await.0, 400, "a clear value is not a hash");

    let next = bench.upload(&[["9", "grace"]]).await;
    bench.processed(&next).await;
    assert_eq!(lookup(ada).await.1["value"], json!([]), "an upload replaces the whole table");
}

#[tokio::test]
async fn a_table_that_is_not_what_the_session_says_fails_with_a_nested_error() {
    let bench = Bench::new().await;
    let good = table(ROWS);
    let mut cut = good.clone();
    cut.truncate(good.len() - 1);
    let claim = |name: &str, value: Value| {
        let mut claim = draft(&good);
        claim[name] = value;
        claim
    };
    let cases = [
        ("ChecksumMismatch", claim("checksum", json!("0".repeat(64))), good.clone()),
        ("InvalidColumnCount", claim("fields", json!(["Id"])), good.clone()),
        ("InvalidDataFormat", draft(&cut), cut.clone()),
        ("InvalidDataFormat", json!({"totalBlockCount": 1}), cut),
    ];
    for (code, claim, bytes) in cases {
        let (session, uri) = bench.open(claim).await;
        bench.put_block(&uri, "AAAA", &bytes).await;
        bench.put_list(&uri, &["AAAA"]).await;
        bench.act(&session, "commit").await;
        assert_eq!(bench.processed(&session).await.phase, Phase::Failed, "{code}");
        let (_, failed) = bench.get(&path_of(&session)).await;
        assert_eq!(failed["error"]["innerError"]["code"], code);
        assert_eq!(failed["error"]["details"][0]["code"], code);
        assert!(failed["error"]["innerError"]["activityId"].is_string());
    }
    assert_eq!(bench.sandbox.stores()[0].live_session, None, "nothing bad went live");
}

#[tokio::test]
async fn bytes_nothing_was_claimed_about_are_taken_unread() {
    let bench = Bench::new().await;
    let (session, uri) = bench.open(json!({"totalBlockCount": 1})).await;
    bench.put_block(&uri, "AAAA", b"another encoding").await;
    bench.put_list(&uri, &["AAAA"]).await;
    bench.act(&session, "commit").await;
    let seen = bench.processed(&session).await;
    assert_eq!((seen.phase, seen.seal.unwrap().blocks), (Phase::Completed, 0));
}

#[tokio::test]
async fn a_session_lives_by_its_renewals_and_is_gone_without() {
    let bench = Bench::new().await;
    let (session, _) = bench.open(draft(b"")).await;
    for _ in 0..3 {
        bench.clock.advance(Duration::from_secs(59));
        assert_eq!(bench.act(&session, "renew").await.0, 200);
    }
    bench.clock.advance(Duration::from_secs(60));
    let (status, error) = bench.act(&session, "renew").await;
    assert_eq!((status, &error["error"]["code"]), (404, &json!("ResourceNotFound")));
    assert_eq!(bench.get(&sessions()).await.1["value"], json!([]));
    let seen = bench.sandbox.session(&session).unwrap();
    assert_eq!((seen.phase, seen.tally.renewals), (Phase::Expired, 3));
    assert_eq!(bench.breaches(), Vec::<String>::new(), "a lease that ended is not the client's breach");
}

#[tokio::test]
async fn a_renewed_uri_has_a_new_signature_and_the_old_one_lasts_until_its_end() {
    let settings = SandboxSettings { upload_uri_ttl: Duration::from_secs(2), ..SandboxSettings::default() };
    let bench = Bench::with(settings).await;
    let (session, first) = bench.open(draft(b"")).await;
    assert!(first.contains("se=2026-03-01T12%3A16%3A43Z"), "40.5 s and 2 s, rounded up: {first}");
    bench.clock.advance(Duration::from_secs(1));
    let (_, renewed) = bench.act(&session, "renew").await;
    let second = renewed["dataUploadURI"].as_str().unwrap();

    assert_ne!(first, second);
    assert_eq!(first.split('?').next(), second.split('?').next(), "the place stays");
    assert_eq!(bench.put_block(&first, "AAAA", b"x").await.0, 201);
    bench.clock.advance(Duration::from_millis(1_499));
    assert_eq!(bench.put_block(&first, "AAAA", b"x").await.0, 201, "a millisecond before its end");
    bench.clock.advance(Duration::from_millis(1));
    assert_eq!(bench.put_block(&first, "AAAA", b"x").await, (403, "AuthenticationFailed".to_owned()));
    assert_eq!(bench.put_block(second, "AAAA", b"x").await.0, 201);
    let tally = bench.sandbox.session(&session).unwrap().tally;
    assert_eq!((tally.uri_changes, tally.puts["AAAA"]), (1, 3));
    assert_eq!(bench.breaches(), Vec::<String>::new());
}

#[tokio::test]
async fn a_commit_before_all_blocks_are_stored_is_refused_and_changes_nothing() {
    let bench = Bench::new().await;
    let (session, uri) = bench.open(json!({"totalBlockCount": 2})).await;
    assert_eq!(bench.act(&session, "commit").await.0, 409, "nothing is stored");
    bench.put_block(&uri, "AAAA", b"a").await;
    bench.put_block(&uri, "AAAB", b"b").await;
    assert_eq!(bench.act(&session, "commit").await.0, 409, "staged is not stored");
    bench.put_list(&uri, &["AAAA"]).await;
    assert_eq!(bench.act(&session, "commit").await.0, 409, "one of two");
    bench.put_block(&uri, "AAAB", b"b").await;
    bench.put_list(&uri, &["AAAA", "AAAB"]).await;
    assert_eq!(bench.act(&session, "commit").await.0, 204);
    assert_eq!(bench.breaches().len(), 3);
    assert_eq!(bench.sandbox.session(&session).unwrap().tally.commits, 1);
}

#[tokio::test]
async fn nothing_is_done_to_a_session_that_has_ended() {
    let bench = Bench::new().await;
    let (session, uri) = bench.open(draft(b"")).await;
    assert_eq!(bench.act(&session, "cancel").await.0, 204);
    for action in ["renew", "commit", "cancel"] {
        assert_eq!(bench.act(&session, action).await.0, 409, "{action}");
    }
    assert_eq!(bench.report(&session, json!({"remainingBlockCount": 0})).await.0, 409);
    assert_eq!(bench.put_block(&uri, "AAAA", b"x").await, (404, "ContainerNotFound".to_owned()));
    assert_eq!(bench.get(&path_of(&session)).await.1["state"], "Cancelled");
    assert_eq!(bench.call(Method::DELETE, &path_of(&session), None).await.0, 204);
    assert_eq!(bench.get(&path_of(&session)).await.0, 404);
}

#[tokio::test]
async fn the_quota_counts_the_sessions_of_a_rolling_day() {
    let bench = Bench::with(SandboxSettings { sessions_per_day: 2, ..SandboxSettings::default() }).await;
    bench.open(draft(b"")).await;
    bench.clock.advance(Duration::from_secs(3_600));
    bench.open(draft(b"")).await;
    let (status, error) = bench.call(Method::POST, &sessions(), Some(draft(b""))).await;
    assert_eq!(status, 429);
    assert_eq!(
        error["error"]["message"],
        "Session creation is throttled. Max value of MaxCountOfSuccessfulSessions is 2."
    );
    bench.clock.advance(Duration::from_secs(82_800));
    bench.open(draft(b"")).await;
    assert_eq!(bench.call(Method::POST, &sessions(), Some(draft(b""))).await.0, 429, "the second is of this day still");
}

#[tokio::test]
async fn reports_are_remembered_as_they_came() {
    let bench = Bench::new().await;
    let (session, _) = bench.open(json!({"totalBlockCount": 15, "remainingBlockCount": 15})).await;
    let said = json!({"totalBlockCount": 15, "remainingBlockCount": 3, "state": "UploadInProgress"});
    let (status, answered) = bench.report(&session, said).await;
    assert_eq!(status, 200);
    assert_eq!((&answered["remainingBlockCount"], &answered["state"]), (&json!(3), &json!("UploadInProgress")));
    let tally = bench.sandbox.session(&session).unwrap().tally;
    assert_eq!((tally.reports.len(), tally.reports[0].remaining), (1, Some(3)));
}

#[tokio::test]
async fn a_stopped_sandbox_leaves_no_bytes_behind() {
    let home = tempfile::tempdir().unwrap();
    let settings = SandboxSettings { directory: Some(home.path().to_owned()), ..SandboxSettings::default() };
    let bench = Bench::with(settings).await;
    let session = bench.upload(ROWS).await;
    bench.processed(&session).await;
    assert_eq!(std::fs::read_dir(home.path()).unwrap().count(), 1);
    bench.sandbox.stop().await;
    assert_eq!(std::fs::read_dir(home.path()).unwrap().count(), 0);
}
