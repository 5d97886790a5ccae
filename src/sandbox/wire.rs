//! The listener and its connections.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper::{Request, server::conn::http1};
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use super::service::Service;

/// Connections served at once; further ones wait in the listener's queue.
const MOST_CONNECTIONS: usize = 512;

/// Bytes of headers, and of a body read at once, per connection.
const BUFFER: usize = 128 << 10;

/// How long to wait after the listener could not accept, as when the process
/// is out of descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// Serves connections until the service is stopped, and cuts them then.
pub(super) async fn serve(listener: TcpListener, service: Arc<Service>) {
    let permits = Arc::new(Semaphore::new(MOST_CONNECTIONS));
    let mut connections = JoinSet::new();
    loop {
        while connections.try_join_next().is_some() {}
        let accept = async {
            let permit = Arc::clone(&permits).acquire_owned().await;
            (listener.accept().await, permit)
        };
        let (accepted, permit) = tokio::select! {
            accepted = accept => accepted,
            () = service.stopped.notified() => break,
        };
        let stream = match accepted {
            Ok((stream, _)) => stream,
            Err(error) => {
                tracing::warn!(%error, "accept a connection");
                service.clock.sleep(ACCEPT_PAUSE).await;
                continue;
            }
        };
        // Answers are small; waiting to fill a packet would only add time.
        let _ = stream.set_nodelay(true);
        let service = Arc::clone(&service);
        connections.spawn(async move {
            let answer = service_fn(move |request: Request<Incoming>| Arc::clone(&service).answer(request));
            let connection = http1::Builder::new()
                .auto_date_header(false)
                .max_buf_size(BUFFER)
                .serve_connection(TokioIo::new(stream), answer);
            if let Err(error) = connection.await {
                tracing::trace!(%error, "a connection ended");
            }
            drop(permit);
        });
    }
    connections.shutdown().await;
}

/// Listens.
pub(super) async fn listen(address: std::net::SocketAddr) -> io::Result<TcpListener> {
    TcpListener::bind(address).await
}
