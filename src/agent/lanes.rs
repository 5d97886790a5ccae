//! Lanes: which commands may leave now, and in which order.
//!
//! Renewals, reports, control requests and blocks each have a lane with a limit
//! of their own, so none can starve another; within a lane the earliest
//! deadline goes first. A `Retry-After` of the service closes the gate of every
//! lane that leads to it; when it opens, renewals go first.
//!
//! Nothing here waits or performs: the dispatcher asks for what may leave.

use std::collections::BTreeMap;

use crate::ground::moment::Moment;
use crate::upload::event::Command;

/// Renewals under way at a time. One takes a round trip, so this is thousands
/// a minute.
const RENEWALS: usize = 32;
/// Progress reports under way at a time.
const REPORTS: usize = 8;
/// Other requests to the service under way at a time.
const CONTROLS: usize = 8;

/// A lane.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Renewals.
    Renew,
    /// Progress reports.
    Report,
    /// Everything else that is asked of the session service.
    Control,
    /// Blocks, and what else is asked of the blob store.
    Blocks,
}

/// The lanes in the order they are served.
const ORDER: [Kind; 4] = [Kind::Renew, Kind::Control, Kind::Report, Kind::Blocks];

impl Kind {
    /// Returns the lane of a command.
    pub const fn of(command: &Command) -> Self {
        match command {
            Command::Renew { .. } => Self::Renew,
            Command::Report(_) => Self::Report,
            Command::Find
            | Command::Create
            | Command::Fetch
            | Command::Commit
            | Command::Abort
            | Command::LookUpCanary => Self::Control,
            Command::Send { .. } | Command::SendWhole { .. } | Command::Inventory | Command::PutList => Self::Blocks,
        }
    }
}

struct Lane<T> {
    limit: usize,
    running: usize,
    /// Weight allowed in flight, and weight in flight.
    budget: u64,
    load: u64,
    waiting: BTreeMap<(Moment, u64), (u64, T)>,
}

/// All lanes.
pub struct Lanes<T> {
    lanes: [Lane<T>; 4],
    gate: Moment,
    pushed: u64,
}

impl<T> Lanes<T> {
    /// Makes empty lanes. At most `blocks` commands to the blob store are under
    /// way, of at most `memory` bytes together (one is always let through).
    pub fn new(blocks: usize, memory: u64) -> Self {
        let lane = |limit, budget| Lane { limit, running: 0, budget, load: 0, waiting: BTreeMap::new() };
        let lanes = ORDER.map(|kind| match kind {
            Kind::Renew => lane(RENEWALS, u64::MAX),
            Kind::Report => lane(REPORTS, u64::MAX),
            Kind::Control => lane(CONTROLS, u64::MAX),
            Kind::Blocks => lane(blocks.max(1), memory),
        });
        Self { lanes, gate: Moment::default(), pushed: 0 }
    }

    /// Changes how many commands to the blob store may be under way; those that
    /// are go on.
    pub fn limit_blocks(&mut self, blocks: usize) {
        self.lane(Kind::Blocks).limit = blocks.max(1);
    }

    /// Queues a command that should leave before `deadline`; `weight` is the
    /// memory it takes while it is under way, in bytes.
    pub fn push(&mut self, kind: Kind, deadline: Moment, weight: u64, item: T) {
        self.pushed += 1;
        let key = (deadline, self.pushed);
        self.lane(kind).waiting.insert(key, (weight, item));
    }

    /// Returns the next command that may leave, if one may.
    pub fn pop(&mut self, now: Moment) -> Option<(Kind, u64, T)> {
        let gate_open = now >= self.gate;
        for (kind, lane) in ORDER.into_iter().zip(&mut self.lanes) {
            if (kind != Kind::Blocks && !gate_open) || lane.running >= lane.limit {
                continue;
            }
            let Some(first) = lane.waiting.first_entry() else { continue };
            let fits = lane.load == 0 || lane.load.saturating_add(first.get().0) <= lane.budget;
            if fits {
                let (weight, item) = first.remove();
                lane.running += 1;
                lane.load += weight;
                return Some((kind, weight, item));
            }
        }
        None
    }

    /// Takes note that a command is no longer under way.
    pub fn done(&mut self, kind: Kind, weight: u64) {
        let lane = self.lane(kind);
        lane.running -= 1;
        lane.load -= weight;
    }

    /// Closes the gate to the service until `moment`.
    pub fn close_gate(&mut self, moment: Moment) {
        self.gate = self.gate.max(moment);
    }

    /// Returns when the gate opens, if it is closed.
    pub fn gate(&self, now: Moment) -> Option<Moment> {
        (self.gate > now).then_some(self.gate)
    }

    /// Returns how many commands wait in a lane.
    pub fn waiting(&self, kind: Kind) -> usize {
        ORDER.into_iter().zip(&self.lanes).find(|(other, _)| *other == kind).map_or(0, |(_, lane)| lane.waiting.len())
    }

    fn lane(&mut self, kind: Kind) -> &mut Lane<T> {
        let position = ORDER.iter().position(|&other| other == kind).expect("every kind has a lane");
        &mut self.lanes[position]
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn at(seconds: u64) -> Moment {
        Moment::from_boot(Duration::from_secs(seconds))
    }

    #[test]
    fn the_earliest_deadline_leaves_first() {
        let mut lanes = Lanes::new(4, 100);
        lanes.push(Kind::Renew, at(30), 0, "late");
        lanes.push(Kind::Renew, at(10), 0, "soon");
        assert_eq!(lanes.pop(at(0)).unwrap().2, "soon");
        assert_eq!(lanes.pop(at(0)).unwrap().2, "late");
        assert!(lanes.pop(at(0)).is_none());
    }

    #[test]
    fn a_closed_gate_holds_the_service_back_but_not_the_blocks_and_renewals_go_first_when_it_opens() {
        let mut lanes = Lanes::new(4, 100);
        lanes.close_gate(at(60));
        lanes.push(Kind::Report, at(1), 0, "report");
        lanes.push(Kind::Renew, at(50), 0, "renew");
        lanes.push(Kind::Blocks, at(50), 1, "block");
        assert_eq!(lanes.pop(at(59)).unwrap().2, "block");
        assert!(lanes.pop(at(59)).is_none());
        assert_eq!(lanes.gate(at(59)), Some(at(60)));
        assert_eq!(lanes.pop(at(60)).unwrap().2, "renew");
        assert_eq!(lanes.pop(at(60)).unwrap().2, "report");
    }

    #[test]
    fn memory_in_flight_is_bounded_but_one_always_passes() {
        let mut lanes = Lanes::new(10, 100);
        for name in ["huge", "small", "third"] {
            lanes.push(Kind::Blocks, at(0), if name == "huge" { 500 } else { 60 }, name);
        }
        assert_eq!(lanes.pop(at(0)).unwrap().2, "huge");
        assert!(lanes.pop(at(0)).is_none());
        lanes.done(Kind::Blocks, 500);
        assert_eq!(lanes.pop(at(0)).unwrap().2, "small");
        assert!(lanes.pop(at(0)).is_none(), "60 and 60 are more than 100");
    }

    #[test]
    fn a_full_lane_does_not_stop_another() {
        let mut lanes = Lanes::new(1, 100);
        for block in ["one", "two"] {
            lanes.push(Kind::Blocks, at(0), 1, block);
        }
        assert!(lanes.pop(at(0)).is_some());
        assert!(lanes.pop(at(0)).is_none());
        lanes.push(Kind::Renew, at(0), 0, "renew");
        assert_eq!(lanes.pop(at(0)).unwrap().2, "renew");
    }
}
