//! The agent as the first process of a container: it ends on SIGTERM, and takes
//! those off the table that others left behind.

use std::process::{Child, Command, Stdio};

use rustix::process::{Pid, Signal, geteuid, kill_process};

use super::harness::{Host, seen};
use crate::support::skip::{Need, skip};

/// Returns the children of a process.
fn children(process: u32) -> Vec<u32> {
    let listed = std::fs::read_to_string(format!("/proc/{process}/task/{process}/children")).unwrap_or_default();
    listed.split_whitespace().filter_map(|word| word.parse().ok()).collect()
}

/// What is killed, and the agent with it, however the test ends.
struct Outer(Child);

impl Drop for Outer {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[tokio::test]
async fn as_the_first_process_it_reaps_what_others_left_behind_and_ends_on_sigterm_with_0() {
    if !geteuid().is_root() {
        return skip(Need::Root, "a process table of its own needs root");
    }
    let host = Host::new().await;
    // unshare waits for the agent and exits as it does.
    let mut outer = Outer(
        Command::new("unshare")
            .args(["--pid", "--fork", "--kill-child", env!("CARGO_BIN_EXE_edm-agent"), "run", "--config"])
            .arg(host.path("agent.toml"))
            .env_clear()
            .env("PATH", "/usr/bin:/bin")
            .stderr(Stdio::null())
            .spawn()
            .unwrap(),
    );
    let outer_id = outer.0.id();
    let agent = seen("the agent", || children(outer_id).first().copied()).await;
    seen("its socket", || host.path("agent.sock").exists().then_some(())).await;

    let left = Command::new("nsenter")
        .args(["--pid", &format!("--target={agent}"), "sh", "-c", "sleep 1 & exit 0"])
        .status()
        .unwrap();
    assert!(left.success());
    assert_eq!(children(agent).len(), 1, "it is the agent's child now, and at work still");
    seen("what ended is off the table", || children(agent).is_empty().then_some(())).await;

    kill_process(Pid::from_raw(agent.cast_signed()).unwrap(), Signal::TERM).unwrap();
    let status = seen("the end", || outer.0.try_wait().unwrap()).await;
    assert_eq!(status.code(), Some(0));
}
