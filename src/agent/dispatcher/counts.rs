//! What the metrics learn from the uploads: from each answer, before its machine
//! hears of it, and from each record.

use super::Dispatcher;
use super::slot::Slot;
use crate::agent::metrics::Metrics;
use crate::agent::metrics::tally::Tally;
use crate::ground::moment::Now;
use crate::upload::event::Reply;
use crate::upload::fault::BlobFault;
use crate::upload::outcome::{Failure, Outcome};
use crate::upload::record::{Phase, Record};

impl Dispatcher {
    /// Counts what came of a command.
    pub(super) fn count_reply(&mut self, number: u64, reply: &Reply, now: Now) {
        if let Some(slot) = self.slots.get_mut(&number) {
            slot.count_reply(reply, &self.parts.metrics, now);
        }
    }
}

impl Slot {
    fn count_reply(&mut self, reply: &Reply, metrics: &Metrics, now: Now) {
        match reply {
            Reply::Renewed(result) => {
                let slack = self.upload.lease().map(|lease| lease.share_left(now.moment));
                metrics.renewed(result.as_ref().map(|_| ()), slack);
            }
            Reply::Reported(result) => metrics.reported(result.as_ref().map(|&()| ())),
            Reply::Sent { block, result, .. } => {
                let manifest = self.bundle.as_ref().map(|bundle| bundle.manifest());
                let entry = manifest.and_then(|manifest| manifest.blocks.get(*block as usize));
                let length = entry.map_or(0, |entry| entry.length);
                self.count_sent(*block, length, 1, result, metrics);
            }
            Reply::SentWhole { result, .. } => {
                self.count_sent(0, self.counts.bytes, self.entry.plan.total_blocks, result, metrics);
            }
            Reply::Found(_)
            | Reply::Created(_)
            | Reply::Undrafted
            | Reply::Fetched(_)
            | Reply::Inventoried { .. }
            | Reply::ListPut { .. }
            | Reply::Committed(_)
            | Reply::Aborted(_)
            | Reply::CanaryLookedUp(_)
            | Reply::Held(_) => (),
        }
    }

    fn count_sent(&mut self, first: u32, bytes: u64, blocks: u32, result: &Result<(), BlobFault>, metrics: &Metrics) {
        if *result == Err(BlobFault::Bundle) {
            // It could not be read, so nothing left.
            return;
        }
        metrics.sent(self.tally.sent(first), bytes);
        if result.is_ok() {
            metrics.acked(blocks);
        }
    }

    /// Counts what became true; `has_lapsed` says whether the lease had ended by then.
    pub(super) fn count_record(&mut self, record: &Record, has_lapsed: bool, metrics: &Metrics) {
        match record {
            Record::Stored { .. } => self.tally.changed(),
            Record::Reported { .. } => metrics.coalesced(self.tally.reported()),
            Record::Lost { .. } => metrics.lease_lost(has_lapsed),
            Record::Closed { outcome, .. } => {
                if matches!(outcome, Outcome::Failed(Failure::SessionGone | Failure::CommitUnconfirmed)) {
                    metrics.lease_lost(has_lapsed);
                }
                metrics.closed(outcome);
            }
            Record::GateHeld { .. }
            | Record::GateReleased { .. }
            | Record::CreateIntended
            | Record::Opened { .. }
            | Record::Renewed { .. }
            | Record::Placed { .. }
            | Record::Listed { .. }
            | Record::ReportsReduced { .. }
            | Record::CommitRequested
            | Record::CommitIntended
            | Record::Committed { .. }
            | Record::Live
            | Record::Ending { .. } => (),
        }
    }

    /// Returns whether the lease of the session has ended.
    pub(super) fn has_lapsed(&self, now: Now) -> bool {
        self.upload.lease().is_some_and(|lease| lease.has_ended(now.moment))
    }

    /// Takes up the tally of an upload that another process began, which may
    /// have had so many blocks on their way.
    pub(super) fn take_up_tally(&mut self, window: u32) {
        let standing = self.upload.standing();
        let window = if standing.phase == Phase::Uploading { window } else { 0 };
        self.tally = Tally::taken_up(&standing.stored, window);
    }
}
