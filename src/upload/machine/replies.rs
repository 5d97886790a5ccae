//! Taking in: what each event teaches.

use std::time::Duration;

use super::orders::ABORT_TRIES;
use super::{LOOKS, Upload, Waiting};
use crate::ground::moment::Now;
use crate::upload::event::{Event, Reply, Sighting, Step};
use crate::upload::fault::Fault;
use crate::upload::ledger::Ledger;
use crate::upload::outcome::{Failure, Outcome};
use crate::upload::record::{Phase, Record, Reports};

/// The first wait after a failure.
pub(super) const BASE: Duration = Duration::from_secs(1);
/// The longest wait between attempts that no lease drives.
pub(super) const CAP: Duration = Duration::from_secs(60);
/// The longest wait for a permission, which a person has to mend.
const PERMISSION_CAP: Duration = Duration::from_secs(300);
/// Times a commit is refused, the session having been read in between, before
/// the upload is given up.
const COMMIT_REFUSALS: u32 = 3;
/// Times a report may conflict before reports are reduced.
const REPORT_CONFLICTS: u32 = 3;
/// The wait between two looks for a session that may have been asked for:
/// longer than a request may be under way.
const SETTLING: Duration = Duration::from_secs(30);
/// The least and the most a creation waits for quota, whatever the service
/// names: its window is a day, so seconds are no answer.
const QUOTA_LEAST: Duration = Duration::from_secs(60);
const QUOTA_MOST: Duration = Duration::from_secs(86_400);

impl Upload {
    pub(super) fn take_in(&mut self, now: Now, event: Event, step: &mut Step) {
        let is_closed = matches!(self.standing.phase, Phase::Closed(_));
        match event {
            Event::Answered { epoch, .. } if epoch != self.standing.epoch => (),
            Event::Answered { reply, .. } if is_closed => self.asked.settle(&reply),
            Event::Answered { reply, .. } => self.answered(now, reply, step),
            Event::Woke
            | Event::Progressed(_)
            | Event::Held(_)
            | Event::ReleaseRequested
            | Event::RenewRequested
            | Event::CommitRequested
            | Event::CancelRequested
            | Event::QuotaChanged
            | Event::Replaced
            | Event::BundleLost
            | Event::StopRequested
                if is_closed => {}
            Event::Woke => (),
            Event::Progressed(blocks) => self.progressed_by_other(now, blocks, step),
            Event::Held(reasons) => self.hold(now, reasons, step),
            Event::ReleaseRequested => self.release(now, step),
            Event::RenewRequested => self.renew_soon(now),
            Event::CommitRequested if self.standing.commit_requested => (),
            Event::CommitRequested => self.note(Record::CommitRequested, step),
            Event::CancelRequested => self.end(Outcome::Cancelled, now, step),
            Event::QuotaChanged if self.waiting == Some(Waiting::Quota) => self.paces.create.succeeded(),
            Event::QuotaChanged => (),
            Event::Replaced if self.lacks_session() => self.close(Outcome::Replaced, now, step),
            Event::Replaced => self.end(Outcome::Replaced, now, step),
            Event::BundleLost => self.bundle_lost(now, step),
            Event::StopRequested => self.stopping = true,
        }
    }

    fn answered(&mut self, now: Now, reply: Reply, step: &mut Step) {
        let report = self.asked.report;
        self.asked.settle(&reply);
        match reply {
            Reply::Found(result) => self.found(now, result, step),
            Reply::Created(result) => self.created(now, result, step),
            Reply::Undrafted => self.bundle_lost(now, step),
            Reply::Fetched(result) => self.fetched(now, result, step),
            Reply::Renewed(result) => self.renewed(now, result, step),
            Reply::Reported(result) => self.reported(now, report, result, step),
            Reply::Sent { block, uri, result } => self.sent(now, block, uri, result, step),
            Reply::SentWhole { uri, result } => self.sent_whole(now, uri, result, step),
            Reply::Inventoried { uri, result } => self.inventoried(now, uri, result, step),
            Reply::ListPut { uri, result } => self.list_put(now, uri, result, step),
            Reply::Committed(result) => self.committed(now, result, step),
            Reply::Aborted(result) => self.aborted(now, &result, step),
            Reply::CanaryLookedUp(result) => self.canary_looked_up(now, result, step),
            Reply::Held(_) => (),
        }
    }

    fn found(&mut self, now: Now, result: Result<Option<Box<Sighting>>, Fault>, step: &mut Step) {
        if self.standing.held.is_some() {
            return self.found_again(now, result, step);
        }
        match result {
            Ok(Some(sighting)) => {
                // It may have been opened long ago.
                self.doubt.age = true;
                self.open(now, &sighting, step);
            }
            // No data store, no session: a creation will say so again.
            Ok(None) | Err(Fault::Gone) => {
                self.doubt.session = self.doubt.session.saturating_sub(1);
                self.paces.create.succeeded();
                if self.doubt.session > 0 {
                    self.paces.create.rest(now.moment, SETTLING);
                }
            }
            Err(Fault::Refused { status }) => self.create_refused(now, Failure::CreateRefused { status }, step),
            Err(fault) => self.create_failed(now, &fault),
        }
    }

    /// Replaces the session that was said to be gone, unless the list shows it
    /// and its lease has not ended.
    fn found_again(&mut self, now: Now, result: Result<Option<Box<Sighting>>, Fault>, step: &mut Step) {
        if !std::mem::take(&mut self.doubt.lost) || self.standing.phase != Phase::Uploading {
            return;
        }
        let held = self.standing.held.as_ref().map(|held| held.session.clone());
        let has_ended = self.lease.as_ref().is_some_and(|lease| lease.has_ended(now.moment));
        match result {
            Ok(Some(sighting)) if held.as_ref() == Some(&sighting.session) && !has_ended => {
                self.sighted(now, &sighting, false, step);
            }
            Ok(_) | Err(Fault::Gone | Fault::Refused { .. }) => {
                self.note(Record::Lost { epoch: self.standing.epoch + 1 }, step);
                self.forget_session();
            }
            Err(
                fault @ (Fault::Transient { .. }
                | Fault::Unauthorised
                | Fault::NotPermitted
                | Fault::Quota { .. }
                | Fault::Conflict),
            ) => {
                self.doubt.lost = true;
                self.create_failed(now, &fault);
            }
        }
    }

    fn created(&mut self, now: Now, result: Result<Box<Sighting>, Fault>, step: &mut Step) {
        match result {
            Ok(sighting) => {
                self.extended = Some(sighting.asked);
                self.open(now, &sighting, step);
            }
            Err(Fault::Gone) => self.create_refused(now, Failure::StoreMissing, step),
            Err(Fault::Refused { status }) => self.create_refused(now, Failure::CreateRefused { status }, step),
            Err(fault) => {
                // Only a no that settles the matter leaves no doubt.
                let is_open = matches!(fault, Fault::Transient { .. } | Fault::Conflict);
                self.doubt.session = if is_open { LOOKS } else { 0 };
                self.create_failed(now, &fault);
            }
        }
    }

    fn create_refused(&mut self, now: Now, failure: Failure, step: &mut Step) {
        let outcome = match self.standing.phase {
            Phase::Ending(ref outcome) => outcome.clone(),
            Phase::Held
            | Phase::Planned
            | Phase::Opening
            | Phase::Uploading
            | Phase::Committing
            | Phase::Processing
            | Phase::Checking
            | Phase::Closed(_) => Outcome::Failed(failure),
        };
        self.close(outcome, now, step);
    }

    fn create_failed(&mut self, now: Now, fault: &Fault) {
        self.wait_for(fault);
        let pace = &mut self.paces.create;
        match fault {
            Fault::Quota { retry_after } => {
                let wait = retry_after.unwrap_or(self.policy.quota_backoff).clamp(QUOTA_LEAST, QUOTA_MOST);
                pace.failed(now.moment, wait, wait, None);
            }
            Fault::Unauthorised | Fault::NotPermitted => pace.failed(now.moment, BASE * 5, PERMISSION_CAP, None),
            Fault::Transient { retry_after } => pace.failed(now.moment, BASE, CAP, *retry_after),
            Fault::Gone | Fault::Conflict | Fault::Refused { .. } => pace.failed(now.moment, BASE, CAP, None),
        }
    }

    fn open(&mut self, now: Now, sighting: &Sighting, step: &mut Step) {
        self.paces.create.succeeded();
        self.doubt.session = 0;
        self.moved(now);
        let ending = self.standing.phase.clone();
        let at = Self::date_extended(sighting, now);
        self.note(Record::Opened { session: sighting.session.clone(), at }, step);
        if let Phase::Ending(outcome) = ending {
            // The end was decided while the session was being opened.
            return self.note(Record::Ending { outcome }, step);
        }
        self.sighted(now, sighting, false, step);
    }

    fn fetched(&mut self, now: Now, result: Result<Box<Sighting>, Fault>, step: &mut Step) {
        self.doubt.lapse = false;
        match result {
            Ok(sighting) => {
                self.paces.fetch.succeeded();
                self.doubt.gone = false;
                self.doubt.lost = false;
                self.doubt.state = false;
                if self.standing.phase == Phase::Processing {
                    self.moved(now);
                }
                self.sighted(now, &sighting, false, step);
            }
            Err(Fault::Gone) if self.doubt.gone => self.lost(now, step),
            Err(fault) => {
                self.doubt.gone |= fault == Fault::Gone;
                self.wait_for(&fault);
                fail(&mut self.paces.fetch, now, &fault);
            }
        }
    }

    fn renewed(&mut self, now: Now, result: Result<Box<Sighting>, Fault>, step: &mut Step) {
        match result {
            Ok(sighting) => {
                self.doubt.gone = false;
                self.doubt.lost = false;
                self.doubt.lapse = false;
                self.doubt.age = false;
                self.renew_asked = false;
                self.asked.is_overtaken = true;
                self.extended = Some(sighting.asked);
                let renewals = self.standing.held.as_ref().map_or(0, |held| held.renewals) + 1;
                self.note(Record::Renewed { at: Self::date_extended(&sighting, now), renewals }, step);
                self.sighted(now, &sighting, true, step);
                self.rest_from_renewing(now);
            }
            Err(fault) => {
                self.wait_for(&fault);
                if fault == Fault::Gone {
                    self.doubt.gone = true;
                    self.paces.fetch.succeeded();
                }
                self.doubt.state |= matches!(fault, Fault::Conflict | Fault::Refused { .. });
                self.renewal_failed(now, &fault);
            }
        }
    }

    /// A renewal that brought a lease as spent as the last one (the same upload
    /// URI, say) brought nothing, and asking again at once brings no more.
    fn rest_from_renewing(&mut self, now: Now) {
        let is_spent = self.lease.as_ref().is_some_and(|lease| lease.renew_at() <= now.moment);
        if is_spent {
            self.paces.renew.failed(now.moment, BASE, self.renewal_cap(now), None);
        } else {
            self.paces.renew.succeeded();
            self.paces.renew.rest(now.moment, BASE.min(self.policy.session_ttl / 20));
        }
    }

    /// Backs off from renewing: quickly while the lease lasts, since each
    /// attempt counts; slowly once it has ended, since nothing is left to save.
    fn renewal_failed(&mut self, now: Now, fault: &Fault) {
        let asked = match fault {
            Fault::Transient { retry_after } | Fault::Quota { retry_after } => *retry_after,
            Fault::Gone | Fault::Unauthorised | Fault::NotPermitted | Fault::Conflict | Fault::Refused { .. } => None,
        };
        self.paces.renew.failed(now.moment, BASE, self.renewal_cap(now), asked);
    }

    fn renewal_cap(&self, now: Now) -> Duration {
        let cap = self.policy.session_ttl / 20;
        match &self.lease {
            Some(lease) if !lease.has_ended(now.moment) => cap,
            // The upload URI has ended and the session has not: it is kept.
            Some(lease) if !lease.session_has_ended(now.moment) => {
                cap.max(CAP).min(self.policy.session_ttl.mul_f64(self.policy.renew_window[0]))
            }
            Some(_) | None => cap.max(CAP),
        }
    }

    fn lost(&mut self, now: Now, step: &mut Step) {
        self.doubt.gone = false;
        match self.standing.phase {
            Phase::Uploading if self.policy.reopen && self.plan.is_owned() && self.got_somewhere() => {
                self.doubt.lost = true;
            }
            Phase::Committing | Phase::Processing => {
                self.close(Outcome::Failed(Failure::CommitUnconfirmed), now, step);
            }
            Phase::Ending(ref outcome) => self.close(outcome.clone(), now, step),
            Phase::Held | Phase::Planned | Phase::Opening | Phase::Uploading | Phase::Checking | Phase::Closed(_) => {
                self.close(Outcome::Failed(Failure::SessionGone), now, step);
            }
        }
    }

    /// Returns whether a session that is lost deserves another: the first does,
    /// and a later one if it did not die at once, so that a service that loses
    /// every session does not eat the day's quota.
    fn got_somewhere(&self) -> bool {
        let was_renewed = self.standing.held.as_ref().is_some_and(|held| held.renewals > 0);
        self.standing.epoch == 0 || was_renewed || self.standing.stored.count() > 0
    }

    fn reported(&mut self, now: Now, asked: Option<(u32, bool)>, result: Result<(), Fault>, step: &mut Step) {
        let fault = match result {
            Ok(()) => {
                self.acknowledged = asked;
                self.final_tries = 0;
                self.report_conflicts = 0;
                self.paces.report.succeeded();
                self.paces.report.rest(now.moment, self.policy.report_interval);
                return self.moved(now);
            }
            Err(fault) => fault,
        };
        self.final_tries += u32::from(asked.is_some_and(|(_, is_final)| is_final));
        match fault {
            Fault::Transient { .. } | Fault::Quota { .. } | Fault::Unauthorised => {
                fail(&mut self.paces.report, now, &fault);
            }
            Fault::Gone if self.report_conflicts < REPORT_CONFLICTS => {
                self.report_conflicts += 1;
                self.suspect_gone(now);
            }
            Fault::Conflict if self.report_conflicts < REPORT_CONFLICTS => {
                self.report_conflicts += 1;
                self.doubt.state = true;
                fail(&mut self.paces.report, now, &fault);
            }
            Fault::Gone | Fault::Conflict | Fault::NotPermitted | Fault::Refused { .. } => {
                self.report_conflicts = 0;
                self.final_tries = 0;
                let reports = match self.standing.reports {
                    Reports::Full if self.sends_state() => Reports::CountsOnly,
                    Reports::Full | Reports::CountsOnly | Reports::Off => Reports::Off,
                };
                self.note(Record::ReportsReduced { reports }, step);
            }
        }
    }

    fn committed(&mut self, now: Now, result: Result<(), Fault>, step: &mut Step) {
        if self.standing.phase != Phase::Committing {
            // A look at the session, or a person, was faster.
            return;
        }
        match result {
            Ok(()) => {
                self.moved(now);
                self.note(Record::Committed { at: now.wall }, step);
            }
            Err(fault) => {
                self.doubt_commit(now);
                self.wait_for(&fault);
                let settles = matches!(fault, Fault::Conflict | Fault::Refused { .. });
                self.refusals.commits += u32::from(settles);
                fail(&mut self.paces.commit, now, &fault);
                if fault == Fault::Gone {
                    self.suspect_gone(now);
                } else if self.refusals.commits >= COMMIT_REFUSALS {
                    self.end(Outcome::Failed(Failure::CommitRefused), now, step);
                }
            }
        }
    }

    /// Whether the commit was, or will be, taken is to be read, from now on.
    pub(super) fn doubt_commit(&mut self, now: Now) {
        self.doubt.commit = true;
        self.doubt.commit_since = now.moment;
    }

    fn aborted(&mut self, now: Now, result: &Result<(), Fault>, step: &mut Step) {
        let Phase::Ending(outcome) = self.standing.phase.clone() else { return };
        match result {
            Err(fault @ (Fault::Transient { .. } | Fault::Unauthorised | Fault::NotPermitted))
                if self.paces.abort.failures() + 1 < ABORT_TRIES =>
            {
                fail(&mut self.paces.abort, now, fault);
            }
            // It was committed before somebody cancelled it: it is followed to its end after all.
            Err(Fault::Conflict) if self.standing.commit_sent && outcome == Outcome::Cancelled => {
                self.note(Record::Committed { at: now.wall }, step);
            }
            Ok(()) | Err(_) => self.close(outcome, now, step),
        }
    }

    fn canary_looked_up(&mut self, now: Now, result: Result<bool, Fault>, step: &mut Step) {
        if self.standing.phase != Phase::Checking {
            return;
        }
        match result {
            Ok(true) => self.close(Outcome::Completed, now, step),
            Ok(false) => self.close(Outcome::Failed(Failure::CanaryMissing), now, step),
            Err(fault) => {
                self.wait_for(&fault);
                fail(&mut self.paces.poll, now, &fault);
                if now.moment >= self.processing_deadline(now) {
                    self.close(Outcome::Failed(Failure::CanaryMissing), now, step);
                }
            }
        }
    }

    /// Without its bundle an upload can still be followed, but not be sent.
    fn bundle_lost(&mut self, now: Now, step: &mut Step) {
        match self.standing.phase {
            Phase::Held | Phase::Planned | Phase::Opening | Phase::Uploading => {
                self.end(Outcome::Failed(Failure::BundleDamaged), now, step);
            }
            Phase::Committing | Phase::Processing | Phase::Checking | Phase::Ending(_) | Phase::Closed(_) => (),
        }
    }

    fn progressed_by_other(&mut self, now: Now, blocks: Ledger, step: &mut Step) {
        if self.check_progress(self.plan.total_blocks, &blocks).is_ok() && blocks != self.standing.stored {
            self.moved(now);
            self.note(Record::Stored { blocks }, step);
        }
    }

    fn suspect_gone(&mut self, now: Now) {
        self.doubt.gone = true;
        self.paces.fetch.succeeded();
        self.paces.report.failed(now.moment, BASE, CAP, None);
    }

    pub(super) fn moved(&mut self, now: Now) {
        self.progressed = now.moment;
        self.waiting = None;
    }
}

/// Takes a failure into a pace that no lease drives.
fn fail(pace: &mut super::Pace, now: Now, fault: &Fault) {
    match fault {
        Fault::Transient { retry_after } | Fault::Quota { retry_after } => {
            pace.failed(now.moment, BASE, CAP, *retry_after);
        }
        Fault::Unauthorised | Fault::NotPermitted => pace.failed(now.moment, BASE * 5, PERMISSION_CAP, None),
        Fault::Gone | Fault::Conflict | Fault::Refused { .. } => pace.failed(now.moment, BASE, CAP, None),
    }
}
