//! Reads a table piece by piece, each piece whole records.

use std::io::{self, Read};

use zeroize::Zeroizing;

use crate::table::reader::Dialect;
use crate::table::reader::splitter::{Cut, Splitter};

/// Bytes of a piece: enough to make handing it to another thread cheap, few
/// enough that its digests stay in a core's cache.
const PIECE: usize = 256 << 10;

const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

/// A table on its way in. Clear text in its buffers is wiped when they go.
pub struct Pieces<R> {
    input: R,
    splitter: Splitter,
    dialect: Dialect,
    carried: Zeroizing<Vec<u8>>,
    size: usize,
    ended: bool,
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
    /// Starts to read; a byte order mark of UTF-8 is passed over.
    ///
    /// # Errors
    ///
    /// As the input says, and [`io::ErrorKind::InvalidData`] for UTF-16.
    pub fn new(input: R, dialect: Dialect) -> io::Result<Self> {
        Self::with_size(input, dialect, PIECE)
    }

    /// Starts to read in pieces of about `size` bytes.
    ///
    /// # Errors
    ///
    /// As [`Pieces::new`].
    pub fn with_size(mut input: R, dialect: Dialect, size: usize) -> io::Result<Self> {
        let mut carried = Zeroizing::new(Vec::new());
        let ended = fill(&mut input, &mut carried, BYTE_ORDER_MARK.len())?;
        if carried.starts_with(b"\xff\xfe") || carried.starts_with(b"\xfe\xff") {
            return Err(io::ErrorKind::InvalidData.into());
        }
        let mut position = 0;
        if carried.as_slice() == BYTE_ORDER_MARK {
            carried.clear();
            position = BYTE_ORDER_MARK.len() as u64;
        }
        Ok(Self { input, splitter: Splitter::new(dialect, position), dialect, carried, size, ended })
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
            if !self.ended && buffer.len() < wanted {
                self.ended = fill(&mut self.input, buffer, wanted)?;
            }
            match self.splitter.cut(buffer, self.ended) {
                Cut::Records(length) => {
                    self.carry(buffer, length);
                    return Ok(Some(Piece::Records { offset: self.splitter.position() - length as u64 }));
                }
                Cut::TooLong { length, breaks, offset } => {
                    self.carry(buffer, length);
                    return Ok(Some(Piece::TooLong { offset, breaks }));
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
