//! Taking in what was carried out.

use super::{Dispatcher, Done};
use crate::upload::event::{Event, Reply};
use crate::upload::fault::Fault;

impl Dispatcher {
    pub(super) fn done(&mut self, done: Done) {
        let Done { number, epoch, lane, weight, performed } = done;
        self.lanes.done(lane, weight);
        let now = self.parts.clock.now();
        if let Some(wait) = asks_to_wait(&performed.reply) {
            self.lanes.close_gate(now.moment + wait);
        }
        let Some(slot) = self.slots.get_mut(&number) else { return };
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
}

/// Returns how long the service asked everyone to wait.
fn asks_to_wait(reply: &Reply) -> Option<std::time::Duration> {
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
        Reply::Held(_) => false,
    }
}
