//! What was announced durable outlives `kill -9`, whenever it comes.

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::Stdio;
use std::sync::mpsc;
use std::time::Duration;

use edm_agent::adapters::journal::SqliteJournal;
use edm_agent::ports::journal::{Batch, Journal, JournalNews, Memory};
use edm_agent::upload::record::Record;
use serde_json::json;

use super::{child, entry, load, reported, scratch};

/// How many kills; `EDM_AGENT_KILLS` raises it.
const KILLS: u64 = 50;
/// How many batches the child has under way, so that some commit together.
const AHEAD: u64 = 20;
/// How many uploads take turns.
const UPLOADS: u64 = 5;

fn name(number: u64) -> String {
    format!("u{}", number % UPLOADS)
}

fn batch(number: u64) -> Batch {
    let remaining = u32::try_from(number).unwrap();
    Batch {
        number,
        entries: if number <= UPLOADS { vec![entry(&name(number), number.cast_signed())] } else { Vec::new() },
        records: vec![reported(&name(number), remaining)],
        facts: vec![("number".to_owned(), Some(json!(number)))],
        ..Batch::default()
    }
}

fn last(memory: &Memory) -> u64 {
    memory.facts.iter().find(|(name, _)| name == "number").map_or(0, |(_, value)| value.as_u64().unwrap())
}

/// The child: writes numbered batches and says which are durable.
pub(super) fn write_until_killed(path: &Path) {
    let (say, heard) = mpsc::channel();
    let ear = move |news| say.send(news).unwrap();
    let (journal, memory) = SqliteJournal::open(path, Box::new(ear)).unwrap();
    let mut written = last(&memory);
    let mut durable = written;
    loop {
        while written < durable + AHEAD {
            written += 1;
            journal.write(batch(written));
        }
        let Ok(JournalNews::Durable { up_to, .. }) = heard.recv() else { panic!("only good news here") };
        durable = up_to;
        if writeln!(std::io::stdout(), "durable {up_to}").is_err() {
            return;
        }
    }
}

#[test]
fn everything_announced_is_there_after_each_kill_and_no_batch_in_part() {
    let kills = std::env::var("EDM_AGENT_KILLS").map_or(KILLS, |kills| kills.parse().unwrap());
    let scratch = scratch();
    let path = scratch.path().join("journal.db");
    let mut chance = 0x9E37_79B9_7F4A_7C15_u64;
    let mut announced = 0;
    for round in 0..kills {
        let mut child = child::command("write", &path).stdout(Stdio::piped()).spawn().unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let reader = std::thread::spawn(move || {
            let numbers = lines.map_while(Result::ok);
            numbers.filter_map(|line| line.strip_prefix("durable ")?.parse::<u64>().ok()).last()
        });
        chance ^= chance << 13;
        chance ^= chance >> 7;
        chance ^= chance << 17;
        let (_never, moment) = mpsc::channel::<()>();
        moment.recv_timeout(Duration::from_micros(chance % 60_000)).unwrap_err();
        child.kill().unwrap();
        child.wait().unwrap();
        announced = reader.join().unwrap().unwrap_or(announced).max(announced);

        let memory = load(&path);
        let found = last(&memory);
        assert!(found >= announced, "round {round}: {announced} was announced, {found} is there");
        for account in &memory.accounts {
            let of_this = (1..=found).rev().find(|number| name(*number) == account.entry.plan.id.0).unwrap();
            let expected = [Record::Reported { remaining: u32::try_from(of_this).unwrap() }];
            assert_eq!(account.records, expected, "round {round}: batches 1 to {found} and nothing else");
        }
        assert_eq!(memory.accounts.len() as u64, found.min(UPLOADS), "round {round}");
    }
    assert!(announced > kills, "the children got on with it: {announced} batches");
}
