//! The control socket of the real program while others do with it what they can.

use std::fs;
use std::io::{Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use edm_agent::sandbox::{Operation, Phase};
use serde_json::json;

use super::harness::{Host, seen};
use crate::support::skip::{Need, skip};

/// Connections made one after the other, and at once.
const IN_A_ROW: usize = 10_000;
const AT_ONCE: usize = 1_000;

/// The sockets of a path that the kernel has: the listener's and one for each
/// connection that is not closed.
pub(super) fn sockets(path: &Path) -> usize {
    let path = path.to_str().unwrap();
    fs::read_to_string("/proc/net/unix").unwrap().lines().filter(|line| line.ends_with(path)).count()
}

/// Connects again and again, each time to do something else that is of no use.
fn pester(path: &PathBuf) {
    for number in 0..IN_A_ROW {
        let mut stream = UnixStream::connect(path).unwrap();
        let said: &[u8] = match number % 5 {
            0 => b"",
            1 => b"GET /v1/status HTTP/1.1\r\nhost: ag",
            2 => b"\0\x01\x02 rubbish \xff\xfe\r\n\r\n",
            3 => b"POST /v1/uploads HTTP/1.1\r\nhost: a\r\ncontent-length: 1073741824\r\n\r\n{\"table\":",
            _ => b"GET /v1/sessions HTTP/1.1\r\nhost: a\r\n\r\nGET /v1/sessions HTTP/1.1\r\nhost: a\r\n\r\n",
        };
        // It may be closed by the other end, which is its right.
        let _ = stream.write_all(said);
        if number % 100 == 4 {
            let mut begin = [0; 12];
            stream.read_exact(&mut begin).unwrap();
            assert_eq!(&begin, b"HTTP/1.1 200");
        }
    }
}

#[tokio::test]
async fn ten_thousand_connections_and_a_thousand_at_once_cost_an_upload_nothing_and_none_is_left() {
    let host = Host::scripted("[quirks]\nbandwidth = \"16KiB\"\n").await;
    let agent = host.serve().await;
    let socket = host.path("agent.sock");
    seen("only the listener", || (sockets(&socket) == 1).then_some(())).await;
    assert_eq!(host.ask("POST", "v1/uploads", Some(json!({ "table": "patients" }))).await.0, 202);
    let blocks = || host.asked(Operation::PutBlock);
    seen("blocks on their way", || (blocks() > 1).then_some(())).await;

    let silent: Vec<UnixStream> = (0..AT_ONCE).map(|_| UnixStream::connect(&socket).unwrap()).collect();
    let before = blocks();
    seen("blocks meanwhile", || (blocks() > before + 1).then_some(())).await;
    drop(silent);
    let pestered = socket.clone();
    tokio::task::spawn_blocking(move || pester(&pestered)).await.unwrap();

    seen("only the listener again", || (sockets(&socket) == 1).then_some(())).await;
    let done = seen("the upload is over", || {
        host.sandbox.sessions().pop().filter(|session| session.phase == Phase::Completed)
    });
    done.await;
    host.assert_uploaded_once("pestered").await;
    assert_eq!(host.ask("GET", "v1/status", None).await.0, 200, "{}", agent.said());
}

/// The socket as it is between the two calls that make it: a start that may not
/// change its mode leaves it so.
#[tokio::test]
async fn the_socket_is_never_open_to_others_not_even_before_its_mode_is_set() {
    let tried = Command::new("strace").args(["-qq", "-o", "/dev/null", "true"]).stderr(Stdio::null()).status();
    if !tried.is_ok_and(|status| status.success()) {
        return skip(Need::Strace, "strace cannot be used here");
    }
    let host = Host::new().await;
    let socket = host.path("agent.sock");
    let trace = format!("exec strace -D -f -qq -o /dev/null -P '{}'", socket.display());
    let first = format!("umask 000\n{trace} -e inject=?chmod,?fchmodat,?fchmodat2:error=EPERM \"$0\" \"$@\"");
    let ended = host.start_after(&first, &["run"]).ended().await;
    ended.assert_refused(78, &["take the control socket", "Operation not permitted"]);
    let mode = fs::symlink_metadata(&socket).unwrap().permissions().mode();
    assert_eq!(mode & 0o077, 0, "{mode:o}");
}
