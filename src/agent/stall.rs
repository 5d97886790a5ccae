//! A connection whose other end must read: one that stops doing so is cut off,
//! so that it cannot keep its place for ever.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::ports::Task;
use crate::ports::clock::Clock;

/// How long the other end may take nothing of what waits for it. Somebody who
/// pages through events has the kernel's buffers besides.
const STALL: Duration = Duration::from_secs(60);

/// A connection that is watched.
pub(super) struct Watched<S> {
    stream: S,
    clock: Arc<dyn Clock>,
    /// Runs while nothing can be written.
    limit: Option<Task<'static, ()>>,
}

impl<S> Watched<S> {
    /// Watches a connection.
    pub(super) fn new(stream: S, clock: Arc<dyn Clock>) -> Self {
        Self { stream, clock, limit: None }
    }

    /// Starts the limit when nothing can be written, and ends it when something can.
    fn watch<T>(&mut self, context: &mut Context<'_>, tried: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        if tried.is_ready() {
            self.limit = None;
            return tried;
        }
        let clock = &self.clock;
        let limit = self.limit.get_or_insert_with(|| clock.sleep_until(clock.now().moment + STALL));
        limit.as_mut().poll(context).map(|()| Err(io::ErrorKind::TimedOut.into()))
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Watched<S> {
    fn poll_read(mut self: Pin<&mut Self>, context: &mut Context<'_>, into: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(context, into)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Watched<S> {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let tried = Pin::new(&mut self.stream).poll_write(context, bytes);
        self.watch(context, tried)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let tried = Pin::new(&mut self.stream).poll_write_vectored(context, slices);
        self.watch(context, tried)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let tried = Pin::new(&mut self.stream).poll_flush(context);
        self.watch(context, tried)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}
