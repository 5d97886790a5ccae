//! Processes for tests to kill, limit and trace: the test binary again, told
//! by its environment to play one part.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use super::{bounds, failing_sync, kill, state, versions};
use crate::support::skip::{Need, skip};

const ROLE: &str = "EDM_AGENT_TEST_ROLE";
const PLACE: &str = "EDM_AGENT_TEST_PLACE";

/// Returns a child that plays a part.
pub(super) fn command(role: &str, place: &Path) -> Command {
    arranged(Command::new(std::env::current_exe().unwrap()), role, place)
}

/// Returns a child under strace, or nothing where strace cannot be used.
pub(super) fn traced(options: &[&str], role: &str, place: &Path) -> Option<Command> {
    let tried = Command::new("strace").args(["-qq", "-o", "/dev/null", "true"]).stderr(Stdio::null()).status();
    if !tried.is_ok_and(|status| status.success()) {
        skip(Need::Strace, "strace cannot be used here");
        return None;
    }
    let mut command = Command::new("strace");
    command.args(["-f", "-qq"]).args(options).arg(std::env::current_exe().unwrap());
    Some(arranged(command, role, place))
}

fn arranged(mut command: Command, role: &str, place: &Path) -> Command {
    command.args(["--exact", "journal::child::plays_its_part", "--nocapture"]).env(ROLE, role).env(PLACE, place);
    command
}

#[test]
fn plays_its_part() {
    let (Ok(role), Some(place)) = (std::env::var(ROLE), std::env::var_os(PLACE)) else {
        return;
    };
    let place = PathBuf::from(place);
    match role.as_str() {
        "write" => kill::write_until_killed(&place),
        "open" => versions::open_and_leave(&place),
        "stall" => bounds::write_against_a_limit(&place),
        "sync" => failing_sync::write_until_it_fails(&place),
        "hold" => state::hold_until_killed(&place),
        other => panic!("no part {other}"),
    }
}
