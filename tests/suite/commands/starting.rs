//! What a start does, however much the journal remembers. How long that takes is
//! measured by `cargo bench --bench starting`.

use std::fs;
use std::os::unix::fs::DirBuilderExt;
use std::process::{Command, Stdio};
use std::sync::mpsc;

use edm_agent::adapters::clock::SystemClock;
use edm_agent::adapters::journal::SqliteJournal;
use edm_agent::ports::clock::Clock;
use edm_agent::ports::journal::{Batch, Entry, Journal, JournalNews};
use edm_agent::upload::outcome::Outcome;
use edm_agent::upload::plan::{Plan, Sender, UploadId};
use edm_agent::upload::record::Record;

use super::harness::{Host, seen};
use super::manager::{manager, told};
use crate::support::skip::{Need, skip};

/// Writes a journal of so many sessions of other uploaders, every second closed.
fn remember(host: &Host, sessions: u64) {
    fs::DirBuilder::new().mode(0o700).create(host.path("state")).unwrap();
    let (tell, heard) = mpsc::channel();
    let news = Box::new(move |news| drop(tell.send(news)));
    let (journal, _) = SqliteJournal::open(&host.path("state/journal.db"), news).unwrap();
    let at = SystemClock.now().wall;
    let mut batch = Batch { number: 1, ..Batch::default() };
    for number in 0..sessions {
        let (id, session) = (UploadId::new(at, number), format!("0f4e8f4c-1111-4222-8333-{number:012}"));
        let plan = Plan {
            table: "PatientRecords".to_owned(),
            store: host.store(),
            file_name: Plan::file_name("PatientRecords", &id),
            sender: Sender::Tracked { session: Some(session.clone()) },
            total_blocks: 4,
            canary: false,
            seed: number,
            begun: at,
            id: id.clone(),
        };
        batch.entries.push(Entry { plan, bundle: None, owns_bundle: false, source: None, urgent: true });
        batch.records.push((id.clone(), Record::Opened { session, at }));
        if number % 2 == 0 {
            batch.records.push((id, Record::Closed { outcome: Outcome::Cancelled, at }));
        }
    }
    journal.write(batch);
    assert!(matches!(heard.recv().unwrap(), JournalNews::Durable { up_to: 1, .. }));
    assert!(journal.close());
}

/// Starts an agent that cannot reach its service, and returns how often it had a
/// file made durable by the time it was ready.
async fn syncs_of_a_start(sessions: u64) -> usize {
    let mut host = Host::new().await;
    host.set("graph.base_url", "http://127.0.0.1:1/beta");
    remember(&host, sessions);
    let (socket, name) = manager(&host);
    host.surround("NOTIFY_SOCKET", &name);
    let trace = host.path("trace");
    let first = format!(
        "exec strace -D -f -qq -s 16 -e trace=fsync,fdatasync,sync_file_range,sendto -o '{}' \"$0\" \"$@\"",
        trace.display()
    );
    let agent = host.start_after(&first, &["run"]);
    while !told(&socket, &agent).await.starts_with("READY=1") {}
    let trace = seen("it in the trace", || fs::read_to_string(&trace).ok().filter(|trace| trace.contains("READY=1")));
    let trace = trace.await;
    trace.lines().take_while(|line| !line.contains("READY=1")).filter(|line| line.contains("sync")).count()
}

#[tokio::test]
async fn a_start_waits_for_the_disk_as_often_whatever_the_journal_remembers() {
    let tried = Command::new("strace").args(["-qq", "-o", "/dev/null", "true"]).stderr(Stdio::null()).status();
    if !tried.is_ok_and(|status| status.success()) {
        return skip(Need::Strace, "strace cannot be used here");
    }
    let (few, many) = (syncs_of_a_start(2).await, syncs_of_a_start(600).await);
    assert!(few > 0 && many <= few + 4, "{few} for two sessions, {many} for 600");
}
