//! What waits for the journal: commands whose records are not durable yet, and
//! uploads whose end is not.
//!
//! Each waits for a batch of its own, so news of durability costs what it
//! frees and not what there is, and a command never waits for records that
//! were written after it was asked for.

use std::collections::{BTreeMap, BTreeSet};

use crate::upload::event::Order;

/// A command that waits, and the epoch it was asked in.
pub(super) struct Waiter {
    pub(super) number: u64,
    pub(super) epoch: u32,
    pub(super) order: Order,
}

/// Everything that waits, by the batch it waits for.
#[derive(Default)]
pub(super) struct Held {
    orders: BTreeMap<u64, Vec<Waiter>>,
    closing: BTreeSet<(u64, u64)>,
}

impl Held {
    /// Keeps a command until a batch is durable.
    pub(super) fn hold(&mut self, batch: u64, waiter: Waiter) {
        self.orders.entry(batch).or_default().push(waiter);
    }

    /// Keeps a closed upload until a batch is durable.
    pub(super) fn close(&mut self, batch: u64, number: u64) {
        self.closing.insert((batch, number));
    }

    /// Returns the commands that are free now, in the order they were asked for.
    pub(super) fn free(&mut self, durable: u64) -> Vec<Waiter> {
        let later = self.orders.split_off(&durable.saturating_add(1));
        std::mem::replace(&mut self.orders, later).into_values().flatten().collect()
    }

    /// Returns the uploads whose end is durable now.
    pub(super) fn closed(&mut self, durable: u64) -> Vec<u64> {
        let later = self.closing.split_off(&(durable.saturating_add(1), 0));
        std::mem::replace(&mut self.closing, later).into_iter().map(|(_, number)| number).collect()
    }
}
