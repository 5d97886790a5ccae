//! What the service manager is told, datagram by datagram.

use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::time::Duration;

use edm_agent::adapters::clock::monotonic;
use edm_agent::agent::notify::{Notifier, watchdog};

/// Returns a manager that listens at a path, one that listens at an abstract
/// name, and who tells each.
fn managers(dir: &tempfile::TempDir) -> [(Notifier, UnixDatagram); 2] {
    let path = dir.path().join("notify");
    let name = format!("edm-agent-test-{}", dir.path().display());
    let by_path = UnixDatagram::bind(&path).unwrap();
    let by_name = UnixDatagram::bind_addr(&SocketAddr::from_abstract_name(&name).unwrap()).unwrap();
    [(Notifier::at(path.as_os_str()), by_path), (Notifier::at(format!("@{name}").as_ref()), by_name)]
}

fn said(socket: &UnixDatagram) -> String {
    let mut datagram = [0; 1_000];
    let length = socket.recv(&mut datagram).unwrap();
    String::from_utf8(datagram[..length].to_vec()).unwrap()
}

#[test]
fn the_service_manager_is_told_by_path_and_by_abstract_name() {
    let dir = tempfile::tempdir().unwrap();
    for (notifier, socket) in managers(&dir) {
        notifier.ready("2 sessions");
        notifier.status("3 sessions");
        notifier.alive();
        notifier.extend(Duration::from_secs(30));
        notifier.stopping();
        assert_eq!(said(&socket), "READY=1\nSTATUS=2 sessions");
        assert_eq!(said(&socket), "STATUS=3 sessions");
        assert_eq!(said(&socket), "WATCHDOG=1");
        assert_eq!(said(&socket), "EXTEND_TIMEOUT_USEC=30000000\nWATCHDOG=1");
        assert!(said(&socket).starts_with("STOPPING=1\nSTATUS=stopping"));
    }
}

#[test]
fn a_reload_and_its_moment_are_one_datagram_and_ready_ends_it() {
    let dir = tempfile::tempdir().unwrap();
    for (notifier, socket) in managers(&dir) {
        let (before, _) = (monotonic(), notifier.reloading(monotonic()));
        notifier.ready("as before");
        let word = said(&socket);
        let lines: Vec<&str> = word.lines().collect();
        assert_eq!(lines[0], "RELOADING=1");
        let moment: u128 = lines[1].strip_prefix("MONOTONIC_USEC=").unwrap().parse().unwrap();
        assert!((before.as_micros()..=monotonic().as_micros()).contains(&moment), "{moment}");
        assert_eq!(said(&socket), "READY=1\nSTATUS=as before");
    }
}

#[test]
fn a_status_is_one_short_line_whatever_it_is_made_of() {
    let dir = tempfile::tempdir().unwrap();
    for (notifier, socket) in managers(&dir) {
        notifier.status("one\nSTOPPING=1\ttwo");
        assert_eq!(said(&socket), "STATUS=one STOPPING=1 two");
        notifier.status(&"ä".repeat(1_000));
        let long = said(&socket);
        assert!(long.ends_with("ä…") && long.len() < 260, "{long}");
    }
}

#[test]
fn a_service_manager_that_is_not_there_or_does_not_read_is_no_matter() {
    Notifier::default().ready("ready");
    Notifier::at("/nowhere/at/all".as_ref()).ready("ready");
    Notifier::at("".as_ref()).stopping();
    Notifier::at("x".repeat(200).as_ref()).stopping();
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("notify");
    let _never_read = UnixDatagram::bind(&path).unwrap();
    let notifier = Notifier::at(path.as_os_str());
    for _ in 0..10_000 {
        notifier.status("a line nobody reads");
    }
}

#[test]
fn the_watchdog_is_that_of_this_process_or_none() {
    let span =
        |microseconds: &str, process: Option<&str>| watchdog(Some(microseconds.into()), process.map(Into::into), 42);
    assert_eq!(span("60000000", None), Some(Duration::from_secs(60)));
    assert_eq!(span("60000000", Some("42")), Some(Duration::from_secs(60)));
    assert_eq!(span("60000000", Some("41")), None, "it was inherited from another process");
    assert_eq!(span("60000000", Some("no")), None);
    assert_eq!((span("0", None), span("soon", None), watchdog(None, None, 42)), (None, None, None));
}
