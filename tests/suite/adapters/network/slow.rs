//! Servers that are slow, endless, or not there at all: each ends in bounded
//! time, with a word that says what was waited for.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::time::Duration;

use edm_agent::adapters::http::HttpSettings;
use edm_agent::ports::clock::Clock;
use edm_agent::upload::fault::BlobFault;
use tokio::task::JoinSet;

use super::{NAME, UNSETTLED, ask, graph, list, trusting};
use crate::support::authority::Authority;
use crate::support::clock::TokioClock;
use crate::support::mock::{Mock, Reply};

/// How long the impatient wait here.
const PATIENCE: Duration = Duration::from_millis(400);

fn impatient() -> HttpSettings {
    HttpSettings { timeout: PATIENCE, connect_timeout: PATIENCE, ..HttpSettings::default() }
}

/// Reads the head of one request, then writes a beginning and the same again
/// and again until nobody listens; returns the port.
fn endless(beginning: &'static str, again: &'static str, apart: Duration) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    // Whoever is in no hurry sends little at once.
    let again = again.repeat(if apart.is_zero() { 200 } else { 1 });
    std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let mut head = Vec::new();
        let mut byte = [0];
        while !head.ends_with(b"\r\n\r\n") && stream.read(&mut byte).is_ok_and(|read| read == 1) {
            head.push(byte[0]);
        }
        let mut written = stream.write_all(beginning.as_bytes());
        while written.is_ok() {
            pause(apart);
            written = stream.write_all(again.as_bytes());
        }
    });
    port
}

#[expect(clippy::disallowed_methods, reason = "the gaps between bytes are the fault being played")]
fn pause(apart: Duration) {
    std::thread::sleep(apart);
}

/// Asks, and says how long it took to be refused and with what words.
async fn refused(root: &str, http: HttpSettings) -> (Duration, String) {
    let clock = TokioClock::start();
    let asked = clock.now().moment;
    let error = ask(&graph(root, http)).await.unwrap_err();
    assert_eq!(error.fault, UNSETTLED, "{error}");
    (asked.until(clock.now().moment), error.detail)
}

#[tokio::test]
async fn an_answer_without_end_is_cut_at_a_limit_or_by_patience() {
    let head = "HTTP/1.1 200 OK\r\n";
    let line = "x-more: and more and more and more and more and more\r\n";
    let chunked = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
    let chunk = "20\r\n                                \r\n";
    let slowly = Duration::from_millis(20);
    let cases = [
        (head, line, Duration::ZERO, "no answer: "),
        (head, "x", slowly, "no answer in time: "),
        (head, line, slowly, "no answer"),
        (chunked, chunk, Duration::ZERO, "larger than"),
        (chunked, chunk, slowly, "broke off"),
        (chunked, "no chunk\r\n", Duration::ZERO, "broke off"),
        ("HTTP/1.1 200 OK\r\nContent-Length: 99999999999\r\n\r\n", "{", slowly, "broke off"),
        ("", "HTTP/1.1 100 Continue\r\n\r\n", slowly, "no answer in time: "),
        ("", "\0\0\0\0", slowly, "no answer: "),
    ];
    let mut asked = JoinSet::new();
    for (beginning, again, apart, said) in cases {
        asked.spawn(async move {
            let timeout = if apart.is_zero() { Duration::from_secs(60) } else { PATIENCE * 6 };
            let http = HttpSettings { timeout, ..HttpSettings::default() };
            let port = endless(beginning, again, apart);
            let (waited, detail) = refused(&format!("http://127.0.0.1:{port}"), http).await;
            assert!(detail.contains(said), "`{said}` in `{detail}` after {beginning:?} {again:?}");
            assert!(waited < Duration::from_secs(45), "{waited:?}: {detail}");
        });
    }
    while let Some(done) = asked.join_next().await {
        done.unwrap();
    }
}

#[tokio::test]
async fn a_server_that_listens_and_never_speaks_is_given_up_in_time() {
    let authority = Authority::new();
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = silent.local_addr().unwrap().port();
    let http = HttpSettings { connect_timeout: PATIENCE, ..trusting(&authority) };
    let (waited, detail) = refused(&format!("https://{NAME}:{port}"), http.clone()).await;
    assert!(detail.starts_with("no connection in time: "), "TLS never began: {detail}");
    assert!(waited < Duration::from_secs(5), "{waited:?}");
    let store = list(&format!("https://{NAME}:{port}"), http).await.unwrap_err();
    assert!(store.detail.starts_with("no connection in time: "), "{store}");

    let (_, detail) = refused(&format!("http://127.0.0.1:{port}"), impatient()).await;
    assert!(detail.starts_with("no answer in time: "), "{detail}");
}

#[tokio::test]
async fn a_host_that_swallows_what_is_sent_to_it_is_given_up_in_time() {
    // Once as many wait as may, the kernel drops whoever else knocks.
    let socket = rustix::net::socket(rustix::net::AddressFamily::INET, rustix::net::SocketType::STREAM, None).unwrap();
    rustix::net::bind(&socket, &SocketAddr::from(([127, 0, 0, 1], 0))).unwrap();
    rustix::net::listen(&socket, 0).unwrap();
    let hole = TcpListener::from(socket);
    let address = hole.local_addr().unwrap();
    let mut waiting = Vec::new();
    while let Ok(stream) = TcpStream::connect_timeout(&address, Duration::from_millis(200)) {
        waiting.push(stream);
        assert!(waiting.len() < 64, "the queue of a listener has an end");
    }
    let (waited, detail) =
        refused(&format!("http://{address}"), HttpSettings { timeout: PATIENCE * 50, ..impatient() }).await;
    assert!(detail.starts_with("no connection in time: "), "{detail}");
    assert!(waited < PATIENCE * 25, "{waited:?}");
}

#[tokio::test]
async fn a_packed_answer_is_refused_and_never_unpacked() {
    let mock = Mock::start().await;
    mock.then(Reply::json(200, r#"{"value":[]}"#).header("Content-Encoding", "gzip"));
    let error = ask(&graph(&mock.url(), HttpSettings::default())).await.unwrap_err();
    assert_eq!(error.fault, UNSETTLED);
    assert!(error.detail.contains("packed (gzip)"), "{error}");
    assert_eq!(mock.take_one().header("accept-encoding"), None, "nobody asked for it");

    let list_of_blocks = r#"<?xml version="1.0"?><BlockList></BlockList>"#;
    mock.then(Reply::content(200, "application/xml", list_of_blocks).header("Content-Encoding", "identity, br"));
    let error = list(&mock.url(), HttpSettings::default()).await.unwrap_err();
    assert_eq!(error.fault, BlobFault::Transient { retry_after: None });
    assert!(error.detail.contains("packed (br)"), "{error}");

    mock.then(Reply::json(200, r#"{"value":[]}"#).header("Content-Encoding", "identity"));
    ask(&graph(&mock.url(), HttpSettings::default())).await.unwrap();
}

#[tokio::test]
async fn a_connection_the_server_closed_meanwhile_costs_one_attempt_at_most() {
    let mock = Mock::start().await;
    let service = graph(&mock.url(), HttpSettings::default());
    // Cut after the whole answer: it comes, and the connection closes unannounced.
    mock.then(Reply::json(200, r#"{"value":[]}"#).cut_after(10_000));
    ask(&service).await.unwrap();
    mock.then(Reply::json(200, r#"{"value":[]}"#)).then(Reply::json(200, r#"{"value":[]}"#));
    if let Err(error) = ask(&service).await {
        assert_eq!(error.fault, UNSETTLED, "{error}");
    }
    ask(&service).await.unwrap();
    assert!(mock.take().iter().skip(1).all(|request| request.connection > 0));
}
