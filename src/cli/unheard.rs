//! The end of an upload that nobody heard of.
//!
//! A command that waits for an upload may be killed between the end of the
//! upload and its own. The same command, given again, then reports that end:
//! beginning another upload of what is live already would spend a session of
//! the day's quota. So whoever waits is noted until it was told.

use serde_json::Value;

use crate::agent::ask::{Ask, Asker};
use crate::agent::dispatcher::table_fact;
use crate::agent::handoff::checksum;
use crate::agent::intake::{Cargo, Intake};
use crate::agent::status::UploadView;
use crate::agent::tables::identify;

/// The fact that names the upload a command waits for.
const AWAITED: &str = "awaited";

/// An upload that ended well while nobody was there to hear of it.
pub(crate) struct Unheard {
    upload: String,
    /// The fact of its table, and what it says.
    table: (String, Value),
}

impl Unheard {
    /// Finds it in what the journal remembers.
    pub(crate) fn find(facts: &[(String, Value)]) -> Option<Self> {
        let (_, awaited) = facts.iter().find(|(name, _)| name == AWAITED)?;
        let upload = awaited.as_str()?.to_owned();
        let ended = |fact: &Value| fact["upload"] == *awaited && fact["outcome"]["result"] == "completed";
        let table = facts.iter().find(|(name, fact)| name.starts_with(&table_fact("")) && ended(fact))?;
        Some(Self { upload, table: table.clone() })
    }

    /// Returns how it ended, if it was an upload of the very content that is
    /// asked for now.
    pub(crate) async fn answers(&self, cargo: &Cargo, intake: &Intake) -> Option<UploadView> {
        let (name, fact) = &self.table;
        let is_same = match cargo {
            Cargo::Table(table) => {
                let source = intake.settings.now().find_table(table).and_then(|table| identify(table).ok());
                let source = source.and_then(|identity| serde_json::to_value(identity).ok());
                *name == table_fact(table) && source.is_some_and(|source| source == fact["source"])
            }
            Cargo::Bundle(path) => {
                checksum(path, &intake.settings.now()).is_some_and(|checksum| checksum == fact["checksum"])
            }
        };
        if !is_same {
            return None;
        }
        let view = intake.asker.ask(|reply| Ask::View(self.upload.clone(), reply)).await.ok()?.ok()?;
        // The bundle these are read from may be gone.
        let number = |key: &str| fact[key].as_u64().unwrap_or_default();
        Some(UploadView { rows: number("rows"), bytes: number("bytes"), ..view })
    }
}

/// Notes which upload this command waits for.
pub(crate) async fn wait_for(asker: &Asker, upload: &str) {
    // An agent that is stopping has no more to tell.
    let _ = asker.tell(Ask::Remember(AWAITED.to_owned(), Value::from(upload))).await;
}

/// Notes that this command has heard how its upload ended.
pub(crate) async fn heard(asker: &Asker) {
    let _ = asker.tell(Ask::Remember(AWAITED.to_owned(), Value::Null)).await;
}
