//! Uploads that a gate holds, and what is remembered of a table's last good
//! upload, which the gates compare with.

use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};
use serde_json::{Value, json};

use super::slot::Slot;
use super::{Dispatcher, Input};
use crate::agent::ask::AskRefused;
use crate::agent::notice::Notice;
use crate::agent::status::{HeldView, UploadView};
use crate::ground::moment::Now;
use crate::ports::journal::Entry;
use crate::table::gates::{Figures, Good};
use crate::upload::event::Event;
use crate::upload::outcome::Outcome;
use crate::upload::record::Record;

/// Times a data store is read for the date of its new data.
const STORE_READS: u32 = 3;
/// The wait between two of them.
const STORE_AGAIN: Duration = Duration::from_secs(1);

/// When the data of a store changed, as read after an upload was live.
pub struct StoreSeen {
    table: String,
    upload: String,
    updated: DateTime<Utc>,
}

/// What the name of a fact begins with that remembers how a table last fared.
pub const TABLE_FACT: &str = "table/";

/// The fact that remembers how a table last fared.
pub fn table_fact(table: &str) -> String {
    format!("{TABLE_FACT}{table}")
}

impl Dispatcher {
    /// Lets a held upload pass. What waits for a session beside it gives way, of
    /// the same table; what has one must be over first.
    pub(super) fn let_pass(&mut self, id: &str, now: Now) -> Result<UploadView, AskRefused> {
        let number = self.find(id)?;
        let Some(slot) = self.slots.get(&number).filter(|slot| slot.is_held()) else {
            return Err(AskRefused::Conflict(format!("upload {id} is not held: there is nothing to release")));
        };
        let entry = Arc::clone(&slot.entry);
        if let Some((beside, other)) = self.in_the_way(&entry) {
            if other.entry.plan.table != entry.plan.table || !other.awaits_session() {
                return Err(AskRefused::Conflict(other.is_in_the_way_of(&entry)));
            }
            self.step(beside, Event::Replaced, now);
        }
        self.make_urgent(number);
        self.wish(id, Event::ReleaseRequested, now)
    }

    /// Lets an upload use the sessions of the day that are kept for people, from
    /// now on: somebody waits for it.
    pub(super) fn urge(&mut self, id: &str, now: Now) -> Result<UploadView, AskRefused> {
        let number = self.find(id)?;
        if self.make_urgent(number) {
            self.step(number, Event::QuotaChanged, now);
        }
        self.view(id, now)
    }

    /// Returns whether it was not yet.
    fn make_urgent(&mut self, number: u64) -> bool {
        let open = self.slots.get_mut(&number).filter(|slot| slot.upload.outcome().is_none());
        let Some(slot) = open.filter(|slot| !slot.entry.urgent) else { return false };
        Arc::make_mut(&mut slot.entry).urgent = true;
        self.batch.entries.push(Entry::clone(&slot.entry));
        true
    }

    /// Ends the upload of a table that is held, if one is: its content is older
    /// than what is at hand now.
    pub(super) fn supersede(&mut self, table: &str, now: Now) {
        let held = self.slots.iter().filter(|(_, slot)| slot.is_held() && slot.entry.plan.table == table);
        for number in held.map(|(&number, _)| number).collect::<Vec<_>>() {
            self.step(number, Event::Replaced, now);
        }
    }

    /// Shows on the board whether an upload holds its table back.
    pub(super) fn show_gate(&self, number: u64) {
        let Some(slot) = self.slots.get(&number).filter(|slot| slot.entry.plan.is_owned()) else { return };
        let table = &slot.entry.plan.table;
        let held = HeldView::of(&slot.upload);
        // Another one may be held by now.
        let is_shown = self.parts.board.held_of(table).is_some_and(|shown| shown.upload == slot.entry.plan.id.0);
        if held.is_some() || is_shown {
            self.parts.board.held(table, held, slot.entry.source.clone());
        }
    }

    /// Remembers that the source of a table holds what is live. What waits for a
    /// session of the content between the two gives way; with one it goes on, and
    /// the source is newer again.
    pub(super) fn unchanged(&mut self, table: &str, source: Option<Value>, now: Now) -> Result<(), AskRefused> {
        let is_beside = |slot: &Slot| slot.entry.plan.is_owned() && slot.entry.plan.table == table && !slot.is_held();
        let beside = self.slots.iter().filter(|(_, slot)| is_beside(slot) && slot.upload.outcome().is_none());
        if source.is_some() {
            let beside: Vec<u64> = beside.map(|(&number, _)| number).collect();
            for number in beside {
                match self.slots.get(&number) {
                    Some(other) if !other.is_older_than(source.as_ref()) => {
                        let id = &other.entry.plan.id;
                        return Err(AskRefused::Conflict(format!("upload {id} of table {table} is not finished")));
                    }
                    _ => self.step(number, Event::Replaced, now),
                }
            }
        }
        let name = table_fact(table);
        self.supersede(table, now);
        let Some(mut fact) = self.book.fact(&name).cloned() else { return Ok(()) };
        fact["unchanged"] = json!(now.wall);
        if let Some(source) = source {
            fact["source"] = source;
        }
        self.parts.board.closed(table, &fact);
        self.book.remember(name, fact);
        self.parts.notices.tell(Notice {
            at: now.wall,
            event: "unchanged".to_owned(),
            upload: None,
            table: Some(table.to_owned()),
            detail: Value::Null,
        });
        Ok(())
    }

    /// Remembers how a table fared, in the batch that closes its upload.
    pub(super) fn remember_table(&mut self, number: u64, record: &Record) {
        let Record::Closed { outcome, at } = record else { return };
        let Some(slot) = self.slots.get(&number) else { return };
        if !slot.entry.plan.is_owned() {
            return;
        }
        let plan = slot.entry.plan.clone();
        let name = table_fact(&plan.table);
        if *outcome == Outcome::Replaced {
            // Its table fares as what took its place. Its file was tried all the same: a bundle may have.
            if let (Some(source), Some(mut fact)) = (slot.entry.source.clone(), self.book.fact(&name).cloned()) {
                fact["source"] = source;
                self.parts.board.closed(&plan.table, &fact);
                self.book.remember(name, fact);
            }
            return;
        }
        let before = |key: &str| self.book.fact(&name).and_then(|fact| fact.get(key)).cloned().unwrap_or_default();
        let (last_good, good) = match (outcome, &slot.bundle) {
            (Outcome::Completed, Some(bundle)) => {
                let figures = Figures::of(bundle.manifest());
                (json!(at), json!(Good { figures, store: plan.store.clone(), updated: None }))
            }
            // What it came to is not known any more, and nothing older is live.
            (Outcome::Completed, None) => (json!(at), Value::Null),
            (Outcome::Replaced | Outcome::Cancelled | Outcome::Failed(_), _) => (before("last_good"), before("good")),
        };
        let is_digested = *outcome == Outcome::Completed && good["figures"]["content"].is_string();
        let fact = json!({
            "upload": plan.id,
            // A bundle has none: the file is no news to whoever starts again.
            "source": slot.entry.source.clone().unwrap_or_else(|| before("source")),
            "checksum": slot.bundle.as_ref().map(|bundle| bundle.manifest().sha256.clone()),
            "rows": slot.counts.rows,
            "bytes": slot.counts.bytes,
            "outcome": outcome,
            "at": at,
            "last_good": last_good,
            "good": good,
        });
        self.parts.board.closed(&plan.table, &fact);
        self.book.remember(name, fact);
        if is_digested {
            self.look_at_store(plan.table, plan.id.0, plan.store);
        }
    }

    /// Reads the data store of a table that just went live: as long as it says
    /// the same date, nobody else has uploaded, and the same content need not go
    /// there again. Where it cannot be read, it goes.
    fn look_at_store(&mut self, table: String, upload: String, store: String) {
        let (clock, outbox) = (self.parts.clock.clone(), self.outbox.clone());
        let service = self.parts.performer.service.clone();
        self.removals.spawn(async move {
            for _ in 0..STORE_READS {
                let seen = service.store(&store).await.ok();
                if let Some(updated) = seen.and_then(|answer| answer.value.data_last_updated_date_time) {
                    // The dispatcher is gone only when the agent has stopped.
                    let _ = outbox.send(Input::StoreSeen(StoreSeen { table, upload, updated })).await;
                    return;
                }
                clock.sleep_until(clock.now().moment + STORE_AGAIN).await;
            }
            tracing::debug!(table, "the data store does not say when its data changed");
        });
    }

    pub(super) fn store_seen(&mut self, seen: StoreSeen) {
        let name = table_fact(&seen.table);
        let Some(mut fact) = self.book.fact(&name).cloned() else { return };
        if fact["upload"] == seen.upload && fact["good"].is_object() {
            fact["good"]["updated"] = json!(seen.updated);
            self.parts.board.closed(&seen.table, &fact);
            self.book.remember(name, fact);
        }
    }
}
