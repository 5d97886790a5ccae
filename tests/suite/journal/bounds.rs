//! Memory and files stay bounded, whatever is written for however long.

use std::path::Path;

use edm_agent::adapters::journal::SqliteJournal;
use edm_agent::ports::journal::{Batch, Journal};
use edm_agent::upload::outcome::Outcome;
use edm_agent::upload::record::Record;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use super::memory::one_of_each;
use super::{News, child, date, entry, load, open, pulse, reported, scratch, upload, write_each};

/// How many kinds of records there are.
const SLOTS: usize = 16;

/// The child: its files may not grow while it writes 100,000 records.
pub(super) fn write_against_a_limit(path: &Path) {
    // Without a handler a write beyond the limit kills the process.
    let flag = std::sync::Arc::default();
    signal_hook::flag::register(rustix::process::Signal::XFSZ.as_raw(), flag).unwrap();
    let news = News::default();
    let (journal, _) = SqliteJournal::open(path, news.ear()).unwrap();
    write_each(&journal, &news, vec![Batch { number: 1, entries: vec![entry("a", 0)], ..Batch::default() }]);
    let before = getrlimit(Resource::Fsize);
    setrlimit(Resource::Fsize, Rlimit { current: Some(1), maximum: before.maximum }).unwrap();

    journal.write(Batch { number: 2, entries: vec![entry("b", 1)], ..Batch::default() });
    news.wait_stalled();
    let records = one_of_each();
    for number in 3..=100_001 {
        let record = &records[number as usize % SLOTS];
        let counting = Record::Reported { remaining: 200_000 - number };
        let record = if record.slot() == counting.slot() { counting } else { record.clone() };
        journal.write(Batch { number: number.into(), records: vec![(upload("a"), record)], ..Batch::default() });
    }
    let reason = news.wait_stalled();
    assert!(reason.contains("does not take it") && reason.contains("nothing is lost"), "{reason}");
    // What waits and what is being tried again at this moment hold a set each.
    assert!(journal.backlog() <= 2 * (SLOTS + 1), "{} changes in memory", journal.backlog());
    assert_eq!(news.stalls(), 1, "one reason is said once");
    assert!(pulse::turns_again(&journal), "held up by a full disk it goes on trying: that is no hang");

    setrlimit(Resource::Fsize, before).unwrap();
    news.wait_durable(100_001);
    assert_eq!(journal.backlog(), 0);
}

#[test]
fn a_stalled_journal_keeps_one_record_of_each_slot_and_loses_nothing() {
    let scratch = scratch();
    let path = scratch.path().join("journal.db");
    let output = child::command("stall", &path).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));

    let memory = load(&path);
    assert_eq!(memory.accounts[1].entry, entry("b", 1), "what was tried first and failed is there as well");
    let kept = &memory.accounts[0].records;
    assert_eq!(kept.len(), SLOTS, "the newest of each");
    let last_reported = (3..=100_001_u32).rev().find(|number| *number as usize % SLOTS == 7).unwrap();
    assert!(kept.contains(&Record::Reported { remaining: 200_000 - last_reported }));
    let by_slot = one_of_each();
    let newest = &by_slot[100_001 % SLOTS];
    assert_eq!(kept.last().map(Record::slot), Some(newest.slot()), "in the order written");
}

fn size(directory: &Path) -> u64 {
    std::fs::read_dir(directory).unwrap().map(|file| file.unwrap().metadata().unwrap().len()).sum()
}

#[test]
fn the_file_does_not_grow_however_many_uploads_come_and_go() {
    let scratch = scratch();
    let path = scratch.path().join("journal.db");
    let news = News::default();
    let (journal, _) = SqliteJournal::open(&path, news.ear()).unwrap();
    let mut sizes = Vec::new();
    for cycle in 0..100_i64 {
        let names: Vec<String> = (0..100).map(|number| format!("{cycle:03}-{number:03}")).collect();
        let mut batch = Batch { number: cycle.cast_unsigned() + 1, ..Batch::default() };
        for name in &names {
            batch.entries.push(entry(name, cycle));
            let records = one_of_each().into_iter().filter(|record| record.slot() != "closed");
            batch.records.extend(records.map(|record| (upload(name), record)));
            let closed = Record::Closed { outcome: Outcome::Completed, at: date(cycle) };
            batch.records.push((upload(name), closed));
        }
        batch.forget_closed_before = Some(date(cycle - 1));
        write_each(&journal, &news, vec![batch]);
        sizes.push(std::fs::metadata(&path).unwrap().len());
        assert!(size(scratch.path()) < 8 << 20, "with its log");
    }
    journal.close();
    let (early, late) = (sizes[..50].iter().max().unwrap(), sizes[50..].iter().max().unwrap());
    assert!(late <= &(early + early / 20), "at most a twentieth more: {sizes:?}");
    let memory = load(&path);
    assert_eq!(memory.accounts.len() + memory.spare_bundles.len(), 200, "the last two cycles");
}

#[test]
fn the_log_is_emptied_while_one_upload_is_written_for_months() {
    let scratch = scratch();
    let path = scratch.path().join("journal.db");
    let news = News::default();
    let (journal, _) = SqliteJournal::open(&path, news.ear()).unwrap();
    write_each(&journal, &news, vec![Batch { number: 1, entries: vec![entry("a", 0)], ..Batch::default() }]);
    let batch = |number: u32| Batch { number: number.into(), records: vec![reported("a", number)], ..Batch::default() };
    let mut largest = 0;
    for number in 2..4_000 {
        write_each(&journal, &news, vec![batch(number)]);
        largest = largest.max(size(scratch.path()));
    }
    assert!(largest > 1_000 * 4_096, "it did fill a log: {largest}");
    assert!(largest < 1_100 * 4_120, "and never more than one: {largest}");
    drop(journal);
    assert!(size(scratch.path()) < 100_000, "a journal at rest is as large as what it holds");
    assert_eq!(open(&path).unwrap().1.accounts[0].records, [Record::Reported { remaining: 3_999 }]);
}
