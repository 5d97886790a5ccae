//! The board: how each configured table stands, between its uploads.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::ask::Fact;
use super::dispatcher::TABLE_FACT;
use super::settings::TableSettings;
use super::status::{HeldView, UploadView};
use crate::table::gates::Good;

/// The facts that remember which times of a table are dealt with.
const TIMES: &str = "times/";
/// Uploads refused before they began that are kept for whoever asked.
const REFUSED_KEPT: usize = 50;

/// Returns what is remembered of a table's times as a fact for the journal.
pub fn times_fact(table: &str, times: Value) -> Fact {
    (format!("{TIMES}{table}"), times)
}

/// How one table stands.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct TableView {
    /// Its name.
    pub table: String,
    /// The data store, as configured.
    pub data_store: String,
    /// When it is uploaded, as configured.
    pub when: String,
    /// The time zone of that, as configured.
    pub timezone: String,
    /// When it is uploaded next, if a clock decides.
    pub next_run: Option<DateTime<Utc>>,
    /// The same by the wall clock of its time zone, with the offset.
    pub next_run_local: Option<String>,
    /// What it is doing: `idle`, `settling`, `waiting-for-marker`, `hashing`, `waiting`.
    pub doing: String,
    /// Why it is doing that, where it is not plain.
    pub why: Option<String>,
    /// Bytes of the source read so far, while hashing.
    pub read_bytes: u64,
    /// Bytes of the source, while hashing.
    pub source_bytes: u64,
    /// Rows hashed so far, while hashing.
    pub rows: u64,
    /// What is in the way, and what to do.
    pub trouble: Option<String>,
    /// When it was last live.
    pub last_good: Option<DateTime<Utc>>,
    /// How its last upload ended.
    pub last_outcome: Option<String>,
    /// The upload of it that a gate holds, if one does.
    #[serde(default)]
    pub held: Option<HeldView>,
    /// When its source was last found to hold what is live already, so that
    /// nothing was uploaded; forgotten with its next upload.
    #[serde(default)]
    pub unchanged: Option<DateTime<Utc>>,
    /// When the data of the store last changed, by its own word, as read right
    /// after the last good upload was live.
    #[serde(default)]
    pub data_updated: Option<DateTime<Utc>>,
}

/// What is remembered of a table's last upload.
#[derive(Debug, Clone, Default)]
pub struct Last {
    /// What identified the source that was last tried; that of an upload which
    /// is held, if one is. A bundle has none and leaves it as it was.
    pub source: Option<Value>,
    /// When it closed.
    pub at: Option<DateTime<Utc>>,
    /// How it ended.
    outcome: String,
    /// When the table was last live.
    live: Option<DateTime<Utc>>,
    /// When its source was last found to hold what is live.
    unchanged: Option<DateTime<Utc>>,
    /// The last good upload, as far as it is remembered.
    pub good: Option<Good>,
    /// Whether it is the last one: none failed or was cancelled since.
    pub is_good: bool,
}

impl TableView {
    /// Takes in what is remembered of the last upload.
    fn show(&mut self, last: &Last) {
        self.last_good = last.live;
        self.unchanged = last.unchanged;
        self.data_updated = last.good.as_ref().and_then(|good| good.updated);
        self.last_outcome = Some(last.outcome.clone());
    }
}

#[derive(Default)]
struct State {
    views: BTreeMap<String, TableView>,
    last: BTreeMap<String, Last>,
    /// The upload of each table that is held, and what identifies its source.
    held: BTreeMap<String, (HeldView, Option<Value>)>,
    /// What the journal remembered of the tables' times when the agent started.
    times: BTreeMap<String, Value>,
    intakes: BTreeMap<String, UploadView>,
    /// The ids of the tables' data stores, by how those are configured.
    stores: BTreeMap<String, String>,
}

/// The shared board.
#[derive(Clone, Default)]
pub struct Board(Arc<Mutex<State>>);

impl Board {
    /// Makes the board of the configured tables, with what the journal's facts
    /// remember of them.
    pub fn new(tables: &[TableSettings], facts: &[(String, Value)]) -> Self {
        let board = Self::default();
        let times = |(name, value): &(String, Value)| Some((name.strip_prefix(TIMES)?.to_owned(), value.clone()));
        board.lock().times = facts.iter().filter_map(times).collect();
        // Those of other tables too: a reload may bring one back.
        for (name, fact) in facts {
            if let Some(table) = name.strip_prefix(TABLE_FACT) {
                board.closed(table, fact);
            }
        }
        board.configure(tables);
        board
    }

    /// Takes up the tables of another configuration. What is known of those
    /// that stay is kept.
    pub fn configure(&self, tables: &[TableSettings]) {
        let mut state = self.lock();
        let mut before = std::mem::take(&mut state.views);
        for table in tables {
            let mut view = before.remove(&table.name).unwrap_or_else(|| {
                let name = table.name.clone();
                let mut view = TableView { table: name, doing: "idle".to_owned(), ..TableView::default() };
                view.held = state.held.get(&table.name).map(|(held, _)| held.clone());
                if let Some(last) = state.last.get(&table.name) {
                    view.show(last);
                }
                view
            });
            view.data_store.clone_from(&table.data_store);
            view.when.clone_from(&table.when);
            view.timezone.clone_from(&table.timezone);
            state.views.insert(table.name.clone(), view);
        }
        state.stores.retain(|name, _| tables.iter().any(|table| table.data_store == *name));
    }

    /// Changes the picture of a table, if it is configured.
    pub fn change(&self, table: &str, change: impl FnOnce(&mut TableView)) {
        if let Some(view) = self.lock().views.get_mut(table) {
            change(view);
        }
    }

    /// Takes in how a table's upload ended, as the journal remembers it.
    pub fn closed(&self, table: &str, fact: &Value) {
        let date = |name: &str| fact.get(name).and_then(Value::as_str).and_then(|text| text.parse().ok());
        let outcome = fact.pointer("/outcome/result").and_then(Value::as_str).unwrap_or_default().to_owned();
        let last = Last {
            source: fact.get("source").cloned().filter(|source| !source.is_null()),
            at: date("at"),
            live: date("last_good"),
            unchanged: date("unchanged"),
            good: fact.get("good").and_then(|good| serde_json::from_value(good.clone()).ok()),
            is_good: outcome == "completed",
            outcome,
        };
        let mut state = self.lock();
        if let Some(view) = state.views.get_mut(table) {
            view.show(&last);
            if last.is_good {
                // What was in its way once is not any more.
                view.trouble = None;
            }
        }
        state.last.insert(table.to_owned(), last);
    }

    /// Takes in that a table's upload is held, and what identifies its source; or
    /// that none is any more.
    pub fn held(&self, table: &str, held: Option<HeldView>, source: Option<Value>) {
        let mut state = self.lock();
        if let Some(view) = state.views.get_mut(table) {
            view.held.clone_from(&held);
        }
        match held {
            Some(held) => state.held.insert(table.to_owned(), (held, source)),
            None => state.held.remove(table),
        };
    }

    /// Returns what is remembered of a table's last upload.
    pub fn last(&self, table: &str) -> Last {
        let state = self.lock();
        let last = state.last.get(table).cloned().unwrap_or_default();
        match state.held.get(table) {
            Some((_, Some(source))) => Last { source: Some(source.clone()), ..last },
            // A bundle is of no file: what was last tried stays so.
            Some((_, None)) | None => last,
        }
    }

    /// Returns whether the upload of a table is held that was made of a source.
    pub fn is_held(&self, table: &str, source: Option<&Value>) -> bool {
        source.is_some() && self.lock().held.get(table).is_some_and(|(_, held)| held.as_ref() == source)
    }

    /// Returns the upload of a table that is held, if one is.
    pub fn held_of(&self, table: &str) -> Option<HeldView> {
        self.lock().held.get(table).map(|(held, _)| held.clone())
    }

    /// Returns what was remembered of a table's times when the agent started, or
    /// kept since.
    pub fn times(&self, table: &str) -> Option<Value> {
        self.lock().times.get(table).cloned()
    }

    /// Keeps what is remembered of a table's times.
    pub fn keep_times(&self, table: &str, times: Value) {
        self.lock().times.insert(table.to_owned(), times);
    }

    /// Draws the picture of an upload whose table is about to be hashed, unless
    /// one of the same table is already: returns that one then.
    pub fn claim_intake(&self, view: UploadView) -> Option<UploadView> {
        let mut state = self.lock();
        let mut others = state.intakes.values();
        let other = others.find(|other| other.table == view.table && !other.is_closed()).cloned();
        if other.is_none() {
            state.intakes.insert(view.upload.clone(), view);
        }
        other
    }

    /// Draws the picture of an upload whose table is still being hashed, or
    /// was refused.
    pub fn draw_intake(&self, view: UploadView) {
        let mut state = self.lock();
        state.intakes.insert(view.upload.clone(), view);
        let refused: Vec<String> =
            state.intakes.values().filter(|view| view.is_closed()).map(|view| view.upload.clone()).collect();
        for old in refused.iter().take(refused.len().saturating_sub(REFUSED_KEPT)) {
            state.intakes.remove(old);
        }
    }

    /// Changes the picture of an upload whose table is still being hashed.
    pub fn change_intake(&self, upload: &str, change: impl FnOnce(&mut UploadView)) {
        if let Some(view) = self.lock().intakes.get_mut(upload) {
            change(view);
        }
    }

    /// Forgets the picture of an upload that has begun.
    pub fn forget_intake(&self, upload: &str) {
        self.lock().intakes.remove(upload);
    }

    /// Returns an upload whose table is still being hashed, or was refused.
    pub fn intake(&self, upload: &str) -> Option<UploadView> {
        self.lock().intakes.get(upload).cloned()
    }

    /// Returns all uploads whose table is still being hashed, or was refused.
    pub fn intakes(&self) -> Vec<UploadView> {
        self.lock().intakes.values().cloned().collect()
    }

    /// Takes in which data store the service has under a name or id, if a table
    /// is configured so.
    pub fn found_store(&self, name: &str, id: &str) {
        let mut state = self.lock();
        if state.views.values().any(|view| view.data_store == name) {
            state.stores.insert(name.to_owned(), id.to_owned());
        }
    }

    /// Returns the ids of the data stores that were found, by how they are configured.
    pub fn stores(&self) -> BTreeMap<String, String> {
        self.lock().stores.clone()
    }

    /// Returns all tables, by name.
    pub fn views(&self) -> Vec<TableView> {
        self.lock().views.values().cloned().collect()
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // A panic while it was held leaves at worst an old picture.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
