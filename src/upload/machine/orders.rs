//! Sending out: what is due, given where the upload stands.

use std::time::Duration;

use super::Upload;
use crate::ground::moment::{Moment, Now};
use crate::upload::event::{Command, Report, Step};
use crate::upload::ledger::Ledger;
use crate::upload::outcome::Outcome;
use crate::upload::policy::Strategy;
use crate::upload::record::{Phase, Record, Reports};

/// The most an attempt to renew may take.
const RENEW_PATIENCE: Duration = Duration::from_secs(10);
/// The least an attempt to renew may take: less would be no attempt.
const RENEW_PATIENCE_LEAST: Duration = Duration::from_secs(1);
/// Times the service is asked to end a session nobody needs any more, or
/// whether there is one.
pub(super) const ABORT_TRIES: u32 = 3;
/// Reads for an upload URI that is missing before a commit goes ahead without.
const URI_READS: u32 = 4;
/// Attempts at the final report before the commit goes ahead without it.
const FINAL_REPORT_TRIES: u32 = 6;

impl Upload {
    pub(super) fn send_out(&mut self, now: Now, step: &mut Step) {
        match self.standing.phase {
            Phase::Planned => self.plan_session(now, step),
            Phase::Opening => self.open_session(now, step),
            Phase::Uploading if self.doubt.lost => self.look_for_lost(now, step),
            Phase::Uploading => {
                self.keep_lease(now, step);
                self.report(now, step);
                if self.plan.is_owned() {
                    self.store(now, step);
                }
                self.intend_commit(now, step);
            }
            Phase::Committing => {
                self.keep_lease(now, step);
                self.commit(now, step);
            }
            Phase::Processing => self.follow(now, step),
            Phase::Checking => self.check(now, step),
            Phase::Ending(ref outcome) => self.abort(now, outcome.clone(), step),
            Phase::Held | Phase::Closed(_) => (),
        }
    }

    fn plan_session(&mut self, now: Now, step: &mut Step) {
        if self.stopping {
            return;
        }
        if let Some(session) = self.is_tracked_elsewhere() {
            // Taken over: when it was last renewed is not known, so it is
            // read and renewed at once, and nothing is said under it before.
            let session = session.to_owned();
            self.doubt.age = true;
            self.note(Record::Opened { session, at: now.wall }, step);
            return self.send_out(now, step);
        }
        self.note(Record::CreateIntended, step);
        self.open_session(now, step);
    }

    fn open_session(&mut self, now: Now, step: &mut Step) {
        let busy = self.asked.find || self.asked.create;
        if busy || self.stopping || !self.is_due(now.moment, self.paces.create.not_before()) {
            return;
        }
        if self.doubt.session > 0 {
            self.asked.find = true;
            Self::order(step, Command::Find, false);
        } else {
            self.asked.create = true;
            self.doubt.store = false;
            Self::order(step, Command::Create, true);
        }
    }

    /// Asks the list for the session before it is replaced: a second one beside
    /// a live one is what nobody wants.
    fn look_for_lost(&mut self, now: Now, step: &mut Step) {
        if !self.asked.find && self.is_due(now.moment, self.paces.create.not_before()) {
            self.asked.find = true;
            Self::order(step, Command::Find, false);
        }
    }

    /// Renews in time, and looks whether the session is still there when in
    /// doubt.
    fn keep_lease(&mut self, now: Now, step: &mut Step) {
        let Some(lease) = self.lease.clone() else {
            return self.fetch(now, step);
        };
        let ended = self.is_due(now.moment, lease.end());
        let lacks_uri = self.plan.is_owned() && self.uri.is_none();
        let seeks_uri = lacks_uri && self.is_due(now.moment, self.paces.uri.not_before());
        if self.doubt.gone || self.doubt.state || seeks_uri || (ended && self.doubt.lapse) {
            self.fetch(now, step);
        }
        if !ended {
            self.doubt.lapse = true;
        }
        let waits_for_look = self.doubt.gone || (ended && self.doubt.lapse && self.paces.fetch.failures() == 0);
        if self.asked.renew || waits_for_look {
            return;
        }
        let at = lease.renew_at().max(self.paces.renew.not_before());
        if self.is_due(now.moment, at) {
            self.asked.renew = true;
            let remaining = now.moment.until(lease.end()) / 4;
            let patience = match ended {
                true => RENEW_PATIENCE,
                false => remaining.clamp(RENEW_PATIENCE_LEAST, RENEW_PATIENCE),
            };
            Self::order(step, Command::Renew { patience }, false);
        }
    }

    fn fetch(&mut self, now: Now, step: &mut Step) {
        if !self.asked.fetch && self.is_due(now.moment, self.paces.fetch.not_before()) {
            self.asked.fetch = true;
            self.asked.is_overtaken = false;
            Self::order(step, Command::Fetch, false);
        }
    }

    /// Reports when there is something new to say and the last report is long
    /// enough ago; the final one at once.
    fn report(&mut self, now: Now, step: &mut Step) {
        if self.asked.report.is_some() || !self.policy.report || self.standing.reports == Reports::Off {
            return;
        }
        let (remaining, is_final) = self.to_report();
        if self.acknowledged == Some((remaining, is_final)) || !self.covered(now.moment) || self.is_final_given_up() {
            return;
        }
        if remaining == 0 && !is_final {
            // It was 0 once and blocks were lost since: that is not said again.
            return;
        }
        let at_once = is_final && self.paces.report.failures() == 0;
        if !at_once && !self.is_due(now.moment, self.paces.report.not_before()) {
            return;
        }
        let word = if is_final { &self.policy.uploaded_state } else { &self.policy.uploading_state };
        let state = self.sends_state().then(|| word.clone()).filter(|word| !word.is_empty());
        if self.standing.reported != Some(remaining) {
            self.note(Record::Reported { remaining }, step);
        }
        self.asked.report = Some((remaining, is_final));
        let report = Report { remaining, total: self.plan.total_blocks, state };
        Self::order(step, Command::Report(report), true);
    }

    /// Returns the count to report, and whether it is the final report.
    fn to_report(&self) -> (u32, bool) {
        let is_final = self.is_stored();
        let left = self.plan.total_blocks.saturating_sub(self.standing.stored.count());
        // Blocks without their list are not yet a blob: not all is stored.
        let left = if is_final { 0 } else { left.max(1) };
        (left.min(self.standing.reported.unwrap_or(left)), is_final)
    }

    pub(super) fn sends_state(&self) -> bool {
        self.standing.reports == Reports::Full
            && !(self.policy.uploading_state.is_empty() && self.policy.uploaded_state.is_empty())
    }

    fn is_final_given_up(&self) -> bool {
        self.is_stored() && self.final_tries >= FINAL_REPORT_TRIES
    }

    /// Returns whether nothing is left to say before the commit.
    fn is_reported(&self) -> bool {
        !self.policy.report
            || self.standing.reports == Reports::Off
            || self.acknowledged == Some((0, true))
            || self.is_final_given_up()
    }

    /// Sends the blocks, then the list that makes them the blob.
    fn store(&mut self, now: Now, step: &mut Step) {
        let Some(strategy) = self.strategy() else { return };
        if self.stopping || !self.may_use_uri(now.moment) || !self.is_due(now.moment, self.paces.blob.not_before()) {
            return;
        }
        if strategy.is_whole() {
            return self.store_whole(strategy, step);
        }
        let may_ask = strategy == Strategy::BlockList && self.uri.as_ref().is_some_and(|uri| uri.may_read());
        if self.doubt.store && may_ask {
            return self.take_inventory(step);
        }
        self.store_blocks(strategy, step);
        if !self.holds_all_blocks() || strategy != Strategy::BlockList || self.asked.list.is_some() {
            return;
        }
        if !self.standing.listed {
            self.asked.list = Some(self.place_since);
            Self::order(step, Command::PutList, true);
        } else if self.doubt.list && may_ask && self.policy.verify_before_commit {
            self.take_inventory(step);
        }
    }

    fn take_inventory(&mut self, step: &mut Step) {
        if !self.asked.inventory && self.asked.blocks.is_empty() && self.asked.list.is_none() {
            self.asked.inventory = true;
            Self::order(step, Command::Inventory, false);
        }
    }

    fn store_blocks(&mut self, strategy: Strategy, step: &mut Step) {
        let room = (self.policy.window as usize).saturating_sub(self.asked.blocks.len());
        let missing = self.standing.stored.missing(self.plan.total_blocks);
        let next: Vec<u32> = missing.filter(|block| !self.asked.blocks.contains(block)).take(room).collect();
        for block in next {
            self.asked.blocks.push(block);
            Self::order(step, Command::Send { block, strategy }, false);
        }
    }

    fn store_whole(&mut self, strategy: Strategy, step: &mut Step) {
        if !self.asked.whole && !self.holds_all_blocks() {
            self.asked.whole = true;
            Self::order(step, Command::SendWhole { strategy }, false);
        }
    }

    fn intend_commit(&mut self, now: Now, step: &mut Step) {
        let wanted = self.plan.is_owned() || self.standing.commit_requested;
        let asking = self.asked.report.is_some() || self.asked.inventory || self.asked.list.is_some();
        if !wanted || self.stopping || asking || !self.is_stored() || !self.is_reported() || !self.is_verified() {
            return;
        }
        if self.covered(now.moment) {
            self.doubt.commit = false;
            self.note(Record::CommitIntended, step);
            self.commit(now, step);
        }
    }

    /// Returns whether the store was asked about the blob, where it may be.
    fn is_verified(&self) -> bool {
        let may_ask =
            self.strategy() == Some(Strategy::BlockList) && self.uri.as_ref().is_some_and(|uri| uri.may_read());
        let wanted = self.plan.is_owned() && self.policy.verify_before_commit && may_ask;
        !(wanted && self.doubt.list)
    }

    fn commit(&mut self, now: Now, step: &mut Step) {
        if self.asked.commit || self.stopping {
            return;
        }
        if self.doubt.commit {
            if self.is_due(now.moment, self.paces.commit.not_before()) {
                self.fetch(now, step);
            }
        } else if self.may_commit(now.moment) && self.is_due(now.moment, self.paces.commit.not_before()) {
            self.asked.commit = true;
            Self::order(step, Command::Commit, true);
        }
    }

    /// Returns whether a commit may leave. Without an upload URI the session may
    /// have moved to another place; but a service that shows none any more once
    /// the blocks are there is not waited for, beyond a few reads.
    pub(super) fn may_commit(&self, now: Moment) -> bool {
        let knows_place = !self.plan.is_owned() || self.uri.is_some() || self.paces.uri.failures() > URI_READS;
        knows_place && !self.stopping && !self.doubt.commit && self.covered(now)
    }

    /// Looks how far the service has come, at growing intervals.
    fn follow(&mut self, now: Now, step: &mut Step) {
        let deadline = self.processing_deadline(now);
        let is_overdue = self.is_due(now.moment, deadline);
        if self.is_due(now.moment, self.paces.poll.not_before()) || self.doubt.gone || is_overdue {
            self.fetch(now, step);
        }
    }

    /// Returns when the service has had its time. The upload is only given up
    /// on a look after it: the agent may have been away.
    pub(super) fn processing_deadline(&mut self, now: Now) -> Moment {
        let since = self.standing.committed.map_or(now.moment, |date| now.moment_of(date, now.wall));
        let since = *self.processing_since.get_or_insert(since.min(now.moment));
        since + self.policy.processing_deadline
    }

    fn check(&mut self, now: Now, step: &mut Step) {
        if !self.asked.canary && self.is_due(now.moment, self.paces.poll.not_before()) {
            self.asked.canary = true;
            Self::order(step, Command::LookUpCanary, false);
        }
    }

    /// Tells the service that the session is not needed. Whether there is one
    /// may have to be found out first.
    fn abort(&mut self, now: Now, outcome: Outcome, step: &mut Step) {
        if self.asked.create || self.asked.find {
            return;
        }
        if self.standing.held.is_none() {
            let gives_up = self.paces.create.failures() >= ABORT_TRIES;
            if self.doubt.session == 0 || gives_up {
                self.close(outcome, now, step);
            } else if self.is_due(now.moment, self.paces.create.not_before()) {
                self.asked.find = true;
                Self::order(step, Command::Find, false);
            }
            return;
        }
        if !self.asked.abort && self.is_due(now.moment, self.paces.abort.not_before()) {
            self.asked.abort = true;
            Self::order(step, Command::Abort, true);
        }
    }

    /// Forgets everything that belonged to a session that is gone. Answers
    /// still on their way are fenced by the epoch.
    pub(super) fn forget_session(&mut self) {
        self.lease = None;
        self.uri = None;
        self.uri_number += 1;
        self.place_since = self.uri_number;
        self.refusals = super::Refusals::default();
        self.asked = super::Asked::default();
        self.extended = None;
        self.renew_asked = false;
        self.acknowledged = None;
        self.final_tries = 0;
        self.report_conflicts = 0;
        self.seen = super::Seen::default();
        self.paces.renew.succeeded();
        self.paces.fetch.succeeded();
        self.paces.report.succeeded();
        self.paces.blob.succeeded();
        self.doubt = super::Doubt { session: 0, ..super::Doubt::default() };
        debug_assert_eq!(self.standing.stored, Ledger::default(), "a lost session holds nothing");
    }
}
