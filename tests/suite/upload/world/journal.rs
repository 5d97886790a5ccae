//! A journal: records become durable after a while, in order, or never.

use std::collections::BTreeMap;
use std::time::Duration;

use edm_agent::ground::moment::Moment;
use edm_agent::upload::record::{Record, Standing};

/// How long the journal may grow before it is compacted, as the real one is at
/// every record.
const LONG: usize = 60;

/// The journal of one upload.
pub(crate) struct Journal {
    records: Vec<(Record, Moment)>,
    /// How long a group commit takes.
    pub(crate) delay: Duration,
    /// While this lasts nothing becomes durable.
    pub(crate) stalls: Vec<(Moment, Moment)>,
}

impl Journal {
    pub(crate) const fn new(delay: Duration) -> Self {
        Self { records: Vec::new(), delay, stalls: Vec::new() }
    }

    pub(crate) fn append(&mut self, records: &[Record], now: Moment) {
        let mut durable = now + self.delay;
        for &(from, to) in &self.stalls {
            if durable >= from && durable < to {
                durable = to;
            }
        }
        let durable = durable.max(self.durable_at());
        if self.records.len() > LONG && self.durable_at() <= now {
            self.compact();
        }
        self.records.extend(records.iter().map(|record| (record.clone(), durable)));
    }

    /// When everything appended so far is durable.
    pub(crate) fn durable_at(&self) -> Moment {
        self.records.last().map_or_else(Moment::default, |(_, durable)| *durable)
    }

    /// Forgets what was not durable, but for the first few of it that happened
    /// to reach the disk.
    pub(crate) fn crash(&mut self, now: Moment, lucky: usize) {
        let durable = self.records.iter().take_while(|(_, durable)| *durable <= now).count();
        self.records.truncate(durable + lucky);
        for (_, durable) in &mut self.records {
            *durable = (*durable).min(now);
        }
    }

    /// Keeps the newest record of each slot, in written order.
    pub(crate) fn compact(&mut self) {
        let kept = newest(self.records.iter().map(|(record, _)| record));
        let durable = self.durable_at();
        self.records = kept.into_iter().map(|record| (record, durable)).collect();
    }

    pub(crate) fn records(&self) -> Vec<Record> {
        self.records.iter().map(|(record, _)| record.clone()).collect()
    }

    /// What a restart at this moment would find.
    pub(crate) fn durable_standing(&self, now: Moment) -> Standing {
        standing(self.records.iter().filter(|(_, durable)| *durable <= now).map(|(record, _)| record))
    }

    /// What replaying the newest record of each slot ends in.
    pub(crate) fn compacted_standing(&self) -> Standing {
        standing(&newest(self.records.iter().map(|(record, _)| record)))
    }

    pub(crate) fn full_standing(&self) -> Standing {
        standing(self.records.iter().map(|(record, _)| record))
    }
}

fn standing<'a>(records: impl IntoIterator<Item = &'a Record>) -> Standing {
    let mut standing = Standing::default();
    records.into_iter().for_each(|record| standing.apply(record));
    standing
}

fn newest<'a>(records: impl Iterator<Item = &'a Record>) -> Vec<Record> {
    let mut slots = BTreeMap::new();
    for (position, record) in records.enumerate() {
        slots.insert(record.slot(), (position, record.clone()));
    }
    let mut kept: Vec<_> = slots.into_values().collect();
    kept.sort_by_key(|(position, _)| *position);
    kept.into_iter().map(|(_, record)| record).collect()
}
