//! Which commands are out, and whether one that waits its turn may still leave.

use super::Upload;
use crate::ground::moment::Moment;
use crate::upload::event::{Command, Reply};
use crate::upload::record::Phase;

/// Which commands are out. At most one of each kind, so that an answer needs no name.
#[derive(Debug, Default)]
pub(super) struct Asked {
    pub(super) find: bool,
    pub(super) create: bool,
    pub(super) fetch: bool,
    /// A renewal was answered while the read was out: what the read says of
    /// the lease and the upload URI may be older.
    pub(super) is_overtaken: bool,
    pub(super) renew: bool,
    /// The count, and whether it is the final report.
    pub(super) report: Option<(u32, bool)>,
    /// Blocks in flight: few, so a plain list.
    pub(super) blocks: Vec<u32>,
    pub(super) whole: bool,
    pub(super) inventory: bool,
    /// For the place to which this upload URI was the first to lead.
    pub(super) list: Option<u32>,
    pub(super) commit: bool,
    pub(super) abort: bool,
    pub(super) canary: bool,
}

impl Asked {
    /// Returns whether nothing is out.
    pub(super) const fn is_empty(&self) -> bool {
        let service = self.find || self.create || self.fetch || self.renew || self.report.is_some();
        let store = self.whole || self.inventory || self.list.is_some() || !self.blocks.is_empty();
        !(service || store || self.commit || self.abort || self.canary)
    }

    /// Takes a command off the list: it was answered, or came back unsent.
    pub(super) fn settle(&mut self, reply: &Reply) {
        match reply {
            Reply::Found(_) | Reply::Held(Command::Find) => self.find = false,
            Reply::Created(_) | Reply::Undrafted | Reply::Held(Command::Create) => self.create = false,
            Reply::Fetched(_) | Reply::Held(Command::Fetch) => self.fetch = false,
            Reply::Renewed(_) | Reply::Held(Command::Renew { .. }) => self.renew = false,
            Reply::Reported(_) | Reply::Held(Command::Report(_)) => self.report = None,
            Reply::Sent { block, .. } | Reply::Held(Command::Send { block, .. }) => {
                self.blocks.retain(|sent| sent != block);
            }
            Reply::SentWhole { .. } | Reply::Held(Command::SendWhole { .. }) => self.whole = false,
            Reply::Inventoried { .. } | Reply::Held(Command::Inventory) => self.inventory = false,
            Reply::ListPut { .. } | Reply::Held(Command::PutList) => self.list = None,
            Reply::Committed(_) | Reply::Held(Command::Commit) => self.commit = false,
            Reply::Aborted(_) | Reply::Held(Command::Abort) => self.abort = false,
            Reply::CanaryLookedUp(_) | Reply::Held(Command::LookUpCanary) => self.canary = false,
        }
    }
}

impl Upload {
    /// Returns whether a command that was asked for may still leave now.
    ///
    /// It may have waited long, for its lane or for the journal, and the
    /// upload may want something else by now: the driver asks for every
    /// command, at the last moment, and answers [`Reply::Held`] if not.
    pub fn may_leave(&self, now: Moment, command: &Command) -> bool {
        let asked = &self.asked;
        let phase = &self.standing.phase;
        let may_start = !self.stopping;
        let may_store = may_start && *phase == Phase::Uploading && self.may_use_uri(now);
        match command {
            Command::Find => asked.find && (self.doubt.lost || matches!(phase, Phase::Opening | Phase::Ending(_))),
            Command::Create => asked.create && may_start && *phase == Phase::Opening,
            Command::Fetch => asked.fetch && !matches!(phase, Phase::Ending(_) | Phase::Closed(_)),
            Command::Renew { .. } => asked.renew && matches!(phase, Phase::Uploading | Phase::Committing),
            Command::Report(report) => {
                let is_asked = asked.report.is_some_and(|(remaining, _)| remaining == report.remaining);
                // Blocks may have been lost since: 0 is only said while it is true.
                let is_true = report.remaining > 0 || self.is_stored();
                is_asked && is_true && *phase == Phase::Uploading && self.covered(now)
            }
            Command::Send { block, .. } => may_store && asked.blocks.contains(block),
            Command::SendWhole { .. } => may_store && asked.whole,
            Command::Inventory => may_store && asked.inventory,
            Command::PutList => {
                // Of another place by now, its blocks may not be on record yet.
                let is_of_place = asked.list == Some(self.place_since);
                may_store && is_of_place && self.holds_all_blocks()
            }
            Command::Commit => asked.commit && *phase == Phase::Committing && self.may_commit(now),
            Command::Abort => asked.abort && matches!(phase, Phase::Ending(_)),
            Command::LookUpCanary => asked.canary && *phase == Phase::Checking,
        }
    }

    /// Returns whether the lease covers something sent now. Not as long as it
    /// is unknown when the session was last extended.
    pub(super) fn covered(&self, now: Moment) -> bool {
        !self.doubt.age && self.lease.as_ref().is_some_and(|lease| lease.covers(now))
    }

    /// Returns whether something may be sent under the upload URI now.
    pub(super) fn may_use_uri(&self, now: Moment) -> bool {
        self.uri.is_some() && !self.refusals.parked && self.covered(now)
    }

    /// Returns whether nothing it asked for is still to be answered.
    pub const fn is_quiet(&self) -> bool {
        self.asked.is_empty()
    }

    /// Returns how many blocks are in flight.
    pub const fn in_flight(&self) -> usize {
        self.asked.blocks.len()
    }
}
