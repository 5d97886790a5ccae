//! Taking in: what each event teaches.

use std::time::Duration;

use super::{Upload, Waiting};
use crate::ground::moment::Now;
use crate::upload::event::{Command, Event, Reply, Sighting, Step};
use crate::upload::fault::{BlobFault, Fault};
use crate::upload::ledger::Ledger;
use crate::upload::outcome::{Failure, Outcome};
use crate::upload::record::{Phase, Record, Reports};

/// The first wait after a failure.
const BASE: Duration = Duration::from_secs(1);
/// The longest wait between attempts that no lease drives.
const CAP: Duration = Duration::from_secs(60);
/// The longest wait for a permission, which a person has to mend.
const PERMISSION_CAP: Duration = Duration::from_secs(300);
/// Fresh upload URIs refused in a row before the upload is given up.
const URI_REFUSALS: u32 = 3;
/// Times a block is refused in a row, for a reason sending again could mend
/// only by luck, before the upload is given up.
const BLOCK_REFUSALS: u32 = 5;
/// Times the store may lose blocks before the upload is given up.
const LIST_REFUSALS: u32 = 3;
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
            Fault::NotPermitted => pace.failed(now.moment, BASE * 5, PERMISSION_CAP, None),
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
            Fault::Gone | Fault::NotPermitted | Fault::Conflict | Fault::Refused { .. } => None,
        };
        let lives = self.lease.as_ref().is_some_and(|lease| !lease.has_ended(now.moment));
        let cap = if lives { self.policy.session_ttl / 20 } else { (self.policy.session_ttl / 20).max(CAP) };
        self.paces.renew.failed(now.moment, BASE, cap, asked);
    }

    /// Learns from a session as the service shows it.
    fn sighted(&mut self, now: Now, sighting: &Sighting, renewed: bool, step: &mut Step) {
        self.waiting = None;
        self.seen.state.clone_from(&sighting.state);
        self.seen.jobs = sighting.jobs;
        self.seen.error.clone_from(&sighting.error);
        match &self.standing.phase {
            Phase::Uploading if self.plan.is_owned() => self.sighted_as_owner(now, sighting, renewed, step),
            Phase::Uploading => self.sighted_as_keeper(now, sighting, renewed, step),
            Phase::Committing => self.sighted_in_doubt(now, sighting, renewed, step),
            Phase::Processing => self.sighted_processing(now, sighting, step),
            Phase::Planned | Phase::Opening | Phase::Checking | Phase::Ending(_) | Phase::Closed(_) => (),
        }
    }

    fn sighted_as_owner(&mut self, now: Now, sighting: &Sighting, renewed: bool, step: &mut Step) {
        let ours = self.plan.total_blocks;
        if let (Some(agent), Some(own)) = (&sighting.upload_agent, &self.policy.upload_agent)
            && agent != own
        {
            let failure = Failure::ForeignSession { agent: agent.clone() };
            return self.close(Outcome::Failed(failure), now, step);
        }
        if self.is_success(&sighting.state) && self.is_stored() {
            self.note(Record::Committed { at: now.wall }, step);
            return self.sighted_processing(now, sighting, step);
        }
        if self.has_ended_badly(sighting) || self.is_success(&sighting.state) {
            return self.close(self.ended(sighting), now, step);
        }
        match sighting.total_blocks {
            Some(theirs) if theirs != 0 && theirs != ours => {
                self.end(Outcome::Failed(Failure::CountsDisagree { ours, theirs }), now, step);
            }
            _ => self.take_uri(now, sighting, renewed, step),
        }
    }

    /// Another uploader may finish the session itself; then there is nothing
    /// left to do but to follow it.
    fn sighted_as_keeper(&mut self, now: Now, sighting: &Sighting, renewed: bool, step: &mut Step) {
        if self.has_ended_badly(sighting) {
            self.close(self.ended(sighting), now, step);
        } else if sighting.is_committed || self.is_success(&sighting.state) {
            self.note(Record::Committed { at: now.wall }, step);
            self.sighted_processing(now, sighting, step);
        } else {
            self.take_uri(now, sighting, renewed, step);
        }
    }

    /// Settles what became of a commit whose answer is missing.
    fn sighted_in_doubt(&mut self, now: Now, sighting: &Sighting, renewed: bool, step: &mut Step) {
        if self.has_ended_badly(sighting) {
            return self.close(self.ended(sighting), now, step);
        }
        if sighting.is_committed || self.is_success(&sighting.state) {
            self.moved(now);
            self.note(Record::Committed { at: now.wall }, step);
            return self.sighted_processing(now, sighting, step);
        }
        self.doubt.commit = false;
        self.take_uri(now, sighting, renewed, step);
    }

    fn sighted_processing(&mut self, now: Now, sighting: &Sighting, step: &mut Step) {
        if self.is_success(&sighting.state) {
            self.moved(now);
            if self.plan.canary {
                self.note(Record::Live, step);
            } else {
                self.close(Outcome::Completed, now, step);
            }
        } else if self.has_ended_badly(sighting) {
            self.close(self.ended(sighting), now, step);
        } else {
            let polls = 1 << self.paces.poll.failures().min(8);
            let wait = (self.policy.poll_min * polls).min(self.policy.poll_max);
            self.paces.poll.failed(now.moment, wait, wait, None);
        }
    }

    fn take_uri(&mut self, now: Now, sighting: &Sighting, renewed: bool, step: &mut Step) {
        match &sighting.uri {
            Some(Ok(uri)) => {
                if renewed {
                    self.uri_number += 1;
                    self.refusals.parked = false;
                }
                self.grant(sighting, uri.clone(), now, step);
            }
            Some(Err(refused)) if self.plan.is_owned() => {
                let failure = Failure::UriRefused { detail: refused.to_string() };
                self.end(Outcome::Failed(failure), now, step);
            }
            // A tracked session lives on without a URI of ours; an owned one
            // asks again, having waited.
            other => {
                self.uri_refused = other.as_ref().and_then(|uri| uri.as_ref().err()).map(ToString::to_string);
                self.grant_without_uri(sighting, now);
                self.paces.fetch.failed(now.moment, BASE, CAP, None);
            }
        }
    }

    fn has_ended_badly(&self, sighting: &Sighting) -> bool {
        self.policy.failure.contains(&sighting.state.to_lowercase()) || (sighting.error.is_some() && sighting.is_over)
    }

    fn is_success(&self, state: &str) -> bool {
        self.policy.success.contains(&state.to_lowercase())
    }

    fn ended(&self, sighting: &Sighting) -> Outcome {
        let error = sighting.error.as_ref().map_or_else(String::new, |error| format!(": {error}"));
        let next = "mend what it names, then start the upload again".to_owned();
        Outcome::Failed(Failure::SessionEnded { state: sighting.state.clone(), error, next })
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
            Fault::Transient { .. } | Fault::Quota { .. } => fail(&mut self.paces.report, now, &fault),
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

    fn sent(&mut self, now: Now, block: u32, uri: u32, result: Result<(), BlobFault>, step: &mut Step) {
        self.in_flight.0.retain(|&sent| sent != block);
        match result {
            Ok(()) => {
                self.stored_something(now);
                if self.is_same_place(uri) {
                    let mut blocks = self.standing.stored.clone();
                    blocks.add(block);
                    self.note(Record::Stored { blocks }, step);
                }
            }
            Err(fault) => self.blob_failed(now, uri, &fault, step),
        }
    }

    fn sent_whole(&mut self, now: Now, uri: u32, result: Result<(), BlobFault>, step: &mut Step) {
        self.asked.whole = false;
        match result {
            Ok(()) => {
                self.stored_something(now);
                if self.is_same_place(uri) {
                    self.note(Record::Stored { blocks: Ledger::first(self.plan.total_blocks) }, step);
                }
            }
            Err(fault) => self.blob_failed(now, uri, &fault, step),
        }
    }

    fn inventoried(&mut self, now: Now, uri: u32, result: Result<Ledger, BlobFault>, step: &mut Step) {
        self.asked.inventory = false;
        match result {
            Ok(blocks) => {
                self.paces.blob.succeeded();
                if !self.is_same_place(uri) {
                    return;
                }
                self.doubt.store = false;
                self.doubt.list = false;
                if blocks != self.standing.stored {
                    if !blocks.covers(&self.standing.stored) {
                        self.note(Record::Listed { done: false }, step);
                    }
                    self.note(Record::Stored { blocks }, step);
                }
            }
            Err(fault) => self.blob_failed(now, uri, &fault, step),
        }
    }

    fn list_put(&mut self, now: Now, uri: u32, result: Result<(), BlobFault>, step: &mut Step) {
        self.asked.list = false;
        match result {
            Ok(()) => {
                self.stored_something(now);
                if self.is_same_place(uri) {
                    self.refusals.lists = 0;
                    self.doubt.list = true;
                    self.note(Record::Listed { done: true }, step);
                }
            }
            Err(fault) => self.blob_failed(now, uri, &fault, step),
        }
    }

    fn blob_failed(&mut self, now: Now, uri: u32, fault: &BlobFault, step: &mut Step) {
        match fault {
            BlobFault::Transient { retry_after } => {
                self.waiting = Some(Waiting::Store);
                self.paces.blob.failed(now.moment, BASE, CAP, *retry_after);
            }
            BlobFault::Forbidden | BlobFault::NotFound => self.uri_refused(now, uri, step),
            BlobFault::BlocksLost => {
                self.refusals.lists += 1;
                if self.refusals.lists >= LIST_REFUSALS {
                    return self.end(Outcome::Failed(Failure::BlocksLost), now, step);
                }
                // Ask what is left where that is allowed; else nothing is certain.
                self.doubt.store = true;
                if !self.uri.as_ref().is_some_and(|uri| uri.may_read()) {
                    self.note(Record::Stored { blocks: Ledger::default() }, step);
                }
            }
            BlobFault::Bundle => self.end(Outcome::Failed(Failure::BundleDamaged), now, step),
            BlobFault::Refused { status } => {
                self.refusals.blocks += 1;
                self.paces.blob.failed(now.moment, BASE, CAP, None);
                if self.refusals.blocks >= BLOCK_REFUSALS {
                    let failure = Failure::BlockRefused { status: *status };
                    self.end(Outcome::Failed(failure), now, step);
                }
            }
        }
    }

    /// A refused upload URI parks the blocks until a renewal brings another.
    fn uri_refused(&mut self, now: Now, uri: u32, step: &mut Step) {
        if uri != self.uri_number || self.refusals.parked {
            return;
        }
        self.refusals.parked = true;
        self.refusals.uris += 1;
        if self.refusals.uris >= URI_REFUSALS {
            return self.end(Outcome::Failed(Failure::UploadRefused), now, step);
        }
        if let Some(lease) = &mut self.lease {
            lease.renew_now(now.moment);
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
            Err(fault @ (Fault::Transient { .. } | Fault::NotPermitted))
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

    fn stored_something(&mut self, now: Now) {
        self.moved(now);
        self.paces.blob.succeeded();
        self.refusals.uris = 0;
        self.refusals.blocks = 0;
    }

    fn moved(&mut self, now: Now) {
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
        Fault::NotPermitted => pace.failed(now.moment, BASE * 5, PERMISSION_CAP, None),
        Fault::Gone | Fault::Conflict | Fault::Refused { .. } => pace.failed(now.moment, BASE, CAP, None),
    }
}
