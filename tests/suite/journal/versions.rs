//! Every released schema opens, a newer one is left alone, and a migration
//! survives being killed.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::mpsc;
use std::time::Duration;

use edm_agent::ports::journal::{Batch, Journal, JournalError, Memory};
use edm_agent::upload::ledger::Ledger;
use edm_agent::upload::outcome::Outcome;
use edm_agent::upload::plan::Sender;
use edm_agent::upload::record::Record;
use rusqlite::Connection;
use serde_json::json;
use tempfile::TempDir;

use super::damage::files;
use super::{child, entry, load, open, reported, scratch};

/// Where the version stands in a file, as its last byte.
const VERSION_AT: usize = 63;

/// The child: opens the journal and leaves without a word.
pub(super) fn open_and_leave(path: &Path) {
    open(path).unwrap();
}

/// A copy of a fixture, in a directory of its own.
pub(super) fn released(version: u32) -> (TempDir, PathBuf) {
    let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/suite/journal/fixtures");
    let scratch = scratch();
    let path = scratch.path().join("journal.db");
    fs::copy(fixtures.join(format!("v{version}.db")), &path).unwrap();
    (scratch, path)
}

fn version(path: &Path) -> u8 {
    fs::read(path).unwrap()[VERSION_AT]
}

/// Checks what `fixtures/make.py` put into every version.
fn assert_uploads(memory: &Memory) {
    let [closed, tracked] = &memory.accounts[..] else { panic!("two uploads, not {memory:?}") };
    assert_eq!(closed.entry.plan.id.0, "20260304T050607-0000002a");
    assert_eq!(closed.entry.source, Some(json!({ "bytes": 12 })));
    let at = "2026-03-04T05:16:07Z".parse().unwrap();
    assert_eq!(closed.records[2], Record::Stored { blocks: Ledger::first(40) });
    assert_eq!(closed.records[3], Record::Closed { outcome: Outcome::Completed, at });
    assert_eq!(tracked.entry.plan.sender, Sender::Tracked { session: Some("s-2".to_owned()) });
    let at = "2026-03-04T05:06:09.123456789Z".parse().unwrap();
    assert_eq!(tracked.records[1..], [Record::Reported { remaining: 31 }, Record::Renewed { at, renewals: 3 }]);
}

#[test]
fn a_journal_of_version_1_is_migrated_once_and_a_copy_kept() {
    let (scratch, path) = released(1);
    let before = load(&path);
    assert_uploads(&before);
    assert_eq!(version(&path), 2);
    let kept = scratch.path().join("journal.db.v1-backup");
    assert_eq!(version(&kept), 1);

    fs::write(&kept, "a second migration would write over this").unwrap();
    assert_eq!(load(&path), before);
    assert!(fs::read(&kept).unwrap().starts_with(b"a second"));
}

#[test]
fn the_copy_kept_before_a_migration_can_be_put_back() {
    let (scratch, path) = released(1);
    let before = load(&path);
    fs::rename(scratch.path().join("journal.db.v1-backup"), &path).unwrap();
    fs::remove_file(scratch.path().join("journal.db-wal")).unwrap();
    assert_eq!(load(&path), before);
    assert_eq!(files(scratch.path()), ["journal.db", "journal.db-wal", "journal.db.v1-backup"]);
}

#[test]
fn a_journal_of_version_2_opens_as_it_is() {
    let (scratch, path) = released(2);
    let memory = load(&path);
    assert_uploads(&memory);
    let facts = [("agent".to_owned(), json!({ "id": "a-1" })), ("ttl:PatientRecords".to_owned(), json!(3000))];
    assert_eq!(memory.facts, facts);
    assert_eq!(files(scratch.path()), ["journal.db", "journal.db-wal"], "nothing was migrated");
}

#[test]
fn a_newer_journal_is_left_untouched_byte_for_byte() {
    let (scratch, path) = released(2);
    let mut bytes = fs::read(&path).unwrap();
    bytes[VERSION_AT] = 3;
    fs::write(&path, &bytes).unwrap();
    let refusal = open(&path).unwrap_err();
    assert!(matches!(&refusal, JournalError::Newer(why) if why.contains("version 3")), "{refusal}");
    assert!(fs::read(&path).unwrap() == bytes);
    assert_eq!(files(scratch.path()), ["journal.db"], "nor is a log put beside it");
}

#[test]
fn a_journal_is_newer_also_when_only_its_log_says_so() {
    let (scratch, path) = released(2);
    let newer = Connection::open(&path).unwrap();
    newer.execute_batch("CREATE TABLE next (x); PRAGMA user_version = 3").unwrap();
    let copy = self::scratch();
    let taken = ["journal.db", "journal.db-wal"].map(|name| {
        fs::copy(scratch.path().join(name), copy.path().join(name)).unwrap();
        (copy.path().join(name), fs::read(copy.path().join(name)).unwrap())
    });
    drop(newer);
    assert_eq!(taken[0].1[VERSION_AT], 2, "the file itself says nothing yet");
    let refusal = open(&copy.path().join("journal.db")).unwrap_err();
    assert!(matches!(refusal, JournalError::Newer(_)), "{refusal}");
    assert!(taken.iter().all(|(path, bytes)| fs::read(path).unwrap() == *bytes));
    assert_eq!(files(copy.path()), ["journal.db", "journal.db-wal"]);
}

/// A journal of version 1 large enough for its migration to be met half way.
fn large() -> (TempDir, PathBuf, Memory) {
    let scratch = scratch();
    let path = scratch.path().join("journal.db");
    let (journal, _) = open(&path).unwrap();
    let names: Vec<String> = (0..5_000).map(|number| format!("u{number:05}")).collect();
    let entries = names.iter().map(|name| entry(name, 0)).collect();
    let records = names.iter().map(|name| reported(name, 7)).collect();
    journal.write(Batch { number: 1, entries, records, ..Batch::default() });
    assert!(journal.close());
    drop(journal);
    let memory = load(&path);
    Connection::open(&path).unwrap().execute_batch("DROP TABLE fact; PRAGMA user_version = 1").unwrap();
    fs::remove_file(scratch.path().join("journal.db-wal")).ok();
    (scratch, path, memory)
}

fn assert_migrated(path: &Path, expected: &Memory, when: &str) {
    assert_eq!(&load(path), expected, "killed {when}");
    assert_eq!(version(path), 2, "killed {when}");
    let directory = path.parent().unwrap();
    assert_eq!(files(directory), ["journal.db", "journal.db-wal", "journal.db.v1-backup"], "killed {when}");
    let kept = scratch();
    let copy = kept.path().join("journal.db");
    fs::copy(directory.join("journal.db.v1-backup"), &copy).unwrap();
    assert_eq!(version(&copy), 1, "killed {when}");
    assert_eq!(&load(&copy), expected, "killed {when}");
}

#[test]
fn a_migration_survives_kill_9_at_each_of_its_stages() {
    let (origin, _, expected) = large();
    for stage in ["journal.db.v1-backup.new", "journal.db.v1-backup", "journal.db-wal"] {
        let place = scratch();
        let path = place.path().join("journal.db");
        fs::copy(origin.path().join("journal.db"), &path).unwrap();
        let mut child = child::command("open", &path).stdout(Stdio::null()).spawn().unwrap();
        let begun = || fs::metadata(place.path().join(stage)).is_ok_and(|file| file.len() > 0);
        while !begun() && child.try_wait().unwrap().is_none() {
            let (_never, moment) = mpsc::channel::<()>();
            moment.recv_timeout(Duration::from_micros(50)).unwrap_err();
        }
        child.kill().unwrap();
        child.wait().unwrap();
        assert_migrated(&path, &expected, stage);
    }
}

#[test]
fn the_copy_is_durable_before_the_migration_begins() {
    let (scratch, path) = released(1);
    let trace = scratch.path().join("trace");
    let options = ["-y", "-o", trace.to_str().unwrap(), "-e", "trace=fsync,rename,pwrite64"];
    let Some(mut child) = child::traced(&options, "open", &path) else { return };
    assert!(child.stdout(Stdio::null()).status().unwrap().success());
    let trace = fs::read_to_string(trace).unwrap();
    let after = |from: usize, call: &str, file: &str| {
        let found = trace.lines().skip(from).position(|line| line.contains(call) && line.contains(file));
        from + found.unwrap_or_else(|| panic!("no {call} of {file} after line {from} of\n{trace}"))
    };
    let directory = format!("{}>", scratch.path().display());
    let synced = after(0, "fsync(", "journal.db.v1-backup.new>");
    let renamed = after(synced, "rename(", "journal.db.v1-backup.new");
    let kept = after(renamed, "fsync(", &directory);
    let migrated = trace.lines().position(|line| line.contains("pwrite64(") && line.contains("journal.db-wal>"));
    assert!(migrated.is_some_and(|migrated| migrated > kept), "{trace}");
}

/// Every call that changes a file or makes it durable.
const CHANGES: &str = "pwrite64,write,fsync,fdatasync,rename,unlink,ftruncate,fallocate";

/// Kills the opening of a journal at its first change of a file, at its
/// second, and so on until it comes through; returns how many there are.
fn kill_at_each_change(prepare: impl Fn(&Path), check: impl Fn(&Path, &str)) -> Option<u32> {
    for number in 1.. {
        let place = scratch();
        let path = place.path().join("journal.db");
        prepare(&path);
        let inject = format!("inject={CHANGES}:signal=SIGKILL:when={number}");
        let filter = format!("trace={CHANGES}");
        let mut child = child::traced(&["-o", "/dev/null", "-e", &filter, "-e", &inject], "open", &path)?;
        let through = child.stdout(Stdio::null()).stderr(Stdio::null()).status().unwrap().success();
        check(&path, &format!("at change {number}"));
        if through {
            return Some(number);
        }
    }
    None
}

#[test]
fn a_migration_survives_kill_9_at_each_change_of_a_file() {
    let (_origin, fixture) = released(1);
    let bytes = fs::read(&fixture).unwrap();
    let expected = load(&fixture);
    let changes = kill_at_each_change(
        |path| fs::write(path, &bytes).unwrap(),
        |path, when| assert_migrated(path, &expected, when),
    );
    assert!(changes.is_none_or(|changes| changes > 5), "{changes:?} changes");
}

#[test]
fn a_journal_killed_while_it_is_made_is_made_by_the_next() {
    let changes = kill_at_each_change(
        |_| (),
        |path, when| {
            assert_eq!(load(path), Memory::default(), "killed {when}");
            assert_eq!(files(path.parent().unwrap()), ["journal.db", "journal.db-wal"], "killed {when}");
        },
    );
    assert!(changes.is_none_or(|changes| changes > 5), "{changes:?} changes");
}
