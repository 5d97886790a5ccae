//! The service and the service manager, with a stand-in for the manager.

use std::io::{ErrorKind, Read};
use std::net::TcpListener;
use std::os::unix::net::UnixDatagram;
use std::process::{Command, Stdio};
use std::time::Duration;

use super::harness::{Agent, Host, pause, seen};

/// Listens as systemd does.
pub(super) fn manager(host: &Host) -> (UnixDatagram, String) {
    let path = host.path("notify.sock");
    let socket = UnixDatagram::bind(&path).unwrap();
    socket.set_nonblocking(true).unwrap();
    (socket, path.display().to_string())
}

pub(super) async fn told(socket: &UnixDatagram, agent: &Agent) -> String {
    let mut buffer = [0; 4_096];
    let what = format!("a word to systemd from {}", agent.pid());
    let length = seen(&what, || socket.recv(&mut buffer).ok()).await;
    String::from_utf8_lossy(&buffer[..length]).into_owned()
}

/// Waits for a word that begins so.
async fn told_that(socket: &UnixDatagram, agent: &Agent, begin: &str) -> String {
    loop {
        let word = told(socket, agent).await;
        if word.starts_with(begin) {
            return word;
        }
    }
}

#[tokio::test]
async fn systemd_is_told_ready_once_the_socket_answers_and_stopping_before_anything_stops() {
    let host = Host::new().await;
    let (socket, name) = manager(&host);
    let agent = host.start_with(&["run"], Stdio::null(), &[("NOTIFY_SOCKET", name)]);
    let ready = told(&socket, &agent).await;
    assert_eq!(ready, "READY=1\nSTATUS=idle");
    assert_eq!(host.ask("GET", "v1/status", None).await.0, 200, "ready means that it answers");

    agent.signal("TERM");
    let stopping = loop {
        let word = told(&socket, &agent).await;
        if !word.starts_with("STATUS=") {
            break word;
        }
    };
    assert!(stopping.starts_with("STOPPING=1"), "{stopping}");
    assert_eq!(agent.ended().await.code, Some(0));
    assert!(!host.path("agent.sock").exists(), "the socket goes with the agent");
}

#[tokio::test]
async fn an_agent_is_ready_though_the_service_cannot_be_reached() {
    let mut host = Host::new().await;
    host.set("graph.base_url", "http://127.0.0.1:1/beta");
    let (socket, name) = manager(&host);
    let agent = host.start_with(&["run"], Stdio::null(), &[("NOTIFY_SOCKET", name)]);
    assert!(told(&socket, &agent).await.starts_with("READY=1"), "{}", agent.said());
}

#[tokio::test]
async fn a_start_with_a_new_state_directory_waits_for_no_answer_of_the_service() {
    let mut host = Host::new().await;
    // The system takes its connections and nobody answers.
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    host.set("graph.base_url", &format!("http://{}/beta", silent.local_addr().unwrap()));
    let probes = host.listen_for_probes();
    let (socket, name) = manager(&host);
    let agent = host.start_with(&["run"], Stdio::null(), &[("NOTIFY_SOCKET", name)]);
    assert!(told(&socket, &agent).await.starts_with("READY=1"), "{}", agent.said());
    let startup = reqwest::get(format!("http://{probes}/startupz")).await.unwrap();
    assert_eq!(startup.status(), 200);

    // It asks after that: nothing was given up to become ready.
    silent.set_nonblocking(true).unwrap();
    let (mut first, _) = seen("the first request", || silent.accept().ok()).await;
    first.set_nonblocking(true).unwrap();
    let mut head = [0; 4_096];
    let length = seen("what it asks", || first.read(&mut head).ok()).await;
    assert!(String::from_utf8_lossy(&head[..length]).contains("/exactMatchUploadAgents"), "it registers first");
    assert_eq!(host.ask("GET", "v1/status", None).await.0, 200);
    let more = first.read(&mut head).map_err(|error| error.kind());
    assert_eq!(more, Err(ErrorKind::WouldBlock), "the first attempt is under way: {}", agent.said());
}

#[tokio::test]
async fn a_watchdog_is_fed_for_this_process_only() {
    let host = Host::new().await;
    let (socket, name) = manager(&host);
    let span = ("WATCHDOG_USEC", "400000".to_owned());
    let agent = host.start_with(&["run"], Stdio::null(), &[("NOTIFY_SOCKET", name.clone()), span.clone()]);
    for _ in 0..3 {
        assert_eq!(told_that(&socket, &agent, "WATCHDOG").await, "WATCHDOG=1");
    }
    agent.signal("TERM");
    assert_eq!(agent.ended().await.code, Some(0));

    while socket.recv(&mut [0; 4_096]).is_ok() {}
    let others = ("WATCHDOG_PID", "1".to_owned());
    let agent = host.start_with(&["run"], Stdio::null(), &[("NOTIFY_SOCKET", name), span, others]);
    told_that(&socket, &agent, "READY=1").await;
    pause(Duration::from_secs(1)).await;
    let mut word = [0; 4_096];
    while let Ok(length) = socket.recv(&mut word) {
        assert!(!word[..length].starts_with(b"WATCHDOG"), "it watches another process");
    }
}

#[tokio::test]
async fn a_long_drain_asks_for_time_again_and_again() {
    // Blocks that take longer than the grace.
    let host = Host::scripted("[[fault]]\noperation = \"put-block\"\nalways = true\ndelay = \"60s\"\n").await;
    host.configure("when = \"on-change\"\nrows_per_block = 10\n");
    let (socket, name) = manager(&host);
    let agent = host.start_with(&["run", "--grace", "12s"], Stdio::null(), &[("NOTIFY_SOCKET", name)]);
    seen("the session is open", || (!host.sandbox.sessions().is_empty()).then_some(())).await;
    pause(Duration::from_millis(500)).await;
    agent.signal("TERM");
    told_that(&socket, &agent, "STOPPING=1").await;
    for _ in 0..2 {
        assert_eq!(told(&socket, &agent).await, "EXTEND_TIMEOUT_USEC=30000000\nWATCHDOG=1");
    }
    assert_eq!(agent.ended().await.code, Some(0));
}

/// A host whose journal cannot be read until somebody opens its other end, and
/// then is none.
async fn host_that_cannot_start() -> Host {
    let host = Host::new().await;
    let state = host.path("state");
    std::fs::create_dir(&state).unwrap();
    let made = Command::new("sh")
        .args(["-c", "chmod 700 \"$0\" && mkfifo -m 600 \"$0/journal.db\"", state.to_str().unwrap()])
        .status()
        .unwrap();
    assert!(made.success());
    host
}

#[tokio::test]
async fn a_stop_during_a_start_that_fails_exits_zero_where_that_is_asked_for() {
    for (arguments, code) in [(&["run", "--exit-zero-on-sigterm"][..], 0), (&["run"], 78)] {
        let host = host_that_cannot_start().await;
        let (socket, name) = manager(&host);
        let agent = host.start_with(arguments, Stdio::null(), &[("NOTIFY_SOCKET", name)]);
        // It reads its journal for so long that it asks for time.
        assert!(told(&socket, &agent).await.starts_with("EXTEND_TIMEOUT_USEC="), "{}", agent.said());
        agent.signal("TERM");
        // The signal is noted by a thread that nothing holds up.
        pause(Duration::from_secs(1)).await;
        std::fs::write(host.path("state/journal.db"), "no journal").unwrap();
        let ended = agent.ended().await;
        assert_eq!(ended.code, Some(code), "{ended:?}");
    }
}
