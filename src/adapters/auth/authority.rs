//! The authority: Microsoft Entra's token endpoint, asked for a token of the
//! application itself (OAuth 2.0 client credentials, RFC 6749 section 4.4;
//! assertions, RFC 7523; Entra documentation, "Client credentials flow").
//!
//! # Invariants
//!
//! - A secret goes to the configured authority only, over TLS unless that is
//!   this host itself, and through no redirect.
//! - Nothing of a request or an answer is logged or said but status, error,
//!   codes and the authority's names for the exchange.

use std::sync::{Arc, Mutex, PoisonError};

use chrono::{DateTime, TimeDelta, Utc};
use reqwest::Url;
use reqwest::header::{ACCEPT, CONTENT_TYPE};
use url::form_urlencoded;
use zeroize::Zeroizing;

use super::answer;
use super::credential::Granted;
use super::refusal::Refusal;
use crate::adapters::http::exchange::{NoAnswer, Reply};
use crate::adapters::http::guid::guid;
use crate::adapters::http::secret::secret_body;
use crate::adapters::http::{HttpRefused, HttpSettings, Pool, Versions, headers};
use crate::ground::moment::Now;
use crate::ground::secret::Secret;
use crate::ports::clock::Clock;
use crate::ports::tokens::{NoToken, Why};
use crate::upload::uri::is_loopback;

/// The largest answer read: tokens stay under 10 KiB, refusals under 4.
const ANSWER_LIMIT: usize = 128 << 10;

/// How far clocks may differ before it is worth a word.
const NOTABLE: TimeDelta = TimeDelta::minutes(1);

/// Room for what a form holds besides proof and claims.
const FORM: usize = 1 << 10;

/// What the assertion of a client is called (RFC 7523, section 2.2).
const ASSERTION_TYPE: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";

/// What the application is to the authority.
#[derive(Debug, Clone)]
pub struct AuthoritySettings {
    /// Where the authority is, without the tenant: `https://login.microsoftonline.com`.
    pub address: String,
    /// The tenant, by id or domain.
    pub tenant: String,
    /// The application's id.
    pub client: String,
    /// What the token is for: `https://graph.microsoft.com/.default`.
    pub scope: String,
}

/// Why the authority cannot be asked as configured.
#[derive(Debug, thiserror::Error)]
pub enum AuthorityRefused {
    /// The address makes no sense.
    #[error("read auth.authority: write where the authority is, such as https://login.microsoftonline.com")]
    Unreadable,
    /// The address would show the secret to everyone on the way.
    #[error("read auth.authority: {0} is named without TLS, and plain http is allowed to this host itself only")]
    NotEncrypted(String),
    /// The tenant is missing or no tenant.
    #[error("read auth.tenant_id: write the tenant's id, or its domain such as contoso.onmicrosoft.com")]
    Tenant,
    /// The application is missing.
    #[error("read auth.client_id: write the id of the application that was registered for the agent")]
    Client,
    /// The scope is no scope of an application.
    #[error("read auth.scope: write a resource and /.default, such as https://graph.microsoft.com/.default")]
    Scope,
    /// No client could be built.
    #[error(transparent)]
    Http(#[from] HttpRefused),
}

/// How the application proves itself.
pub(super) enum Proof {
    /// The secret it shares with the authority.
    Secret(Secret),
    /// A signed statement: its own, or another issuer's.
    Assertion(Secret),
}

/// The authority, asked for one application.
pub struct Authority {
    pool: Pool,
    url: Url,
    client: String,
    scope: String,
    clock: Arc<dyn Clock>,
    /// How far the authority's clock is ahead of this host's, once it said.
    ahead: Mutex<TimeDelta>,
}

impl Authority {
    /// Prepares to ask; nothing is sent yet.
    ///
    /// # Errors
    ///
    /// Says which setting to correct.
    pub fn new(
        settings: AuthoritySettings,
        http: HttpSettings,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, AuthorityRefused> {
        let AuthoritySettings { address, tenant, client, scope } = settings;
        let url = token_url(&address, &tenant)?;
        // An id is put into a form, which takes any text; this only catches slips.
        if client.trim().is_empty() || client.contains(char::is_whitespace) {
            return Err(AuthorityRefused::Client);
        }
        if scope.contains(char::is_whitespace) || scope.strip_suffix("/.default").is_none_or(str::is_empty) {
            return Err(AuthorityRefused::Scope);
        }
        let http = HttpSettings { plain_only: url.scheme() == "http", ..http };
        let pool = Pool::new(http, Versions::Http1, Arc::clone(&clock))?;
        Ok(Self { pool, url, client, scope, clock, ahead: Mutex::default() })
    }

    /// Returns the address tokens are asked for at, which is whom an assertion is for.
    pub(super) fn audience(&self) -> &str {
        self.url.as_str()
    }

    /// Returns the application's id.
    pub(super) fn client(&self) -> &str {
        &self.client
    }

    /// Returns the date by the authority's clock, as far as it is known: a signed
    /// statement is judged by that one.
    pub(super) fn date(&self, now: Now) -> DateTime<Utc> {
        now.wall.checked_add_signed(self.ahead()).unwrap_or(now.wall)
    }

    /// Returns how far the authority's clock is ahead of this host's, as far as it is known.
    pub(super) fn ahead(&self) -> TimeDelta {
        *self.ahead.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns whether something notable was learned of that since.
    pub(super) fn has_moved_since(&self, ahead: TimeDelta) -> bool {
        (self.ahead() - ahead).abs() >= NOTABLE
    }

    /// Asks for a token once. `credential` is what the credential is called.
    ///
    /// # Errors
    ///
    /// Says what the authority said and what to do.
    pub(super) async fn grant(
        &self,
        credential: &str,
        proof: &Proof,
        claims: Option<&str>,
    ) -> Result<Granted, NoToken> {
        let pooled = self.pool.current();
        let now = self.clock.now();
        let request_id = guid();
        let request = pooled
            .client
            .post(self.url.clone())
            .header(ACCEPT, "application/json")
            .header(CONTENT_TYPE, "application/x-www-form-urlencoded")
            .header("client-request-id", &request_id)
            .body(self.form(proof, claims));
        let host = self.url.host_str().unwrap_or_default();
        let step = format!("sign in with {credential} at {host}");
        let reply = pooled.exchange(request, ANSWER_LIMIT).await.map_err(|NoAnswer { detail, .. }| {
            self.pool.replace(&pooled);
            NoToken::unreachable(format!("{step}: {detail}"))
        })?;
        let date = headers::server_date(&reply.headers, now.wall);
        self.mind_the_clock(date, now);
        let status = reply.status.as_u16();
        if matches!(status, 503 | 504) || reply.body.is_err() {
            self.pool.replace(&pooled);
        }
        tracing::debug!(status, host, client_request_id = request_id, "asked for a token");
        if reply.status.is_success() {
            return match read(&reply, date.unwrap_or(now.wall)) {
                Ok((token, life)) => Ok(Granted { token, asked: now.moment, life: Some(life) }),
                Err(what) => Err(NoToken::unreachable(format!("{step}: {what}"))),
            };
        }
        let (Proof::Secret(secret) | Proof::Assertion(secret)) = proof;
        // It may come back as it was, or as the form had it.
        let written = Zeroizing::new(form_urlencoded::byte_serialize(secret.expose().as_bytes()).collect::<String>());
        let refusal = Refusal::read(&reply, &[secret.expose(), &written]);
        let retry_after =
            headers::retry_after(&reply.headers, date.unwrap_or(now.wall), self.pool.settings().retry_after_cap);
        let why = if refusal.is_passing() { Why::Unreachable { retry_after } } else { Why::Refused };
        let message = format!("{step}: {}{}", refusal.said(), refusal.advice(self.clock_is_off()));
        Err(NoToken { message, why })
    }

    /// Writes the form, in memory that is wiped when it has been sent.
    fn form(&self, proof: &Proof, claims: Option<&str>) -> reqwest::Body {
        let (Proof::Secret(secret) | Proof::Assertion(secret)) = proof;
        // Room for all of it, so that growing leaves no copies behind.
        let room = FORM + 3 * (secret.expose().len() + claims.map_or(0, str::len));
        let mut form = form_urlencoded::Serializer::new(String::with_capacity(room));
        form.append_pair("grant_type", "client_credentials");
        form.append_pair("client_id", &self.client);
        form.append_pair("scope", &self.scope);
        match proof {
            Proof::Secret(secret) => form.append_pair("client_secret", secret.expose()),
            Proof::Assertion(assertion) => {
                form.append_pair("client_assertion_type", ASSERTION_TYPE);
                form.append_pair("client_assertion", assertion.expose())
            }
        };
        if let Some(claims) = claims {
            form.append_pair("claims", claims);
        }
        secret_body(Zeroizing::new(form.finish().into_bytes())).into()
    }

    fn mind_the_clock(&self, date: Option<DateTime<Utc>>, now: Now) {
        if let Some(date) = date {
            *self.ahead.lock().unwrap_or_else(PoisonError::into_inner) = date.signed_duration_since(now.wall);
        }
    }

    /// Returns how far this host's clock is off, if that is worth saying.
    fn clock_is_off(&self) -> Option<TimeDelta> {
        let ahead = self.ahead();
        (ahead.abs() >= NOTABLE).then_some(-ahead)
    }
}

/// Reads a token out of a success.
fn read(reply: &Reply, date: DateTime<Utc>) -> Result<(Secret, std::time::Duration), String> {
    match &reply.body {
        Ok(body) => answer::read(body, reply.content_type(), date),
        Err(broken) => Err(broken.clone()),
    }
}

/// Returns the address of the tenant's token endpoint.
fn token_url(address: &str, tenant: &str) -> Result<Url, AuthorityRefused> {
    let mut url = Url::parse(address.trim()).map_err(|_| AuthorityRefused::Unreadable)?;
    let decorated = !url.username().is_empty() || url.password().is_some();
    if decorated || url.query().is_some() || url.fragment().is_some() || url.cannot_be_a_base() {
        return Err(AuthorityRefused::Unreadable);
    }
    let host = url.host_str().ok_or(AuthorityRefused::Unreadable)?.to_owned();
    match url.scheme() {
        "https" => (),
        "http" if is_loopback(&url) => (),
        "http" => return Err(AuthorityRefused::NotEncrypted(host)),
        _ => return Err(AuthorityRefused::Unreadable),
    }
    let is_name = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'.';
    let is_shared = ["common", "organizations", "consumers"].contains(&tenant);
    if tenant.is_empty() || !tenant.bytes().all(is_name) || tenant.starts_with('.') || is_shared {
        return Err(AuthorityRefused::Tenant);
    }
    let mut segments = url.path_segments_mut().map_err(|()| AuthorityRefused::Unreadable)?;
    segments.pop_if_empty().extend([tenant, "oauth2", "v2.0", "token"]);
    drop(segments);
    Ok(url)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_token_endpoint_is_the_tenants_and_keeps_the_secret_safe() {
        let url = token_url("https://login.microsoftonline.com/", "contoso.onmicrosoft.com").unwrap();
        assert_eq!(url.as_str(), "https://login.microsoftonline.com/contoso.onmicrosoft.com/oauth2/v2.0/token");
        assert!(token_url("http://127.0.0.1:1", "t").is_ok());
        for address in ["http://login.example", "ftp://x", "https://user:canary@x", "https://x/?canary", "x", ""] {
            let refused = token_url(address, "t").unwrap_err().to_string();
            assert!(refused.contains("auth.authority") && !refused.contains("canary"), "{refused}");
        }
        for tenant in ["", "common", "organizations", "a/b", "..", "a b", "a?b"] {
            assert!(matches!(token_url("https://x", tenant), Err(AuthorityRefused::Tenant)), "{tenant}");
        }
    }
}
