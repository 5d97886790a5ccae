//! Faults by script.

use std::net::SocketAddr;
use std::time::Duration;

use edm_agent::sandbox::{Phase, SandboxSettings, parse_script};
use reqwest::Method;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::{Bench, block_uri, draft, path_of, refusal, sessions};

/// Sends a request as it is and returns all that comes back.
pub(super) async fn raw(address: SocketAddr, request: &str) -> String {
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(request.replacen("\r\n\r\n", "\r\nconnection: close\r\n\r\n", 1).as_bytes()).await.unwrap();
    let mut reply = Vec::new();
    // A connection that was cut may end in a reset.
    let _ = stream.read_to_end(&mut reply).await;
    String::from_utf8_lossy(&reply).into_owned()
}

/// Sends a part of a request and hangs up.
pub(super) async fn send_and_hang_up(address: SocketAddr, request: &str) {
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(request.as_bytes()).await.unwrap();
    tokio::task::yield_now().await;
    drop(stream);
}

async fn renewals(bench: &Bench, session: &str, count: usize) -> Vec<Option<u16>> {
    let mut seen = Vec::new();
    for _ in 0..count {
        let request = bench.request(Method::POST, &format!("{}/renew", path_of(session)));
        seen.push(request.header("content-length", "0").send().await.ok().map(|answer| answer.status().as_u16()));
    }
    seen
}

#[tokio::test]
async fn a_status_comes_for_the_named_call_of_the_named_operation_only() {
    let bench = Bench::scripted(
        "[[fault]]\noperation = \"renew\"\nnth = [2, 4]\nstatus = 503\nretry_after = \"2.128\"\n\
         [[fault]]\noperation = [\"get\", \"patch\"]\nevery = 2\ncount = 1\nstatus = 429\ncode = \"Busy\"\nmessage = \"later\"",
    )
    .await;
    let (session, _) = bench.open(draft(b"")).await;
    assert_eq!(renewals(&bench, &session, 5).await, [200, 503, 200, 503, 200].map(Some));
    assert_eq!(bench.sandbox.session(&session).unwrap().tally.renewals, 3, "a status by script has no effect");
    assert_eq!(bench.get(&path_of(&session)).await.0, 200);
    let (status, error) = bench.report(&session, json!({"remainingBlockCount": 0})).await;
    assert_eq!((status, &error["error"]["code"], &error["error"]["message"]), (429, &json!("Busy"), &json!("later")));
    assert_eq!(bench.get(&path_of(&session)).await.0, 200);
    assert_eq!(bench.get(&path_of(&session)).await.0, 200, "once was all it was to strike");
}

#[tokio::test]
async fn retry_after_is_said_in_whatever_form_the_script_has() {
    for form in ["30", "2.128", "Sun, 01 Mar 2026 12:20:00 GMT", "-1", "soon"] {
        let script =
            format!("[[fault]]\noperation = \"list-stores\"\nalways = true\nstatus = 429\nretry_after = \"{form}\"");
        let bench = Bench::scripted(&script).await;
        let answer = bench.request(Method::GET, "exactMatchDataStores").send().await.unwrap();
        assert_eq!(answer.headers()["retry-after"], form);
    }
}

#[tokio::test]
async fn draws_by_probability_are_the_same_under_the_same_seed() {
    let mut runs = Vec::new();
    for seed in [1, 1, 2] {
        let script = "[[fault]]\noperation = \"renew\"\nprobability = 0.5\nstatus = 500";
        let (faults, quirks) = parse_script(script).unwrap();
        let bench = Bench::with(SandboxSettings { faults, quirks, seed, ..SandboxSettings::default() }).await;
        let (session, _) = bench.open(draft(b"")).await;
        runs.push(renewals(&bench, &session, 40).await);
    }
    assert_eq!(runs[0], runs[1]);
    assert_ne!(runs[0], runs[2]);
    let failed = runs[0].iter().filter(|status| **status == Some(500)).count();
    assert!((10..30).contains(&failed), "{failed} of 40 at one half");
}

#[tokio::test]
async fn a_lost_reply_has_its_effect_and_a_cut_has_none() {
    let bench = Bench::scripted(
        "[[fault]]\noperation = \"renew\"\nnth = 1\nlost_reply = true\n\
         [[fault]]\noperation = \"renew\"\nnth = 3\ncut = \"before\"\n\
         [[fault]]\noperation = \"renew\"\nnth = 5\ncut = \"after-body\"\n\
         [[fault]]\noperation = \"create\"\nnth = 2\nlost_reply = true",
    )
    .await;
    let (session, _) = bench.open(draft(b"")).await;
    let mut seen = Vec::new();
    for _ in 0..5 {
        // A connection of its own, so that no client repeats a request on a fresh one.
        let path = format!("/beta/dataClassification/{}/renew", path_of(&session));
        let head = format!("authorization: Bearer {}\r\nclient-request-id: 1", bench.sandbox.bearer());
        let request = format!("POST {path} HTTP/1.1\r\nhost: x\r\n{head}\r\ncontent-length: 0\r\n\r\n");
        let reply = raw(bench.sandbox.address(), &request).await;
        seen.push((
            reply.get(9..12).unwrap_or("cut").to_owned(),
            bench.sandbox.session(&session).unwrap().tally.renewals,
        ));
    }
    let expected = [("cut", 1), ("200", 2), ("cut", 2), ("200", 3), ("cut", 3)];
    assert_eq!(seen, expected.map(|(answer, renewals)| (answer.to_owned(), renewals)));
    let log = bench.sandbox.journal();
    assert!(log[1].status.is_none() && log[1].faulted && !log[1].breach);
}

#[tokio::test]
async fn a_delay_is_waited_for_by_the_clock_and_goes_with_the_rest() {
    let bench = Bench::scripted(
        "[[fault]]\noperation = \"get\"\nnth = 1\ndelay = \"90s\"\n\
         [[fault]]\noperation = \"renew\"\nnth = 1\ndelay = \"5s\"\nstatus = 504",
    )
    .await;
    let (session, _) = bench.open(draft(b"")).await;
    let start = bench.clock.elapsed();
    assert_eq!(bench.act(&session, "renew").await.0, 504);
    assert_eq!(bench.clock.elapsed() - start, Duration::from_secs(5));
    assert_eq!(bench.get(&path_of(&session)).await.0, 404, "90 s later the session is gone");
    assert_eq!(bench.clock.elapsed() - start, Duration::from_secs(95));
}

#[tokio::test]
async fn an_early_refusal_comes_before_the_body_was_read() {
    let bench = Bench::scripted("[[fault]]\noperation = \"put-block\"\nnth = 1\nearly_403 = true").await;
    let (_, uri) = bench.open(draft(b"")).await;
    let path = block_uri(&uri, "AAAA").replace(bench.sandbox.origin(), "");
    // The body is announced and never sent; only an early answer can come.
    let request = format!("PUT {path} HTTP/1.1\r\nhost: x\r\ncontent-length: 1000000\r\n\r\n");
    let reply = raw(bench.sandbox.address(), &request).await;
    assert!(reply.starts_with("HTTP/1.1 403") && reply.contains("AuthenticationFailed"), "{reply}");
    assert_eq!(bench.put_block(&uri, "AAAA", b"x").await.0, 201);
}

#[tokio::test]
async fn an_answer_can_come_with_another_body_in_drops_or_by_half() {
    let bench = Bench::scripted(
        "[[fault]]\noperation = \"get\"\nnth = 1\nbody = \"null\"\n\
         [[fault]]\noperation = \"get\"\nnth = 2\nbody = \"empty\"\n\
         [[fault]]\noperation = \"get\"\nnth = 3\nbody = \"html\"\n\
         [[fault]]\noperation = \"get\"\nnth = 4\nbody = \"truncated\"\n\
         [[fault]]\noperation = \"get\"\nnth = 5\nbody_text = '{\"remainingBlockCount\": -7}'\n\
         [[fault]]\noperation = \"get\"\nnth = 6\ndrip = \"10ms\"\n\
         [[fault]]\noperation = \"get\"\nnth = 7\ncut = \"mid-answer\"",
    )
    .await;
    let (session, _) = bench.open(draft(b"")).await;
    let mut bodies = Vec::new();
    for _ in 0..5 {
        let (status, body) = bench.get(&path_of(&session)).await;
        assert_eq!(status, 200);
        bodies.push(body);
    }
    assert_eq!(bodies[..2], [Value::Null, Value::Null]);
    assert!(bodies[2].as_str().unwrap().starts_with("<!DOCTYPE html>"));
    assert!(bodies[3].as_str().unwrap().starts_with('{'), "half an object is no JSON");
    assert_eq!(bodies[4], json!({"remainingBlockCount": -7}));
    let start = bench.clock.elapsed();
    let (_, whole) = bench.get(&path_of(&session)).await;
    let drops = (bench.clock.elapsed() - start).as_millis() / 10;
    assert_eq!((&whole["id"], drops), (&json!(session), whole.to_string().len() as u128));
    let broken = bench.request(Method::GET, &path_of(&session)).send().await;
    assert!(broken.is_err() || broken.unwrap().text().await.is_err());
}

#[tokio::test]
async fn the_store_can_lose_blocks_and_the_service_the_session() {
    let bench = Bench::scripted(
        "[[fault]]\noperation = \"put-block-list\"\nnth = 1\nforget_blocks = 1\n\
         [[fault]]\noperation = \"renew\"\nnth = 2\nlose_session = true",
    )
    .await;
    let (session, uri) = bench.open(draft(b"")).await;
    bench.put_block(&uri, "AAAA", b"x").await;
    bench.put_block(&uri, "AAAB", b"y").await;
    assert_eq!(bench.put_list(&uri, &["AAAA", "AAAB"]).await, (400, "InvalidBlockList".to_owned()));
    assert_eq!(bench.put_list(&uri, &["AAAB"]).await.0, 201, "only one was lost");
    assert_eq!(bench.act(&session, "renew").await.0, 200);
    assert_eq!(bench.act(&session, "renew").await.0, 404);
    assert_eq!(bench.sandbox.session(&session).unwrap().phase, Phase::Deleted);
}

#[tokio::test]
async fn the_echo_of_a_digest_can_be_wrong_or_missing() {
    let bench = Bench::scripted(
        "[[fault]]\noperation = \"put-block\"\nnth = 1\necho = \"wrong\"\n\
         [[fault]]\noperation = \"put-block\"\nnth = 2\necho = \"none\"",
    )
    .await;
    let (_, uri) = bench.open(draft(b"")).await;
    let mut echoes = Vec::new();
    for _ in 0..3 {
        let md5 = "ndTkYSaMgDT1yFZOFVxnpg==";
        let put = bench.http.put(block_uri(&uri, "AAAA")).header("content-md5", md5).body("x");
        let answer = put.send().await.unwrap();
        echoes.push(answer.headers().get("content-md5").map(|echo| echo == md5));
        assert_eq!(refusal(answer).0, 201);
    }
    assert_eq!(echoes, [Some(false), None, Some(true)]);
}

#[tokio::test]
async fn an_administrator_can_end_a_session() {
    let bench = Bench::new().await;
    let (cancelled, _) = bench.open(draft(b"")).await;
    let (lost, _) = bench.open(draft(b"")).await;
    bench.sandbox.cancel_session(&cancelled);
    bench.sandbox.lose_session(&lost);
    assert_eq!(bench.get(&path_of(&cancelled)).await.1["state"], "Cancelled");
    assert_eq!(bench.get(&path_of(&lost)).await.0, 404);
    assert_eq!(bench.get(&format!("{}/$count", sessions())).await, (200, json!(1)));
}
