//! This host's name at the service: one upload agent for each state directory.

use super::ask::{Ask, Asker};
use super::settings::Settings;
use crate::ports::service::SessionService;

/// Registers this host as an upload agent. The service may not let it; then
/// sessions simply carry no agent, and the next start tries again.
pub async fn register(service: &dyn SessionService, asker: &Asker, settings: &Settings) {
    let description = match settings.agent.description.as_str() {
        "" => host_name(),
        description => description.to_owned(),
    };
    match service.create_upload_agent(&description).await {
        Ok(answer) => {
            tracing::info!(agent = answer.value.id, description, "registered as an upload agent");
            // Stopping already: the next start registers.
            let _ = asker.tell(Ask::Registered(answer.value.id)).await;
        }
        Err(error) => tracing::warn!("{error}; sessions carry no upload agent, the next start tries again"),
    }
}

fn host_name() -> String {
    rustix::system::uname().nodename().to_string_lossy().into_owned()
}
