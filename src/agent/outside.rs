//! The outside as configured: the adapters, put together.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::exit::{Exit, Trouble};
use super::settings::{AuthKind, Settings};
use crate::adapters::auth::token_file::TokenFile;
use crate::adapters::blob::{BlobClient, BlobSettings};
use crate::adapters::graph::{GraphService, GraphSettings};
use crate::adapters::http::HttpSettings;
use crate::adapters::http::proxy::Proxies;
use crate::adapters::http::resolve::Reach;
use crate::ports::blobs::BlobStore;
use crate::ports::clock::Clock;
use crate::ports::service::SessionService;
use crate::ports::tokens::TokenProvider;

fn refused(error: impl std::fmt::Display) -> Trouble {
    Trouble::new(Exit::BadConfiguration, error.to_string())
}

/// Makes the client of the session service. Each has connections of its own.
///
/// # Errors
///
/// Says which setting is wrong.
pub fn service(settings: &Settings, clock: &Arc<dyn Clock>) -> Result<Arc<dyn SessionService>, Trouble> {
    let graph =
        GraphSettings { base_url: settings.graph.root(), http: http(settings)?, contract: settings.contract.clone() };
    let tokens = tokens(settings, clock)?;
    Ok(Arc::new(GraphService::new(graph, tokens, Arc::clone(clock)).map_err(refused)?))
}

/// Makes the client of the stores behind upload URIs.
///
/// # Errors
///
/// Says which setting is wrong.
pub fn blobs(settings: &Settings, clock: &Arc<dyn Clock>) -> Result<Arc<dyn BlobStore>, Trouble> {
    // Stores of this host only are reached without TLS, and need no authorities.
    let plain_only = settings.allowed_hosts().iter().all(|host| is_this_host(host));
    let blob =
        BlobSettings::new(HttpSettings { plain_only, reach: reach(settings), ..http(settings)? }, &settings.contract);
    Ok(Arc::new(BlobClient::new(blob, Arc::clone(clock)).map_err(refused)?))
}

fn tokens(settings: &Settings, clock: &Arc<dyn Clock>) -> Result<Arc<dyn TokenProvider>, Trouble> {
    let auth = &settings.auth;
    match auth.kind {
        AuthKind::TokenFile if auth.token_file.as_os_str().is_empty() => {
            Err(refused("read [auth]: kind = \"token-file\" needs token_file, the file that holds the bearer token"))
        }
        AuthKind::TokenFile => Ok(Arc::new(TokenFile::new(credential(&auth.token_file), Arc::clone(clock)))),
        AuthKind::ClientSecret
        | AuthKind::ClientCertificate
        | AuthKind::WorkloadIdentity
        | AuthKind::ManagedIdentity => Err(refused(
            "read [auth]: this build signs in with kind = \"token-file\" only; \
             let another program keep the file fresh, it is read again whenever it changes",
        )),
    }
}

/// Returns whether a pattern of `upload.allowed_hosts` names this host alone.
fn is_this_host(pattern: &str) -> bool {
    let host = without_port(pattern).trim_start_matches('[').trim_end_matches(']');
    host.eq_ignore_ascii_case("localhost")
        || host.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback())
}

fn without_port(pattern: &str) -> &str {
    pattern.rsplit_once(':').map_or(pattern, |(host, port)| match port.parse::<u16>() {
        Ok(_) => host,
        Err(_) => pattern,
    })
}

/// Finds the file of a credential: a bare name is one of systemd's.
fn credential(path: &Path) -> PathBuf {
    let bare = path.components().count() == 1 && !path.is_absolute();
    match std::env::var_os("CREDENTIALS_DIRECTORY") {
        Some(dir) if bare => PathBuf::from(dir).join(path),
        _ => path.to_owned(),
    }
}

/// Says how every client is to be built, the proxy included.
fn http(settings: &Settings) -> Result<HttpSettings, Trouble> {
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
fn reach(settings: &Settings) -> Reach {
    if settings.upload.allow_private_addresses {
        return Reach::Anywhere;
    }
    let hosts = settings.allowed_hosts();
    let names = hosts.iter().filter(|host| is_this_host(host)).map(|host| without_port(host).to_owned());
    Reach::Public { this_host: names.collect() }
}
