//! The journal in SQLite and the state directory, on real files.

mod bounds;
mod child;
mod damage;
mod failing_sync;
mod full_volume;
mod kill;
mod long_closed;
mod memory;
mod pulse;
mod state;
mod versions;

use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use edm_agent::adapters::journal::SqliteJournal;
use edm_agent::ports::journal::{Batch, Entry, Journal, JournalError, JournalNews, Memory};
use edm_agent::upload::plan::{Plan, Sender, UploadId};
use edm_agent::upload::record::Record;
use tempfile::TempDir;

/// How long a test waits for news before it says that none came.
const PATIENCE: Duration = Duration::from_secs(60);

/// A directory for a journal: in memory where there is such a volume, so that
/// hundreds of fsyncs cost nothing.
fn scratch() -> TempDir {
    let mut private = tempfile::Builder::new();
    private.permissions(Permissions::from_mode(0o700));
    private.tempdir_in("/dev/shm").or_else(|_| private.tempdir()).unwrap()
}

fn date(seconds: i64) -> DateTime<Utc> {
    DateTime::from_timestamp(1_800_000_000, 0).unwrap() + TimeDelta::seconds(seconds)
}

fn upload(name: &str) -> UploadId {
    UploadId(name.to_owned())
}

fn entry(name: &str, begun: i64) -> Entry {
    let plan = Plan {
        id: upload(name),
        table: "patients".to_owned(),
        store: "PatientRecords".to_owned(),
        file_name: format!("patients-{name}.EdmHash"),
        sender: Sender::Owned,
        total_blocks: 40,
        canary: false,
        seed: 7,
        begun: date(begun),
    };
    Entry {
        plan,
        bundle: Some(PathBuf::from("/srv/bundles").join(name)),
        owns_bundle: true,
        source: None,
        urgent: false,
    }
}

fn reported(name: &str, remaining: u32) -> (UploadId, Record) {
    (upload(name), Record::Reported { remaining })
}

/// What the journal said, to be waited for.
#[derive(Clone, Default)]
struct News(Arc<(Mutex<Vec<JournalNews>>, Condvar)>);

impl News {
    fn ear(&self) -> Box<dyn Fn(JournalNews) + Send> {
        let heard = Arc::clone(&self.0);
        Box::new(move |news| {
            heard.0.lock().unwrap().push(news);
            heard.1.notify_all();
        })
    }

    /// Waits until something was said, and returns it.
    fn wait_for(&self, what: impl Fn(&JournalNews) -> bool) -> JournalNews {
        let (heard, changed) = &*self.0;
        let (heard, _) =
            changed.wait_timeout_while(heard.lock().unwrap(), PATIENCE, |heard| !heard.iter().any(&what)).unwrap();
        heard.iter().find(|news| what(news)).unwrap_or_else(|| panic!("heard only {heard:?}")).clone()
    }

    fn wait_durable(&self, number: u64) {
        self.wait_for(|news| matches!(news, JournalNews::Durable { up_to, .. } if *up_to >= number));
    }

    fn wait_stalled(&self) -> String {
        match self.wait_for(|news| matches!(news, JournalNews::Stalled { .. })) {
            JournalNews::Stalled { reason } => reason,
            JournalNews::Durable { .. } | JournalNews::Failed { .. } => unreachable!("it was picked as stalled"),
        }
    }

    fn stalls(&self) -> usize {
        self.0.0.lock().unwrap().iter().filter(|news| matches!(news, JournalNews::Stalled { .. })).count()
    }
}

fn open(path: &Path) -> Result<(SqliteJournal, Memory), JournalError> {
    SqliteJournal::open(path, Box::new(|_| ()))
}

fn load(path: &Path) -> Memory {
    open(path).unwrap().1
}

/// Writes batches one by one, each its own transaction.
fn write_each(journal: &SqliteJournal, news: &News, batches: Vec<Batch>) {
    for batch in batches {
        let number = batch.number;
        journal.write(batch);
        news.wait_durable(number);
    }
}
