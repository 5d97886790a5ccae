//! One request to the service: built, authorised, sent, answered, judged.
//!
//! # Invariants
//!
//! - The bearer token goes to the configured origin and nowhere else.
//! - A request is sent once; a second time only after a 401, with a new token.
//! - Nothing that is logged or said holds an address's query, a token or a body.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use base64::{Engine, alphabet};
use chrono::{DateTime, TimeDelta, Utc};
use reqwest::header::{ACCEPT, AUTHORIZATION, CONTENT_LENGTH, CONTENT_TYPE, DATE, IF_MATCH, WWW_AUTHENTICATE};
use reqwest::{Method, Url};

use super::verdict::judge;
use crate::adapters::http::exchange::{ANSWER_LIMIT, NoAnswer, Reply};
use crate::adapters::http::guid::guid;
use crate::adapters::http::secret::{SecretJson, secret_header};
use crate::adapters::http::text::scrub;
use crate::adapters::http::{Pool, headers};
use crate::ground::moment::{Moment, Now};
use crate::ground::secret::Secret;
use crate::ports::clock::Clock;
use crate::ports::service::ServiceError;
use crate::ports::tokens::{NoToken, TokenProvider, Why};
use crate::upload::fault::Fault;

/// How far this host's clock may be off before it is said.
const NOTABLE_SKEW: TimeDelta = TimeDelta::minutes(5);

/// What a request carries.
pub(super) enum Payload {
    /// Nothing: a GET or a DELETE.
    None,
    /// A POST that needs no body, with the content type it says it has.
    Bodiless(Option<&'static str>),
    /// A JSON body.
    Json(SecretJson),
}

/// One request to be made.
pub(super) struct Call {
    pub(super) step: String,
    pub(super) method: Method,
    pub(super) url: Url,
    pub(super) payload: Payload,
    pub(super) if_match: Option<String>,
    pub(super) patience: Duration,
    /// Whether it opens a session, which the service rations.
    pub(super) creates: bool,
    /// What it carries that must not come back in an error.
    pub(super) secrets: Vec<Secret>,
}

impl Call {
    /// Returns the error of this call, with what the machine should make of it.
    pub(super) fn failed(&self, fault: Fault, detail: impl Into<String>) -> ServiceError {
        ServiceError { step: self.step.clone(), detail: detail.into(), fault }
    }

    /// Returns what was sent that must not be repeated, should it come back.
    fn unspeakable<'a>(&'a self, token: &'a Secret) -> Vec<&'a str> {
        self.secrets.iter().chain(std::iter::once(token)).map(Secret::expose).collect()
    }

    /// Returns the error of an answer that makes no sense: it settles nothing.
    pub(super) fn unclear(&self, detail: impl Into<String>) -> ServiceError {
        self.failed(Fault::Transient { retry_after: None }, detail)
    }
}

/// A successful answer, not yet read.
pub(super) struct Answered {
    pub(super) reply: Reply,
    pub(super) asked: Moment,
    pub(super) server_time: Option<DateTime<Utc>>,
}

/// The way to the service.
pub(super) struct Wire {
    pub(super) pool: Pool,
    pub(super) tokens: Arc<dyn TokenProvider>,
    pub(super) clock: Arc<dyn Clock>,
    /// Whether it was said already that the clocks disagree.
    pub(super) skew_told: AtomicBool,
}

impl Wire {
    /// Makes a request and returns its answer if it is a success.
    pub(super) async fn call(&self, call: &Call) -> Result<Answered, ServiceError> {
        let deadline = self.clock.now().moment + call.patience;
        let token = self.token(call, deadline).await?;
        let first = self.attempt(call, token, deadline).await?;
        if first.reply.status.as_u16() != 401 {
            return self.settle(call, first);
        }
        self.tokens.refused(&first.token, challenge(&first.reply).as_deref());
        let token = self.token(call, deadline).await?;
        if token.expose() == first.token.expose() {
            return self.settle(call, first);
        }
        let second = self.attempt(call, token, deadline).await?;
        if second.reply.status.as_u16() == 401 {
            self.tokens.refused(&second.token, challenge(&second.reply).as_deref());
        }
        self.settle(call, second)
    }

    /// Waits for a token, as long as the call has time.
    async fn token(&self, call: &Call, deadline: Moment) -> Result<Secret, ServiceError> {
        tokio::select! {
            biased;
            token = self.tokens.token() => token.map_err(|none| call.failed(fault_of(&none), none.message)),
            () = self.clock.sleep_until(deadline) => {
                let trouble = self.tokens.sign_in().trouble;
                Err(call.unclear(trouble.unwrap_or_else(|| "no token came in time".to_owned())))
            }
        }
    }

    /// Sends a request once.
    async fn attempt(&self, call: &Call, token: Secret, deadline: Moment) -> Result<Attempted, ServiceError> {
        let now = self.clock.now();
        let patience = now.moment.until(deadline);
        if patience.is_zero() {
            return Err(call.unclear("no time was left to ask"));
        }
        let client_request_id = guid();
        let pooled = self.pool.current();
        let bearer = secret_header(&["Bearer ", token.expose()])
            .map_err(|_| call.failed(Fault::Unauthorised, "the token holds characters no token has"))?;
        let mut request = pooled
            .client
            .request(call.method.clone(), call.url.clone())
            .timeout(patience)
            .header(AUTHORIZATION, bearer)
            .header(ACCEPT, "application/json")
            .header("client-request-id", &client_request_id);
        if let Some(tag) = &call.if_match {
            request = request.header(IF_MATCH, tag);
        }
        request = match &call.payload {
            Payload::None => request,
            Payload::Bodiless(content_type) => {
                let request = request.header(CONTENT_LENGTH, 0);
                content_type.iter().fold(request, |request, kind| request.header(CONTENT_TYPE, *kind))
            }
            Payload::Json(body) => request.header(CONTENT_TYPE, "application/json").body(body.body()),
        };
        let answer = pooled.exchange(request, ANSWER_LIMIT).await;
        let elapsed = now.moment.until(self.clock.now().moment);
        match answer {
            Ok(reply) => {
                let status = reply.status.as_u16();
                let request_id = scrub(reply.header("request-id").unwrap_or_default(), &call.unspeakable(&token));
                tracing::debug!(step = %call.step, status, request_id, client_request_id, ?elapsed, "asked the service");
                if matches!(status, 503 | 504) {
                    self.pool.replace(&pooled);
                }
                Ok(Attempted { reply, now, client_request_id, token })
            }
            Err(NoAnswer { detail, connected, inside: _ }) => {
                if connected {
                    self.pool.replace(&pooled);
                }
                tracing::debug!(step = %call.step, client_request_id, ?elapsed, detail, "asked the service in vain");
                Err(call.unclear(format!("{detail} (client-request-id {client_request_id})")))
            }
        }
    }

    /// Turns what was answered into a success or a fault.
    fn settle(&self, call: &Call, attempted: Attempted) -> Result<Answered, ServiceError> {
        let Attempted { reply, now, client_request_id, token } = attempted;
        let server_time = headers::server_date(&reply.headers, now.wall);
        self.mind_the_clock(&reply, server_time, now);
        if reply.status.as_u16() != 401 {
            self.tokens.accepted();
        }
        if reply.status.is_success() {
            return Ok(Answered { reply, asked: now.moment, server_time });
        }
        let secrets = call.unspeakable(&token);
        let cap = self.pool.settings().retry_after_cap;
        let verdict = judge(&reply, call.creates, server_time.unwrap_or(now.wall), cap, &secrets);
        let request_id = verdict.request_id.as_deref().unwrap_or("none");
        let request_id = scrub(request_id, &secrets);
        let detail = format!("{} (request-id {request_id}, client-request-id {client_request_id})", verdict.detail);
        Err(call.failed(verdict.fault, detail))
    }

    /// Says once that this host's clock disagrees with the service's.
    fn mind_the_clock(&self, reply: &Reply, server_time: Option<DateTime<Utc>>, now: Now) {
        let ahead = server_time.map(|date| now.wall.signed_duration_since(date));
        let absurd = server_time.is_none() && reply.headers.contains_key(DATE);
        if !absurd && ahead.is_none_or(|ahead| ahead.abs() < NOTABLE_SKEW) {
            return;
        }
        if !self.skew_told.swap(true, Ordering::Relaxed) {
            let ahead =
                ahead.map_or_else(|| "more than a day".to_owned(), |ahead| format!("{} s", ahead.num_seconds()));
            tracing::warn!(ahead, "this host's clock differs from the service's: check its time synchronisation");
        }
    }
}

/// Returns the claims a refusal asks for, if conditional access wants more than
/// the token said: JSON in base64 in the challenge (Entra documentation, "Claims
/// challenges, claims requests and client capabilities").
pub(super) fn challenge(reply: &Reply) -> Option<String> {
    let mut challenges = reply.headers.get_all(WWW_AUTHENTICATE).iter().filter_map(|value| value.to_str().ok());
    let named = challenges.find_map(|challenge| challenge.split_once("claims=\""))?.1;
    let (claims, _) = named.split_once('"')?;
    let decoded = STANDARD_OR_NOT.decode(claims.trim()).or_else(|_| URL_SAFE_OR_NOT.decode(claims.trim())).ok()?;
    let text = String::from_utf8(decoded).ok()?;
    serde_json::from_str::<serde_json::Map<String, serde_json::Value>>(&text).is_ok().then_some(text)
}

/// Base64 with or without its padding: both are seen.
const PADDING: GeneralPurposeConfig =
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent);
const STANDARD_OR_NOT: GeneralPurpose = GeneralPurpose::new(&alphabet::STANDARD, PADDING);
const URL_SAFE_OR_NOT: GeneralPurpose = GeneralPurpose::new(&alphabet::URL_SAFE, PADDING);

/// Returns what the machine should make of having no token.
fn fault_of(none: &NoToken) -> Fault {
    match none.why {
        Why::Unreachable { retry_after } => Fault::Transient { retry_after },
        Why::Refused => Fault::Unauthorised,
    }
}

/// An answer, with what it takes to judge it.
struct Attempted {
    reply: Reply,
    now: Now,
    client_request_id: String,
    token: Secret,
}
