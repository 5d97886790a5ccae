//! Which blocks the store holds.
//!
//! Blocks are sent nearly in order, so the set is a handful of ranges: small
//! in memory, and small enough to be written whole at each change, which is
//! what lets the journal keep one row for it instead of one for each block.

use std::fmt;

use serde::{Deserialize, Serialize};

/// A set of block indices below a total, kept as ascending, disjoint,
/// non-adjacent ranges.
///
/// *Invariant*: ranges hold at least one block, ascend, and never touch.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Ledger {
    ranges: Vec<(u32, u32)>,
}

impl Ledger {
    /// Returns the set of the first `count` blocks.
    pub fn first(count: u32) -> Self {
        let mut ledger = Self::default();
        if count > 0 {
            ledger.ranges.push((0, count - 1));
        }
        ledger
    }

    /// Returns whether a block is in the set.
    pub fn holds(&self, block: u32) -> bool {
        let after = self.ranges.partition_point(|&(first, _)| first <= block);
        after > 0 && self.ranges[after - 1].1 >= block
    }

    /// Returns how many blocks are in the set.
    pub fn count(&self) -> u32 {
        self.ranges.iter().map(|&(first, last)| last - first + 1).sum()
    }

    /// Adds one block.
    pub fn add(&mut self, block: u32) {
        self.add_range(block, block);
    }

    /// Adds the blocks `first..=last`.
    pub fn add_range(&mut self, first: u32, last: u32) {
        let from = self.ranges.partition_point(|&(_, end)| end.saturating_add(1) < first);
        let to = self.ranges.partition_point(|&(start, _)| start <= last.saturating_add(1));
        let joined = match self.ranges.get(from..to) {
            Some([]) | None => (first, last),
            Some(touched) => (first.min(touched[0].0), last.max(touched[touched.len() - 1].1)),
        };
        self.ranges.splice(from..to, [joined]);
    }

    /// Returns the blocks below `total` that are not in the set, ascending.
    pub fn missing(&self, total: u32) -> impl Iterator<Item = u32> + '_ {
        let starts = std::iter::once(0).chain(self.ranges.iter().map(|&(_, last)| last.saturating_add(1)));
        let ends = self.ranges.iter().map(|&(first, _)| first).chain(std::iter::once(total));
        starts.zip(ends).flat_map(move |(start, end)| start..end.min(total))
    }

    /// Returns whether every block of `other` is in the set.
    pub fn covers(&self, other: &Self) -> bool {
        other.ranges.iter().all(|&(first, last)| {
            let after = self.ranges.partition_point(|&(start, _)| start <= first);
            after > 0 && self.ranges[after - 1].1 >= last
        })
    }

    /// Returns the ranges, first and last block of each.
    pub fn ranges(&self) -> &[(u32, u32)] {
        &self.ranges
    }
}

impl Extend<u32> for Ledger {
    fn extend<I: IntoIterator<Item = u32>>(&mut self, blocks: I) {
        blocks.into_iter().for_each(|block| self.add(block));
    }
}

impl fmt::Display for Ledger {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (position, (first, last)) in self.ranges.iter().enumerate() {
            let comma = if position == 0 { "" } else { "," };
            write!(out, "{comma}{first}-{last}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn it_is_the_set_it_stands_for(additions in prop::collection::vec((0u32..60, 0u32..6), 0..40)) {
            let mut ledger = Ledger::default();
            let mut model = BTreeSet::new();
            for (first, more) in additions {
                ledger.add_range(first, first + more);
                model.extend(first..=first + more);
            }
            prop_assert_eq!(ledger.count() as usize, model.len());
            for block in 0..70 {
                prop_assert_eq!(ledger.holds(block), model.contains(&block));
            }
            let missing: Vec<u32> = (0..50).filter(|block| !model.contains(block)).collect();
            prop_assert_eq!(ledger.missing(50).collect::<Vec<_>>(), missing);
            prop_assert!(ledger.ranges().windows(2).all(|pair| pair[0].1 + 1 < pair[1].0));
        }
    }

    #[test]
    fn covering_is_being_a_superset() {
        let mut small = Ledger::first(3);
        small.add(7);
        assert!(Ledger::first(8).covers(&small));
        assert!(!Ledger::first(7).covers(&small));
        assert!(Ledger::default().covers(&Ledger::default()));
    }
}
