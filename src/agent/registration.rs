//! This host's name at the service: one upload agent for each state directory.

use super::ask::{Ask, Asker};
use super::settings::Settings;
use crate::ports::service::SessionService;

/// Registers this host as an upload agent, and returns whether that was done.
/// The service may not let it; then sessions simply carry no agent.
pub async fn register(service: &dyn SessionService, asker: &Asker, settings: &Settings) -> bool {
    let description = match settings.agent.description.as_str() {
        "" => host_name(),
        description => description.to_owned(),
    };
    match service.create_upload_agent(&description).await {
        Ok(answer) => {
            tracing::info!(agent = answer.value.id, description, "registered as an upload agent");
            // Stopping already: the next start registers.
            let _ = asker.tell(Ask::Registered(answer.value.id)).await;
            true
        }
        Err(error) => {
            tracing::warn!("{error}; until that works, sessions carry no upload agent");
            false
        }
    }
}

/// Returns the name of this host.
pub(super) fn host_name() -> String {
    rustix::system::uname().nodename().to_string_lossy().into_owned()
}
