//! Of what closed long ago little is kept in memory, and all of it is checked.

use std::fs;
use std::path::{Path, PathBuf};

use edm_agent::ports::journal::{Batch, CLOSED_KEPT, Journal, JournalError};
use edm_agent::upload::outcome::{Failure, Outcome};
use edm_agent::upload::record::Record;
use rusqlite::Connection;
use tempfile::TempDir;

use super::{date, entry, load, open, reported, scratch, upload};

/// How many more uploads are closed than are remembered whole.
const OLDER: usize = 10;

fn name(number: usize) -> String {
    format!("closed-{number:03}")
}

/// A journal of more closed uploads than are remembered whole, between two that
/// go on. `change` makes some of them special.
fn long(change: impl Fn(usize, &mut Batch)) -> (TempDir, PathBuf) {
    let scratch = scratch();
    let path = scratch.path().join("journal.db");
    let (journal, _) = open(&path).unwrap();
    // By its name the first one comes last.
    let mut batch = Batch { number: 1, entries: vec![entry("open-first", 0)], ..Batch::default() };
    batch.records.push(reported("open-first", 3));
    for number in 0..CLOSED_KEPT + OLDER {
        let (name, at) = (name(number), i64::try_from(number).unwrap() + 1);
        batch.entries.push(entry(&name, at));
        batch.records.push(reported(&name, 0));
        batch.records.push((upload(&name), Record::Closed { outcome: Outcome::Completed, at: date(at) }));
        change(number, &mut batch);
    }
    batch.entries.push(entry("a-last", 1_000));
    journal.write(batch);
    assert!(journal.close());
    drop(journal);
    fs::remove_file(scratch.path().join("journal.db-wal")).ok();
    (scratch, path)
}

/// Alters what stands in a journal that nobody has open.
fn alter(path: &Path, statement: &str) {
    assert_eq!(Connection::open(path).unwrap().execute(statement, []).unwrap(), 1, "{statement}");
}

#[test]
fn uploads_that_go_on_and_the_last_closed_ones_are_remembered_in_the_order_they_began() {
    let (_scratch, path) = long(|_, _| ());

    let memory = load(&path);

    let names: Vec<String> = memory.accounts.iter().map(|account| account.entry.plan.id.0.clone()).collect();
    let closed = (OLDER..CLOSED_KEPT + OLDER).map(name);
    let expected: Vec<String> =
        ["open-first".to_owned()].into_iter().chain(closed).chain(["a-last".to_owned()]).collect();
    assert_eq!(names, expected);
    assert_eq!(memory.accounts[0].records, [reported("open-first", 3).1]);
    assert_eq!(memory.accounts[1].records.len(), 2, "a closed one that is remembered is remembered whole");
}

#[test]
fn of_the_older_closed_ones_the_bundles_nobody_needs_are_remembered() {
    let closed = |number: usize, outcome: Outcome| (upload(&name(number)), Record::Closed { outcome, at: date(1) });
    let held = |number: usize| (upload(&name(number)), Record::GateHeld { reasons: Vec::new(), at: date(0) });
    let (_scratch, path) = long(|number, batch| match number {
        0 => batch.entries.last_mut().unwrap().owns_bundle = false,
        1 => batch.records.push(closed(number, Outcome::Failed(Failure::BundleDamaged))),
        2 => batch.records.push(closed(number, Outcome::Cancelled)),
        3 => batch.records.extend([held(number), closed(number, Outcome::Cancelled)]),
        4 => batch.records.push(closed(number, Outcome::Replaced)),
        5 => batch.entries.last_mut().unwrap().bundle = None,
        _ => (),
    });

    let spare = load(&path).spare_bundles;

    let expected: Vec<PathBuf> = [3, 4, 6, 7, 8, 9].map(|number| Path::new("/srv/bundles").join(name(number))).to_vec();
    assert_eq!(spare, expected);
}

#[test]
fn what_closed_long_ago_is_refused_when_it_is_damaged() {
    let (origin, path) = long(|_, _| ());
    let whole = load(&path);
    let journal = fs::read(&path).unwrap();
    for (statement, finding) in [
        (
            "UPDATE record SET body = body || ' ' WHERE upload = 'closed-003' AND slot = 'reported'",
            "match its checksum",
        ),
        (
            "UPDATE upload SET entry = entry || ' ' WHERE id = 'closed-003'",
            "upload closed-003 does not match its checksum",
        ),
        ("UPDATE upload SET closed_at = closed_at + 1 WHERE id = 'closed-003'", "closed-003 is not closed as recorded"),
        ("UPDATE upload SET closed_at = NULL WHERE id = 'closed-003'", "closed-003 is not closed as recorded"),
        ("DELETE FROM record WHERE upload = 'closed-003' AND slot = 'closed'", "closed-003 is not closed as recorded"),
        // Records without their upload: before all others, between them, behind them.
        ("DELETE FROM upload WHERE id = 'closed-000'", "of upload closed-000 is out of place"),
        ("DELETE FROM upload WHERE id = 'closed-003'", "of upload closed-003 is out of place"),
        ("DELETE FROM upload WHERE id = 'open-first'", "of upload open-first is out of place"),
    ] {
        fs::write(&path, &journal).unwrap();
        fs::remove_file(origin.path().join("journal.db-wal")).ok();
        assert_eq!(load(&path), whole);
        fs::remove_file(origin.path().join("journal.db-wal")).ok();
        alter(&path, statement);
        let refusal = open(&path).unwrap_err();
        assert!(matches!(&refusal, JournalError::Corrupt(why) if why.contains(finding)), "{statement}: {refusal}");
    }
}

#[test]
fn the_next_record_is_numbered_behind_those_of_what_closed_long_ago() {
    let (_scratch, path) = long(|_, _| ());
    // The newest record of all belongs to the oldest upload of all.
    let (journal, _) = open(&path).unwrap();
    journal.write(Batch { number: 1, records: vec![reported(&name(0), 1)], ..Batch::default() });
    assert!(journal.close());
    drop(journal);

    let (journal, _) = open(&path).unwrap();
    journal.write(Batch { number: 1, records: vec![reported("a-last", 1)], ..Batch::default() });
    assert!(journal.close());
    drop(journal);

    let last = "SELECT upload FROM record ORDER BY seq DESC LIMIT 1";
    let last: String = Connection::open(&path).unwrap().query_row(last, [], |row| row.get(0)).unwrap();
    assert_eq!(last, "a-last");
}
