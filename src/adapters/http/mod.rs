//! HTTP as this program speaks it, to the service and to the blob store alike.
//!
//! One place builds every client, so that none follows a redirect, unpacks an
//! answer, takes a proxy from the environment or waits without end. One place
//! reads answers, so that none is read past a limit. One place turns errors
//! into text, so that none carries an address or a secret.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use reqwest::{Certificate, Client, NoProxy, Proxy, redirect};

use crate::ground::secret::Secret;

pub mod exchange;
pub mod guid;
pub mod headers;
pub mod secret;
pub mod text;

/// How long a connection may take to be made, TLS included.
pub const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// How long one attempt may take, the answer included.
pub const TIMEOUT: Duration = Duration::from_secs(30);

/// How long an unused connection is kept: shorter than any front end known to
/// close them, for a request on a connection that is being closed is lost.
const IDLE: Duration = Duration::from_secs(45);

/// Unused connections kept to one host.
const IDLE_CONNECTIONS: usize = 16;

/// How long sent bytes may stay unacknowledged before the kernel gives the
/// connection up. Frees connections whose other end answered early and then
/// stopped reading, which nothing above TCP would notice.
const UNACKNOWLEDGED: Duration = Duration::from_secs(60);

/// What this program calls itself.
const USER_AGENT: &str = concat!("edm-agent/", env!("CARGO_PKG_VERSION"));

/// How clients are to be built.
#[derive(Clone)]
pub struct HttpSettings {
    /// How long one attempt may take where the caller names no patience.
    pub timeout: Duration,
    /// How long a connection may take to be made.
    pub connect_timeout: Duration,
    /// A PEM bundle of authorities trusted besides the system's.
    pub ca_file: Option<PathBuf>,
    /// The proxy to go through, as a URL. May hold a password.
    pub proxy: Option<Secret>,
    /// The longest `Retry-After` that is believed.
    pub retry_after_cap: Duration,
    /// Whether only plain http on this host will be spoken. No authorities are
    /// loaded then, so that a sandbox runs where none are installed, and every
    /// TLS server is refused.
    pub plain_only: bool,
}

impl Default for HttpSettings {
    fn default() -> Self {
        Self {
            timeout: TIMEOUT,
            connect_timeout: CONNECT_TIMEOUT,
            ca_file: None,
            proxy: None,
            retry_after_cap: headers::RETRY_AFTER_CAP,
            plain_only: false,
        }
    }
}

/// Why no client could be built. A matter of configuration, all of it.
#[derive(Debug, thiserror::Error)]
pub enum HttpRefused {
    /// The file of authorities could not be read.
    #[error("read the authorities in {}: ca_file must name a readable PEM file", path.display())]
    CaFile {
        /// The file.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// The file of authorities holds none.
    #[error("read the authorities in {}: it holds no PEM certificate", .0.display())]
    NoCertificate(PathBuf),
    /// The proxy's address makes no sense.
    #[error("read the proxy's address: write it as http://host:port")]
    Proxy,
    /// TLS could not be set up.
    #[error("set up TLS: {0}; the system needs a bundle of authorities, for example the package ca-certificates")]
    Tls(String),
}

/// Which versions of HTTP a client speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Versions {
    /// What the server prefers.
    Any,
    /// HTTP/1.1 only: blob stores speak nothing else, and blocks are sent side
    /// by side over connections of their own.
    Http1,
}

/// A client and the means to replace it.
///
/// After a 503, or when no answer came, the next attempt is to come over a new
/// connection. A client that keeps connections can only promise that by being
/// a new one.
pub struct Pool {
    settings: HttpSettings,
    versions: Versions,
    authorities: Vec<Certificate>,
    current: Mutex<Pooled>,
}

/// A client, numbered.
#[derive(Clone)]
pub struct Pooled {
    /// Sends requests.
    pub client: Client,
    generation: u64,
}

impl Pool {
    /// Builds the first client.
    ///
    /// # Errors
    ///
    /// Says which setting to correct.
    pub fn new(settings: HttpSettings, versions: Versions) -> Result<Self, HttpRefused> {
        // An error means that a provider is installed already, which is as good.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let authorities = authorities(&settings)?;
        let client = build(&settings, versions, &authorities)?;
        Ok(Self { settings, versions, authorities, current: Mutex::new(Pooled { client, generation: 0 }) })
    }

    /// Returns the client to send the next request with.
    pub fn current(&self) -> Pooled {
        self.current.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Makes sure the next request opens a new connection. Requests under way
    /// go on; several complaints about one client replace it once.
    pub fn replace(&self, worn: &Pooled) {
        let mut current = self.current.lock().unwrap_or_else(PoisonError::into_inner);
        if current.generation == worn.generation
            && let Ok(client) = build(&self.settings, self.versions, &self.authorities)
        {
            *current = Pooled { client, generation: worn.generation + 1 };
        }
    }

    /// Returns the settings it was built with.
    pub const fn settings(&self) -> &HttpSettings {
        &self.settings
    }
}

/// Builds a client that speaks plain HTTP to a unix socket of this host, and to
/// nothing else. Whoever uses it sets the time each request may take.
///
/// # Errors
///
/// When there can be no client at all.
pub fn local(socket: &Path) -> Result<Client, HttpRefused> {
    // An error means that a provider is installed already, which is as good.
    let _ = rustls::crypto::ring::default_provider().install_default();
    Client::builder()
        .unix_socket(socket)
        .tls_certs_only([])
        .no_proxy()
        .redirect(redirect::Policy::none())
        .build()
        .map_err(|error| HttpRefused::Tls(text::describe(error)))
}

fn authorities(settings: &HttpSettings) -> Result<Vec<Certificate>, HttpRefused> {
    let Some(path) = &settings.ca_file else { return Ok(Vec::new()) };
    let pem = std::fs::read(path).map_err(|source| HttpRefused::CaFile { path: path.clone(), source })?;
    match Certificate::from_pem_bundle(&pem) {
        Ok(found) if !found.is_empty() => Ok(found),
        Ok(_) | Err(_) => Err(HttpRefused::NoCertificate(path.clone())),
    }
}

fn build(settings: &HttpSettings, versions: Versions, authorities: &[Certificate]) -> Result<Client, HttpRefused> {
    let mut builder = Client::builder()
        .user_agent(USER_AGENT)
        .redirect(redirect::Policy::none())
        .referer(false)
        .no_proxy()
        .connect_timeout(settings.connect_timeout)
        .timeout(settings.timeout)
        .pool_idle_timeout(IDLE)
        .pool_max_idle_per_host(IDLE_CONNECTIONS)
        .tcp_nodelay(true)
        .tcp_user_timeout(UNACKNOWLEDGED);
    builder = if settings.plain_only {
        builder.tls_certs_only([])
    } else {
        builder.tls_certs_merge(authorities.iter().cloned())
    };
    match versions {
        Versions::Any => (),
        Versions::Http1 => builder = builder.http1_only(),
    }
    if let Some(proxy) = &settings.proxy {
        let loopback = NoProxy::from_string("localhost,127.0.0.0/8,::1");
        builder = builder.proxy(Proxy::all(proxy.expose()).map_err(|_| HttpRefused::Proxy)?.no_proxy(loopback));
    }
    builder.build().map_err(|error| HttpRefused::Tls(text::describe(error)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn several_complaints_about_one_client_replace_it_once() {
        let pool = Pool::new(HttpSettings::default(), Versions::Any).unwrap();
        let worn = pool.current();
        pool.replace(&worn);
        pool.replace(&worn);
        assert_eq!(pool.current().generation, 1);
    }

    #[test]
    fn settings_that_cannot_work_are_named_and_show_no_password() {
        let refused = |settings| Pool::new(settings, Versions::Any).err().unwrap().to_string();
        let missing = HttpSettings { ca_file: Some("/nowhere/ca.pem".into()), ..HttpSettings::default() };
        assert!(refused(missing).contains("/nowhere/ca.pem"));
        let empty = HttpSettings { ca_file: Some("/dev/null".into()), ..HttpSettings::default() };
        assert!(refused(empty).contains("no PEM certificate"));
        let proxy = Some(Secret::new("http://user:canary@:0:0".to_owned()));
        let proxy = refused(HttpSettings { proxy, ..HttpSettings::default() });
        assert!(proxy.contains("proxy") && !proxy.contains("canary"), "{proxy}");
    }
}
