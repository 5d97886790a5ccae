//! After an fsync that failed there is no second one.

use std::fs;
use std::io::{BufRead, Write};
use std::path::Path;
use std::sync::mpsc;

use edm_agent::adapters::journal::SqliteJournal;
use edm_agent::ports::journal::{Batch, Journal, JournalError, JournalNews};
use edm_agent::upload::record::Record;

use super::{child, entry, load, open, reported, scratch};

/// How many batches the child writes: more than one log full.
const BATCHES: u32 = 1_100;

fn batch(number: u32) -> Batch {
    let entries = if number == 1 { vec![entry("a", 0)] } else { Vec::new() };
    Batch { number: number.into(), entries, records: vec![reported("a", number)], ..Batch::default() }
}

fn say(line: &str) {
    std::io::stdout().write_all(format!("{line}\n").as_bytes()).unwrap();
}

/// The child: writes one batch after the other until one fails, then goes on
/// asking for more as an agent that does not listen would.
pub(super) fn write_until_it_fails(path: &Path) {
    let (tell, heard) = mpsc::channel();
    let journal = match SqliteJournal::open(path, Box::new(move |news| drop(tell.send(news)))) {
        Ok((journal, _)) => journal,
        Err(JournalError::Volume(reason)) => return say(&format!("refused {reason}")),
        Err(error) => panic!("{error}"),
    };
    let report = |news| match news {
        JournalNews::Durable { up_to, .. } => say(&format!("durable {up_to}")),
        JournalNews::Failed { reason } => say(&format!("failed {reason}")),
        JournalNews::Stalled { reason } => panic!("{reason}"),
    };
    for number in 1..=BATCHES {
        journal.write(batch(number));
        let news = heard.recv().unwrap();
        let failed = matches!(news, JournalNews::Failed { .. });
        report(news);
        if failed {
            break;
        }
    }
    journal.write(batch(BATCHES + 1));
    say(if journal.close() { "closed" } else { "not all durable" });
    heard.try_iter().for_each(report);
}

/// What came of one child.
struct Run {
    said: Vec<String>,
    trace: Vec<String>,
}

/// Runs the child, its writer's fsync number `when` failing.
fn run(path: &Path, when: u32) -> Option<Run> {
    let trace = path.with_extension("trace");
    let inject = format!("inject=fsync:error=EIO:when={when}");
    let options = ["-y", "-o", trace.to_str()?, "-e", "trace=fsync,fdatasync,pwrite64,ftruncate", "-e", &inject];
    let output = child::traced(&options, "sync", path)?.output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let said = output.stdout.lines().map(Result::unwrap).collect();
    Some(Run { said, trace: fs::read_to_string(trace).unwrap().lines().map(str::to_owned).collect() })
}

#[test]
fn nothing_is_synced_or_written_after_an_fsync_that_failed() {
    let plain = scratch();
    let path = plain.path().join("journal.db");
    drop(open(&path).unwrap());
    let Some(untroubled) = run(&path, u32::from(u16::MAX)) else { return };
    assert!(untroubled.said.iter().any(|line| line == "closed"));
    let syncs: Vec<&String> = untroubled.trace.iter().filter(|line| line.contains("sync(")).collect();
    assert!(syncs.len() as u32 > BATCHES && syncs.iter().all(|line| line.contains(" fsync(")));
    // The first ones, those of each checkpoint, and the ones around it.
    let checkpoints = (0..syncs.len()).filter(|at| syncs[*at].contains("journal.db>"));
    let mut chosen: Vec<usize> = checkpoints.flat_map(|at| [at.saturating_sub(1), at, at + 1, at + 2]).collect();
    chosen.extend(1..5);
    chosen.sort_unstable();
    chosen.dedup();

    let mut failed = 0;
    for when in chosen {
        let place = scratch();
        let path = place.path().join("journal.db");
        drop(open(&path).unwrap());
        let run = run(&path, u32::try_from(when).unwrap()).unwrap();
        // Of the directory there is nothing left to sync when SQLite does so.
        let struck = |line: &String| line.contains("(INJECTED)") && line.contains("journal.db");
        let Some(injected) = run.trace.iter().position(struck) else { continue };
        let next = run.trace[injected + 1..].iter().find(|line| line.contains("journal"));
        assert_eq!(next, None, "fsync {when} failed, and yet");
        let told = |word: &str| run.said.iter().any(|line| line.starts_with(word));
        assert!(told("failed sync the journal") || told("refused"), "fsync {when}: {:?}", run.said.last());
        assert!(told("not all durable") || told("refused"), "fsync {when}: {:?}", run.said.last());
        failed += 1;

        let numbers = run.said.iter().filter_map(|line| line.strip_prefix("durable ")?.parse::<u32>().ok());
        let announced = numbers.max().unwrap_or(0);
        let accounts = load(&path).accounts;
        let found = match accounts.first().map(|account| &account.records[0]) {
            Some(Record::Reported { remaining }) => *remaining,
            _ => 0,
        };
        assert!(found >= announced, "fsync {when}: {announced} announced, {found} found");
    }
    assert!(failed >= 6, "in commits and in checkpoints: {failed}");
}
