//! HTTP as this program speaks it, to the service, to the authority and to the
//! blob store alike.
//!
//! One place builds every client ([`pool`]), so that none follows a redirect,
//! unpacks an answer, repeats a request, takes a proxy it was not given, or
//! waits without end. One place reads answers ([`exchange`]), so that none is
//! read past a limit. One place turns errors into text ([`text`]), so that none
//! carries an address or a secret.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use reqwest::{Client, redirect};

use self::authorities::AuthoritiesRefused;
pub use self::pool::{Pool, Pooled, Versions};
use self::proxy::Proxies;
use self::resolve::{Lookup, Reach, SystemLookup};

pub mod authorities;
mod exceptions;
pub mod exchange;
pub mod guid;
pub mod headers;
pub mod pool;
pub mod proxy;
pub mod resolve;
pub mod secret;
pub mod text;

/// How long a connection may take to be made: the name, TCP, a proxy's word,
/// and TLS, all together.
pub const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// How long one attempt may take, the answer included.
pub const TIMEOUT: Duration = Duration::from_secs(30);

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
    /// The proxies to go through; `None` never uses one, whatever the
    /// environment says.
    pub proxy: Option<Proxies>,
    /// Where names may lead.
    pub reach: Reach,
    /// Who is asked for the addresses of a name.
    pub lookup: Arc<dyn Lookup>,
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
            reach: Reach::default(),
            lookup: Arc::new(SystemLookup),
            retry_after_cap: headers::RETRY_AFTER_CAP,
            plain_only: false,
        }
    }
}

/// Why no client could be built. A matter of configuration, all of it.
#[derive(Debug, thiserror::Error)]
pub enum HttpRefused {
    /// The file of authorities is of no use.
    #[error(transparent)]
    CaFile(#[from] AuthoritiesRefused),
    /// There is no authority to trust, so there is nobody to speak with.
    #[error(
        "find the authorities to trust: none at {0}; \
         install the system's bundle (the package ca-certificates), or name a PEM file in graph.ca_file"
    )]
    NoAuthority(String),
    /// A proxy's address makes no sense. Names the setting or variable.
    #[error("read the proxy's address in {0}: write it as http://host:port; other kinds of proxy are not spoken to")]
    Proxy(&'static str),
    /// A proxy's user name and password could not be read.
    #[error("{0}")]
    ProxyLogin(String),
    /// TLS could not be set up.
    #[error("set up TLS: {0}")]
    Tls(String),
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
