//! The outside as configured: the adapters, put together.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::exit::{Exit, Trouble};
use super::settings::Settings;
use crate::adapters::blob::{BlobClient, BlobSettings};
use crate::adapters::graph::{GraphService, GraphSettings};
use crate::adapters::http::HttpSettings;
use crate::adapters::http::proxy::Proxies;
use crate::adapters::http::resolve::Reach;
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
    let patterns = settings.allowed_hosts();
    let is_here = |text: &String| HostPattern::parse(text).is_ok_and(|host| host.is_loopback());
    let plain_only = settings.graph.ca_file.is_empty() && patterns.iter().all(is_here);
    let http = HttpSettings { plain_only, reach: reach(settings), ..http(settings)? };
    let blob = BlobSettings::new(http, &settings.contract);
    Ok(Arc::new(BlobClient::new(blob, Arc::clone(clock)).map_err(refused)?))
}

/// Finds the file of a credential: a bare name is one of systemd's.
pub fn credential(path: &Path) -> PathBuf {
    let bare = path.components().count() == 1 && !path.is_absolute();
    match std::env::var_os("CREDENTIALS_DIRECTORY") {
        Some(dir) if bare => PathBuf::from(dir).join(path),
        _ => path.to_owned(),
    }
}

/// Says how every client is to be built, the proxy included.
pub fn http(settings: &Settings) -> Result<HttpSettings, Trouble> {
    let graph = &settings.graph;
    let named = |path: &Path| Some(path.to_owned()).filter(|path| !path.as_os_str().is_empty());
    let login = named(&graph.proxy_credentials_file).map(|path| credential(&path));
    let environment = |name: &str| std::env::var_os(name);
    Ok(HttpSettings {
        timeout: graph.timeout,
        ca_file: named(Path::new(&graph.ca_file)),
        proxy: Proxies::read(&graph.proxy, login.as_deref(), &environment).map_err(refused)?,
        retry_after_cap: graph.retry_after_max,
        ..HttpSettings::default()
    })
}

/// Says where the names in upload URIs may lead: they come from outside, and
/// who answers for a name decides.
pub fn reach(settings: &Settings) -> Reach {
    if settings.upload.allow_private_addresses {
        return Reach::Anywhere;
    }
    let patterns = settings.allowed_hosts();
    let patterns = patterns.iter().filter_map(|text| HostPattern::parse(text).ok());
    let names = patterns.filter_map(|pattern| pattern.this_host().map(str::to_owned));
    Reach::Public { this_host: names.collect() }
}
