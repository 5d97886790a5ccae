//! Who gives tokens: the authority, which checks what a client proves, and the
//! managed identities, which believe whoever can reach them.
//!
//! # Invariants
//!
//! - A proof is checked as the authority would: signature, names, times, and no
//!   assertion of a certificate twice.
//! - Nothing secret goes into the request log or into a refusal.

use std::collections::VecDeque;
use std::io;
use std::sync::{Mutex, MutexGuard};

use chrono::{DateTime, Utc};

use super::held;
use super::mint::Mint;
use super::operation::Operation as Op;
use super::reply::{Refusal, Reply};
use super::route::Side;
use super::service::{Asked, Service};
use super::tokens::Proof;

mod answer;
mod arc;
mod authority;
mod certificate;
mod controls;
mod federation;
mod jwt;
mod key;
mod managed;

pub(super) use arc::Keys;

use certificate::Registered;
use federation::Federation;
use key::Key;

/// The tenant the sandbox's authority knows.
pub const TENANT_ID: &str = "0c7a9a3e-0000-4000-8000-00000000000f";

/// The client id the sandbox knows.
pub const CLIENT_ID: &str = "5a4db0c5-0000-4000-8000-000000000001";

/// The secret of that client, until it is set to another.
pub const CLIENT_SECRET: &str = "sandbox-secret";

/// The outside issuer whose tokens that client may sign in with.
pub const FEDERATED_ISSUER: &str = "https://issuer.sandbox.invalid/edm/";

/// The subject these tokens must name.
pub const FEDERATED_SUBJECT: &str = "system:serviceaccount:edm:edm-agent";

/// The audience they must be made for.
pub const FEDERATED_AUDIENCE: &str = "api://AzureADTokenExchange";

/// Assertions of a certificate that are remembered, so that none counts twice;
/// the oldest are forgotten first.
const MOST_ASSERTIONS: usize = 10_000;

/// What the sandbox knows of identities.
pub(super) struct Identity {
    pub(super) key: Key,
    /// What `X-IDENTITY-HEADER` must be.
    pub(super) header: String,
    pub(super) arc: Keys,
    registry: Mutex<Registry>,
}

/// What is registered for the client, and what it has used up.
struct Registry {
    secret: String,
    is_secret_expired: bool,
    certificates: Vec<Registered>,
    /// The newest certificate that was made here, in DER.
    own: Vec<u8>,
    federation: Federation,
    /// The ids of assertions, with the end of each.
    used: VecDeque<(String, DateTime<Utc>)>,
}

impl Identity {
    pub(super) fn new(arc: Keys, mint: &Mint) -> io::Result<Self> {
        let key = Key::built_in()?;
        let own = key.certificate(mint.serial())?;
        let registry = Registry {
            secret: CLIENT_SECRET.to_owned(),
            is_secret_expired: false,
            certificates: vec![Registered::new(own.clone())],
            own,
            federation: Federation::default(),
            used: VecDeque::new(),
        };
        Ok(Self { key, header: mint.token(), arc, registry: Mutex::new(registry) })
    }

    fn registry(&self) -> MutexGuard<'_, Registry> {
        held(&self.registry)
    }
}

/// Answers a request for a token. `summary` becomes what the log says of it.
pub(super) fn handle(service: &Service, asked: &Asked, body: &[u8], summary: &mut String) -> Result<Reply, Refusal> {
    match asked.route.side {
        Side::Metadata if asked.route.operation == Op::ArcToken => arc::token(service, asked, summary),
        Side::Metadata => managed::imds(service, asked, summary),
        Side::AppService => managed::app_service(service, asked, summary),
        // The other two sides are answered elsewhere.
        Side::Token | Side::Api | Side::Blob => authority::token(service, asked, body, summary),
    }
}

/// Hands out a token.
fn hand_out(service: &Service, asked: &Asked, proof: Proof) -> String {
    let token = service.mint.token();
    let ends = super::times::later(asked.now(), service.settings.token_life());
    service.world().tokens.hand_out(token.clone(), ends, proof);
    token
}
