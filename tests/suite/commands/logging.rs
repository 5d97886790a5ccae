//! The log of the real program in the form its reader takes, and what becomes of
//! it when there is no reader.

use std::fs::File;
use std::io::Read;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixDatagram;
use std::process::Command;

use rustix::fs::{Mode, OFlags, fcntl_setfl};
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use serde_json::Value;

use super::hardening::Killed;
use super::harness::{Host, PROGRAM, seen};

/// Names the stderr that follows as the stream of the journal, as systemd does.
const JOURNALED: &str = "JOURNAL_STREAM=$(stat -L -c %d:%i /proc/self/fd/2); export JOURNAL_STREAM";

/// A terminal: its end for a person, and its end for a program.
fn terminal() -> (File, OwnedFd) {
    let person = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
    grantpt(&person).unwrap();
    unlockpt(&person).unwrap();
    let name = ptsname(&person, Vec::new()).unwrap();
    let program = rustix::fs::open(name, OFlags::RDWR | OFlags::NOCTTY, Mode::empty()).unwrap();
    fcntl_setfl(&person, OFlags::NONBLOCK).unwrap();
    (person.into(), program)
}

#[tokio::test]
async fn a_person_at_a_terminal_reads_text_with_colours_unless_there_are_to_be_none() {
    let host = Host::new().await;
    for has_colours in [true, false] {
        let (mut person, program) = terminal();
        let mut command = Command::new(PROGRAM);
        command.arg("run").arg("--config").arg(host.path("agent.toml")).env_clear().stderr(program);
        if !has_colours {
            command.env("NO_COLOR", "1");
        }
        // A journal that reads another stream changes nothing.
        let agent = Killed(command.env("JOURNAL_STREAM", "1:2").spawn().unwrap());
        drop(command);
        let mut read = String::new();
        let text = seen("a line on the terminal", || {
            let mut bytes = [0; 4_096];
            let length = person.read(&mut bytes).unwrap_or(0);
            read.push_str(&String::from_utf8_lossy(&bytes[..length]));
            read.contains("ready").then(|| read.clone())
        })
        .await;
        drop(agent);
        assert!(text.contains("INFO") && !text.starts_with(['{', '<']), "{text:?}");
        assert_eq!(text.contains('\u{1b}'), has_colours, "{text:?}");
    }
}

#[tokio::test]
async fn without_a_terminal_each_line_is_a_json_object() {
    let host = Host::new().await;
    for first in ["", "export JOURNAL_STREAM=1:2", "unset TERM; export INVOCATION_ID=0"] {
        let agent = host.start_after(first, &["run"]);
        agent.says("\"message\":\"ready\"").await;
        for line in agent.stderr().lines() {
            let line: Value = serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"));
            assert!(line["timestamp"].is_string() && line["level"].is_string(), "{line}");
        }
    }
}

#[tokio::test]
async fn under_systemd_the_journal_takes_events_with_their_fields() {
    let mut host = Host::new().await;
    let path = host.path("journal.sock");
    host.set("log.journal_socket", path.to_str().unwrap());
    let journal = UnixDatagram::bind(&path).unwrap();
    journal.set_nonblocking(true).unwrap();
    let agent = host.start_after(JOURNALED, &["run"]);
    let mut datagram = vec![0; 1 << 18];
    let event = seen("the event", || {
        let length = journal.recv(&mut datagram).ok()?;
        let text = String::from_utf8_lossy(&datagram[..length]).into_owned();
        text.contains("ready").then_some(text)
    })
    .await;
    for field in ["MESSAGE\n", "PRIORITY\n\u{1}\0\0\0\0\0\0\u{0}6\n", "SYSLOG_IDENTIFIER\n", "EDM_AGENT_STATE_DIR\n"] {
        assert!(event.contains(field), "{field:?} is not in {event:?}");
    }
    assert_eq!(agent.stderr(), "", "nothing is said twice");
    drop(agent);

    // The journal is gone, and its stream is not: the lines have their priorities.
    drop(journal);
    let agent = host.start_after(JOURNALED, &["run"]);
    agent.says("ready").await;
    assert!(agent.stderr().lines().all(|line| line.starts_with('<') && line.as_bytes()[2] == b'>'), "{}", agent.said());
}

#[tokio::test]
async fn a_log_that_nobody_takes_costs_lines_and_no_upload() {
    for (case, first) in [
        ("a full disk", "exec 2> /dev/full"),
        ("a reader that left", "mkfifo \"$TMPDIR/gone\"; (: < \"$TMPDIR/gone\") & exec 2> \"$TMPDIR/gone\"; wait"),
        ("none at all", "exec 2>&-"),
    ] {
        let mut host = Host::new().await;
        host.set("log.level", "trace");
        let agent = host.start_after(first, &["run"]);
        host.answers(&agent).await;
        let ended = host.start_after(first.replace("gone", "left").as_str(), &["upload", "--table", "patients"]);
        let ended = ended.ended().await;
        assert_eq!(ended.code, Some(0), "{case}: {ended:?}");
        host.assert_uploaded_once(case).await;
        agent.signal("TERM");
        assert_eq!(agent.ended().await.code, Some(0), "{case}");
    }
}
