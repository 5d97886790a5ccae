//! The state directory: private, local, held by one.

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Stdio};

use edm_agent::adapters::state::{StateDir, StateError};

use super::{child, scratch};
use crate::support::skip::{Need, skip};

/// The child: holds the directory until its input ends.
pub(super) fn hold_until_killed(path: &Path) {
    let _held = StateDir::open(path, false).unwrap();
    std::io::stdout().write_all(b"held\n").unwrap();
    std::io::stdin().read_to_end(&mut Vec::new()).unwrap();
}

#[test]
fn it_is_made_private_and_says_where_things_are() {
    let scratch = scratch();
    let path = scratch.path().join("var/lib/edm-agent");
    let state = StateDir::open(&path, false).unwrap();
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o7777, 0o700);
    assert_eq!(fs::metadata(path.join("lock")).unwrap().permissions().mode() & 0o7777, 0o600);
    assert_eq!((state.journal(), state.bundles()), (path.join("journal.db"), path.join("bundles")));
    assert!(state.free_space().unwrap() > 0);
}

#[test]
fn a_directory_that_lets_others_in_is_refused_with_the_command_that_mends_it() {
    let scratch = scratch();
    for mode in [0o750, 0o701, 0o755, 0o770] {
        fs::set_permissions(scratch.path(), fs::Permissions::from_mode(mode)).unwrap();
        let refusal = StateDir::open(scratch.path(), false).unwrap_err();
        assert!(refusal.to_string().contains(&format!("chmod 700 {}", scratch.path().display())), "{refusal}");
        assert_eq!(refusal.exit_code(), 74);
    }
    fs::set_permissions(scratch.path(), fs::Permissions::from_mode(0o700)).unwrap();
    StateDir::open(scratch.path(), false).unwrap();
}

#[test]
fn a_directory_of_another_user_is_refused() {
    let scratch = scratch();
    if std::os::unix::fs::chown(scratch.path(), Some(54_321), None).is_err() {
        skip(Need::Root, "giving a directory away needs root");
        return;
    }
    let refusal = StateDir::open(scratch.path(), false).unwrap_err();
    assert!(matches!(refusal, StateError::Foreign { owner: 54_321, .. }), "{refusal}");
    assert!(refusal.to_string().contains("chown"), "{refusal}");
}

#[test]
fn what_is_no_directory_is_refused() {
    let scratch = scratch();
    let path = scratch.path().join("file");
    fs::write(&path, "").unwrap();
    assert_eq!(StateDir::open(&path, false).unwrap_err().exit_code(), 74);
}

#[test]
fn the_second_one_is_told_who_holds_it_until_the_first_lets_go() {
    let scratch = scratch();
    let first = StateDir::open(scratch.path(), false).unwrap();
    let refusal = StateDir::open(scratch.path(), false).unwrap_err();
    let expected = format!("held by pid {} since 2", std::process::id());
    assert!(refusal.to_string().contains(&expected), "{refusal}");
    assert_eq!(refusal.exit_code(), 75);
    drop(first);
    StateDir::open(scratch.path(), false).unwrap();
}

#[test]
fn the_lock_of_a_killed_agent_frees_itself() {
    let scratch = scratch();
    let mut command = child::command("hold", scratch.path());
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    assert!(lines.any(|line| line.unwrap().ends_with("held")));

    let refusal = StateDir::open(scratch.path(), false).unwrap_err();
    assert!(matches!(refusal, StateError::Held { pid: Some(pid), .. } if pid == child.id()), "{refusal}");
    child.kill().unwrap();
    child.wait().unwrap();
    StateDir::open(scratch.path(), false).unwrap();
}

#[test]
fn a_read_only_volume_is_a_matter_of_configuration() {
    let scratch = scratch();
    let mount = |arguments: &[&str]| {
        let mounted = Command::new("mount").args(arguments).arg(scratch.path()).stderr(Stdio::null()).status();
        mounted.is_ok_and(|status| status.success())
    };
    if !mount(&["-t", "tmpfs", "-o", "size=1m,mode=700", "none"]) {
        skip(Need::Mount, "mounting a volume needs root");
        return;
    }
    let fresh = StateDir::open(&scratch.path().join("inner"), false).map(drop);
    assert!(mount(&["-o", "remount,ro"]));
    let existing = StateDir::open(&scratch.path().join("inner"), false).unwrap_err();
    let missing = StateDir::open(&scratch.path().join("other"), false).unwrap_err();
    assert!(Command::new("umount").arg(scratch.path()).status().unwrap().success());
    fresh.unwrap();
    for refusal in [existing, missing] {
        assert!(matches!(refusal, StateError::ReadOnly { .. }), "{refusal}");
        assert_eq!(refusal.exit_code(), 78);
    }
}
