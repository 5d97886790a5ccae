//! Frames of Zstandard, one after the other, unpacked as they come.

use std::io::{self, BufRead, Read};

use ruzstd::decoding::errors::{FrameDecoderError, ReadFrameHeaderError};
use ruzstd::decoding::{BlockDecodingStrategy, FrameDecoder};

use super::InputError;

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
}

impl<R: BufRead> Frames<R> {
    pub(super) fn new(source: R) -> Self {
        let mut decoder = FrameDecoder::new();
        decoder.set_max_window_size(WINDOW_LIMIT);
        Self { source, decoder, is_inside: false, made: 0 }
    }

    /// Begins the next frame; returns whether there is one.
    fn begin(&mut self) -> io::Result<bool> {
        while !self.source.fill_buf()?.is_empty() {
            match self.decoder.reset(&mut self.source) {
                Ok(()) => {
                    (self.is_inside, self.made) = (true, 0);
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

    /// Ends the frame, if it holds what it says.
    fn end(&mut self) -> io::Result<()> {
        self.is_inside = false;
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
            }
        }
    }
}

fn damaged() -> io::Error {
    InputError::Damaged("zstd").into()
}
