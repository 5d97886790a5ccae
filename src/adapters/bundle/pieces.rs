//! Reads a table piece by piece, each piece whole records.

use std::io::{self, Read};

use zeroize::Zeroizing;

use super::input::InputError;
use crate::table::reader::encoding::{Coding, Encoding, MARK_LIMIT, Transcoder};
use crate::table::reader::splitter::{Cut, Splitter};
use crate::table::reader::{Dialect, LineEnd};

/// Bytes of another encoding that become UTF-8 at a time.
const TRANSCODED: usize = 16 << 10;

/// A table on its way in. Clear text in its buffers is wiped when they go.
pub struct Pieces<R> {
    input: Text<R>,
    splitter: Splitter,
    dialect: Dialect,
    carried: Zeroizing<Vec<u8>>,
    size: usize,
    ended: bool,
    has_mark: bool,
}

/// A part of a table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Piece {
    /// Whole records; they are in the buffer.
    Records {
        /// Where in the table they start.
        offset: u64,
    },
    /// A record over the limit; its bytes are gone.
    TooLong {
        /// Where in the table it starts.
        offset: u64,
        /// Line breaks from its start through its end.
        breaks: u64,
        /// How it ends.
        end: LineEnd,
    },
    /// The table ends inside quotes.
    Unclosed {
        /// Where in the table the quote stands.
        offset: u64,
        /// Line breaks between the last piece and the quote.
        breaks: u64,
    },
}

impl<R: Read> Pieces<R> {
    /// Starts to read in pieces of about `size` bytes; a byte order mark is
    /// passed over, and what is not UTF-8 becomes it. The dialect's own coding
    /// is not asked.
    ///
    /// # Errors
    ///
    /// As the input says, and an [`InputError`] for what is not in the encoding.
    pub fn with_size(mut input: R, dialect: Dialect, encoding: Encoding, size: usize) -> io::Result<Self> {
        let mut head = Zeroizing::new(Vec::new());
        let ended = fill(&mut input, &mut head, MARK_LIMIT)?;
        let (coding, mark) = encoding.find(&head).map_err(InputError::Encoding)?;
        let dialect = Dialect { coding, ..dialect };
        head.drain(..mark);
        let (input, carried, ended) = match coding {
            Coding::Utf8 => (Text::Plain(input), head, ended),
            Coding::Utf16Le | Coding::Utf16Be | Coding::Latin1 => {
                (Text::Other(Box::new(Transcoded::new(input, coding, &head))), Zeroizing::default(), false)
            }
        };
        Ok(Self {
            input,
            splitter: Splitter::new(dialect, mark as u64),
            dialect,
            carried,
            size,
            ended,
            has_mark: mark > 0,
        })
    }

    /// Returns whether the table begins with a byte order mark.
    pub const fn has_mark(&self) -> bool {
        self.has_mark
    }

    /// Returns the dialect, with the coding that was found.
    pub const fn dialect(&self) -> Dialect {
        self.dialect
    }

    /// Returns where the bytes come from.
    pub const fn input(&self) -> &R {
        match &self.input {
            Text::Plain(input) => input,
            Text::Other(transcoded) => &transcoded.input,
        }
    }

    /// Returns how many bytes of the table were taken.
    pub const fn position(&self) -> u64 {
        self.splitter.position()
    }

    /// Reads the next piece; `buffer` is recycled for its bytes.
    ///
    /// # Errors
    ///
    /// As the input says.
    pub fn advance(&mut self, buffer: &mut Zeroizing<Vec<u8>>) -> io::Result<Option<Piece>> {
        buffer.clear();
        std::mem::swap(&mut self.carried, buffer);
        let mut wanted = self.size.max(1);
        loop {
            let offset = self.splitter.position();
            if !self.ended && buffer.len() < wanted {
                self.ended = fill(&mut self.input, buffer, wanted)?;
            }
            match self.splitter.cut(buffer, self.ended) {
                Cut::Records(length) => {
                    self.carry(buffer, length);
                    return Ok(Some(Piece::Records { offset }));
                }
                Cut::TooLong { length, breaks, offset, end } => {
                    self.carry(buffer, length);
                    return Ok(Some(Piece::TooLong { offset, breaks, end }));
                }
                Cut::Drop(_) => buffer.clear(),
                // Double, so that looking again at what is there costs no more than reading it,
                // but no further than the splitter needs to call a record too long.
                Cut::More => wanted = (buffer.len() * 2).min(self.dialect.row_limit + 3).max(buffer.len() + 1),
                Cut::Unclosed { offset, breaks } => return Ok(Some(Piece::Unclosed { offset, breaks })),
                Cut::End => return Ok(None),
            }
        }
    }

    /// Keeps what is behind the piece for the next one.
    fn carry(&mut self, buffer: &mut Zeroizing<Vec<u8>>, length: usize) {
        self.carried.clear();
        reserve(&mut self.carried, buffer.len() - length);
        self.carried.extend_from_slice(&buffer[length..]);
        buffer.truncate(length);
    }
}

/// A table's bytes as UTF-8.
enum Text<R> {
    /// They are; nothing stands in between.
    Plain(R),
    /// They become it.
    Other(Box<Transcoded<R>>),
}

impl<R: Read> Read for Text<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Plain(input) => input.read(buffer),
            Self::Other(transcoded) => transcoded.read(buffer),
        }
    }
}

/// Bytes of another encoding, and the UTF-8 of them that was not taken yet.
struct Transcoded<R> {
    input: R,
    transcoder: Transcoder,
    raw: Zeroizing<Vec<u8>>,
    text: Zeroizing<Vec<u8>>,
    taken: usize,
    ended: bool,
}

impl<R: Read> Transcoded<R> {
    /// Begins with bytes that were read already.
    fn new(input: R, coding: Coding, head: &[u8]) -> Self {
        let most = TRANSCODED * Transcoder::GROWTH + Transcoder::REST;
        let mut text = Zeroizing::new(Vec::with_capacity(most));
        let mut transcoder = Transcoder::new(coding);
        transcoder.push(head, &mut text);
        Self { input, transcoder, raw: Zeroizing::new(vec![0; TRANSCODED]), text, taken: 0, ended: false }
    }
}

impl<R: Read> Read for Transcoded<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while self.taken == self.text.len() && !self.ended {
            let count = self.input.read(&mut self.raw)?;
            self.text.clear();
            self.taken = 0;
            if count == 0 {
                self.ended = true;
                self.transcoder.finish(&mut self.text);
            }
            self.transcoder.push(&self.raw[..count], &mut self.text);
        }
        let count = (self.text.len() - self.taken).min(buffer.len());
        buffer[..count].copy_from_slice(&self.text[self.taken..self.taken + count]);
        self.taken += count;
        Ok(count)
    }
}

/// Reads until there are `wanted` bytes; returns whether the input ended before.
fn fill(input: &mut impl Read, buffer: &mut Zeroizing<Vec<u8>>, wanted: usize) -> io::Result<bool> {
    reserve(buffer, wanted);
    let mut filled = buffer.len();
    buffer.resize(wanted, 0);
    let mut ended = false;
    while filled < wanted && !ended {
        match input.read(&mut buffer[filled..]) {
            Ok(0) => ended = true,
            Ok(count) => filled += count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => (),
            Err(error) => return Err(error),
        }
    }
    buffer.truncate(filled);
    Ok(ended)
}

/// Makes room in a buffer of clear text; unlike a plain reallocation it wipes
/// what it leaves.
fn reserve(buffer: &mut Zeroizing<Vec<u8>>, capacity: usize) {
    if buffer.capacity() < capacity {
        let mut larger = Zeroizing::new(Vec::with_capacity(capacity));
        larger.extend_from_slice(buffer);
        *buffer = larger;
    }
}
