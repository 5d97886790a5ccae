//! A client, and the means to replace it.
//!
//! *Invariant:* a connection that may be dead is not asked again. After a 503
//! or 504, when no answer came, and after the host was suspended, the next
//! attempt comes over a new connection. A client that keeps connections can
//! only promise that by being a new one.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use reqwest::{Certificate, Client, RequestBuilder, redirect, retry, tls};

use super::exchange::{NoAnswer, Reply, attempt};
use super::proxy::Proxies;
use super::resolve::Resolver;
use super::{HttpRefused, HttpSettings, authorities, text};
use crate::ports::clock::Clock;

/// How long an unused connection is kept: shorter than any front end known to
/// close them, for a request on a connection that is being closed is lost.
const IDLE: Duration = Duration::from_secs(45);

/// Unused connections kept to one host.
const IDLE_CONNECTIONS: usize = 16;

/// How long sent bytes may stay unacknowledged before the kernel gives the
/// connection up. Frees connections whose other end answered early and then
/// stopped reading, which nothing above TCP would notice.
const UNACKNOWLEDGED: Duration = Duration::from_secs(60);

/// How long an HTTP/2 connection may be silent, while an answer is awaited,
/// before it is asked for a sign of life.
const PING_AFTER: Duration = Duration::from_secs(5);

/// How long that sign may take. Together they stay below the ten seconds a
/// renewal waits, so that a dead connection is known for one before the next.
const PING_PATIENCE: Duration = Duration::from_secs(4);

/// How much longer the host may have been suspended before connections count
/// as dead: what was open before is forgotten on the other side, or in between.
pub const SUSPENSION: Duration = Duration::from_secs(2);

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
pub struct Pool {
    settings: HttpSettings,
    versions: Versions,
    authorities: Vec<Certificate>,
    clock: Arc<dyn Clock>,
    current: Mutex<Held>,
}

/// The client in use, and how long the host had been suspended when it was built.
struct Held {
    pooled: Pooled,
    suspended: Duration,
}

/// A client, numbered.
#[derive(Clone)]
pub struct Pooled {
    /// Sends requests.
    pub client: Client,
    generation: u64,
    proxies: Option<Arc<Proxies>>,
}

impl Pooled {
    /// Sends a request and reads its answer, as [`exchange`] does, and says
    /// through which proxy it went if no answer comes.
    ///
    /// # Errors
    ///
    /// Says why no answer came; an answer whose body broke off is an answer.
    ///
    /// [`exchange`]: super::exchange::exchange
    pub async fn exchange(&self, request: RequestBuilder, limit: usize) -> Result<Reply, NoAnswer> {
        attempt(request, limit, self.proxies.as_deref()).await
    }
}

impl Pool {
    /// Builds the first client.
    ///
    /// # Errors
    ///
    /// Says which setting to correct.
    pub fn new(settings: HttpSettings, versions: Versions, clock: Arc<dyn Clock>) -> Result<Self, HttpRefused> {
        // An error means that a provider is installed already, which is as good.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let authorities = match &settings.ca_file {
            Some(path) => authorities::read(path)?,
            None => Vec::new(),
        };
        if !settings.plain_only {
            authorities::tell();
        }
        let client = build(&settings, versions, &authorities, &clock)?;
        let proxies = settings.proxy.clone().map(Arc::new);
        let held = Held { pooled: Pooled { client, generation: 0, proxies }, suspended: clock.suspended() };
        Ok(Self { settings, versions, authorities, clock, current: Mutex::new(held) })
    }

    /// Returns the client to send the next request with.
    pub fn current(&self) -> Pooled {
        let mut held = self.current.lock().unwrap_or_else(PoisonError::into_inner);
        let suspended = self.clock.suspended().saturating_sub(held.suspended);
        if suspended > SUSPENSION {
            tracing::debug!(?suspended, "the host was suspended: connections are made anew");
            self.renew(&mut held);
        }
        held.pooled.clone()
    }

    /// Makes sure the next request opens a new connection. Requests under way
    /// go on; several complaints about one client replace it once.
    pub fn replace(&self, worn: &Pooled) {
        let mut held = self.current.lock().unwrap_or_else(PoisonError::into_inner);
        if held.pooled.generation == worn.generation {
            self.renew(&mut held);
        }
    }

    fn renew(&self, held: &mut Held) {
        let suspended = self.clock.suspended();
        match build(&self.settings, self.versions, &self.authorities, &self.clock) {
            Ok(client) => {
                held.pooled.client = client;
                held.pooled.generation += 1;
                held.suspended = suspended;
            }
            Err(refused) => tracing::warn!(%refused, "connections cannot be made anew: the old ones stay in use"),
        }
    }

    /// Returns the settings it was built with.
    pub const fn settings(&self) -> &HttpSettings {
        &self.settings
    }
}

fn build(
    settings: &HttpSettings,
    versions: Versions,
    authorities: &[Certificate],
    clock: &Arc<dyn Clock>,
) -> Result<Client, HttpRefused> {
    let resolver = Resolver {
        lookup: Arc::clone(&settings.lookup),
        clock: Arc::clone(clock),
        reach: settings.reach.clone(),
        proxies: settings.proxy.as_ref().map_or_else(Vec::new, Proxies::hosts),
    };
    let mut builder = Client::builder()
        .user_agent(super::USER_AGENT)
        .redirect(redirect::Policy::none())
        // One call is one attempt, also where the server says that it did nothing.
        .retry(retry::never())
        .referer(false)
        .no_proxy()
        .dns_resolver(resolver)
        .connect_timeout(settings.connect_timeout)
        .timeout(settings.timeout)
        .pool_idle_timeout(IDLE)
        .pool_max_idle_per_host(IDLE_CONNECTIONS)
        .tcp_nodelay(true)
        .tcp_user_timeout(UNACKNOWLEDGED)
        .tls_version_min(tls::Version::TLS_1_2);
    builder = if settings.plain_only {
        builder.tls_certs_only([])
    } else {
        builder.tls_certs_merge(authorities.iter().cloned())
    };
    builder = match versions {
        Versions::Any => builder.http2_keep_alive_interval(PING_AFTER).http2_keep_alive_timeout(PING_PATIENCE),
        Versions::Http1 => builder.http1_only(),
    };
    if let Some(proxies) = &settings.proxy {
        builder = builder.proxy(proxies.for_client());
    }
    builder.build().map_err(|error| {
        let said = text::describe(error);
        if said.contains("No CA certificates") {
            HttpRefused::NoAuthority(authorities::places())
        } else {
            HttpRefused::Tls(said)
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::adapters::clock::SystemClock;

    #[test]
    fn several_complaints_about_one_client_replace_it_once() {
        let pool = Pool::new(HttpSettings::default(), Versions::Any, Arc::new(SystemClock)).unwrap();
        let worn = pool.current();
        pool.replace(&worn);
        pool.replace(&worn);
        assert_eq!(pool.current().generation, 1);
    }

    #[test]
    fn a_dead_connection_is_known_within_the_patience_of_a_renewal() {
        assert!(PING_AFTER + PING_PATIENCE < Duration::from_secs(10));
    }
}
