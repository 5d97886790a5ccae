//! Torn ends are dropped, damage is refused, and nothing is ever half read.

use std::fs;
use std::path::{Path, PathBuf};

use edm_agent::adapters::journal::SqliteJournal;
use edm_agent::ports::journal::{Batch, Journal, JournalError, Memory};
use edm_agent::upload::record::Record;
use serde_json::json;
use tempfile::TempDir;

use super::{News, entry, load, open, reported, scratch, upload};

/// How large a page, and how long the header of its frame in the log is.
const FRAME: usize = 4096 + 24;
const LOG_HEADER: usize = 32;

/// A journal whose last transactions are still in its log, as a power cut
/// would leave it.
struct Interrupted {
    scratch: TempDir,
    file: Vec<u8>,
    log: Vec<u8>,
    /// What was remembered after each transaction, the empty beginning first.
    memories: Vec<Memory>,
    /// How long the log was after each.
    ends: Vec<usize>,
}

impl Interrupted {
    fn after(transactions: u32) -> Self {
        let scratch = scratch();
        let path = scratch.path().join("journal.db");
        let news = News::default();
        let (journal, empty) = SqliteJournal::open(&path, news.ear()).unwrap();
        let file = fs::read(&path).unwrap();
        let log = || fs::read(scratch.path().join("journal.db-wal")).unwrap();
        let mut all = Self { file, log: Vec::new(), memories: vec![empty], ends: vec![0], scratch: self::scratch() };
        for number in 1..=transactions {
            let name = format!("u{number}");
            journal.write(Batch {
                number: number.into(),
                entries: vec![entry(&name, number.into())],
                records: vec![reported(&name, number), reported("u1", number), (upload("u1"), Record::Live)],
                facts: vec![("number".to_owned(), Some(json!(number)))],
                ..Batch::default()
            });
            news.wait_durable(number.into());
            all.log = log();
            all.ends.push(all.log.len());
            let memory = all.load_with(&all.log).unwrap();
            assert_eq!(memory.accounts.len(), number as usize);
            all.memories.push(memory);
        }
        all
    }

    fn path(&self) -> PathBuf {
        self.scratch.path().join("journal.db")
    }

    fn load_with(&self, log: &[u8]) -> Result<Memory, JournalError> {
        fs::write(self.path(), &self.file).unwrap();
        fs::write(self.scratch.path().join("journal.db-wal"), log).unwrap();
        open(&self.path()).map(|(_, memory)| memory)
    }
}

#[test]
fn a_log_cut_anywhere_gives_the_transactions_that_were_whole() {
    let journal = Interrupted::after(6);
    let near_frames = (0..journal.log.len() / FRAME).flat_map(|frame| {
        let end = LOG_HEADER + (frame + 1) * FRAME;
        [end - 1, end, end + 1, end + 24]
    });
    for length in (0..journal.log.len()).step_by(331).chain(0..=LOG_HEADER).chain(near_frames) {
        let length = length.min(journal.log.len());
        let memory = journal.load_with(&journal.log[..length]).unwrap();
        let whole = journal.ends.iter().rposition(|end| *end <= length).unwrap();
        assert_eq!(memory, journal.memories[whole], "cut at {length}");
        assert_eq!(load(&journal.path()), memory, "and the cut was made good");
    }
}

#[test]
fn sectors_of_the_last_transaction_that_never_reached_the_disk_lose_only_that_one() {
    let journal = Interrupted::after(4);
    let (begin, end) = (journal.ends[3], journal.ends[4]);
    for sector in (begin.next_multiple_of(512)..end).step_by(512) {
        let mut log = journal.log.clone();
        log[sector..end.min(sector + 512)].fill(0);
        if log != journal.log {
            assert_eq!(journal.load_with(&log).unwrap(), journal.memories[3], "zeros at {sector}");
        }
    }
}

#[test]
fn a_bit_flipped_in_the_log_is_never_passed_over_when_something_durable_follows() {
    let journal = Interrupted::after(4);
    let headers =
        (0..journal.log.len() / FRAME).flat_map(|frame| (0..24).map(move |at| LOG_HEADER + frame * FRAME + at));
    let mut refused = 0;
    for position in (0..journal.log.len()).step_by(173).chain(0..LOG_HEADER).chain(headers) {
        let mut log = journal.log.clone();
        log[position] ^= 1 << (position % 8);
        let hit = if position < LOG_HEADER { 1 } else { journal.ends.partition_point(|end| *end <= position) };
        let outcome = journal.load_with(&log);
        match &outcome {
            Ok(memory) if hit == 4 => assert_eq!(memory, &journal.memories[3], "bit flipped at {position}"),
            // A frame of the last one that now says it ends it is damage as well.
            Err(JournalError::Corrupt(why))
                if hit < 4 || (4..8).contains(&(position.wrapping_sub(LOG_HEADER) % FRAME)) =>
            {
                assert!(why.contains("-wal file is damaged") && why.contains("Keep a copy"), "{why}");
                let untouched = fs::read(journal.scratch.path().join("journal.db-wal")).unwrap();
                assert!(untouched == log, "a refused journal is left as it was");
                refused += 1;
            }
            other => panic!("bit flipped at {position}, in transaction {hit}: {other:?}"),
        }
    }
    assert!(refused > 100);
}

/// How many bits of the file are flipped; `EDM_AGENT_FLIPS` raises it.
const FLIPS: usize = 2_000;

#[test]
fn a_bit_flipped_in_the_file_is_found_or_changes_nothing() {
    let flips = std::env::var("EDM_AGENT_FLIPS").map_or(FLIPS, |flips| flips.parse().unwrap());
    let scratch = scratch();
    let path = scratch.path().join("journal.db");
    let (journal, _) = open(&path).unwrap();
    let name = "u1";
    let records = super::memory::one_of_each().into_iter().map(|record| (upload(name), record)).collect();
    let facts = vec![("agent".to_owned(), Some(json!({ "id": 4 })))];
    journal.write(Batch { number: 1, entries: vec![entry(name, 0)], records, facts, ..Batch::default() });
    assert!(journal.close());
    drop(journal);
    let (file, memory) = (fs::read(&path).unwrap(), load(&path));

    // Most of a small file is empty: look where something stands.
    let written: Vec<usize> = (0..file.len()).filter(|at| file[*at] != 0 || *at < 100).collect();
    let mut found = 0;
    for flip in 0..flips {
        let bit = flip * (written.len() * 8 - 1) / flips.max(2);
        let mut damaged = file.clone();
        damaged[written[bit / 8]] ^= 1 << (bit % 8);
        fs::write(&path, &damaged).unwrap();
        fs::remove_file(scratch.path().join("journal.db-wal")).ok();
        match open(&path) {
            Ok((_, read)) => assert_eq!(read, memory, "bit {} of byte {}", bit % 8, written[bit / 8]),
            Err(_) => found += 1,
        }
    }
    assert!(found * 2 > flips, "most of the file is content: {found} of {flips}");
}

#[test]
fn what_is_no_journal_is_refused_and_left_alone() {
    let scratch = scratch();
    let path = scratch.path().join("journal.db");
    let foreign = scratch.path().join("foreign.db");
    rusqlite::Connection::open(&foreign).unwrap().execute_batch("CREATE TABLE t (x); PRAGMA user_version = 1").unwrap();
    let long = [b"not a journal".as_slice(), &[7; 4096]].concat();
    for bytes in [Vec::new(), b"short".to_vec(), long, fs::read(&foreign).unwrap()] {
        fs::write(&path, &bytes).unwrap();
        assert!(matches!(open(&path), Err(JournalError::Corrupt(_))));
        assert_eq!(fs::read(&path).unwrap(), bytes);
        assert_eq!(files(scratch.path()), ["foreign.db", "journal.db"]);
    }
}

#[test]
fn a_log_without_its_journal_is_not_given_to_another() {
    let journal = Interrupted::after(2);
    fs::write(journal.scratch.path().join("journal.db-wal"), &journal.log).unwrap();
    fs::remove_file(journal.path()).unwrap();
    assert!(matches!(open(&journal.path()), Err(JournalError::Corrupt(why)) if why.contains("the file is gone")));
    assert_eq!(files(journal.scratch.path()), ["journal.db-wal"]);
}

pub(super) fn files(directory: &Path) -> Vec<String> {
    let names = fs::read_dir(directory).unwrap().map(|file| file.unwrap().file_name().into_string().unwrap());
    let mut names: Vec<String> = names.collect();
    names.sort();
    names
}
