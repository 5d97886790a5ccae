//! A text sign by sign, whatever it was wrapped in: percent-encoded any number
//! of times, escaped as in JSON, coloured for a terminal.
//!
//! Signs are read where they stand and nothing is copied, for what is read may
//! be a secret.

/// How often a sign may be wrapped and still be seen through.
const DEEPEST: usize = 8;

/// The byte that begins an instruction to a terminal.
pub(super) const ESCAPE: u8 = 0x1b;

/// A sign of a text: a byte of what it says once it is unwrapped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Sign {
    /// The byte as it is meant.
    pub(super) byte: u8,
    /// Where the next sign begins.
    pub(super) end: usize,
    /// How often it is percent-encoded.
    pub(super) level: u8,
    /// How many backslashes stand before it.
    pub(super) slashes: u8,
}

impl Sign {
    /// Returns the byte in lower case.
    pub(super) const fn lower(self) -> u8 {
        self.byte.to_ascii_lowercase()
    }
}

/// A text to be read sign by sign.
pub(super) struct Signs<'a> {
    text: &'a [u8],
    #[cfg(test)]
    pub(super) reads: std::cell::Cell<usize>,
}

impl<'a> Signs<'a> {
    pub(super) const fn new(text: &'a str) -> Self {
        Self {
            text: text.as_bytes(),
            #[cfg(test)]
            reads: std::cell::Cell::new(0),
        }
    }

    /// Returns the sign that begins at a place, or nothing at the end. Costs
    /// the same whatever the text.
    pub(super) fn at(&self, at: usize) -> Option<Sign> {
        #[cfg(test)]
        self.reads.set(self.reads.get() + 1);
        match *self.text.get(at)? {
            b'%' => Some(self.percent(at)),
            b'\\' => Some(self.escaped(at)),
            ESCAPE => Some(self.instruction(at)),
            byte => Some(Sign { byte, end: at + 1, level: 0, slashes: 0 }),
        }
    }

    /// Returns the signs from a place on.
    pub(super) fn from(&self, at: usize) -> impl Iterator<Item = (usize, Sign)> {
        let mut at = at;
        std::iter::from_fn(move || {
            let sign = self.at(at)?;
            let start = std::mem::replace(&mut at, sign.end);
            Some((start, sign))
        })
    }

    /// Returns where a word ends that begins at a place, in any case.
    pub(super) fn word(&self, at: usize, word: &str) -> Option<usize> {
        let mut end = at;
        for expected in word.bytes() {
            let sign = self.at(end).filter(|sign| sign.lower() == expected)?;
            end = sign.end;
        }
        Some(end)
    }

    /// Reads `%3D`, `%253D`, and so on.
    fn percent(&self, at: usize) -> Sign {
        let mut sign = Sign { byte: b'%', end: at + 1, level: 0, slashes: 0 };
        for level in (1..).take(DEEPEST) {
            let Some(byte) = hex(self.text.get(sign.end..sign.end + 2)) else { break };
            sign = Sign { byte, end: sign.end + 2, level, slashes: 0 };
            if byte != b'%' {
                break;
            }
        }
        sign
    }

    /// Reads `\"`, `\\\"`, `\u003d`. A backslash before anything else is a blank:
    /// whether it belongs to what follows nobody knows.
    fn escaped(&self, at: usize) -> Sign {
        let slashes = self.text[at..].iter().take(DEEPEST).take_while(|byte| **byte == b'\\').count();
        let after = at + slashes;
        let sign = |byte, end| Sign { byte, end, level: 0, slashes: u8::try_from(slashes).unwrap_or(u8::MAX) };
        match self.text.get(after) {
            Some(b'u') => match (hex(self.text.get(after + 1..after + 3)), hex(self.text.get(after + 3..after + 5))) {
                (Some(0), Some(byte)) if byte.is_ascii() => sign(byte, after + 5),
                _ => sign(b' ', after),
            },
            Some(&byte @ (b'"' | b'\'' | b'/' | b'=' | b'&')) => sign(byte, after + 1),
            _ => sign(b' ', after),
        }
    }

    /// Reads a colour as one sign.
    fn instruction(&self, at: usize) -> Sign {
        let bare = Sign { byte: ESCAPE, end: at + 1, level: 0, slashes: 0 };
        if self.text.get(at + 1) != Some(&b'[') {
            return bare;
        }
        let parameters = |byte: &&u8| byte.is_ascii_digit() || **byte == b';';
        let length = self.text[at + 2..].iter().take(4 * DEEPEST).take_while(parameters).count();
        match self.text.get(at + 2 + length) {
            Some(b'm') => Sign { end: at + 3 + length, ..bare },
            _ => bare,
        }
    }
}

fn hex(digits: Option<&[u8]>) -> Option<u8> {
    let digit = |byte: u8| char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
    match digits? {
        &[high, low] => Some(digit(high)? << 4 | digit(low)?),
        _ => None,
    }
}
