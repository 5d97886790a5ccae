//! Taking in what was carried out.

use std::time::Duration;

use serde_json::json;

use super::{Dispatcher, Done};
use crate::agent::notice::Notice;
use crate::ground::moment::Now;
use crate::upload::event::{Event, Reply};
use crate::upload::fault::Fault;

impl Dispatcher {
    pub(super) fn done(&mut self, done: Done) {
        let Done { number, epoch, lane, weight, creating, mut performed } = done;
        self.lanes.done(lane, weight);
        let now = self.parts.clock.now();
        if let Some(store) = creating {
            self.quotas.create_ended(&store);
            if let Some(slot) = self.slots.get_mut(&number) {
                slot.creating = false;
            }
            if let Reply::Created(Err(Fault::Quota { retry_after })) = &mut performed.reply {
                *retry_after = Some(self.quotas.refused(&store, *retry_after, &self.parts.settings.quota, now));
            }
        }
        if let Some(wait) = asks_to_wait(&performed.reply) {
            self.close_gate(wait, now);
        }
        self.count_reply(number, &performed.reply, now);
        let Some(slot) = self.slots.get_mut(&number) else { return };
        if slot.upload.standing().epoch != epoch {
            // It is of a session that is gone.
            return;
        }
        if performed.etag.is_some() {
            slot.etag = performed.etag;
        }
        if matches!(performed.reply, Reply::Reported(Ok(()))) {
            slot.counts.reports += 1;
        }
        match performed.trouble {
            Some(trouble) if slot.trouble.as_ref() == Some(&trouble) => {
                tracing::debug!(upload = slot.entry.plan.id.0, "{trouble}");
            }
            Some(trouble) => {
                tracing::warn!(upload = slot.entry.plan.id.0, table = slot.entry.plan.table, "{trouble}");
                slot.trouble = Some(trouble);
            }
            None if is_good(&performed.reply) => slot.trouble = None,
            None => (),
        }
        self.step(number, Event::Answered { epoch, reply: performed.reply }, now);
    }

    /// Leaves the service alone for as long as it asked, within reason, and
    /// says so if leases end meanwhile.
    pub(super) fn close_gate(&mut self, wait: Duration, now: Now) {
        let wait = wait.min(self.parts.settings.graph.retry_after_max);
        let gate = now.moment + wait;
        let was_closed = self.lanes.gate(now.moment).is_some();
        self.parts.metrics.throttled(self.lanes.gate(now.moment).unwrap_or(now.moment).until(gate));
        self.lanes.close_gate(gate);
        if was_closed {
            return;
        }
        let lapsing = self.slots.values().filter(|slot| slot.would_lapse(gate)).count();
        if lapsing > 0 {
            tracing::error!(
                seconds = wait.as_secs(),
                leases = lapsing,
                "the service wants to be left alone for longer than leases last: \
                 they are renewed first then, and sessions that are gone are replaced"
            );
        }
        self.parts.notices.tell(Notice {
            at: now.wall,
            event: "throttled".to_owned(),
            upload: None,
            table: None,
            detail: json!({ "seconds": wait.as_secs(), "leases_ending": lapsing }),
        });
    }
}

/// Returns how long the service asked everyone to wait.
fn asks_to_wait(reply: &Reply) -> Option<Duration> {
    let fault = match reply {
        Reply::Found(Err(fault))
        | Reply::Created(Err(fault))
        | Reply::Fetched(Err(fault))
        | Reply::Renewed(Err(fault))
        | Reply::Reported(Err(fault))
        | Reply::Committed(Err(fault))
        | Reply::Aborted(Err(fault))
        | Reply::CanaryLookedUp(Err(fault)) => fault,
        Reply::Found(Ok(_))
        | Reply::Created(Ok(_))
        | Reply::Fetched(Ok(_))
        | Reply::Renewed(Ok(_))
        | Reply::Reported(Ok(()))
        | Reply::Committed(Ok(()))
        | Reply::Aborted(Ok(()))
        | Reply::CanaryLookedUp(Ok(_))
        | Reply::Sent { .. }
        | Reply::SentWhole { .. }
        | Reply::Inventoried { .. }
        | Reply::ListPut { .. }
        | Reply::Undrafted
        | Reply::Held(_) => return None,
    };
    match fault {
        Fault::Transient { retry_after } => *retry_after,
        Fault::Quota { .. }
        | Fault::Gone
        | Fault::Unauthorised
        | Fault::NotPermitted
        | Fault::Conflict
        | Fault::Refused { .. } => None,
    }
}

fn is_good(reply: &Reply) -> bool {
    match reply {
        Reply::Found(result) => result.is_ok(),
        Reply::Created(result) | Reply::Fetched(result) | Reply::Renewed(result) => result.is_ok(),
        Reply::Reported(result) | Reply::Committed(result) | Reply::Aborted(result) => result.is_ok(),
        Reply::Sent { result, .. } | Reply::SentWhole { result, .. } | Reply::ListPut { result, .. } => result.is_ok(),
        Reply::Inventoried { result, .. } => result.is_ok(),
        Reply::CanaryLookedUp(result) => result.is_ok(),
        Reply::Undrafted | Reply::Held(_) => false,
    }
}
