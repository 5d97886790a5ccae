//! The service in a box: our own stand-in for the remote API, the authority and
//! the managed identities that give tokens for it, and its blob store, for
//! trying, demos and tests.
//!
//! It is the other side, so it shares none of the client's types: JSON is read
//! and written as values, and what a client must not do is refused and logged,
//! never put up with. Its answers look like the service's. How it misbehaves
//! is data: faults (what goes wrong, for which call) and quirks (how it differs
//! from what one would expect), see `docs/SANDBOX.md`.
//!
//! # Invariants
//!
//! - Whatever the size of a table, its bytes lie on disk and memory stays flat.
//! - Every time comes from the clock it was given, every wait goes through it.
//! - A request that is refused changes nothing.

use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use chrono::{DateTime, Utc};
use tokio::sync::{Notify, Semaphore};
use tokio::task::JoinHandle;

use crate::ports::clock::Clock;

pub mod faults;
pub mod operation;
pub mod people;
pub mod quirks;
pub mod script;
pub mod seen;
pub mod settings;
pub mod snapshot;

mod api;
mod blob;
mod connection;
mod depot;
mod identity;
mod mint;
mod payload;
mod pipe;
mod process;
mod reply;
mod route;
mod service;
mod session;
mod times;
mod tls;
mod tokens;
mod wire;
mod world;

pub use faults::Fault;
pub use identity::{CLIENT_ID, CLIENT_SECRET, FEDERATED_AUDIENCE, FEDERATED_ISSUER, FEDERATED_SUBJECT, TENANT_ID};
pub use operation::Operation;
pub use process::Seal;
pub use quirks::Quirks;
pub use script::{ScriptError, parse_script};
pub use seen::Seen;
pub use session::{Phase, Report, Tally};
pub use settings::{ColumnSpec, SandboxSettings, StoreSpec};
pub use snapshot::{SessionSnapshot, StoreSnapshot};

use service::Service;

/// Work that reads whole tables, at once.
const HEAVY_WORK: usize = 2;

/// A running sandbox. Dropped, it stops as [`Sandbox::stop`] does, without
/// waiting.
pub struct Sandbox {
    service: Arc<Service>,
    address: SocketAddr,
    bearer: String,
    ca_file: Option<depot::Loose>,
    listening: JoinHandle<()>,
}

impl Sandbox {
    /// Starts one. Must be called inside a tokio runtime, which it uses.
    ///
    /// # Errors
    ///
    /// If the address is taken, or a directory, file or certificate cannot be made.
    pub async fn start(settings: SandboxSettings, clock: Arc<dyn Clock>) -> io::Result<Self> {
        let listener = wire::listen(settings.listen).await?;
        let address = listener.local_addr()?;
        let host = if address.ip().is_unspecified() { "127.0.0.1".to_owned() } else { address.ip().to_string() };
        let host = if address.is_ipv6() && host.contains(':') { format!("[{host}]") } else { host };
        let mint = mint::Mint::new()?;
        let bearer = mint.token();
        let mut world = world::World::new(bearer.clone());
        for spec in &settings.stores {
            let id = if spec.id.is_empty() { mint.guid() } else { spec.id.clone() };
            world.stores.insert(id.clone(), world::Store::from_spec(spec, &id));
        }
        let parent = settings.directory.clone().unwrap_or_else(std::env::temp_dir);
        let depot = depot::Depot::create(&parent, &format!("edm-sandbox-{}", mint.guid()))?;
        let tls = settings.tls.then(|| tls::Tls::throw_away(address, &settings.names, !settings.quirks.no_http2));
        let tls = tls.transpose()?;
        let ca_file = tls.as_ref().map(|tls| {
            let path = settings.ca_file.clone().unwrap_or_else(|| depot.directory().join("ca.pem"));
            // One that was left behind by a sandbox that was killed.
            let _ = std::fs::remove_file(&path);
            let named = |error: io::Error| io::Error::new(error.kind(), format!("write {}: {error}", path.display()));
            depot::Loose::create(path.clone(), 0o644, &tls.ca_pem).map_err(named)
        });
        let ca_file = ca_file.transpose()?;
        let arc_key_dir = settings.arc_key_dir.clone().unwrap_or_else(|| depot.directory().join("arc"));
        let identity = identity::Identity::new(identity::Keys::new(std::path::absolute(arc_key_dir)?), &mint)?;
        let scheme = if settings.tls { "https" } else { "http" };
        let bandwidth = settings.quirks.bandwidth.or(settings.bandwidth);
        let service = Arc::new(Service {
            clock: Arc::new(times::ServiceClock::new(clock, settings.quirks.clock_offset)),
            origin: format!("{scheme}://{host}:{}", address.port()),
            tls,
            identity,
            world: Mutex::new(world),
            faults: faults::FaultBook::new(&settings.faults, settings.seed),
            seen: seen::SeenLog::default(),
            mint,
            depot,
            pipe: bandwidth.map(pipe::Pipe::new),
            heavy: Arc::new(Semaphore::new(HEAVY_WORK)),
            stopping: AtomicBool::new(false),
            stopped: Notify::new(),
            settings,
        });
        if service.settings.quirks.claims_challenge {
            let now = service.clock.date();
            service.world().tokens.demand(now);
        }
        #[expect(clippy::disallowed_methods, reason = "the sandbox owns its listener and, through it, its connections")]
        let listening = tokio::spawn(wire::serve(listener, Arc::clone(&service)));
        Ok(Self { service, address, bearer, ca_file, listening })
    }

    /// Returns where it listens.
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// Returns `http://HOST:PORT`, or `https` with TLS, without a slash at the end.
    pub fn origin(&self) -> &str {
        &self.service.origin
    }

    /// Returns the certificate to trust, in PEM, if it speaks TLS.
    pub fn ca_pem(&self) -> Option<&str> {
        self.service.tls.as_ref().map(|tls| tls.ca_pem.as_str())
    }

    /// Returns the file with that certificate, which is there while it runs.
    pub fn ca_file(&self) -> Option<&Path> {
        self.ca_file.as_ref().map(depot::Loose::path)
    }

    /// Returns the bearer token it was started with, which never ends by itself.
    pub fn bearer(&self) -> &str {
        &self.bearer
    }

    /// Withdraws the bearer token and all tokens that were handed out, and
    /// returns the one that is good from now on.
    pub fn rotate_bearer(&self) -> String {
        let bearer = self.service.mint.token();
        self.service.world().tokens.rotate(bearer.clone());
        bearer
    }

    /// Returns the settings that point an agent at it, as TOML, given the file
    /// that holds the bearer token.
    pub fn settings_toml(&self, token_file: &Path) -> String {
        let text = |text: &str| serde_json::Value::from(text).to_string();
        let version = self.service.settings.quirks.version.as_deref().unwrap_or("beta");
        let ttl = self.service.settings.session_ttl;
        let ttl =
            if ttl.subsec_millis() == 0 { format!("{}s", ttl.as_secs()) } else { format!("{}ms", ttl.as_millis()) };
        let host = self.service.origin.split_once("://").map_or("", |(_, host)| host);
        let ca_file = self.ca_file().map(|path| format!("ca_file = {}\n", text(&path.display().to_string())));
        format!(
            "[graph]\nbase_url = {}\n{}\n[auth]\nkind = \"token-file\"\ntoken_file = {}\n\n\
             [upload]\nallowed_hosts = [{}]\n\n[lease]\nsession_ttl = \"{ttl}\"\n",
            text(&format!("{}/{version}", self.service.origin)),
            ca_file.unwrap_or_default(),
            text(&token_file.display().to_string()),
            text(host),
        )
    }

    /// Returns the requests it has seen, oldest first; the last 100,000.
    pub fn journal(&self) -> Vec<Seen> {
        self.service.seen.snapshot()
    }

    /// Adds a fault, counting from now on.
    pub fn add_fault(&self, fault: Fault) {
        self.service.faults.add(fault);
    }

    /// Ends a session as an administrator would.
    pub fn cancel_session(&self, id: &str) {
        let now = self.service.clock.date();
        if let Some(session) = self.service.world().sessions.get_mut(id) {
            session.end(Phase::Cancelled, now);
        }
    }

    /// Makes a session vanish.
    pub fn lose_session(&self, id: &str) {
        let now = self.service.clock.date();
        if let Some(session) = self.service.world().sessions.get_mut(id) {
            session.end(Phase::Deleted, now);
        }
    }

    /// Signs an upload URI to a session's place, or to one blob below it, with
    /// rights as in `sp`, until `ends`. The service itself hands out only what
    /// its quirks say; a test of what a signature allows needs others. A
    /// session that does not exist has a place all the same, and nothing there.
    pub fn sign_uri(&self, session: &str, blob: Option<&str>, rights: &str, ends: DateTime<Utc>) -> String {
        let service = &self.service;
        let quirks = &service.settings.quirks;
        let mut world = service.world();
        let place = world.sessions.get(session).map(|session| Arc::clone(&session.place));
        let scope = blob::sas::Scope {
            session,
            place: &place.unwrap_or_else(|| blob::sas::place_of(session, 0, "", quirks)),
            only: blob,
            directory: quirks.uri == quirks::UriForm::Directory,
            rights,
            ends,
            key_ends: None,
            policy: false,
        };
        let signature = service.mint.signature();
        let (grant, path) = blob::sas::Grant::sign(&scope, &signature);
        world.grants.insert(signature, grant);
        format!("{}{path}", service.origin)
    }

    /// Stops it: connections are cut, stored bytes removed.
    pub async fn stop(mut self) {
        self.service.stopping.store(true, Ordering::Relaxed);
        self.service.stopped.notify_one();
        if let Err(error) = (&mut self.listening).await {
            tracing::warn!(%error, "stop the sandbox's listener");
        }
        self.service.depot.clear();
    }
}

impl Drop for Sandbox {
    fn drop(&mut self) {
        self.service.stopping.store(true, Ordering::Relaxed);
        self.listening.abort();
    }
}

/// Takes a lock. What it guards is whole between statements, so a panic in
/// another request does not spoil it.
fn held<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
