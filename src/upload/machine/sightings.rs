//! Taking in the session as the service shows it.

use super::Upload;
use super::replies::{BASE, CAP};
use crate::ground::moment::Now;
use crate::upload::event::{Sighting, Step};
use crate::upload::outcome::{Failure, Outcome};
use crate::upload::record::{Phase, Record};

impl Upload {
    /// Learns from a session as the service shows it.
    pub(super) fn sighted(&mut self, now: Now, sighting: &Sighting, renewed: bool, step: &mut Step) {
        self.waiting = None;
        self.seen.state.clone_from(&sighting.state);
        self.seen.jobs = sighting.jobs;
        self.seen.error.clone_from(&sighting.error);
        match &self.standing.phase {
            Phase::Uploading if self.plan.is_owned() => self.sighted_as_owner(now, sighting, renewed, step),
            Phase::Uploading => self.sighted_as_keeper(now, sighting, renewed, step),
            Phase::Committing => self.sighted_in_doubt(now, sighting, renewed, step),
            Phase::Processing => self.sighted_processing(now, sighting, step),
            Phase::Held | Phase::Planned | Phase::Opening | Phase::Checking | Phase::Ending(_) | Phase::Closed(_) => (),
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
        // No commit was sent. A service that calls the upload complete may only
        // count what it was told; told that blocks remain, it followed somebody
        // else, and what it works on is not the table.
        let is_live = self.is_success(&sighting.state);
        let is_taken_early = sighting.is_committed && !self.holds_all_blocks() && self.standing.reported != Some(0);
        if self.has_ended_badly(sighting) || is_taken_early || (is_live && !self.is_stored()) {
            return self.close(self.ended(sighting), now, step);
        }
        if is_live {
            self.note(Record::Committed { at: now.wall }, step);
            return self.sighted_processing(now, sighting, step);
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
        if sighting.asked >= self.doubt.commit_since {
            self.doubt.commit = false;
        }
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
        } else if now.moment >= self.processing_deadline(now) {
            let state = sighting.state.clone();
            self.close(Outcome::Failed(Failure::ProcessingDeadline { state }), now, step);
        } else {
            let polls = 1 << self.paces.poll.failures().min(8);
            let wait = self.policy.poll_min.saturating_mul(polls).min(self.policy.poll_max).max(BASE);
            self.paces.poll.failed(now.moment, wait, wait, None);
        }
    }

    fn take_uri(&mut self, now: Now, sighting: &Sighting, renewed: bool, step: &mut Step) {
        if self.asked.is_overtaken && !renewed {
            // A renewal was answered meanwhile, and knows better.
            return;
        }
        match &sighting.uri {
            Some(Ok(uri)) if self.asked.commit && self.is_elsewhere(uri) => {
                // The commit on its way is of the old place: what becomes of it
                // is read before anything goes to the new one.
                self.doubt_commit(now);
                self.grant_without_uri(sighting, now);
                self.paces.uri.failed(now.moment, BASE, CAP, None);
            }
            Some(Ok(uri)) => {
                self.grant(sighting, uri.clone(), renewed, now, step);
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
                self.paces.uri.failed(now.moment, BASE, CAP, None);
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
}
