//! A volume that is really full, and one that really turns read-only.

use std::fs;
use std::path::PathBuf;

use edm_agent::adapters::journal::SqliteJournal;
use edm_agent::ports::journal::{Batch, Journal, JournalError};
use edm_agent::upload::ledger::Ledger;
use edm_agent::upload::record::Record;

use super::versions::released;
use super::{News, entry, load, open, upload, write_each};
use crate::support::skip::{Need, skip};
use crate::support::volume::{Volume, run};

fn place(volume: &Volume) -> PathBuf {
    volume.root().join("journal.db")
}

/// A batch that needs room: every second block is stored, a range each.
fn batch(number: u64) -> Batch {
    let mut blocks = Ledger::default();
    blocks.extend((0..500).map(|block| block * 2 + u32::try_from(number).unwrap()));
    let entries = if number == 1 { vec![entry("a", 0)] } else { Vec::new() };
    let stored = Record::Stored { blocks };
    let reported = Record::Reported { remaining: 100_000 - u32::try_from(number).unwrap() };
    Batch { number, entries, records: vec![(upload("a"), stored), (upload("a"), reported)], ..Batch::default() }
}

#[test]
fn a_full_volume_holds_writing_up_and_loses_nothing() {
    let Some(volume) = Volume::new() else { return };
    let news = News::default();
    let (journal, _) = SqliteJournal::open(&place(&volume), news.ear()).unwrap();
    write_each(&journal, &news, vec![batch(1), batch(2)]);
    volume.fill();

    (3..=5_000).for_each(|number| journal.write(batch(number)));
    let reason = news.wait_stalled();
    assert!(reason.contains("full: free some space"), "{reason}");
    (5_001..=10_000).for_each(|number| journal.write(batch(number)));
    assert!(journal.backlog() <= 4, "two records and what is being tried: {}", journal.backlog());

    volume.free();
    news.wait_durable(10_000);
    assert_eq!(news.stalls(), 1);
    drop(journal);
    let expected: Vec<Record> = batch(10_000).records.into_iter().map(|(_, record)| record).collect();
    assert_eq!(load(&place(&volume)).accounts[0].records, expected);
}

#[test]
fn an_agent_starts_on_a_full_volume_with_all_that_was_durable() {
    let Some(volume) = Volume::new() else { return };
    let news = News::default();
    let (journal, _) = SqliteJournal::open(&place(&volume), news.ear()).unwrap();
    write_each(&journal, &news, (1..50).map(batch).collect());
    volume.fill();
    (50..=5_000).for_each(|number| journal.write(batch(number)));
    news.wait_stalled();
    assert!(!journal.close(), "what waited is lost with the process, and it says so");
    drop(journal);

    let news = News::default();
    let (journal, memory) = SqliteJournal::open(&place(&volume), news.ear()).unwrap();
    let Record::Reported { remaining } = memory.accounts[0].records[1] else { panic!("{memory:?}") };
    assert!((95_000..=99_951).contains(&remaining), "batch 49 or one that still found room: {remaining}");
    volume.fill();
    (5_001..=10_000).for_each(|number| journal.write(batch(number)));
    news.wait_stalled();
    volume.free();
    news.wait_durable(10_000);
}

#[test]
fn a_migration_that_finds_no_room_changes_nothing() {
    let Some(volume) = Volume::new() else { return };
    let (_origin, fixture) = released(1);
    let bytes = fs::read(&fixture).unwrap();
    fs::write(place(&volume), &bytes).unwrap();
    volume.fill();

    let refusal = open(&place(&volume)).unwrap_err();
    assert!(matches!(&refusal, JournalError::Volume(why) if why.contains("free some space")), "{refusal}");
    assert!(fs::read(place(&volume)).unwrap() == bytes);
    volume.free();
    assert_eq!(load(&place(&volume)), load(&fixture));
}

#[test]
fn a_volume_that_turns_read_only_is_told_from_a_full_one() {
    let Some(volume) = Volume::new() else { return };
    let news = News::default();
    let (journal, _) = SqliteJournal::open(&place(&volume), news.ear()).unwrap();
    write_each(&journal, &news, vec![batch(1), batch(2)]);
    // What the kernel does itself when a disk fails under ext4.
    if !run("mount", &["-o", "remount,abort"], &[&volume.root()]) {
        skip(Need::Loop, "this kernel does not abort a file system on request");
        return;
    }
    (3..=5_000).for_each(|number| journal.write(batch(number)));
    let reason = news.wait_stalled();
    assert!(reason.contains("read only"), "{reason}");
    assert!(journal.backlog() <= 4, "{}", journal.backlog());
    assert!(!journal.close());
    drop(journal);
    assert!(open(&place(&volume)).is_err());

    assert!(volume.unmount() && volume.mount());
    let expected: Vec<Record> = batch(2).records.into_iter().map(|(_, record)| record).collect();
    assert_eq!(load(&place(&volume)).accounts[0].records, expected);
}
