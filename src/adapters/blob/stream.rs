//! A file as the body of a request, read a little ahead of the network.
//!
//! A thread for blocking work reads the file and hands chunks over a short
//! queue; the request takes them as the connection takes its bytes. So memory
//! is bounded by the queue, whatever the length of the file.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use http_body::{Frame, SizeHint};
use tokio::sync::mpsc;

use crate::ports::clock::Clock;

/// Bytes read at once: large enough that the file costs little, small enough
/// that moving one is soon seen as progress.
const CHUNK: usize = 256 << 10;

/// Chunks read ahead.
const AHEAD: usize = 2;

/// How many times the patience is given once the last byte was handed over.
/// Several MiB may still lie in the kernel's buffers then, out of sight, and
/// the store has yet to put the whole together.
const TAIL: u32 = 4;

/// A file on its way.
pub(super) struct FileStream {
    chunks: mpsc::Receiver<io::Result<Bytes>>,
    left: u64,
    shared: Arc<Shared>,
}

/// What is to be known of a file on its way.
pub(super) struct Watch(Arc<Shared>);

#[derive(Default)]
struct Shared {
    length: u64,
    moved: AtomicU64,
    broken: OnceLock<String>,
}

impl FileStream {
    /// Starts reading a file from its start.
    pub(super) fn open(file: Arc<File>, length: u64) -> (Self, Watch) {
        let (sender, chunks) = mpsc::channel(AHEAD);
        // It ends with the file, or with the request that takes the chunks.
        tokio::task::spawn_blocking(move || {
            let mut at = 0;
            while at < length {
                let chunk = read(&file, at, length - at);
                at += chunk.as_ref().map_or(length, |chunk| chunk.len() as u64);
                if sender.blocking_send(chunk).is_err() {
                    return;
                }
            }
        });
        let shared = Arc::new(Shared { length, ..Shared::default() });
        (Self { chunks, left: length, shared: Arc::clone(&shared) }, Watch(shared))
    }
}

fn read(file: &File, at: u64, left: u64) -> io::Result<Bytes> {
    let length = usize::try_from(left).map_or(CHUNK, |left| left.min(CHUNK));
    let mut chunk = vec![0; length];
    file.read_exact_at(&mut chunk, at)?;
    Ok(chunk.into())
}

impl http_body::Body for FileStream {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(self: Pin<&mut Self>, task: &mut Context<'_>) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        let stream = self.get_mut();
        if stream.left == 0 {
            return Poll::Ready(None);
        }
        let ended = || Err(io::Error::other("the reader ended early"));
        let chunk = ready!(stream.chunks.poll_recv(task)).unwrap_or_else(ended);
        Poll::Ready(Some(match chunk {
            Ok(chunk) => {
                stream.left -= chunk.len() as u64;
                stream.shared.moved.fetch_add(chunk.len() as u64, Ordering::Relaxed);
                Ok(Frame::data(chunk))
            }
            Err(error) => {
                let _ = stream.shared.broken.set(format!("read the bundle's blocks: {error}"));
                Err(error)
            }
        }))
    }

    fn is_end_stream(&self) -> bool {
        self.left == 0
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.left)
    }
}

impl Watch {
    /// Completes once nothing has moved for as long as `patience`, and at the
    /// latest for twice as long; [`TAIL`] times that after the last byte.
    pub(super) async fn idle(&self, clock: &dyn Clock, patience: Duration) {
        let mut seen = self.0.moved.load(Ordering::Relaxed);
        loop {
            let patience = if seen < self.0.length { patience } else { patience * TAIL };
            clock.sleep_until(clock.now().moment + patience).await;
            let moved = self.0.moved.load(Ordering::Relaxed);
            if moved == seen {
                return;
            }
            seen = moved;
        }
    }

    /// Returns why the file could not be read, if it could not.
    pub(super) fn broken(&self) -> Option<String> {
        self.0.broken.get().cloned()
    }
}
