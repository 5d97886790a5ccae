//! The outside as configured: the adapters, put together.

use std::path::PathBuf;
use std::sync::Arc;

use super::exit::{Exit, Trouble};
use super::settings::Settings;
use crate::adapters::blob::{BlobClient, BlobSettings};
use crate::adapters::graph::{GraphService, GraphSettings};
use crate::adapters::http::HttpSettings;
use crate::ports::blobs::BlobStore;
use crate::ports::clock::Clock;
use crate::ports::service::SessionService;
use crate::ports::tokens::TokenProvider;
use crate::upload::uri::HostPattern;

fn refused(error: impl std::fmt::Display) -> Trouble {
    Trouble::new(Exit::BadConfiguration, error.to_string())
}

/// Makes the client of the session service. Each has connections of its own.
///
/// # Errors
///
/// Says which setting is wrong.
pub fn service(
    settings: &Settings,
    tokens: &Arc<dyn TokenProvider>,
    clock: &Arc<dyn Clock>,
) -> Result<Arc<dyn SessionService>, Trouble> {
    let graph =
        GraphSettings { base_url: settings.graph.root(), http: http(settings)?, contract: settings.contract.clone() };
    let service = GraphService::new(graph, Arc::clone(tokens), Arc::clone(clock));
    Ok(Arc::new(service.map_err(refused)?))
}

/// Makes the client of the stores behind upload URIs.
///
/// # Errors
///
/// Says which setting is wrong.
pub fn blobs(settings: &Settings, clock: &Arc<dyn Clock>) -> Result<Arc<dyn BlobStore>, Trouble> {
    // Stores of this host only are reached without TLS, and need no authorities.
    let plain_only =
        settings.allowed_hosts().iter().all(|text| HostPattern::parse(text).is_ok_and(|host| host.is_loopback()));
    let blob = BlobSettings::new(HttpSettings { plain_only, ..http(settings)? }, &settings.contract);
    Ok(Arc::new(BlobClient::new(blob, Arc::clone(clock)).map_err(refused)?))
}

/// Finds the file of a credential: a bare name is one of systemd's.
pub(super) fn credential(path: &std::path::Path) -> PathBuf {
    let bare = path.components().count() == 1 && !path.is_absolute();
    match std::env::var_os("CREDENTIALS_DIRECTORY") {
        Some(dir) if bare => PathBuf::from(dir).join(path),
        _ => path.to_owned(),
    }
}

pub(super) fn http(settings: &Settings) -> Result<HttpSettings, Trouble> {
    let graph = &settings.graph;
    if !graph.proxy.is_empty() {
        return Err(refused("read graph.proxy: this build reaches the service without a proxy only; leave it empty"));
    }
    Ok(HttpSettings {
        timeout: graph.timeout,
        ca_file: Some(PathBuf::from(&graph.ca_file)).filter(|path| !path.as_os_str().is_empty()),
        retry_after_cap: graph.retry_after_max,
        ..HttpSettings::default()
    })
}
