//! A volume that is really full, and one that really turns read-only.

use std::fs::{self, File};
use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use edm_agent::adapters::journal::SqliteJournal;
use edm_agent::ports::journal::{Batch, Journal, JournalError};
use edm_agent::upload::ledger::Ledger;
use edm_agent::upload::record::Record;
use tempfile::TempDir;

use super::versions::released;
use super::{News, entry, load, open, upload, write_each};
use crate::support::skip::{Need, skip};

/// An ext4 file system of 8 MiB in a file, gone when dropped.
struct Volume {
    home: TempDir,
}

impl Volume {
    fn new() -> Option<Self> {
        let volume = Self { home: TempDir::new().unwrap() };
        fs::create_dir(volume.root()).unwrap();
        File::create(volume.image()).unwrap().set_len(8 << 20).unwrap();
        let made = run("mkfs.ext4", &["-q", "-m", "0"], &[&volume.image()]);
        if made && volume.mount() {
            return Some(volume);
        }
        skip(Need::Loop, "a loop volume needs root, mkfs.ext4 and a loop device");
        None
    }

    fn image(&self) -> PathBuf {
        self.home.path().join("image")
    }

    fn root(&self) -> PathBuf {
        self.home.path().join("root")
    }

    fn journal(&self) -> PathBuf {
        self.root().join("journal.db")
    }

    fn mount(&self) -> bool {
        run("mount", &["-o", "loop"], &[&self.image(), &self.root()])
    }

    fn unmount(&self) -> bool {
        run("umount", &[], &[&self.root()])
    }

    /// Fills it to the last byte.
    fn fill(&self) {
        let mut filler = File::options().append(true).create(true).open(self.root().join("filler")).unwrap();
        for size in [1 << 16, 1 << 10, 1] {
            let chunk = vec![0; size];
            while filler.write_all(&chunk).is_ok() {}
        }
        assert_eq!(filler.write_all(b"x").unwrap_err().kind(), ErrorKind::StorageFull);
    }

    fn free(&self) {
        fs::remove_file(self.root().join("filler")).unwrap();
    }
}

impl Drop for Volume {
    fn drop(&mut self) {
        self.unmount();
    }
}

fn run(program: &str, arguments: &[&str], paths: &[&Path]) -> bool {
    let ran = Command::new(program).args(arguments).args(paths).stdout(Stdio::null()).stderr(Stdio::null()).status();
    ran.is_ok_and(|status| status.success())
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
    let (journal, _) = SqliteJournal::open(&volume.journal(), news.ear()).unwrap();
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
    assert_eq!(load(&volume.journal()).accounts[0].records, expected);
}

#[test]
fn an_agent_starts_on_a_full_volume_with_all_that_was_durable() {
    let Some(volume) = Volume::new() else { return };
    let news = News::default();
    let (journal, _) = SqliteJournal::open(&volume.journal(), news.ear()).unwrap();
    write_each(&journal, &news, (1..50).map(batch).collect());
    volume.fill();
    (50..=5_000).for_each(|number| journal.write(batch(number)));
    news.wait_stalled();
    assert!(!journal.close(), "what waited is lost with the process, and it says so");
    drop(journal);

    let news = News::default();
    let (journal, memory) = SqliteJournal::open(&volume.journal(), news.ear()).unwrap();
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
    fs::write(volume.journal(), &bytes).unwrap();
    volume.fill();

    let refusal = open(&volume.journal()).unwrap_err();
    assert!(matches!(&refusal, JournalError::Volume(why) if why.contains("free some space")), "{refusal}");
    assert!(fs::read(volume.journal()).unwrap() == bytes);
    volume.free();
    assert_eq!(load(&volume.journal()), load(&fixture));
}

#[test]
fn a_volume_that_turns_read_only_is_told_from_a_full_one() {
    let Some(volume) = Volume::new() else { return };
    let news = News::default();
    let (journal, _) = SqliteJournal::open(&volume.journal(), news.ear()).unwrap();
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
    assert!(open(&volume.journal()).is_err());

    assert!(volume.unmount() && volume.mount());
    let expected: Vec<Record> = batch(2).records.into_iter().map(|(_, record)| record).collect();
    assert_eq!(load(&volume.journal()).accounts[0].records, expected);
}
