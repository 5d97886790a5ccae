//! This host's name at the service: one upload agent, found by its description.
//!
//! A state directory that was emptied forgets which agent this host is. The
//! service does not: before an agent is registered, one of the same description
//! is looked for, so that the host stays who it was and its sessions stay its own.

use std::time::Duration;

use tokio::sync::watch;

use super::ask::{Ask, Asker};
use super::settings::Settings;
use crate::ports::clock::Clock;
use crate::ports::contract::UploadAgent;
use crate::ports::service::{ServiceError, SessionService};
use crate::upload::fault::Fault;

/// The waits until registering this host is tried again.
const AGAIN: Duration = Duration::from_secs(60);
const AGAIN_AT_MOST: Duration = Duration::from_secs(6 * 3_600);
/// How long what begins waits for the first attempt: a session opened before it
/// carries no agent, and could not be told for ours were the journal lost.
const PATIENCE: Duration = Duration::from_secs(5);

/// The first attempt to register, for what should not begin before it. Without
/// one there is nothing to wait for.
#[derive(Debug, Clone, Default)]
pub struct FirstAttempt(Option<watch::Receiver<bool>>);

/// Says that the first attempt is over; dropped, it says so too.
#[derive(Debug)]
pub struct Attempting(watch::Sender<bool>);

impl FirstAttempt {
    /// Makes one that is to be waited for, and what ends the wait.
    pub fn begin() -> (Attempting, Self) {
        let (tell, over) = watch::channel(false);
        (Attempting(tell), Self(Some(over)))
    }

    /// Waits until it is over, or has taken so long that what waits goes on without.
    pub async fn over(&self) {
        if let Some(over) = &self.0 {
            // One whose other end is gone is over.
            let _ = over.clone().wait_for(|over| *over).await;
        }
    }
}

/// Registers this host, however long that takes: the grant it needs may come
/// later. What waits for the first attempt goes on after `PATIENCE` at the latest.
pub async fn keep_trying(attempting: &Attempting, clock: &dyn Clock, mut attempt: impl AsyncFnMut() -> bool) {
    let patience = clock.now().moment + PATIENCE;
    let trying = async {
        let mut wait = AGAIN;
        while !attempt().await {
            attempting.0.send_replace(true);
            clock.sleep_until(clock.now().moment + wait).await;
            wait = (wait * 2).min(AGAIN_AT_MOST);
        }
        attempting.0.send_replace(true);
    };
    let waiting = async {
        clock.sleep_until(patience).await;
        attempting.0.send_replace(true);
    };
    tokio::join!(trying, waiting);
}

/// Registers this host as an upload agent, and returns whether that was done.
/// The service may not let it; then sessions simply carry no agent.
pub async fn register(service: &dyn SessionService, asker: &Asker, settings: &Settings) -> bool {
    let description = description(settings);
    let agent = match known(service, &description).await {
        Ok(Some(agent)) => {
            tracing::info!(agent, description, "registered as an upload agent before: it is used again");
            Ok(agent)
        }
        Ok(None) => service.create_upload_agent(&description).await.map(|answer| {
            tracing::info!(agent = answer.value.id, description, "registered as an upload agent");
            answer.value.id
        }),
        Err(error) => Err(error),
    };
    match agent {
        Ok(agent) => {
            // Stopping already: the next start registers.
            let _ = asker.tell(Ask::Registered(agent)).await;
            true
        }
        Err(error) => {
            tracing::warn!("{error}; until that works, sessions carry no upload agent");
            false
        }
    }
}

/// Finds the upload agent of a description: the oldest, if there are several. A
/// service that does not let its agents be listed shows none.
///
/// # Errors
///
/// When the service may answer another time: registering now could make a second.
pub async fn known(service: &dyn SessionService, description: &str) -> Result<Option<String>, ServiceError> {
    let agents = match service.upload_agents().await {
        Ok(answer) => answer.value,
        Err(error) => match error.fault {
            Fault::Transient { .. } | Fault::Unauthorised => return Err(error),
            Fault::Gone | Fault::NotPermitted | Fault::Quota { .. } | Fault::Conflict | Fault::Refused { .. } => {
                tracing::debug!("{error}");
                return Ok(None);
            }
        },
    };
    let same = agents.into_iter().filter(|agent| agent.description == description && !agent.id.is_empty());
    // One without a date is the last to be chosen.
    let age = |agent: &UploadAgent| (agent.creation_date_time.is_none(), agent.creation_date_time, agent.id.clone());
    Ok(same.min_by_key(age).map(|agent| agent.id))
}

/// Returns what this host's upload agent is called.
pub fn description(settings: &Settings) -> String {
    match settings.agent.description.as_str() {
        "" => host_name(),
        description => description.to_owned(),
    }
}

/// Returns the name of this host.
fn host_name() -> String {
    rustix::system::uname().nodename().to_string_lossy().into_owned()
}
