//! That the writer shows whether it moves.

use std::sync::mpsc;
use std::time::Duration;

use edm_agent::adapters::journal::SqliteJournal;
use edm_agent::ports::journal::{Batch, Journal, Place, Pulse};

use super::{News, PATIENCE, entry, open, scratch};

/// Waits until the writer has turned once more.
pub(super) fn turns_again(journal: &SqliteJournal) -> bool {
    let before = journal.sign().turns;
    journal.knock();
    let (_open, pause) = mpsc::channel::<()>();
    let look = Duration::from_millis(5);
    (0..PATIENCE.as_millis() / look.as_millis()).any(|_| {
        let turned = journal.sign().turns > before;
        turned || {
            // Nobody sends anything: this is the pause between two looks.
            let _ = pause.recv_timeout(look);
            false
        }
    })
}

#[test]
fn the_writer_turns_when_it_is_knocked_at_though_there_is_nothing_to_write() {
    let scratch = scratch();
    let (journal, _) = open(&scratch.path().join("journal.db")).unwrap();
    for _ in 0..3 {
        assert!(turns_again(&journal));
    }
    assert_eq!(journal.backlog(), 0);
}

#[test]
fn a_knock_among_writes_loses_none_of_them() {
    let scratch = scratch();
    let path = scratch.path().join("journal.db");
    let news = News::default();
    let (journal, _) = SqliteJournal::open(&path, news.ear()).unwrap();
    for number in 1..=50 {
        journal.knock();
        journal.write(Batch { number, entries: vec![entry(&format!("u{number}"), 0)], ..Batch::default() });
        journal.knock();
    }
    news.wait_durable(50);
    assert!(journal.close());
    assert_eq!(journal.sign().place, Place::Gone);
    drop(journal);
    assert_eq!(super::load(&path).accounts.len(), 50);
}
