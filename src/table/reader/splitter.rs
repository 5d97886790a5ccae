//! Cuts a stream of bytes at record borders.
//!
//! Whether a quote opens a value can be told from the byte before it, so the
//! splitter jumps from quote to quote and from there to the line break behind
//! the last one; without quotes it is one search from the end.
//!
//! # Invariants
//!
//! - The records seen are the same wherever the stream is cut into reads.
//! - Places are those of the source: where its bytes were not UTF-8, what came of
//!   them is weighed ([`Coding::weigh`](super::encoding::Coding::weigh)).
//! - A record over the limit is dropped as it comes, so no input makes the
//!   caller hold more than the limit and two bytes for a line break.

use memchr::{memchr, memrchr2};

use super::{Dialect, LineEnd, count_breaks, is_break};

/// What to do with the bytes at hand.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cut {
    /// So many bytes are whole records: take them, and give the rest again.
    Records(usize),
    /// Not one record is whole: give the same bytes again, with more.
    More,
    /// So many bytes are inside a record over the limit: drop them.
    Drop(usize),
    /// So many bytes end a record over the limit: drop them, and count it.
    TooLong {
        /// Bytes to drop.
        length: usize,
        /// Line breaks from the record's start through its end.
        breaks: u64,
        /// Where in the stream the record starts.
        offset: u64,
        /// How it ends: its line break may have come in two calls.
        end: LineEnd,
    },
    /// The stream ends inside quotes.
    Unclosed {
        /// Where in the stream the quote stands that nothing closes.
        offset: u64,
        /// Line breaks between the last record taken or counted and the quote.
        breaks: u64,
    },
    /// The stream ended, and everything was taken.
    End,
}

/// The state of cutting one stream.
#[derive(Debug)]
pub struct Splitter {
    dialect: Dialect,
    /// Where in the stream the bytes of the next call start.
    position: u64,
    dropping: Option<Dropping>,
}

impl Splitter {
    /// Makes a splitter for a stream whose first byte to be given is at `position`.
    pub const fn new(dialect: Dialect, position: u64) -> Self {
        Self { dialect, position, dropping: None }
    }

    /// Returns where in the stream the bytes of the next call start.
    pub const fn position(&self) -> u64 {
        self.position
    }

    /// Looks at the bytes at hand: what the last call left, followed by what
    /// was read since. `last` says that the stream ends with them.
    pub fn cut(&mut self, bytes: &[u8], last: bool) -> Cut {
        let cut = match self.dropping.take() {
            Some(dropping) => self.go_on_dropping(dropping, bytes, last),
            None => self.find_border(bytes, last),
        };
        match cut {
            Cut::Records(length) | Cut::Drop(length) | Cut::TooLong { length, .. } => {
                self.position += self.dialect.coding.weigh(&bytes[..length]);
            }
            Cut::More | Cut::Unclosed { .. } | Cut::End => (),
        }
        cut
    }

    fn find_border(&mut self, bytes: &[u8], last: bool) -> Cut {
        if bytes.is_empty() {
            return if last { Cut::End } else { Cut::More };
        }
        let (border, open) = self.scan(bytes, last);
        match (border, open) {
            (Some(border), _) => Cut::Records(border),
            (None, Some(at)) if last => {
                let offset = self.position + self.dialect.coding.weigh(&bytes[..at]);
                Cut::Unclosed { offset, breaks: count_breaks(&bytes[..at]) }
            }
            (None, None) if last => Cut::Records(bytes.len()),
            (None, _) if bytes.len() > self.dialect.row_limit + 2 => {
                let dropping = Dropping::at(self.position);
                self.go_on_dropping(dropping, bytes, last)
            }
            (None, _) => Cut::More,
        }
    }

    /// Returns the end of the last whole record, and the quote that is open at the end.
    fn scan(&self, bytes: &[u8], last: bool) -> (Option<usize>, Option<usize>) {
        let mut border = None;
        let mut outside = 0;
        let mut from = 0;
        while let Some(quote) = self.dialect.quotes.find(&bytes[from..]).map(|at| from + at) {
            from = quote + 1;
            if quote > 0 && !self.dialect.opens_field(bytes[quote - 1]) {
                continue;
            }
            border = break_in(bytes, outside, quote, true).or(border);
            match closing(bytes, quote) {
                Some(close) => (outside, from) = (close + 1, close + 1),
                None => return (border, Some(quote)),
            }
        }
        (break_in(bytes, outside, bytes.len(), last).or(border), None)
    }

    fn go_on_dropping(&mut self, mut dropping: Dropping, bytes: &[u8], last: bool) -> Cut {
        let offset = dropping.record;
        if let Some((length, end)) = dropping.find_end(self.dialect, self.position, bytes) {
            return Cut::TooLong { length, breaks: dropping.breaks, offset, end };
        }
        match dropping.open {
            Some(Open { offset, breaks, .. }) if last && !dropping.closing => Cut::Unclosed { offset, breaks },
            Some(_) | None if last => {
                let end = if dropping.ending { LineEnd::Cr } else { LineEnd::None };
                Cut::TooLong { length: bytes.len(), breaks: dropping.breaks, offset, end }
            }
            Some(_) | None => {
                self.dropping = Some(dropping);
                Cut::Drop(bytes.len())
            }
        }
    }
}

/// Returns the end of the last line break in a stretch outside quotes. A CR at
/// the very end is one only if no LF can follow.
fn break_in(bytes: &[u8], from: usize, to: usize, complete: bool) -> Option<usize> {
    let at = from + memrchr2(b'\n', b'\r', &bytes[from..to])?;
    if bytes[at] == b'\r' && at + 1 == bytes.len() && !complete {
        return memrchr2(b'\n', b'\r', &bytes[from..at]).map(|at| from + at + 1);
    }
    Some(at + 1)
}

/// Returns the quote that closes a value opened at `open`, if it is certain
/// that it does.
fn closing(bytes: &[u8], open: usize) -> Option<usize> {
    let mark = bytes[open];
    let mut from = open + 1;
    loop {
        let quote = from + memchr(mark, &bytes[from..])?;
        if bytes.get(quote + 1) != Some(&mark) {
            return Some(quote);
        }
        from = quote + 2;
    }
}

/// A quote that is open.
#[derive(Debug, Clone, Copy)]
struct Open {
    /// The byte that closes it.
    mark: u8,
    offset: u64,
    /// Line breaks before it.
    breaks: u64,
}

/// A record over the limit on its way out, byte by byte: rare, so plain.
#[derive(Debug)]
struct Dropping {
    /// Where the record starts.
    record: u64,
    /// The byte before the next one; a line break at the record's start.
    previous: u8,
    open: Option<Open>,
    /// Whether the byte before, inside quotes, was a quote that closes unless doubled.
    closing: bool,
    /// Whether the byte before was a CR that ends the record unless an LF follows to end it.
    ending: bool,
    breaks: u64,
}

impl Dropping {
    const fn at(record: u64) -> Self {
        Self { record, previous: b'\n', open: None, closing: false, ending: false, breaks: 0 }
    }

    /// Returns how many of the bytes end the record, and how, if it ends in them.
    fn find_end(&mut self, dialect: Dialect, position: u64, bytes: &[u8]) -> Option<(usize, LineEnd)> {
        let mut offset = position;
        for (at, &byte) in bytes.iter().enumerate() {
            if self.ending {
                return Some(if byte == b'\n' { (at + 1, LineEnd::CrLf) } else { (at, LineEnd::Cr) });
            }
            let here = offset;
            offset += dialect.coding.weight(byte);
            if let Some(open) = self.open
                && self.closing
            {
                self.closing = false;
                if byte == open.mark {
                    self.previous = byte;
                    continue;
                }
                self.open = None;
            }
            if is_break(byte) && !(byte == b'\n' && self.previous == b'\r') {
                self.breaks += 1;
            }
            match (self.open, byte) {
                (Some(open), _) => self.closing = byte == open.mark,
                (None, mark) if dialect.quotes.has(mark) && dialect.opens_field(self.previous) => {
                    self.open = Some(Open { mark, offset: here, breaks: self.breaks });
                }
                (None, b'\n') => return Some((at + 1, LineEnd::Lf)),
                (None, b'\r') => self.ending = true,
                (None, _) => (),
            }
            self.previous = byte;
        }
        None
    }
}
