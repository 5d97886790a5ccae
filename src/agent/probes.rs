//! The read-only listener: is the agent alive, is it ready, what did it count,
//! and how does everything stand.
//!
//! Whoever reaches it may read it, so nothing here is a secret: no upload URI
//! and no token, and texts pass the net of [`crate::ground::redact`].

use std::time::Duration;

use hyper::body::Incoming;
use hyper::header::{CONTENT_SECURITY_POLICY, HeaderName, HeaderValue, REFERRER_POLICY, X_CONTENT_TYPE_OPTIONS};
use hyper::{Method, Request, Response, StatusCode};
use serde_json::json;

use super::metrics::CONTENT_TYPE;
use super::overview::{Lookout, readiness};
use super::page::page;
use super::serve::{Body, allowing, answer, respond};
use super::watchdog::{Still, turned};
use crate::ground::redact::redact;

/// How long the dispatcher may go without a turn before it counts as stuck. It
/// turns at least this often, because the probes themselves wake it.
const STUCK_AFTER: Duration = Duration::from_secs(10);

/// What a browser may do with the status page: show it, and nothing else.
const HEADERS: [(HeaderName, &str); 3] = [
    (
        CONTENT_SECURITY_POLICY,
        "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    ),
    (X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (REFERRER_POLICY, "no-referrer"),
];

/// Answers whoever looks.
#[derive(Clone)]
pub struct Probes(Lookout);

/// One thing that was looked at: its name, and what is wrong with it.
type Check = (&'static str, Option<String>);

impl Probes {
    /// Answers with what a lookout sees.
    pub const fn new(lookout: Lookout) -> Self {
        Self(lookout)
    }

    /// Answers one request.
    pub async fn handle(self, request: Request<Incoming>) -> Response<Body> {
        // The answer to HEAD is that to GET, without its body.
        if ![Method::GET, Method::HEAD].contains(request.method()) {
            return allowing(say(StatusCode::METHOD_NOT_ALLOWED, "only GET and HEAD"), "GET, HEAD");
        }
        let words = request.uri().query().unwrap_or_default();
        let is_verbose = words.split('&').any(|word| word == "verbose" || word.starts_with("verbose="));
        match request.uri().path() {
            "/livez" | "/startupz" => verdict(&[self.turns().await], is_verbose),
            "/readyz" => {
                let mut checks = self.ready().to_vec();
                // One that has stopped need not turn any more to be told so.
                if is_verbose || checks.iter().all(|(_, trouble)| trouble.is_none()) {
                    checks.push(self.turns().await);
                }
                verdict(&checks, is_verbose)
            }
            "/metrics" => {
                let overview = self.0.look().await;
                respond(StatusCode::OK, CONTENT_TYPE, self.0.metrics.exposition(&overview))
            }
            "/" => {
                let overview = self.0.look().await;
                let mut shown = respond(StatusCode::OK, "text/html; charset=utf-8", page(&overview));
                for (name, value) in HEADERS {
                    shown.headers_mut().insert(name, HeaderValue::from_static(value));
                }
                shown
            }
            _ => say(StatusCode::NOT_FOUND, "here are /, /livez, /readyz, /startupz and /metrics"),
        }
    }

    /// Alive means that the dispatcher turns, whatever the service does. One that
    /// has ended because the agent is stopping has done its part.
    async fn turns(&self) -> Check {
        let Lookout { clock, asker, beat, .. } = &self.0;
        let turned = turned(clock, asker, beat, STUCK_AFTER).await;
        let trouble = match turned {
            Err(Still::NoDispatcher) if self.is_stopping() => None,
            turned => turned.err().map(|still| still.to_string()),
        };
        ("dispatcher", trouble)
    }

    /// Ready means able to take work: not stopping, a journal that writes, and
    /// signed in.
    fn ready(&self) -> [Check; 3] {
        readiness(self.is_stopping(), &self.0.volume.borrow(), &self.0.tokens.sign_in())
    }

    fn is_stopping(&self) -> bool {
        self.0.stopping.load(std::sync::atomic::Ordering::Relaxed)
    }
}

/// Answers with the first thing that is wrong, or with each check.
fn verdict(checks: &[Check], is_verbose: bool) -> Response<Body> {
    let wrong = checks.iter().find_map(|(_, trouble)| trouble.as_deref());
    let status = if wrong.is_none() { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    if !is_verbose {
        return say(status, wrong.unwrap_or("ok"));
    }
    let each = checks.iter().map(|(name, trouble)| {
        let message = trouble.as_deref().map(redact);
        json!({ "name": name, "ok": trouble.is_none(), "message": message })
    });
    answer(status, &json!({ "ok": wrong.is_none(), "checks": each.collect::<Vec<_>>() }))
}

fn say(status: StatusCode, text: &str) -> Response<Body> {
    respond(status, "text/plain; charset=utf-8", format!("{}\n", redact(text)))
}
