//! One exchange, from the first byte of a request to its answer: faults first,
//! then the rules, then the effect, then what the script does to the answer.

use std::io;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use chrono::{DateTime, Utc};
use http_body_util::{BodyExt, Limited};
use hyper::body::Incoming;
use hyper::{HeaderMap, Request, Response, Version};
use tokio::sync::{Notify, Semaphore};

use super::depot::Depot;
use super::faults::{Action, BodyOverride, Cut, FaultBook, Plan, Refuse};
use super::identity::Identity;
use super::mint::Mint;
use super::payload::Payload;
use super::pipe::Pipe;
use super::reply::{Ids, Refusal, Reply};
use super::route::{Route, Side};
use super::seen::{Seen, SeenLog};
use super::settings::SandboxSettings;
use super::times::{ServiceClock, http_date};
use super::tls::{self, Tls};
use super::world::World;
use super::{api, blob, held, identity};

/// The largest body the API takes, in bytes; real ones stay under 10 KiB.
const LARGEST_BODY: usize = 1 << 20;

/// Bytes of a refused body that are still read, so that the answer arrives.
const DRAINED: usize = 16 << 20;

/// Everything a request can reach.
pub(super) struct Service {
    pub(super) settings: SandboxSettings,
    pub(super) clock: Arc<ServiceClock>,
    pub(super) origin: String,
    pub(super) tls: Option<Tls>,
    pub(super) identity: Identity,
    pub(super) world: Mutex<World>,
    pub(super) faults: FaultBook,
    pub(super) seen: SeenLog,
    pub(super) mint: Mint,
    pub(super) depot: Arc<Depot>,
    pub(super) pipe: Option<Pipe>,
    /// Permits for work that reads whole tables.
    pub(super) heavy: Arc<Semaphore>,
    /// Told to whoever reads a table in a thread of its own.
    pub(super) stopping: AtomicBool,
    /// Told to the listener.
    pub(super) stopped: Notify,
}

/// A request without its body.
pub(super) struct Asked {
    pub(super) path: String,
    pub(super) route: Route,
    pub(super) headers: HeaderMap,
    pub(super) ids: Ids,
    /// The host and port the client believes to talk to.
    pub(super) authority: Option<String>,
    /// Whether it is written as to a proxy.
    pub(super) is_for_a_proxy: bool,
}

impl Asked {
    /// Returns a header that is text.
    pub(super) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).and_then(|value| value.to_str().ok())
    }

    pub(super) fn now(&self) -> DateTime<Utc> {
        self.ids.date
    }
}

/// What was done to a request.
struct Outcome {
    reply: Option<Reply>,
    body: String,
    refusal: Option<Refusal>,
}

impl Service {
    /// Answers a request, or fails to: an error cuts the connection.
    pub(super) async fn answer(
        self: Arc<Self>,
        request: Request<Incoming>,
        connection: u64,
    ) -> io::Result<Response<Payload>> {
        let (head, mut body) = request.into_parts();
        let (path, query) = (head.uri.path().to_owned(), head.uri.query().unwrap_or_default());
        let (route, found) = Route::find(&head.method, &path, query, &self.settings.quirks);
        let Plan { delay, action } = self.faults.plan(route.operation);
        self.clock.sleep(delay).await;
        let named = head.headers.get("client-request-id").and_then(|id| id.to_str().ok()).map(str::to_owned);
        let client = named.unwrap_or_else(|| self.mint.guid());
        let ids = Ids { request: self.mint.guid(), client, date: self.clock.date() };
        let named = head.uri.authority().map(|authority| authority.as_str().to_owned());
        let host = head.headers.get("host").and_then(|host| host.to_str().ok()).map(str::to_owned);
        let asked = Asked {
            path,
            route,
            headers: head.headers,
            ids,
            // With HTTP/2 every request names its authority.
            is_for_a_proxy: named.is_some() && head.version != Version::HTTP_2,
            authority: named.or(host),
        };

        let faulted = action.is_some() || !delay.is_zero();
        let outcome = self.perform(&asked, found, &mut body, action.as_ref()).await;
        let reply = outcome.reply.map(|reply| self.finish(reply, &asked, action.as_ref()));
        self.seen.record(Seen {
            number: 0,
            operation: asked.route.operation,
            method: head.method.to_string(),
            path: asked.path.clone(),
            status: reply.as_ref().map(|reply| reply.status().as_u16()),
            at: asked.now(),
            body: outcome.body,
            breach: outcome.refusal.as_ref().is_some_and(|refusal| refusal.breach),
            refused: outcome.refusal.map(|refusal| format!("{}: {}", refusal.code, refusal.message)),
            faulted,
            version: match head.version {
                Version::HTTP_2 => "HTTP/2",
                Version::HTTP_10 => "HTTP/1.0",
                _ => "HTTP/1.1",
            },
            connection,
        });
        if reply.is_none() || outcome_is_early(action.as_ref()) {
            return reply.ok_or_else(|| io::Error::other("the script cuts the connection"));
        }
        drain(&mut body).await;
        reply.ok_or_else(|| io::Error::other("the script cuts the connection"))
    }

    /// Does what is asked, as far as the script lets it.
    async fn perform(
        self: &Arc<Self>,
        asked: &Asked,
        found: Result<(), Refusal>,
        body: &mut Incoming,
        action: Option<&Action>,
    ) -> Outcome {
        match action {
            Some(Action::Cut(Cut::Before)) => return Outcome::cut("cut before the body"),
            Some(Action::Cut(Cut::AfterBody)) => {
                drain(body).await;
                return Outcome::cut("cut after the body");
            }
            Some(Action::Refuse(refuse)) => {
                if !refuse.early {
                    drain(body).await;
                }
                let refusal = scripted(refuse, asked.route.side);
                let reply = refusal.reply(asked.route.side, &asked.ids, &self.settings.quirks);
                return Outcome { reply: Some(reply), body: String::new(), refusal: Some(refusal) };
            }
            _ => (),
        }
        let mut summary = String::new();
        let result = match found {
            Err(refusal) => Err(refusal),
            Ok(()) if asked.route.side == Side::Blob => blob::handle(self, asked, body, action, &mut summary).await,
            Ok(()) => match read(body).await {
                Ok(bytes) if asked.route.side == Side::Api => {
                    api::handle(self, asked, &bytes, action, &mut summary).await
                }
                Ok(bytes) => identity::handle(self, asked, &bytes, &mut summary),
                Err(refusal) => Err(refusal),
            },
        };
        let mut outcome = match result {
            Ok(reply) => Outcome { reply: Some(reply), body: summary, refusal: None },
            Err(refusal) => {
                let reply = refusal.reply(asked.route.side, &asked.ids, &self.settings.quirks);
                Outcome { reply: Some(reply), body: summary, refusal: Some(refusal) }
            }
        };
        if action == Some(&Action::LostReply) {
            outcome.reply = None;
        }
        outcome
    }

    /// Puts the headers on that every answer has, and does to the answer what
    /// the script says.
    fn finish(&self, reply: Reply, asked: &Asked, action: Option<&Action>) -> Response<Payload> {
        let payload = self.mangle(reply.payload, action);
        let mut response = Response::new(payload);
        *response.status_mut() = hyper::StatusCode::from_u16(reply.status).unwrap_or_default();
        let headers = response.headers_mut();
        let mut set = |name: &'static str, value: &str| {
            if let Ok(value) = value.parse() {
                headers.insert(name, value);
            }
        };
        if !self.settings.quirks.no_date {
            set("date", &http_date(asked.now()));
        }
        match asked.route.side {
            Side::Api | Side::Token => {
                set("request-id", &asked.ids.request);
                set("client-request-id", &asked.ids.client);
                set(
                    "x-ms-ags-diagnostic",
                    r#"{"ServerInfo":{"DataCenter":"Sandbox","Slice":"E","Ring":"1","ScaleUnit":"000","RoleInstance":"SANDBOX"}}"#,
                );
                set("cache-control", "no-store, no-cache");
            }
            Side::Metadata => set("server", "IMDS/150.870.65.1854"),
            Side::AppService => set("server", "Kestrel"),
            Side::Blob => {
                set("server", "Windows-Azure-Blob/1.0 Microsoft-HTTPAPI/2.0");
                set("x-ms-request-id", &asked.ids.request);
                set(
                    "x-ms-version",
                    asked.header("x-ms-version").or(asked.route.parameter("sv")).unwrap_or("2024-11-04"),
                );
                if let Some(id) = asked.header("x-ms-client-request-id") {
                    set("x-ms-client-request-id", id);
                }
            }
        }
        for (name, value) in &reply.headers {
            set(name, value);
        }
        if let Some(Action::Body(BodyOverride::Html)) = action {
            set("content-type", "text/html");
        }
        response
    }

    fn mangle(&self, payload: Payload, action: Option<&Action>) -> Payload {
        match action {
            Some(Action::Drip(pace)) => {
                Payload::Drip { text: payload.into_text(), pace: *pace, clock: Arc::clone(&self.clock), pause: None }
            }
            Some(Action::Cut(Cut::MidAnswer)) => {
                let text = payload.into_text();
                Payload::Broken { half: Some(text.slice(..text.len() / 2)), claimed: text.len().max(1) as u64 }
            }
            Some(Action::Body(body)) => Payload::Text(match body {
                BodyOverride::Null => Some("null".into()),
                BodyOverride::Empty => None,
                BodyOverride::Html => Some(SIGN_IN_PAGE.into()),
                BodyOverride::Text(text) => Some(text.clone().into()),
                BodyOverride::Truncated => {
                    let text = payload.into_text();
                    Some(text.slice(..text.len() / 2))
                }
            }),
            _ => payload,
        }
    }

    /// Returns whether a host, with or without a port, is a name of this sandbox.
    pub(super) fn is_named(&self, authority: &str) -> bool {
        let (scheme, own) = self.origin.split_once("://").unwrap_or_default();
        let port = own.rsplit_once(':').map_or("", |(_, port)| port);
        let usual = if scheme == "https" { "443" } else { "80" };
        let host = match authority.rsplit_once(':') {
            Some((host, said)) if said.parse::<u16>().is_ok() => (said == port || said == usual).then_some(host),
            _ => Some(authority),
        };
        let mut names = tls::OWN_NAMES.into_iter().chain(self.settings.names.iter().map(String::as_str));
        authority == own
            || host.is_some_and(|host| names.any(|name| host.trim_matches(['[', ']']).eq_ignore_ascii_case(name)))
    }

    /// Brings the world up to date and lends it out.
    pub(super) fn world(&self) -> std::sync::MutexGuard<'_, World> {
        let mut world = held(&self.world);
        world.advance(self.clock.date(), &self.mint.guid(), &self.settings);
        world
    }
}

const SIGN_IN_PAGE: &str =
    "<!DOCTYPE html><html><head><title>Sign in to the network</title></head><body><form></form></body></html>";

impl Outcome {
    fn cut(how: &str) -> Self {
        Self { reply: None, body: how.to_owned(), refusal: None }
    }
}

fn outcome_is_early(action: Option<&Action>) -> bool {
    matches!(action, Some(Action::Refuse(Refuse { early: true, .. })))
}

/// Returns the refusal a script asks for.
fn scripted(refuse: &Refuse, side: Side) -> Refusal {
    let usual = match (refuse.status, side) {
        (401, Side::Api) => "InvalidAuthenticationToken",
        (401, Side::Token) => "invalid_client",
        (500..=599, Side::Token) => "temporarily_unavailable",
        (_, Side::Token) => "invalid_request",
        (404, Side::Metadata) => "not_found",
        (410, Side::Metadata) => "gone",
        (429, Side::Metadata) => "too_many_requests",
        (500..=599, Side::Metadata) => "unknown",
        (_, Side::Metadata) => "invalid_request",
        (403, Side::Blob) => "AuthenticationFailed",
        (403, _) => "Authorization_RequestDenied",
        (404, Side::Blob) => "ContainerNotFound",
        (404, _) => "ResourceNotFound",
        (409, _) => "Conflict",
        (429, _) => "TooManyRequests",
        (500, Side::Blob) => "InternalError",
        (503, Side::Blob) => "ServerBusy",
        (503, _) => "serviceNotAvailable",
        (504, _) => "gatewayTimeout",
        (400..=499, _) => "BadRequest",
        _ => "generalException",
    };
    let message = refuse.message.as_deref().unwrap_or("The script says so.");
    let refusal = Refusal::no(refuse.status, refuse.code.as_deref().unwrap_or(usual), message);
    match &refuse.retry_after {
        Some(text) => refusal.with("retry-after", &**text),
        None => refusal,
    }
}

/// Reads the body of a request to the API.
async fn read(body: &mut Incoming) -> Result<Bytes, Refusal> {
    let whole = Limited::new(body, LARGEST_BODY).collect().await;
    whole.map(http_body_util::Collected::to_bytes).map_err(|error| {
        if error.is::<http_body_util::LengthLimitError>() {
            Refusal::breach(413, "RequestEntityTooLarge", "The body is larger than the service takes.")
        } else {
            Refusal::no(400, "BadRequest", "The body ended early.")
        }
    })
}

/// Reads what is left of a body and forgets it.
async fn drain(body: &mut Incoming) {
    let mut left = DRAINED;
    while let Some(Ok(frame)) = body.frame().await {
        let length = frame.data_ref().map_or(0, Bytes::len);
        match left.checked_sub(length) {
            Some(rest) => left = rest,
            None => return,
        }
    }
}
