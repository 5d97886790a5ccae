//! What waits to be written.
//!
//! *Invariant*: it holds at most one record for each slot of each upload, so
//! however long the volume is full it is bounded by the number of uploads.
//! That loses nothing: the journal keeps only the newest of each slot anyway.

use std::collections::HashMap;

use chrono::{DateTime, Utc};
use serde_json::Value;

use crate::ports::journal::{Batch, Entry};
use crate::upload::plan::UploadId;
use crate::upload::record::Record;

/// A record and its place in the order of all records.
#[derive(Debug)]
pub(super) struct Numbered {
    /// Its place; it grows with every record written.
    pub(super) seq: i64,
    /// What became true.
    pub(super) record: Record,
}

/// Changes that are not durable yet, the newest of each kind only.
#[derive(Debug, Default)]
pub(super) struct Pending {
    /// The number of the last batch in it, if there is one.
    pub(super) up_to: Option<u64>,
    /// Uploads that begin.
    pub(super) entries: HashMap<UploadId, Entry>,
    /// The newest record of each slot.
    pub(super) records: HashMap<(UploadId, &'static str), Numbered>,
    /// Facts that changed; `None` forgets one.
    pub(super) facts: HashMap<String, Option<Value>>,
    /// Uploads closed before this date are to be forgotten.
    pub(super) forget_closed_before: Option<DateTime<Utc>>,
}

impl Pending {
    /// Adds a batch, newer than all before it. `next_seq` counts on.
    pub(super) fn add(&mut self, batch: Batch, next_seq: &mut i64) {
        self.up_to = self.up_to.max(Some(batch.number));
        self.entries.extend(batch.entries.into_iter().map(|entry| (entry.plan.id.clone(), entry)));
        for (upload, record) in batch.records {
            let seq = *next_seq;
            *next_seq += 1;
            self.records.insert((upload, record.slot()), Numbered { seq, record });
        }
        self.facts.extend(batch.facts);
        self.forget_closed_before = self.forget_closed_before.max(batch.forget_closed_before);
    }

    /// Adds what came in after all that is already here.
    pub(super) fn absorb(&mut self, newer: Self) {
        self.up_to = self.up_to.max(newer.up_to);
        self.entries.extend(newer.entries);
        self.records.extend(newer.records);
        self.facts.extend(newer.facts);
        self.forget_closed_before = self.forget_closed_before.max(newer.forget_closed_before);
    }

    /// Returns whether there is nothing to announce.
    pub(super) const fn is_empty(&self) -> bool {
        self.up_to.is_none()
    }

    /// Returns how many changes there are.
    pub(super) fn changes(&self) -> usize {
        self.entries.len() + self.records.len() + self.facts.len() + usize::from(self.forget_closed_before.is_some())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reported(remaining: u32) -> Record {
        Record::Reported { remaining }
    }

    fn batch(number: u64, records: Vec<Record>) -> Batch {
        let upload = UploadId("u".to_owned());
        Batch {
            number,
            records: records.into_iter().map(|record| (upload.clone(), record)).collect(),
            ..Batch::default()
        }
    }

    #[test]
    fn the_newest_record_of_a_slot_takes_the_place_of_the_older_at_its_own_time() {
        let mut next_seq = 7;
        let mut pending = Pending::default();
        pending.add(batch(1, vec![reported(9), Record::Listed { done: true }]), &mut next_seq);
        let mut newer = Pending::default();
        newer.add(batch(2, vec![reported(8)]), &mut next_seq);
        pending.absorb(newer);

        let mut kept: Vec<(i64, &Record)> = pending.records.values().map(|held| (held.seq, &held.record)).collect();
        kept.sort_by_key(|&(seq, _)| seq);
        assert_eq!(kept, [(8, &Record::Listed { done: true }), (9, &reported(8))]);
        assert_eq!((pending.up_to, next_seq), (Some(2), 10));
    }

    #[test]
    fn a_fact_forgotten_last_stays_forgotten() {
        let mut pending = Pending::default();
        let told = |number, value| Batch { number, facts: vec![("f".to_owned(), value)], ..Batch::default() };
        pending.add(told(1, Some(Value::Bool(true))), &mut 0);
        pending.add(told(2, None), &mut 0);
        assert_eq!(pending.facts["f"], None);
        assert_eq!(pending.changes(), 1);
    }
}
