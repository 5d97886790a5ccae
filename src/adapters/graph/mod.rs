//! The session service over Microsoft Graph: `dataClassification`'s exact
//! match data stores, their sessions and the upload agents.
//!
//! It writes exactly what the reference says and reads whatever any version of
//! the service has been seen to answer. It neither retries nor waits; what an
//! answer means for an upload is decided elsewhere, by the [`Fault`] it is
//! given here.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use reqwest::{Method, Url};

use self::settings::ContractSettings;
use self::wire::{Call, Payload, Wire};
use crate::adapters::http::{HttpRefused, HttpSettings, Pool, Versions};
use crate::ports::clock::Clock;
use crate::ports::service::ServiceError;
use crate::ports::tokens::TokenProvider;
use crate::upload::fault::Fault;
use crate::upload::uri::is_loopback;

mod bodies;
mod envelope;
mod odata;
mod read;
mod service;
pub mod settings;
mod verdict;
mod wire;

/// How the service is reached and spoken to.
#[derive(Clone, Default)]
pub struct GraphSettings {
    /// The root of the API with its version: `https://graph.microsoft.com/beta`.
    pub base_url: String,
    /// How requests are sent.
    pub http: HttpSettings,
    /// What the contract leaves open.
    pub contract: ContractSettings,
}

/// Why the service cannot be spoken to as configured.
#[derive(Debug, thiserror::Error)]
pub enum GraphRefused {
    /// The address makes no sense.
    #[error("read graph.base_url: write the root of the API, such as https://graph.microsoft.com/beta")]
    Unreadable,
    /// The address would show the token to everyone on the way.
    #[error("read graph.base_url: {0} is named without TLS, and plain http is allowed to this host itself only")]
    NotEncrypted(String),
    /// No client could be built.
    #[error(transparent)]
    Http(#[from] HttpRefused),
}

/// The session service over Microsoft Graph.
pub struct GraphService {
    base: Url,
    contract: ContractSettings,
    wire: Wire,
}

impl GraphService {
    /// Prepares to speak with the service; nothing is sent yet.
    ///
    /// # Errors
    ///
    /// Says which setting to correct.
    pub fn new(
        settings: GraphSettings,
        tokens: Arc<dyn TokenProvider>,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, GraphRefused> {
        let base = root(&settings.base_url)?;
        let http = HttpSettings { plain_only: base.scheme() == "http", ..settings.http };
        let pool = Pool::new(http, Versions::Any, Arc::clone(&clock))?;
        let wire = Wire { pool, tokens, clock, skew_told: AtomicBool::new(false) };
        Ok(Self { base, contract: settings.contract, wire })
    }

    /// Prepares a request to a path below `dataClassification`.
    fn call(&self, step: String, method: Method, path: &[&str]) -> Result<Call, ServiceError> {
        let mut url = self.base.clone();
        let refused = |step: &str| ServiceError {
            step: step.to_owned(),
            detail: "an id is empty or made of dots, which no address can name".to_owned(),
            fault: Fault::Refused { status: 400 },
        };
        // A segment of dots would climb to another object than the one meant.
        if path.iter().any(|segment| matches!(*segment, "" | "." | "..")) {
            return Err(refused(&step));
        }
        match url.path_segments_mut() {
            Ok(mut segments) => segments.pop_if_empty().push("dataClassification").extend(path),
            Err(()) => return Err(refused(&step)),
        };
        Ok(Call {
            step,
            method,
            url,
            payload: Payload::None,
            if_match: None,
            patience: self.wire.pool.settings().timeout,
            creates: false,
            secrets: Vec::new(),
        })
    }
}

/// Reads the root of the API and refuses one that would give secrets away.
fn root(text: &str) -> Result<Url, GraphRefused> {
    let url = Url::parse(text.trim()).map_err(|_| GraphRefused::Unreadable)?;
    let decorated = !url.username().is_empty() || url.password().is_some();
    if decorated || url.query().is_some() || url.fragment().is_some() || url.cannot_be_a_base() {
        return Err(GraphRefused::Unreadable);
    }
    let host = url.host_str().ok_or(GraphRefused::Unreadable)?;
    match url.scheme() {
        "https" => Ok(url),
        "http" if is_loopback(&url) => Ok(url),
        "http" => Err(GraphRefused::NotEncrypted(host.to_owned())),
        _ => Err(GraphRefused::Unreadable),
    }
}

#[cfg(test)]
mod tests {
    use super::root;

    #[test]
    fn only_a_root_that_keeps_the_token_safe_is_accepted() {
        for text in [
            "https://graph.microsoft.com/beta",
            "http://127.0.0.1:8080/beta",
            "http://[::1]:1/",
            "http://localhost/beta",
        ] {
            assert!(root(text).is_ok(), "{text}");
        }
        for text in [
            "http://graph.microsoft.com/beta",
            "http://10.0.0.1/beta",
            "https://user:canary@graph.microsoft.com/beta",
            "https://graph.microsoft.com/beta?canary=1",
            "ftp://127.0.0.1/",
            "graph.microsoft.com",
            "mailto:a@b",
            "",
        ] {
            let refused = root(text).unwrap_err().to_string();
            assert!(refused.contains("graph.base_url") && !refused.contains("canary"), "{refused}");
        }
    }
}
