//! Serving small HTTP requests on a socket, with limits on everything.

use std::convert::Infallible;
use std::future::Future;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Incoming;
use hyper::header::{ALLOW, HeaderValue};
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use serde_json::{Value, json};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, UnixListener};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use super::stall::Watched;
use crate::adapters::http::secret::SecretJson;

/// Connections served at a time; more wait to be accepted.
const CONNECTIONS: usize = 32;
/// The largest request body, in bytes.
const BODY_LIMIT: usize = 64 << 10;
/// How long a client may take to send its request's head.
const HEAD_TIMEOUT: Duration = Duration::from_secs(5);
/// How long a client may take to send its request's body.
const BODY_TIMEOUT: Duration = Duration::from_secs(10);
/// The largest head of a request, in bytes.
const HEAD_LIMIT: usize = 16 << 10;
/// How long to wait before accepting again when the host is out of descriptors.
const BREATH: Duration = Duration::from_millis(100);

/// The body of an answer: whole, or a stream.
pub type Body = UnsyncBoxBody<Bytes, Infallible>;

/// Something that accepts connections.
pub trait Door: Send + 'static {
    /// What a connection is.
    type Connection: AsyncRead + AsyncWrite + Unpin + Send + 'static;

    /// Waits for the next connection.
    fn accept(&self) -> impl Future<Output = io::Result<Self::Connection>> + Send;
}

impl Door for UnixListener {
    type Connection = tokio::net::UnixStream;

    async fn accept(&self) -> io::Result<Self::Connection> {
        Self::accept(self).await.map(|(stream, _)| stream)
    }
}

impl Door for TcpListener {
    type Connection = tokio::net::TcpStream;

    async fn accept(&self) -> io::Result<Self::Connection> {
        Self::accept(self).await.map(|(stream, _)| stream)
    }
}

/// Serves every connection of a door, for ever. Dropping it ends them all.
pub async fn serve<D, H, F>(door: D, clock: Arc<dyn crate::ports::clock::Clock>, handler: H)
where
    D: Door,
    H: Fn(Request<Incoming>) -> F + Clone + Send + 'static,
    F: Future<Output = Response<Body>> + Send + 'static,
{
    let places = Arc::new(Semaphore::new(CONNECTIONS));
    let mut connections = JoinSet::new();
    let mut is_refused = false;
    loop {
        let place = Arc::clone(&places).acquire_owned().await.expect("the semaphore is never closed");
        let stream = match door.accept().await {
            Ok(stream) => {
                is_refused = false;
                stream
            }
            Err(error) => {
                // Said once, not ten times a second for as long as it lasts.
                if !std::mem::replace(&mut is_refused, true) {
                    tracing::warn!("accept a connection: {error}; trying on until it works");
                }
                clock.sleep_until(clock.now().moment + BREATH).await;
                continue;
            }
        };
        let stream = Watched::new(stream, Arc::clone(&clock));
        let handler = handler.clone();
        let service = service_fn(move |request| {
            let answer = handler(request);
            async move { Ok::<_, Infallible>(answer.await) }
        });
        connections.spawn(async move {
            let _place = place;
            let connection = hyper::server::conn::http1::Builder::new()
                .timer(TokioTimer::new())
                .header_read_timeout(HEAD_TIMEOUT)
                .max_buf_size(HEAD_LIMIT)
                .serve_connection(TokioIo::new(stream), service);
            if let Err(error) = connection.await {
                tracing::debug!("serve a connection: {error}");
            }
        });
        while connections.try_join_next().is_some() {}
    }
}

/// Reads a request's body as JSON; an empty one is null.
///
/// # Errors
///
/// The answer to give.
pub async fn read_json(request: Request<Incoming>) -> Result<Value, Refusal> {
    let reading = Limited::new(request.into_body(), BODY_LIMIT).collect();
    let body = tokio::time::timeout(BODY_TIMEOUT, reading)
        .await
        .map_err(|_| refuse(StatusCode::REQUEST_TIMEOUT, "read the request: its body did not come in time"))?;
    let bytes = body.map_err(|_| refuse(StatusCode::PAYLOAD_TOO_LARGE, "read the request: its body is too large"))?;
    let bytes = bytes.to_bytes();
    if bytes.is_empty() {
        return Ok(Value::Null);
    }
    serde_json::from_slice(&bytes)
        .map_err(|error| refuse(StatusCode::BAD_REQUEST, &format!("read the request's body as JSON: {error}")))
}

/// Answers with JSON.
pub fn answer(status: StatusCode, value: &Value) -> Response<Body> {
    respond(status, "application/json", format!("{value}\n"))
}

/// Answers with JSON that holds a secret.
pub fn answer_secret(status: StatusCode, value: &SecretJson) -> Response<Body> {
    respond(status, "application/json", value.line())
}

/// Answers with a text of some type.
pub fn respond(status: StatusCode, content_type: &'static str, text: impl Into<Bytes>) -> Response<Body> {
    Response::builder()
        .status(status)
        .header("content-type", content_type)
        .header("cache-control", "no-store")
        .body(Full::new(text.into()).boxed_unsync())
        .expect("the parts are valid by construction")
}

/// Says in an answer which methods a path has, as a refusal of another must
/// (RFC 9110, section 15.5.6).
pub fn allowing(mut answer: Response<Body>, methods: &str) -> Response<Body> {
    if let Ok(methods) = HeaderValue::from_str(methods) {
        answer.headers_mut().insert(ALLOW, methods);
    }
    answer
}

/// Something that is not done, and why.
#[derive(Debug)]
pub struct Refusal {
    status: StatusCode,
    message: String,
    exit: Option<u8>,
    besides: Option<(&'static str, Value)>,
}

impl Refusal {
    /// Says how a command that asked for it exits.
    pub fn with_exit(self, exit: u8) -> Self {
        Self { exit: Some(exit), ..self }
    }

    /// Says something besides the error.
    pub fn with(self, name: &'static str, value: Value) -> Self {
        Self { besides: Some((name, value)), ..self }
    }

    /// Makes the answer of it.
    pub fn answer(self) -> Response<Body> {
        let error = json!({ "status": self.status.as_u16(), "message": self.message, "exit": self.exit });
        let mut value = json!({ "error": error });
        if let Some((name, besides)) = self.besides {
            value[name] = besides;
        }
        answer(self.status, &value)
    }
}

/// Says that something is not done, and why.
pub fn refuse(status: StatusCode, message: &str) -> Refusal {
    Refusal { status, message: message.to_owned(), exit: None, besides: None }
}
