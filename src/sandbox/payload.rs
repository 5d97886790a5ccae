//! The body of an answer, in all the ways it can come.

use std::collections::VecDeque;
use std::fs::File;
use std::io::{self, Read};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};

use super::depot::Part;
use super::times::ServiceClock;
use crate::ports::Task;

/// Bytes read from a file at once.
const PIECE: usize = 64 << 10;

/// The body of an answer.
pub(super) enum Payload {
    /// A text, whole.
    Text(Option<Bytes>),
    /// A text, a byte at a time.
    Drip { text: Bytes, pace: Duration, clock: Arc<ServiceClock>, pause: Option<Task<'static, ()>> },
    /// A text whose connection breaks after its first half.
    Broken { half: Option<Bytes>, claimed: u64 },
    /// Stored bytes.
    Parts { parts: VecDeque<Arc<Part>>, file: Option<File>, left: u64 },
}

impl Payload {
    pub(super) fn text(text: impl Into<Bytes>) -> Self {
        Self::Text(Some(text.into()))
    }

    pub(super) fn parts(parts: Vec<Arc<Part>>) -> Self {
        let left = parts.iter().map(|part| part.length()).sum();
        Self::Parts { parts: parts.into(), file: None, left }
    }

    /// Returns the text, if it is one.
    pub(super) fn into_text(self) -> Bytes {
        match self {
            Self::Text(text) => text.unwrap_or_default(),
            Self::Drip { text, .. } => text,
            Self::Broken { .. } | Self::Parts { .. } => Bytes::new(),
        }
    }

    /// Reads the next piece of the stored bytes, from the page cache as a rule.
    fn next_piece(&mut self) -> Option<io::Result<Bytes>> {
        let Self::Parts { parts, file, left } = self else { return None };
        let mut piece = vec![0; PIECE];
        loop {
            if file.is_none() {
                match parts.pop_front()?.open() {
                    Ok(opened) => *file = Some(opened),
                    Err(error) => return Some(Err(error)),
                }
            }
            match file.as_mut()?.read(&mut piece) {
                Ok(0) => *file = None,
                Ok(length) => {
                    piece.truncate(length);
                    *left = left.saturating_sub(length as u64);
                    return Some(Ok(piece.into()));
                }
                Err(error) => return Some(Err(error)),
            }
        }
    }
}

impl Body for Payload {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, io::Error>>> {
        let this = self.get_mut();
        match this {
            Self::Text(text) => {
                Poll::Ready(text.take().filter(|text| !text.is_empty()).map(|text| Ok(Frame::data(text))))
            }
            Self::Drip { text, pace, clock, pause } => {
                if text.is_empty() {
                    return Poll::Ready(None);
                }
                let waiting = pause.get_or_insert_with(|| {
                    let (clock, pace) = (Arc::clone(clock), *pace);
                    Box::pin(async move { clock.sleep(pace).await })
                });
                ready!(waiting.as_mut().poll(context));
                *pause = None;
                Poll::Ready(Some(Ok(Frame::data(text.split_to(1)))))
            }
            Self::Broken { half, .. } => {
                let broken = io::Error::other("the script cuts the answer here");
                Poll::Ready(Some(half.take().map(Frame::data).ok_or(broken)))
            }
            Self::Parts { .. } => Poll::Ready(this.next_piece().map(|piece| piece.map(Frame::data))),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Text(text) => text.as_ref().is_none_or(Bytes::is_empty),
            Self::Drip { text, .. } => text.is_empty(),
            Self::Broken { .. } => false,
            Self::Parts { left, .. } => *left == 0,
        }
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(match self {
            Self::Text(text) => text.as_ref().map_or(0, |text| text.len() as u64),
            Self::Drip { text, .. } => text.len() as u64,
            Self::Broken { claimed, .. } => *claimed,
            Self::Parts { left, .. } => *left,
        })
    }
}
