//! Taking in: what each event teaches.

use std::time::Duration;

use super::Upload;
use crate::ground::moment::Now;
use crate::upload::event::{Command, Event, Reply, Sighting, Step};
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
/// Times the service is asked to end a session nobody needs any more.
const ABORT_TRIES: u32 = 3;

impl Upload {
    pub(super) fn take_in(&mut self, now: Now, event: Event, step: &mut Step) {
        if matches!(self.standing.phase, Phase::Closed(_)) {
            return;
        }
        match event {
            Event::Woke => (),
            Event::Answered { epoch, reply } if epoch == self.standing.epoch => self.answered(now, reply, step),
            Event::Answered { .. } => (),
            Event::Progressed(blocks) => self.progressed_by_other(now, blocks, step),
            Event::RenewRequested => {
                if let Some(lease) = &mut self.lease {
                    lease.renew_now(now.moment);
                }
            }
            Event::CommitRequested => self.note(Record::CommitRequested, step),
            Event::CancelRequested => self.end(Outcome::Cancelled, now, step),
            Event::BundleLost => self.bundle_lost(now, step),
            Event::StopRequested => self.stopping = true,
        }
    }

    fn answered(&mut self, now: Now, reply: Reply, step: &mut Step) {
        match reply {
            Reply::Found(result) => self.found(now, result, step),
            Reply::Created(result) => self.created(now, result, step),
            Reply::Fetched(result) => self.fetched(now, result, step),
            Reply::Renewed(result) => self.renewed(now, result, step),
            Reply::Reported(result) => self.reported(now, result, step),
            Reply::Sent { block, uri, result } => self.sent(now, block, uri, result, step),
            Reply::SentWhole { uri, result } => self.sent_whole(now, uri, result, step),
            Reply::Inventoried { uri, result } => self.inventoried(now, uri, result, step),
            Reply::ListPut { uri, result } => self.list_put(now, uri, result, step),
            Reply::Committed(result) => self.committed(now, result, step),
            Reply::Aborted(result) => self.aborted(now, &result, step),
            Reply::CanaryLookedUp(result) => self.canary_looked_up(now, result, step),
            Reply::Held(command) => self.held_back(&command),
        }
    }

    fn found(&mut self, now: Now, result: Result<Option<Box<Sighting>>, Fault>, step: &mut Step) {
        self.asked.find = false;
        match result {
            Ok(Some(sighting)) => self.open(now, &sighting, step),
            Ok(None) => {
                self.doubt.session = false;
                self.paces.create.succeeded();
            }
            Err(fault) => self.create_failed(now, &fault),
        }
    }

    fn created(&mut self, now: Now, result: Result<Box<Sighting>, Fault>, step: &mut Step) {
        self.asked.create = false;
        match result {
            Ok(sighting) => self.open(now, &sighting, step),
            Err(Fault::Gone) => self.close(Outcome::Failed(Failure::StoreMissing), now, step),
            Err(Fault::Refused { status }) => {
                self.close(Outcome::Failed(Failure::CreateRefused { status }), now, step);
            }
            Err(fault) => {
                // Only a no that settles the matter leaves no doubt.
                self.doubt.session = matches!(fault, Fault::Transient { .. } | Fault::Conflict);
                self.create_failed(now, &fault);
            }
        }
    }

    fn create_failed(&mut self, now: Now, fault: &Fault) {
        self.wait_for(fault);
        let pace = &mut self.paces.create;
        match fault {
            Fault::Quota { retry_after } => {
                let wait = retry_after.unwrap_or(self.policy.quota_backoff);
                pace.failed(now.moment, wait, wait, None);
            }
            Fault::Unauthorised | Fault::NotPermitted => pace.failed(now.moment, BASE * 5, PERMISSION_CAP, None),
            Fault::Transient { retry_after } => pace.failed(now.moment, BASE, CAP, *retry_after),
            Fault::Gone | Fault::Conflict | Fault::Refused { .. } => pace.failed(now.moment, BASE, CAP, None),
        }
    }

    fn open(&mut self, now: Now, sighting: &Sighting, step: &mut Step) {
        self.paces.create.succeeded();
        self.doubt.session = false;
        self.moved(now);
        self.extended = Some(sighting.asked);
        let at = now.date_of(sighting.asked);
        self.note(Record::Opened { session: sighting.session.clone(), at }, step);
        self.sighted(now, sighting, false, step);
    }

    fn fetched(&mut self, now: Now, result: Result<Box<Sighting>, Fault>, step: &mut Step) {
        self.asked.fetch = false;
        self.doubt.lapse = false;
        match result {
            Ok(sighting) => {
                self.paces.fetch.succeeded();
                self.doubt.gone = false;
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
        self.asked.renew = false;
        match result {
            Ok(sighting) => {
                self.paces.renew.succeeded();
                self.doubt.gone = false;
                self.doubt.lapse = false;
                self.doubt.age = false;
                self.extended = Some(sighting.asked);
                let renewals = self.standing.held.as_ref().map_or(0, |held| held.renewals) + 1;
                self.note(Record::Renewed { at: now.date_of(sighting.asked), renewals }, step);
                self.sighted(now, &sighting, true, step);
            }
            Err(fault) => {
                self.wait_for(&fault);
                if fault == Fault::Gone {
                    self.doubt.gone = true;
                    self.paces.fetch.succeeded();
                }
                self.renewal_failed(now, &fault);
            }
        }
    }

    /// Backs off from renewing: quickly while the lease lasts, since each
    /// attempt counts; slowly once it has ended, since nothing is left to save.
    fn renewal_failed(&mut self, now: Now, fault: &Fault) {
        let asked = match fault {
            Fault::Transient { retry_after } | Fault::Quota { retry_after } => *retry_after,
            Fault::Gone | Fault::Unauthorised | Fault::NotPermitted | Fault::Conflict | Fault::Refused { .. } => None,
        };
        let lives = self.lease.as_ref().is_some_and(|lease| !lease.has_ended(now.moment));
        let cap = if lives { self.policy.session_ttl / 20 } else { (self.policy.session_ttl / 20).max(CAP) };
        self.paces.renew.failed(now.moment, BASE, cap, asked);
    }

    fn lost(&mut self, now: Now, step: &mut Step) {
        self.doubt.gone = false;
        match self.standing.phase {
            Phase::Uploading if self.policy.reopen && self.plan.is_owned() => {
                self.note(Record::Lost { epoch: self.standing.epoch + 1 }, step);
                self.forget_session();
            }
            Phase::Committing | Phase::Processing => {
                self.close(Outcome::Failed(Failure::CommitUnconfirmed), now, step);
            }
            Phase::Ending(ref outcome) => self.close(outcome.clone(), now, step),
            Phase::Planned | Phase::Opening | Phase::Uploading | Phase::Checking | Phase::Closed(_) => {
                self.close(Outcome::Failed(Failure::SessionGone), now, step);
            }
        }
    }

    fn reported(&mut self, now: Now, result: Result<(), Fault>, step: &mut Step) {
        let asked = self.asked.report.take();
        let fault = match result {
            Ok(()) => {
                self.acknowledged = asked;
                self.report_tries = 0;
                self.report_conflicts = 0;
                self.paces.report.succeeded();
                self.paces.report.rest(now.moment, self.policy.report_interval);
                return self.moved(now);
            }
            Err(fault) => fault,
        };
        self.report_tries += 1;
        match fault {
            Fault::Transient { .. } | Fault::Quota { .. } | Fault::Unauthorised => {
                fail(&mut self.paces.report, now, &fault);
            }
            Fault::Gone => self.suspect_gone(now),
            Fault::Conflict if self.report_conflicts < REPORT_CONFLICTS => {
                self.report_conflicts += 1;
                fail(&mut self.paces.report, now, &fault);
            }
            Fault::Conflict | Fault::NotPermitted | Fault::Refused { .. } => {
                self.report_conflicts = 0;
                self.report_tries = 0;
                let reports = match self.standing.reports {
                    Reports::Full if self.sends_state() => Reports::CountsOnly,
                    Reports::Full | Reports::CountsOnly | Reports::Off => Reports::Off,
                };
                self.note(Record::ReportsReduced { reports }, step);
            }
        }
    }

    fn committed(&mut self, now: Now, result: Result<(), Fault>, step: &mut Step) {
        self.asked.commit = false;
        match result {
            Ok(()) => {
                self.moved(now);
                self.note(Record::Committed { at: now.wall }, step);
            }
            Err(fault) => {
                self.doubt.commit = true;
                self.wait_for(&fault);
                let settles = matches!(fault, Fault::Conflict | Fault::Refused { .. } | Fault::NotPermitted);
                self.refusals.commits += u32::from(settles);
                fail(&mut self.paces.commit, now, &fault);
                if fault == Fault::Gone {
                    self.suspect_gone(now);
                } else if self.refusals.commits >= COMMIT_REFUSALS && fault != Fault::NotPermitted {
                    self.end(Outcome::Failed(Failure::CommitRefused), now, step);
                }
            }
        }
    }

    fn aborted(&mut self, now: Now, result: &Result<(), Fault>, step: &mut Step) {
        self.asked.abort = false;
        let Phase::Ending(outcome) = self.standing.phase.clone() else { return };
        match result {
            Err(fault @ (Fault::Transient { .. } | Fault::Unauthorised | Fault::NotPermitted))
                if self.paces.abort.failures() + 1 < ABORT_TRIES =>
            {
                fail(&mut self.paces.abort, now, fault);
            }
            Ok(()) | Err(_) => self.close(outcome, now, step),
        }
    }

    fn canary_looked_up(&mut self, now: Now, result: Result<bool, Fault>, step: &mut Step) {
        self.asked.canary = false;
        match result {
            Ok(true) => self.close(Outcome::Completed, now, step),
            Ok(false) => self.close(Outcome::Failed(Failure::CanaryMissing), now, step),
            Err(fault) => {
                self.wait_for(&fault);
                fail(&mut self.paces.poll, now, &fault);
            }
        }
    }

    /// Without its bundle an upload can still be followed, but not be sent.
    fn bundle_lost(&mut self, now: Now, step: &mut Step) {
        match self.standing.phase {
            Phase::Planned | Phase::Opening | Phase::Uploading => {
                self.end(Outcome::Failed(Failure::BundleDamaged), now, step);
            }
            Phase::Committing | Phase::Processing | Phase::Checking | Phase::Ending(_) | Phase::Closed(_) => (),
        }
    }

    /// A command came back unsent: it is simply not out any more.
    fn held_back(&mut self, command: &Command) {
        match command {
            Command::Find => self.asked.find = false,
            Command::Create => self.asked.create = false,
            Command::Fetch => self.asked.fetch = false,
            Command::Renew { .. } => self.asked.renew = false,
            Command::Report(_) => self.asked.report = None,
            Command::Send { block, .. } => self.in_flight.0.retain(|sent| sent != block),
            Command::SendWhole { .. } => self.asked.whole = false,
            Command::Inventory => self.asked.inventory = false,
            Command::PutList => self.asked.list = false,
            Command::Commit => {
                self.asked.commit = false;
                self.doubt.commit = false;
            }
            Command::Abort => self.asked.abort = false,
            Command::LookUpCanary => self.asked.canary = false,
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
