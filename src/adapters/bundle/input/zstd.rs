//! Frames of Zstandard, one after the other, unpacked as they come.

use std::io::{self, BufRead, Read};
use std::sync::Arc;
use std::sync::atomic::Ordering;

use ruzstd::decoding::errors::{FrameDecoderError, ReadFrameHeaderError};
use ruzstd::decoding::{BlockDecodingStrategy, FrameDecoder};

use super::{InputError, Tap};

/// The most bytes that are kept to refer back to: what RFC 8878 recommends that
/// decoders support, and what every level up to 19 stays within.
pub(super) const WINDOW_LIMIT: u64 = 8 << 20;

/// Bytes unpacked at a time; a block has at most as many.
const CHUNK: usize = 128 << 10;

/// The frames of a file; frames to be skipped are.
pub(super) struct Frames<R> {
    source: R,
    decoder: FrameDecoder,
    is_inside: bool,
    /// Bytes of the frame so far.
    made: u64,
    /// What its blocks were counted as.
    counted: u64,
    tap: Arc<Tap>,
}

impl<R: BufRead> Frames<R> {
    pub(super) fn new(source: R, tap: Arc<Tap>) -> Self {
        let mut decoder = FrameDecoder::new();
        decoder.set_max_window_size(WINDOW_LIMIT);
        Self { source, decoder, is_inside: false, made: 0, counted: 0, tap }
    }

    /// Begins the next frame; returns whether there is one.
    fn begin(&mut self) -> io::Result<bool> {
        while !self.source.fill_buf()?.is_empty() {
            match self.decoder.reset(&mut self.source) {
                Ok(()) => {
                    (self.is_inside, self.made, self.counted) = (true, 0, 0);
                    return Ok(true);
                }
                Err(FrameDecoderError::ReadFrameHeaderError(ReadFrameHeaderError::SkipFrame { length, .. })) => {
                    let skipped = io::copy(&mut (&mut self.source).take(length.into()), &mut io::sink())?;
                    if skipped < length.into() {
                        return Err(damaged());
                    }
                }
                Err(FrameDecoderError::WindowSizeTooBig { .. }) => return Err(InputError::Window.into()),
                Err(_) => return Err(damaged()),
            }
        }
        Ok(false)
    }

    /// Counts what was unpacked. How much a block came to is not told, but all
    /// are full as a rule, and a frame may say how long it is.
    fn count(&mut self) {
        let length = Some(self.decoder.content_size()).filter(|length| *length > 0).unwrap_or(u64::MAX);
        let counted = ((self.decoder.blocks_decoded() * CHUNK) as u64).min(length);
        self.tap.made.fetch_add(counted - self.counted, Ordering::Relaxed);
        self.counted = counted;
    }

    /// Ends the frame, if it holds what it says.
    fn end(&mut self) -> io::Result<()> {
        self.is_inside = false;
        self.tap.made.fetch_sub(self.counted.saturating_sub(self.made), Ordering::Relaxed);
        let wanted = self.decoder.get_checksum_from_data();
        let is_sound = wanted.is_none() || wanted == self.decoder.get_calculated_checksum();
        let length = self.decoder.content_size();
        if is_sound && (length == 0 || length == self.made) { Ok(()) } else { Err(damaged()) }
    }
}

impl<R: BufRead> Read for Frames<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            if self.is_inside && self.decoder.can_collect() > 0 {
                let count = self.decoder.read(buffer)?;
                self.made += count as u64;
                return Ok(count);
            }
            if !self.is_inside {
                if !self.begin()? {
                    return Ok(0);
                }
            } else if self.decoder.is_finished() {
                self.end()?;
            } else {
                let strategy = BlockDecodingStrategy::UptoBytes(CHUNK);
                self.decoder.decode_blocks(&mut self.source, strategy).map_err(|_| damaged())?;
                self.count();
            }
        }
    }
}

fn damaged() -> io::Error {
    InputError::Damaged("zstd").into()
}
