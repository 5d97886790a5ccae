//! Carries a request to the service or the store, and says what comes back.

use edm_agent::upload::event::{Command, Reply};
use edm_agent::upload::fault::{BlobFault, Fault};

use super::fate::Mishap;
use super::{Request, World};

/// What the other side answers, its effect done unless it refuses.
pub(super) fn answer(request: &Request, world: &mut World) -> Reply {
    match &request.mishap {
        Mishap::Fault(fault) => refusal(&request.command, request, Some(fault.clone()), None),
        Mishap::BlobFault(fault) => refusal(&request.command, request, None, Some(fault.clone())),
        Mishap::Undrafted => Reply::Undrafted,
        Mishap::None | Mishap::Lost | Mishap::Late(_) | Mishap::Slow(_) => effect(request, world),
    }
}

/// What the driver makes of no answer at all.
pub(super) fn silence(request: &Request) -> Reply {
    refusal(&request.command, request, None, None)
}

fn refusal(command: &Command, request: &Request, fault: Option<Fault>, blob: Option<BlobFault>) -> Reply {
    let fault = fault.unwrap_or(Fault::Transient { retry_after: None });
    let result = Err(blob.unwrap_or(BlobFault::Transient { retry_after: None }));
    let uri = request.uri.as_ref().map_or(0, |(_, number)| *number);
    match command {
        Command::Find => Reply::Found(Err(fault)),
        Command::Create => Reply::Created(Err(fault)),
        Command::Fetch => Reply::Fetched(Err(fault)),
        Command::Renew { .. } => Reply::Renewed(Err(fault)),
        Command::Report(_) => Reply::Reported(Err(fault)),
        Command::Send { block, .. } => Reply::Sent { block: *block, uri, result },
        Command::SendWhole { .. } => Reply::SentWhole { uri, result },
        Command::Inventory => Reply::Inventoried { uri, result: result.map(|()| Default::default()) },
        Command::PutList => Reply::ListPut { uri, result },
        Command::Commit => Reply::Committed(Err(fault)),
        Command::Abort => Reply::Aborted(Err(fault)),
        Command::LookUpCanary => Reply::CanaryLookedUp(Err(fault)),
    }
}

fn effect(request: &Request, world: &mut World) -> Reply {
    let (now, asked) = (world.time, request.asked);
    let (service, store) = (&mut world.service, &mut world.store);
    let session = request.session.as_deref().unwrap_or("none");
    let style = service.style;
    let uri = request.uri.as_ref();
    let number = uri.map_or(0, |(_, number)| *number);
    let held = |message| uri.map(|(uri, _)| uri.clone()).expect(message);
    match &request.command {
        Command::Find => {
            let found = service.open_session(&world.plan.file_name, now).map(|remote| remote.id.clone());
            Reply::Found(found.map(|id| service.fetch(&id, asked, now)).transpose())
        }
        Command::Create => {
            let id = service.create(&world.plan.file_name, now);
            Reply::Created(service.fetch(&id, asked, now))
        }
        Command::Fetch => Reply::Fetched(service.fetch(session, asked, now)),
        Command::Renew { .. } => {
            let renewed = service.renew(session, now);
            Reply::Renewed(renewed.and_then(|()| service.fetch(session, asked, now)))
        }
        Command::Report(report) => Reply::Reported(service.report(session, report, store, now)),
        Command::Send { block, .. } => {
            let result = store.put(&held("blocks are sent under a URI"), *block, style, request.left);
            Reply::Sent { block: *block, uri: number, result }
        }
        Command::SendWhole { .. } => {
            let result = store.put_whole(&held("blocks are sent under a URI"), request.left);
            Reply::SentWhole { uri: number, result }
        }
        Command::Inventory => {
            let result = store.inventory(&held("the store is asked under a URI"), request.left);
            Reply::Inventoried { uri: number, result }
        }
        Command::PutList => {
            let result = store.put_list(&held("the list is put under a URI"), request.left);
            Reply::ListPut { uri: number, result }
        }
        Command::Commit => Reply::Committed(service.commit(session, store, now)),
        Command::Abort => Reply::Aborted(service.cancel(session, now)),
        Command::LookUpCanary => Reply::CanaryLookedUp(Ok(true)),
    }
}

/// Returns whether a reply is one to this command.
pub(super) fn answers(command: &Command, reply: &Reply) -> bool {
    match (command, reply) {
        (command, Reply::Held(held)) => command == held,
        (Command::Send { block, .. }, Reply::Sent { block: sent, .. }) => block == sent,
        (command, reply) => matches!(
            (command, reply),
            (Command::Find, Reply::Found(_))
                | (Command::Create, Reply::Created(_) | Reply::Undrafted)
                | (Command::Fetch, Reply::Fetched(_))
                | (Command::Renew { .. }, Reply::Renewed(_))
                | (Command::Report(_), Reply::Reported(_))
                | (Command::SendWhole { .. }, Reply::SentWhole { .. })
                | (Command::Inventory, Reply::Inventoried { .. })
                | (Command::PutList, Reply::ListPut { .. })
                | (Command::Commit, Reply::Committed(_))
                | (Command::Abort, Reply::Aborted(_))
                | (Command::LookUpCanary, Reply::CanaryLookedUp(_))
        ),
    }
}
