//! How many requests a virtual minute may see.
//!
//! A loop that asks without waiting is the one fault that a test of outcomes
//! never shows: everything still ends well, and the service is on fire.

use std::collections::VecDeque;

use edm_agent::ground::moment::Moment;
use edm_agent::upload::event::Command;

use super::{MINUTE, fate};

/// The most requests of each kind that any sixty seconds may see.
#[derive(Debug, Clone)]
pub(crate) struct Budget {
    /// Renewals.
    pub(crate) renew: usize,
    /// Reads of the session.
    pub(crate) fetch: usize,
    /// Reports: one in two seconds, and the final one.
    pub(crate) report: usize,
    /// Lists, creations, commits, aborts, look-ups, each.
    pub(crate) rare: usize,
    /// Requests to the blob store that were not answered with success are not
    /// told apart here: blocks are bounded by their number and by failures.
    pub(crate) blob: usize,
    recent: VecDeque<(Moment, &'static str)>,
}

impl Default for Budget {
    fn default() -> Self {
        Self { renew: 12, fetch: 25, report: 36, rare: 12, blob: 2_000, recent: VecDeque::new() }
    }
}

impl Budget {
    /// Counts a request; fails if it is one too many.
    pub(crate) fn spend(&mut self, time: Moment, command: &Command) {
        let kind = fate::kind(command);
        while self.recent.front().is_some_and(|&(at, _)| at + MINUTE <= time) {
            self.recent.pop_front();
        }
        self.recent.push_back((time, kind));
        let spent = self.recent.iter().filter(|&&(_, other)| other == kind).count();
        let allowed = match command {
            Command::Renew { .. } => self.renew,
            Command::Fetch => self.fetch,
            Command::Report(_) => self.report,
            Command::Find | Command::Create | Command::Commit | Command::Abort | Command::LookUpCanary => self.rare,
            Command::Send { .. } | Command::SendWhole { .. } | Command::Inventory | Command::PutList => self.blob,
        };
        assert!(spent <= allowed, "{spent} requests to {kind} within a minute, at {:?}", time.since_boot());
    }
}
