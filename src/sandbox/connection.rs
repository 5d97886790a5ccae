//! One connection, from its first byte to its last: plain or under TLS, HTTP/1.1
//! or HTTP/2.
//!
//! Where a fault cuts a connection, the whole of it goes, whichever the version:
//! with HTTP/2 the other requests on it are lost too, as they are when a line
//! breaks. Only an answer that breaks off half-way ends its own stream alone.

use std::sync::{Arc, Mutex};

use hyper::Request;
use hyper::body::Incoming;
use hyper::rt::Executor;
use hyper::server::conn::{http1, http2};
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::sync::Notify;
use tokio::task::JoinSet;

use super::held;
use super::service::Service;

/// Bytes of headers, and of a body read at once, per connection.
const BUFFER: usize = 128 << 10;

/// Requests on one HTTP/2 connection at once.
const MOST_STREAMS: u32 = 128;

/// A connection, as those who answer see it.
pub(super) struct Link {
    /// Its number, from 1.
    pub(super) number: u64,
    cut: Notify,
}

impl Link {
    pub(super) fn new(number: u64) -> Self {
        Self { number, cut: Notify::new() }
    }
}

/// Serves what comes over a stream until either side ends it.
pub(super) async fn open(stream: TcpStream, link: Arc<Link>, service: Arc<Service>) {
    let Some(tls) = &service.tls else {
        return speak(stream, false, link, service).await;
    };
    match tls.acceptor.accept(stream).await {
        Ok(stream) => {
            let is_http2 = stream.get_ref().1.alpn_protocol() == Some(b"h2");
            speak(stream, is_http2, link, service).await;
        }
        Err(error) => tracing::debug!(%error, "a client did not finish the handshake; does it trust the CA?"),
    }
}

async fn speak<S>(stream: S, is_http2: bool, link: Arc<Link>, service: Arc<Service>)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let answering = Arc::clone(&link);
    let answer = service_fn(move |request: Request<Incoming>| {
        let (service, link) = (Arc::clone(&service), Arc::clone(&answering));
        async move {
            let answer = service.answer(request, link.number).await;
            if answer.is_err() {
                link.cut.notify_one();
            }
            answer
        }
    });
    let stream = TokioIo::new(stream);
    let outcome = if is_http2 {
        let streams = Streams::default();
        let connection = http2::Builder::new(streams.clone())
            .auto_date_header(false)
            .max_concurrent_streams(MOST_STREAMS)
            .serve_connection(stream, answer);
        let outcome = tokio::select! {
            biased;
            () = link.cut.notified() => Ok(()),
            outcome = connection => outcome,
        };
        held(&streams.0).abort_all();
        outcome
    } else {
        http1::Builder::new().auto_date_header(false).max_buf_size(BUFFER).serve_connection(stream, answer).await
    };
    if let Err(error) = outcome {
        tracing::trace!(%error, "a connection ended");
    }
}

/// The requests of an HTTP/2 connection, which end with it.
#[derive(Clone, Default)]
struct Streams(Arc<Mutex<JoinSet<()>>>);

impl<F> Executor<F> for Streams
where
    F: Future<Output = ()> + Send + 'static,
{
    fn execute(&self, request: F) {
        let mut requests = held(&self.0);
        while requests.try_join_next().is_some() {}
        requests.spawn(request);
    }
}
