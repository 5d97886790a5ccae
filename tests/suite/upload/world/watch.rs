//! What must be true after every step, and of every request that leaves.

use std::time::Duration;

use edm_agent::upload::event::Command;
use edm_agent::upload::record::Phase;

use super::World;

/// What a lease may seem shorter than it is: travel, a lane, a whole-second date.
const SLACK: Duration = Duration::from_secs(120);

impl World {
    pub(super) fn watch_step(&mut self) {
        let standing = self.upload.standing();
        assert_eq!(standing, &self.folded, "live and replayed standing differ");
        assert_eq!(standing, &self.journal.compacted_standing(), "the newest of each slot say something else");
        let out = self.out.get(&standing.epoch).map_or(0, Vec::len);
        assert_eq!(self.upload.is_quiet(), out == 0, "it is quiet with {out} commands out");
        let is_closed = self.outcome().is_some();
        if !is_closed && !self.is_stopping {
            let sleeps = self.upload.next_deadline().is_none() && out == 0;
            assert!(!sleeps, "nothing will ever happen again in {:?}", standing.phase);
        }
        if let Some(wake) = self.upload.next_deadline() {
            assert!(wake > self.now().moment, "it wants to be woken in the past");
        }
        if let Some(out) = self.out.get(&standing.epoch) {
            for (position, command) in out.iter().enumerate() {
                let kind = std::mem::discriminant(command);
                let twin = |other: &Command| match (command, other) {
                    (Command::Send { block, .. }, Command::Send { block: other, .. }) => block == other,
                    _ => std::mem::discriminant(other) == kind,
                };
                assert!(!out[position + 1..].iter().any(twin), "asked twice at a time: {command:?}");
            }
        }
    }

    pub(super) fn watch_leaving(&mut self, command: &Command) {
        assert!(self.outcome().is_none(), "{command:?} leaves although the upload is closed");
        let durable = || self.journal.durable_standing(self.time);
        match command {
            Command::Create => assert_eq!(durable().phase, Phase::Opening, "created without a durable intent"),
            Command::Commit => {
                let durable = durable();
                assert_eq!(durable.phase, Phase::Committing, "committed without a durable intent");
                assert_eq!(durable.stored.count(), self.plan.total_blocks, "committed before all is durably stored");
                let held = self.service.session(self.held());
                let place = held.map_or(0, |remote| remote.place);
                let knows = self
                    .upload
                    .uri()
                    .is_some_and(|(uri, _)| uri.place().as_str().ends_with(&super::service::place(self.held(), place)));
                if knows && self.plan.is_owned() {
                    let is_complete = self.store.is_complete(self.held(), place, self.service.style);
                    assert!(is_complete, "committed before the store holds everything");
                }
            }
            Command::Report(report) => {
                let durable = durable();
                assert!(durable.reported.is_some_and(|said| said <= report.remaining), "reported before it was noted");
                let missing = self.plan.total_blocks - durable.stored.count();
                assert!(report.remaining >= missing.min(durable.reported.unwrap_or(0)), "reported what is not durable");
            }
            Command::PutList => assert_eq!(durable().stored.count(), self.plan.total_blocks),
            Command::Find
            | Command::Fetch
            | Command::Renew { .. }
            | Command::Send { .. }
            | Command::SendWhole { .. }
            | Command::Inventory
            | Command::Abort
            | Command::LookUpCanary => (),
        }
        if self.is_stopping {
            let starts = matches!(
                command,
                Command::Create | Command::Send { .. } | Command::SendWhole { .. } | Command::PutList | Command::Commit
            );
            assert!(!starts, "{command:?} is started although the agent stops");
        }
        self.watch_lease(command);
    }

    /// Compares what is left of the lease with the truth.
    fn watch_lease(&self, command: &Command) {
        let is_blob = super::fate::is_blob(command);
        if !is_blob && !matches!(command, Command::Report(_) | Command::Commit) {
            return;
        }
        let Some(remote) = self.service.session(self.held()) else { return };
        if remote.deleted || remote.committed.is_some() || remote.ended.is_some() {
            return;
        }
        let life = self.service.session_ttl.min(self.service.uri_ttl.unwrap_or(self.service.session_ttl));
        let guard = self.policy.guard.min(life.saturating_sub(SLACK).mul_f64(0.05));
        let left = self.time.until(self.service.session_end(remote));
        assert!(left >= guard, "{command:?} leaves with {left:?} left of the session");
        let uri = self.upload.uri().and_then(|(uri, _)| uri.expires());
        if let (true, Some(ends)) = (is_blob, uri) {
            let left = ends - (super::service::date(self.time) + self.service.ahead);
            assert!(left.to_std().is_ok_and(|left| left >= guard), "{command:?} leaves with {left} left of its URI");
        }
    }

    fn held(&self) -> &str {
        self.upload.standing().held.as_ref().map_or("none", |held| held.session.as_str())
    }
}
