//! The identity that Azure gives a machine: no secret of ours, but an endpoint
//! on the host itself that hands out tokens to whoever runs there.
//!
//! # Invariants
//!
//! - It is asked directly, through no proxy, and no redirect is followed: what is
//!   shown to it, and what it hands out, is for this host alone.
//! - Plain http is spoken to this host and its link only.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use reqwest::Url;
use reqwest::header::{ACCEPT, AUTHORIZATION, HeaderValue};
use serde_json::Value;

use super::answer;
use super::credential::{Credential, FileTrouble, Granted, Mark};
use super::surroundings::Surroundings;
use crate::adapters::http::exchange::{NoAnswer, Reply};
use crate::adapters::http::secret::secret_header;
use crate::adapters::http::{HttpRefused, HttpSettings, Pool, Versions, headers};
use crate::ground::moment::Now;
use crate::ground::secret::Secret;
use crate::ports::Task;
use crate::ports::clock::Clock;
use crate::ports::tokens::{NoToken, Why};
use host::Host;

mod arc;
mod host;

/// How long a connection to the host itself may take: where there is no such
/// endpoint, the address leads nowhere and nobody says so.
pub const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);

/// The largest answer read: tokens stay under 10 KiB.
const ANSWER_LIMIT: usize = 128 << 10;

/// The longest code of an error that is passed on.
const LONGEST_CODE: usize = 64;

/// Which identity is asked for, and what the token is for.
#[derive(Debug, Clone)]
pub struct ManagedSettings {
    /// The client id of an identity of several; `None` for the machine's own.
    pub client: Option<String>,
    /// What the token is for: `https://graph.microsoft.com/.default`.
    pub scope: String,
    /// The folder in which Azure Arc leaves its keys.
    pub arc_key_dir: PathBuf,
}

/// Why the identity cannot be asked for as configured.
#[derive(Debug, thiserror::Error)]
pub enum ManagedRefused {
    /// The environment names an address that is not to be trusted.
    #[error("read the variable {name}: {problem}; set it as Azure does, or not at all")]
    Endpoint {
        /// The variable.
        name: &'static str,
        /// What is wrong with it.
        problem: &'static str,
    },
    /// The header to be shown is none.
    #[error("read the variable IDENTITY_HEADER: no header can hold it; set it as Azure does, or not at all")]
    Header,
    /// Azure Arc knows one identity only.
    #[error("read auth.client_id: a machine of Azure Arc has one identity, so leave it empty")]
    ArcClient,
    /// No client could be built.
    #[error(transparent)]
    Http(#[from] HttpRefused),
}

/// The identity of the machine this program runs on.
pub struct ManagedIdentity {
    host: Host,
    url: Url,
    names_client: bool,
    pool: Pool,
    clock: Arc<dyn Clock>,
}

impl ManagedIdentity {
    /// Tells by the surroundings where to ask; nothing is sent yet. Of `http`,
    /// the proxy does not count, and connections must be quick.
    ///
    /// # Errors
    ///
    /// Says which setting or variable to correct.
    pub fn new(
        surroundings: &Surroundings,
        settings: ManagedSettings,
        http: HttpSettings,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, ManagedRefused> {
        let ManagedSettings { client, scope, arc_key_dir } = settings;
        let (host, mut url) = Host::tell(surroundings, arc_key_dir)?;
        match &host {
            Host::Service(header) if HeaderValue::from_str(header.expose()).is_err() => {
                return Err(ManagedRefused::Header);
            }
            Host::Arc(_) if client.is_some() => return Err(ManagedRefused::ArcClient),
            Host::Machine | Host::Service(_) | Host::Arc(_) => (),
        }
        let resource = scope.strip_suffix("/.default").unwrap_or(&scope);
        url.query_pairs_mut().append_pair("api-version", host.version()).append_pair("resource", resource);
        if let Some(client) = &client {
            url.query_pairs_mut().append_pair("client_id", client);
        }
        let plain_only = url.scheme() == "http";
        let http = HttpSettings { proxy: None, connect_timeout: CONNECT_TIMEOUT, plain_only, ..http };
        let pool = Pool::new(http, Versions::Http1, Arc::clone(&clock))?;
        Ok(Self { host, url, names_client: client.is_some(), pool, clock })
    }

    /// Returns where it is asked, without path and query.
    fn place(&self) -> String {
        let host = self.url.host_str().unwrap_or_default();
        self.url.port().map_or_else(|| host.to_owned(), |port| format!("{host}:{port}"))
    }

    async fn grant(&self) -> Result<Granted, NoToken> {
        let (reply, now) = self.exchange(None).await?;
        match &self.host {
            Host::Arc(folder) if reply.status == 401 => {
                let key = arc::named(&reply).and_then(|path| arc::key(&path, folder));
                let key = key.map_err(|what| NoToken::refused(format!("{}: {what}", self.step())))?;
                let (reply, now) = self.exchange(Some(&key)).await?;
                self.settle(reply, now)
            }
            Host::Machine | Host::Service(_) | Host::Arc(_) => self.settle(reply, now),
        }
    }

    /// Asks once, showing a key if there is one; returns when that began.
    async fn exchange(&self, key: Option<&Secret>) -> Result<(Reply, Now), NoToken> {
        let pooled = self.pool.current();
        let mut request = self.host.show(pooled.client.get(self.url.clone())).header(ACCEPT, "application/json");
        if let Some(key) = key {
            let shown = secret_header(&["Basic ", key.expose()])
                .map_err(|_| NoToken::refused(format!("{}: no header can hold its key", self.step())))?;
            request = request.header(AUTHORIZATION, shown);
        }
        let now = self.clock.now();
        let answer = pooled.exchange(request, ANSWER_LIMIT).await;
        let elapsed = now.moment.until(self.clock.now().moment);
        match answer {
            Ok(reply) => {
                tracing::debug!(status = reply.status.as_u16(), ?elapsed, "asked for a managed identity's token");
                if matches!(reply.status.as_u16(), 503 | 504) {
                    self.pool.replace(&pooled);
                }
                Ok((reply, now))
            }
            Err(NoAnswer { detail, connected, .. }) => {
                self.pool.replace(&pooled);
                let place = self.place();
                Err(NoToken::unreachable(match connected {
                    true => format!("{}: {detail}", self.step()),
                    false => format!(
                        "no managed identity endpoint answered at {place}: is this an Azure machine? ({detail})"
                    ),
                }))
            }
        }
    }

    /// Turns an answer into a token, or says what it means.
    fn settle(&self, reply: Reply, now: Now) -> Result<Granted, NoToken> {
        let step = self.step();
        let date = headers::server_date(&reply.headers, now.wall).unwrap_or(now.wall);
        if reply.status == 200 {
            let kind = reply.content_type().to_owned();
            let read = reply.body.and_then(|body| {
                let read = answer::read(&body, &kind, date);
                answer::wipe(body);
                read
            });
            let (token, life) = read.map_err(|what| NoToken::unreachable(format!("{step}: {what}")))?;
            return Ok(Granted { token, asked: now.moment, life: Some(life) });
        }
        let status = reply.status.as_u16();
        let said = code(&reply).map_or_else(|| format!("status {status}"), |code| format!("status {status}, {code}"));
        let advice = self.host.advice(self.names_client);
        let passing = |advice: String| {
            let cap = self.pool.settings().retry_after_cap;
            let retry_after = headers::retry_after(&reply.headers, date, cap);
            NoToken { message: format!("{step}: {said}; {advice}"), why: Why::Unreachable { retry_after } }
        };
        // A machine answers 404 and 410 also while it is being brought up to date.
        Err(match status {
            404 | 410 => passing(format!("it is asked again; if it stays so, {advice}")),
            408 | 429 | 500.. => passing("it is asked again".to_owned()),
            300..=399 => NoToken::refused(format!(
                "{step}: {said}, a redirect to {}, and redirects are never followed; something else answers there",
                reply.redirect_host()
            )),
            401 | 403 => NoToken::refused(format!(
                "{step}: {said}; it does not believe that this program belongs to the host: {advice}"
            )),
            _ => NoToken::refused(format!("{step}: {said}; {advice}, and check auth.scope")),
        })
    }

    fn step(&self) -> String {
        format!("ask {} for a token", self.name())
    }
}

impl Credential for ManagedIdentity {
    fn name(&self) -> String {
        format!("the managed identity endpoint at {}", self.place())
    }

    /// A claims challenge cannot be passed on: no host takes one.
    fn ask<'a>(&'a self, _claims: Option<&'a str>) -> Task<'a, Result<Granted, NoToken>> {
        Box::pin(self.grant())
    }

    fn marks(&self) -> Vec<Option<Mark>> {
        Vec::new()
    }

    fn look(&self) -> Result<(), FileTrouble> {
        match &self.host {
            Host::Arc(folder) => arc::look(folder).map_err(FileTrouble::Missing),
            Host::Machine | Host::Service(_) => Ok(()),
        }
    }
}

/// Returns the code of an error, where a host names one: in OAuth's form, or in
/// the form of Azure's own interfaces.
fn code(reply: &Reply) -> Option<String> {
    let body: Value = serde_json::from_slice(reply.body.as_ref().ok()?).ok()?;
    let code = body["error"].as_str().or_else(|| body["error"]["code"].as_str()).or_else(|| body["code"].as_str())?;
    let is_code = |byte: u8| byte.is_ascii_alphanumeric() || b"_-.".contains(&byte);
    (code.len() <= LONGEST_CODE && code.bytes().all(is_code)).then(|| code.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::adapters::clock::SystemClock;
    use crate::adapters::http::proxy::Proxies;

    #[test]
    fn no_proxy_stands_between_a_machine_and_its_identity() {
        let settings = ManagedSettings { client: None, scope: "s".to_owned(), arc_key_dir: PathBuf::new() };
        let proxy = Proxies::all("http://127.0.0.1:9").ok();
        let http = HttpSettings { proxy, ..HttpSettings::default() };
        let identity = ManagedIdentity::new(&Surroundings::default(), settings, http, Arc::new(SystemClock)).unwrap();
        assert!(identity.pool.settings().proxy.is_none());
        assert_eq!(identity.pool.settings().connect_timeout, CONNECT_TIMEOUT);
        assert_eq!(identity.place(), "169.254.169.254");
    }
}
