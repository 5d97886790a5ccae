//! What is counted of one upload between two of its happenings.

use crate::upload::ledger::Ledger;

/// Whether bytes go over the wire for the first time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// For the first time.
    First,
    /// Once more, or perhaps once more.
    Resent,
}

impl Kind {
    /// Returns its word.
    pub const fn word(self) -> &'static str {
        match self {
            Self::First => "first",
            Self::Resent => "resent",
        }
    }
}

/// What one upload sent and changed so far.
///
/// After a restart nobody knows which blocks were on their way when the last
/// agent ended, only that they were no more than its window. So the first so
/// many that are sent count as sent once more: what is shown is never less than
/// what a restart cost.
#[derive(Debug, Clone, Default)]
pub struct Tally {
    sent: Ledger,
    doubtful: u32,
    changes: u32,
}

impl Tally {
    /// Takes up the tally of an upload that another process began: the blocks it
    /// had stored, and how many may have been on their way.
    pub fn taken_up(stored: &Ledger, window: u32) -> Self {
        Self { sent: stored.clone(), doubtful: window, changes: 0 }
    }

    /// Takes in that a block was sent; an upload sent in one request is its block 0.
    pub fn sent(&mut self, block: u32) -> Kind {
        let is_doubtful = self.doubtful > 0;
        self.doubtful = self.doubtful.saturating_sub(1);
        if self.sent.holds(block) || is_doubtful {
            self.sent.add(block);
            return Kind::Resent;
        }
        self.sent.add(block);
        Kind::First
    }

    /// Takes in that the store holds other blocks than before.
    pub const fn changed(&mut self) {
        self.changes = self.changes.saturating_add(1);
    }

    /// Takes in that progress is reported; returns how many changes go with it
    /// without a report of their own.
    pub const fn reported(&mut self) -> u32 {
        let coalesced = self.changes.saturating_sub(1);
        self.changes = 0;
        coalesced
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_block_is_sent_first_once_and_once_more_each_time_after() {
        let mut tally = Tally::default();
        let kinds = [0, 1, 0, 2, 0].map(|block| tally.sent(block));
        assert_eq!(kinds, [Kind::First, Kind::First, Kind::Resent, Kind::First, Kind::Resent]);
    }

    #[test]
    fn after_a_restart_as_many_as_may_have_been_on_their_way_count_as_sent_once_more() {
        let mut tally = Tally::taken_up(&Ledger::first(3), 2);
        let kinds = [3, 4, 5, 1].map(|block| tally.sent(block));
        assert_eq!(kinds, [Kind::Resent, Kind::Resent, Kind::First, Kind::Resent]);
    }

    #[test]
    fn changes_beyond_the_first_go_with_anothers_report() {
        let mut tally = Tally::default();
        (0..4).for_each(|_| tally.changed());
        assert_eq!(tally.reported(), 3);
        assert_eq!(tally.reported(), 0);
        tally.changed();
        assert_eq!(tally.reported(), 0);
    }
}
