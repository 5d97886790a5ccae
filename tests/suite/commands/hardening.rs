//! What others of the host get to see of the agent: of its memory nothing, of its
//! files nothing.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use rustix::process::{Pid, Signal, getuid, kill_process};

use super::harness::{Host, PROGRAM, seen};

/// A user that is nobody's, to be while the tests are root's.
const NOBODY: u32 = 65_534;

/// A process that is killed however a test ends.
pub(super) struct Killed(pub(super) Child);

impl Drop for Killed {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[tokio::test]
async fn nobody_else_looks_into_the_process_and_it_leaves_no_core_file() {
    let dir = tempfile::tempdir().unwrap();
    let token = dir.path().join("token");
    let mut command = Command::new("sh");
    command.args([
        "-c",
        "ulimit -c unlimited; umask 000; exec \"$0\" sandbox --listen 127.0.0.1:0 --token-file token",
        PROGRAM,
    ]);
    command.current_dir(dir.path()).stdout(Stdio::null()).stderr(Stdio::null());
    if getuid().is_root() {
        // All that is root's looks the same, dumpable or not.
        chown(dir.path(), Some(NOBODY), Some(NOBODY)).unwrap();
        command.uid(NOBODY).gid(NOBODY);
    }
    let mut agent = Killed(command.spawn().unwrap());
    seen("a sandbox that has written its token", || fs::metadata(&token).ok().filter(|data| data.len() > 0)).await;

    let proc = Path::new("/proc").join(agent.0.id().to_string());
    for name in ["environ", "mem", "maps", "fd"] {
        assert_eq!(fs::metadata(proc.join(name)).unwrap().uid(), 0, "{name} is not for the user of the process");
    }
    let limits = fs::read_to_string(proc.join("limits")).unwrap();
    let core = limits.lines().find(|line| line.starts_with("Max core file size")).unwrap();
    assert_eq!(core.split_whitespace().skip(4).take(2).collect::<Vec<_>>(), ["0", "0"], "{core}");
    assert_eq!(fs::metadata(&token).unwrap().mode() & 0o777, 0o600);
    kill_process(Pid::from_child(&agent.0), Signal::ABORT).unwrap();
    let ended = agent.0.wait().unwrap();
    assert_eq!((ended.signal(), ended.core_dumped()), (Some(Signal::ABORT.as_raw()), false));
    let left: Vec<_> = fs::read_dir(dir.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(left, ["token"], "nothing else lies there");
}

#[tokio::test]
async fn whatever_the_umask_everything_at_rest_is_its_owners_alone() {
    let host = Host::scripted("[quirks]\nbandwidth = \"14KiB\"\n").await;

    let agent = host.start_after("umask 000", &["run"]);
    host.answers(&agent).await;
    let _upload = host.start_after("umask 000", &["upload", "--table", "patients"]);
    // While blocks travel, all that ever lies at rest does.
    seen("a few blocks", || host.sandbox.sessions().first().filter(|session| session.tally.puts.len() > 3).map(drop))
        .await;

    let socket = fs::metadata(host.path("agent.sock")).unwrap();
    assert_eq!(socket.permissions().mode() & 0o777, 0o660, "the socket is the owner's and the group's");
    let mut kept = Vec::new();
    assert_private(&host.path("state"), &mut kept);
    for name in ["journal.db", "lock", "salt", "blocks.bin", "manifest.json"] {
        assert!(kept.iter().any(|kept| kept == name), "{name} is not among {kept:?}");
    }
}

/// Asserts that a file, or a folder with all in it, is its owner's alone, and
/// collects the names.
fn assert_private(path: &Path, names: &mut Vec<String>) {
    let data = fs::symlink_metadata(path).unwrap();
    let expected = if data.is_dir() { 0o700 } else { 0o600 };
    assert_eq!(data.mode() & 0o777, expected, "{}", path.display());
    names.push(path.file_name().unwrap().to_string_lossy().into_owned());
    if data.is_dir() {
        fs::read_dir(path).unwrap().for_each(|entry| assert_private(&entry.unwrap().path(), names));
    }
}
