//! The read-only listener for probes: is the agent alive, is it ready.

use std::sync::Arc;
use std::time::Duration;

use hyper::body::Incoming;
use hyper::{Method, Request, Response, StatusCode};
use tokio::sync::watch;

use super::dispatcher::Volume;
use super::serve::{Body, allowing, respond};
use super::watchdog::turned;
use crate::ground::moment::Moment;
use crate::ports::clock::Clock;
use crate::ports::tokens::{SignIn, TokenProvider};

/// How long the dispatcher may go without a turn before it counts as stuck. It
/// turns at least this often, because the probes themselves wake it.
const STUCK_AFTER: Duration = Duration::from_secs(10);

/// What the probes look at.
#[derive(Clone)]
pub struct Probes {
    /// The clocks.
    pub clock: Arc<dyn Clock>,
    /// When the dispatcher last turned.
    pub beat: watch::Receiver<Moment>,
    /// How the journal's volume is.
    pub volume: watch::Receiver<Volume>,
    /// Wakes the dispatcher.
    pub asker: super::ask::Asker,
    /// Hands out tokens.
    pub tokens: Arc<dyn TokenProvider>,
    /// Set when the agent is stopping.
    pub stopping: Arc<std::sync::atomic::AtomicBool>,
}

impl Probes {
    /// Answers one probe.
    pub async fn handle(self, request: Request<Incoming>) -> Response<Body> {
        let path = request.uri().path().to_owned();
        // The answer to HEAD is that to GET, without its body.
        if ![Method::GET, Method::HEAD].contains(request.method()) {
            return allowing(say(StatusCode::METHOD_NOT_ALLOWED, "only GET and HEAD"), "GET, HEAD");
        }
        match path.as_str() {
            "/livez" | "/startupz" => self.live().await,
            "/readyz" => self.ready().await,
            _ => say(StatusCode::NOT_FOUND, "here are /livez, /readyz and /startupz"),
        }
    }

    /// Alive means that the dispatcher turns, whatever the service does.
    async fn live(self) -> Response<Body> {
        match turned(&self.clock, &self.asker, &self.beat, STUCK_AFTER).await {
            Ok(()) => say(StatusCode::OK, "ok"),
            Err(still) => say(StatusCode::SERVICE_UNAVAILABLE, &still.to_string()),
        }
    }

    /// Ready means able to take work: not stopping, a journal that writes, and
    /// signed in.
    async fn ready(self) -> Response<Body> {
        if self.stopping.load(std::sync::atomic::Ordering::Relaxed) {
            return say(StatusCode::SERVICE_UNAVAILABLE, "stopping");
        }
        let stalled = match &*self.volume.borrow() {
            Volume::Sound => None,
            Volume::Stalled(reason) | Volume::Failed(reason) => Some(reason.clone()),
        };
        if let Some(reason) = stalled {
            return say(StatusCode::SERVICE_UNAVAILABLE, &reason);
        }
        match self.tokens.sign_in() {
            sign_in if sign_in.is_in() => self.live().await,
            SignIn { trouble: Some(trouble), .. } => say(StatusCode::SERVICE_UNAVAILABLE, &trouble),
            SignIn { trouble: None, .. } => say(StatusCode::SERVICE_UNAVAILABLE, "signing in"),
        }
    }
}

fn say(status: StatusCode, text: &str) -> Response<Body> {
    respond(status, "text/plain; charset=utf-8", format!("{text}\n"))
}
