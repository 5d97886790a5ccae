//! The listener.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use super::connection::{self, Link};
use super::service::Service;

/// Connections served at once; further ones wait in the listener's queue.
const MOST_CONNECTIONS: usize = 512;

/// How long to wait after the listener could not accept, as when the process
/// is out of descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// Serves connections until the service is stopped, and cuts them then.
pub(super) async fn serve(listener: TcpListener, service: Arc<Service>) {
    let permits = Arc::new(Semaphore::new(MOST_CONNECTIONS));
    let mut connections = JoinSet::new();
    let mut number = 0;
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
        number += 1;
        let (service, link) = (Arc::clone(&service), Arc::new(Link::new(number)));
        connections.spawn(async move {
            connection::open(stream, link, service).await;
            drop(permit);
        });
    }
    connections.shutdown().await;
}

/// Listens.
pub(super) async fn listen(address: std::net::SocketAddr) -> io::Result<TcpListener> {
    TcpListener::bind(address).await
}
