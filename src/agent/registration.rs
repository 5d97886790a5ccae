//! This host's name at the service: one upload agent, found by its description.
//!
//! A state directory that was emptied forgets which agent this host is. The
//! service does not: before an agent is registered, one of the same description
//! is looked for, so that the host stays who it was and its sessions stay its own.

use super::ask::{Ask, Asker};
use super::settings::Settings;
use crate::ports::contract::UploadAgent;
use crate::ports::service::{ServiceError, SessionService};
use crate::upload::fault::Fault;

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
