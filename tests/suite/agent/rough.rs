//! The sockets under rough treatment: rubbish, requests that trickle in, several
//! at once.

use std::net::SocketAddr;
use std::sync::Arc;

use edm_agent::agent::probes::Probes;
use edm_agent::agent::serve::serve;
use edm_agent::ports::clock::Clock;
use serde_json::Value;
use tokio::io::{AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream, UnixStream};
use tokio::task::JoinSet;

use super::control::Desk;
use super::probes::probes;
use super::world::socket::{Got, rest, say};
use super::world::{House, MINUTE, SECOND};

/// What no client of ours sends.
fn rubbish() -> Vec<Vec<u8>> {
    let line = |text: &str| format!("{text}\r\n\r\n").into_bytes();
    vec![
        (0..=255).collect(),
        vec![0; 64 << 10],
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0".to_vec(),
        b"\x16\x03\x01\x02\0\x01\0\x01\xfc\x03\x03".to_vec(),
        line("GET /v1/status"),
        line("GET /v1/status HTTP/9.9"),
        line("GET /v1/\0status HTTP/1.1\r\nhost: agent"),
        line("CONNECT elsewhere:443 HTTP/1.1\r\nhost: elsewhere"),
        line(&format!("GET /{} HTTP/1.1\r\nhost: agent", "x".repeat(20 << 10))),
        line(&format!("GET /v1/status HTTP/1.1\r\nhost: agent{}", "\r\nx: y".repeat(1_000))),
        line("POST /v1/uploads HTTP/1.1\r\nhost: agent\r\ncontent-length: -1"),
        line("POST /v1/uploads HTTP/1.1\r\nhost: agent\r\ncontent-length: 1\r\ncontent-length: 2"),
        line("POST /v1/uploads HTTP/1.1\r\nhost: agent\r\ntransfer-encoding: chunked\r\n\r\nzz"),
    ]
}

#[tokio::test(start_paused = true)]
async fn rubbish_is_refused_and_the_next_is_served() {
    let desk = Desk::open().await;
    for bytes in rubbish() {
        let mut stream = UnixStream::connect(&desk.socket).await.unwrap();
        // It may be closed before it was all written.
        let _ = stream.write_all(&bytes).await;
        let got = Got::read(&rest(stream).await);
        let shown = String::from_utf8_lossy(&bytes[..bytes.len().min(60)]).into_owned();
        assert!(got.status == 0 || (400..500).contains(&got.status), "{shown:?}: {got:?}");
        desk.expect(200, "GET", "/v1/status", Value::Null).await;
    }
}

#[tokio::test(start_paused = true)]
async fn requests_sent_together_are_answered_in_their_order() {
    let desk = Desk::open().await;
    let one = |path: &str, more: &str| format!("GET {path} HTTP/1.1\r\nhost: agent\r\n{more}\r\n");
    let all = [
        one("/v1/uploads/nobody", ""),
        one("/v1/sessions", ""),
        one("/v1/nothing", ""),
        one("/v1/status", "connection: close\r\n"),
        one("/v1/status", ""),
    ];
    let mut stream = UnixStream::connect(&desk.socket).await.unwrap();
    stream.write_all(all.concat().as_bytes()).await.unwrap();
    let answers = rest(stream).await;
    let statuses: Vec<&str> = answers.split("HTTP/1.1 ").skip(1).map(|answer| &answer[..3]).collect();
    assert_eq!(statuses, ["404", "200", "404", "200"], "nothing after the wish to close: {answers}");
}

#[tokio::test(start_paused = true)]
async fn a_body_without_an_end_is_refused() {
    let desk = Desk::open().await;
    let chunk = format!("1000\r\n{}\r\n", "x".repeat(0x1000));
    let head = "POST /v1/uploads HTTP/1.1\r\nhost: agent\r\ntransfer-encoding: chunked\r\n\r\n";
    assert_eq!(say(&desk.socket, &format!("{head}{}", chunk.repeat(17))).await.status, 413);
}

/// Sends a byte a second, and returns what came back once nothing more is taken.
async fn trickle<S: AsyncWrite + Unpin>(house: &House, stream: &mut S, text: &str) {
    for byte in text.as_bytes() {
        if stream.write_all(std::slice::from_ref(byte)).await.is_err() {
            return;
        }
        house.pass(SECOND).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_request_that_trickles_in_is_cut_off() {
    let desk = Desk::open().await;
    let started = desk.house.clock.now().moment;
    let mut stream = UnixStream::connect(&desk.socket).await.unwrap();
    trickle(&desk.house, &mut stream, "GET /v1/status HTTP/1.1\r\nhost: agent\r\n\r\n").await;
    assert!(desk.house.since(started) <= SECOND * 7, "the head: {:?}", desk.house.since(started));

    let started = desk.house.clock.now().moment;
    let mut stream = UnixStream::connect(&desk.socket).await.unwrap();
    let head = "POST /v1/uploads HTTP/1.1\r\nhost: agent\r\ncontent-length: 60\r\n\r\n";
    stream.write_all(head.as_bytes()).await.unwrap();
    trickle(&desk.house, &mut stream, &format!("{{\"table\":\"letters\"{}}}", " ".repeat(41))).await;
    assert!(desk.house.since(started) <= SECOND * 12, "the body: {:?}", desk.house.since(started));
    assert_eq!(Got::read(&rest(stream).await).status, 408);
}

/// The listener for probes as it is in life: on TCP.
async fn probed(house: &House) -> (SocketAddr, JoinSet<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (probes, mut serving) = (Probes::new(probes(house)), JoinSet::new());
    serving.spawn(serve(listener, Arc::new(house.clock), move |request| probes.clone().handle(request)));
    (address, serving)
}

/// Asks on TCP, and returns the answer as it came.
async fn ask(address: SocketAddr, request: &[u8]) -> String {
    let mut stream = TcpStream::connect(address).await.unwrap();
    // It may be refused and closed before it was all written.
    let _ = stream.write_all(request).await;
    rest(stream).await
}

#[tokio::test]
async fn the_listener_for_probes_tells_and_changes_nothing() {
    let house = House::new();
    let (address, _serving) = probed(&house).await;
    let line = |method: &str, path: &str| {
        format!("{method} {path} HTTP/1.1\r\nhost: agent\r\nconnection: close\r\ncontent-length: 0\r\n\r\n")
    };
    let got = ask(address, line("GET", "/livez").as_bytes()).await;
    assert!(got.starts_with("HTTP/1.1 200") && got.ends_with("ok\n"), "{got}");
    let head = ask(address, line("HEAD", "/livez").as_bytes()).await;
    assert!(head.starts_with("HTTP/1.1 200") && head.ends_with("\r\n\r\n"), "no body: {head}");
    for method in ["DELETE", "OPTIONS", "PATCH", "POST", "PUT"] {
        let got = ask(address, line(method, "/livez").as_bytes()).await;
        assert!(got.starts_with("HTTP/1.1 405") && got.contains("allow: GET, HEAD"), "{method}: {got}");
    }
    for path in ["/v1/status", "/v1/sessions/x/upload-uri", "/v1/events", "//v1/status", "/livez/../v1/status"] {
        let got = ask(address, line("GET", path).as_bytes()).await;
        assert!(got.starts_with("HTTP/1.1 404"), "{path}: {got}");
    }
    for bytes in rubbish() {
        let got = Got::read(&ask(address, &bytes).await);
        assert!(got.status == 0 || (400..500).contains(&got.status), "{got:?}");
    }
    let large = [line("GET", "/livez").replace("length: 0", "length: 1073741824"), "x".repeat(1 << 20)].concat();
    ask(address, large.as_bytes()).await;
    assert!(ask(address, line("GET", "/livez").as_bytes()).await.starts_with("HTTP/1.1 200"), "it is there still");
}

#[tokio::test(start_paused = true)]
async fn silent_connections_hold_up_a_probe_only_for_a_while() {
    let house = House::new();
    let (address, _serving) = probed(&house).await;
    let mut silent = Vec::new();
    for _ in 0..100 {
        silent.push(TcpStream::connect(address).await.unwrap());
    }
    let started = house.clock.now().moment;
    let got = ask(address, b"GET /livez HTTP/1.1\r\nhost: agent\r\nconnection: close\r\n\r\n").await;
    assert!(got.starts_with("HTTP/1.1 200"), "{got}");
    assert!(house.since(started) <= MINUTE, "{:?}", house.since(started));
}
