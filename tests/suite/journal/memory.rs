//! What goes in comes out.

use edm_agent::ports::journal::{Batch, Journal};
use edm_agent::upload::ledger::Ledger;
use edm_agent::upload::outcome::{Failure, Outcome};
use edm_agent::upload::record::{Record, Reports};
use edm_agent::upload::uri::UploadUri;
use serde_json::json;

use super::{News, SqliteJournal, date, entry, load, open, reported, scratch, upload, write_each};

/// One record of every slot, as full as the type allows.
pub(super) fn one_of_each() -> Vec<Record> {
    let failure = Failure::SessionEnded { state: "Odd".to_owned(), error: ": x".to_owned(), next: "wait".to_owned() };
    vec![
        Record::GateHeld { reasons: vec!["it has 3 rows".to_owned()], at: date(0) },
        Record::CreateIntended,
        Record::Opened { session: "s-1".to_owned(), at: date(1) },
        Record::Placed { place: "https://store.example/container/blob".to_owned() },
        Record::Renewed { at: date(2), renewals: 3 },
        Record::Stored { blocks: Ledger::first(9) },
        Record::Listed { done: true },
        Record::Reported { remaining: 31 },
        Record::ReportsReduced { reports: Reports::CountsOnly },
        Record::CommitRequested,
        Record::CommitIntended,
        Record::Committed { at: date(3) },
        Record::Lost { epoch: 1 },
        Record::Live,
        Record::Ending { outcome: Outcome::Failed(failure) },
        Record::Closed { outcome: Outcome::Completed, at: date(4) },
    ]
}

#[test]
fn everything_written_is_read_back_in_the_order_written() {
    let scratch = scratch();
    let path = scratch.path().join("journal.db");
    let (journal, empty) = open(&path).unwrap();
    assert_eq!(empty, Default::default());

    let records: Vec<_> = one_of_each().into_iter().map(|record| (upload("a"), record)).collect();
    let mut younger = entry("b", 5);
    younger.bundle = None;
    younger.source = Some(json!({ "bytes": 12, "changed": "then" }));
    journal.write(Batch { number: 1, entries: vec![younger.clone(), entry("a", 0)], records, ..Batch::default() });
    let facts = vec![("agent".to_owned(), Some(json!({ "id": 4 }))), ("gone".to_owned(), Some(json!(1)))];
    journal.write(Batch { number: 2, facts, ..Batch::default() });
    journal.write(Batch { number: 3, facts: vec![("gone".to_owned(), None)], ..Batch::default() });
    assert!(journal.close(), "all of it is durable");

    let memory = load(&path);
    let [older, newer] = &memory.accounts[..] else { panic!("two uploads, not {memory:?}") };
    assert_eq!((&older.entry, &older.records), (&entry("a", 0), &one_of_each()));
    assert_eq!((&newer.entry, newer.records.len()), (&younger, 0));
    assert_eq!(memory.facts, [("agent".to_owned(), json!({ "id": 4 }))]);
}

#[test]
fn a_newer_record_stands_where_it_was_written_also_after_a_restart() {
    let scratch = scratch();
    let path = scratch.path().join("journal.db");
    for (number, records) in [
        (1, vec![reported("a", 9), (upload("a"), Record::Listed { done: true })]),
        (2, vec![reported("a", 8)]),
        (3, vec![(upload("a"), Record::Live)]),
    ] {
        let (journal, _) = open(&path).unwrap();
        journal.write(Batch { number, entries: vec![entry("a", 0)], records, ..Batch::default() });
    }
    let kept = &load(&path).accounts[0].records;
    assert_eq!(kept, &[Record::Listed { done: true }, Record::Reported { remaining: 8 }, Record::Live]);
}

#[test]
fn only_uploads_closed_before_the_date_are_forgotten() {
    let scratch = scratch();
    let path = scratch.path().join("journal.db");
    let (journal, _) = open(&path).unwrap();
    let closed = |name: &str, at| (upload(name), Record::Closed { outcome: Outcome::Cancelled, at: date(at) });
    journal.write(Batch {
        number: 1,
        entries: vec![entry("early", 0), entry("late", 1), entry("open", 2)],
        records: vec![closed("early", 10), closed("late", 20), reported("open", 1), reported("early", 1)],
        ..Batch::default()
    });
    journal.write(Batch { number: 2, forget_closed_before: Some(date(20)), ..Batch::default() });
    journal.write(Batch { number: 3, records: vec![reported("early", 0)], ..Batch::default() });
    assert!(journal.close());

    let left: Vec<_> = load(&path).accounts.into_iter().map(|account| account.entry.plan.id.0).collect();
    assert_eq!(left, ["late", "open"], "and a record that comes too late does not bring one back");
}

#[test]
fn batches_that_change_nothing_are_durable_at_once() {
    let scratch = scratch();
    let news = News::default();
    let (journal, _) = SqliteJournal::open(&scratch.path().join("journal.db"), news.ear()).unwrap();
    write_each(&journal, &news, vec![Batch { number: 4, ..Batch::default() }]);
    assert_eq!(journal.backlog(), 0);
}

#[test]
fn nothing_is_taken_after_the_close() {
    let scratch = scratch();
    let path = scratch.path().join("journal.db");
    let (journal, _) = open(&path).unwrap();
    assert!(journal.close());
    journal.write(Batch { number: 1, entries: vec![entry("a", 0)], ..Batch::default() });
    assert!(journal.close(), "closing twice is closing once");
    assert_eq!(load(&path).accounts, []);
}

#[test]
fn a_journal_in_use_is_not_opened_again() {
    let scratch = scratch();
    let path = scratch.path().join("journal.db");
    let _held = open(&path).unwrap();
    let refusal = open(&path).unwrap_err().to_string();
    assert!(refusal.contains("another process uses it"), "{refusal}");
}

/// An answer full of secrets leaves only what the types may carry.
#[test]
fn no_byte_of_a_signature_reaches_the_files() {
    let canary = "sig=c4n4ry";
    let uri = format!("https://store.example/container/blob?sr=b&si=upload&{canary}");
    let uri = UploadUri::parse(&uri, &["store.example".to_owned()]).unwrap();
    let place = uri.place().to_string();
    let scratch = scratch();
    let path = scratch.path().join("journal.db");
    let news = News::default();
    let (journal, _) = SqliteJournal::open(&path, news.ear()).unwrap();
    let records = vec![(upload("a"), Record::Placed { place: place.clone() })];
    write_each(&journal, &news, vec![Batch { number: 1, entries: vec![entry("a", 0)], records, ..Batch::default() }]);

    let mut found = 0;
    for file in std::fs::read_dir(scratch.path()).unwrap() {
        let bytes = std::fs::read(file.unwrap().path()).unwrap();
        let holds = |text: &str| bytes.windows(text.len()).any(|window| window == text.as_bytes());
        assert!(!holds("c4n4ry"));
        found += usize::from(holds(&place));
    }
    assert_eq!(found, 1, "the log holds the place, so the search would find a signature");
}
