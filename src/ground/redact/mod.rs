//! The last net: takes what looks like a secret out of a text.
//!
//! Secrets have types that cannot be shown; this catches the one that reached a
//! text by another way, such as an answer quoted in an error. It knows names
//! that secrets go by, in whatever spelling the text is in, and the look of
//! tokens, of keys, and of addresses with a password.
//!
//! Invariant: the work grows with the length of the text and with nothing else.

use std::borrow::Cow;
use std::collections::BTreeMap;

mod names;
mod signs;

use names::{Name, Separated};
use signs::{ESCAPE, Sign, Signs};

/// What stands where something was taken out.
pub const REDACTED: &str = "<redacted>";

/// The shortest run after `eyJ` that is a token and not a word.
const SHORTEST_TOKEN: usize = 12;

/// What may follow `Bearer` in prose and in challenges.
const PROSE: [&str; 12] = [
    "token",
    "tokens",
    "authentication",
    "authorization",
    "scheme",
    "header",
    "realm=",
    "authorization_uri=",
    "client_id=",
    "error=",
    "claims=",
    "scope=",
];

/// How many signs stand at most between two words that belong together.
const GAP: usize = 8;

/// How many signs the kind of a key may have: `ENCRYPTED`, `RSA`, `EC`.
const KIND: usize = 24;

/// Returns the text without what looks like a secret.
pub fn redact(text: &str) -> Cow<'_, str> {
    let found = Scan::new(text).secrets();
    if found.is_empty() {
        return Cow::Borrowed(text);
    }
    let mut shown = String::with_capacity(text.len());
    let mut from = 0;
    for (start, end) in found {
        shown.push_str(&text[from..start]);
        shown.push_str(REDACTED);
        from = end;
    }
    shown.push_str(&text[from..]);
    Cow::Owned(shown)
}

/// One way through a text.
struct Scan<'a> {
    signs: Signs<'a>,
    length: usize,
    /// Where each kind of end was last found, so that nothing is read twice for it.
    ends: BTreeMap<End, usize>,
}

/// What ends a secret. Only a sign that is wrapped no more than the secret ends it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum End {
    /// A sign no token is made of.
    Token,
    /// What stands behind a value without quotes.
    Value { level: u8 },
    /// The end of the line, or a quote.
    Line { level: u8 },
    /// The quote that closes.
    Quote { byte: u8, level: u8, slashes: u8 },
    /// The end mark of a key.
    Key,
}

impl<'a> Scan<'a> {
    const fn new(text: &'a str) -> Self {
        Self { signs: Signs::new(text), length: text.len(), ends: BTreeMap::new() }
    }

    /// Returns where secrets begin and end, in order and apart. Secrets are
    /// looked for inside others too: what ends one may belong to the other.
    fn secrets(&mut self) -> Vec<(usize, usize)> {
        let mut all: Vec<(usize, usize)> = Vec::new();
        let mut at = 0;
        while let Some(sign) = self.signs.at(at) {
            let found = self.secret(at, sign).filter(|(start, end)| start < end);
            // What looks wrapped may be a sign of percent before a word: `100 %access`.
            at += 1;
            let Some((start, end)) = found else { continue };
            match all.last_mut() {
                Some(last) if start <= last.1 => last.1 = last.1.max(end),
                _ => all.push((start, end)),
            }
        }
        all
    }

    /// Returns the secret that is announced at a sign.
    fn secret(&mut self, at: usize, sign: Sign) -> Option<(usize, usize)> {
        let first = sign.lower();
        let own = match first {
            b'e' => self.token(at),
            b'b' => self.bearer(at).or_else(|| self.basic(at)),
            b':' => self.user(at),
            b'-' => self.key(at),
            _ => None,
        };
        own.or_else(|| names::beginning(first).find_map(|name| self.named(name, self.signs.word(at, name.word)?)))
    }

    /// Finds a JSON web token by its look.
    fn token(&mut self, at: usize) -> Option<(usize, usize)> {
        self.signs.word(at, "eyj")?;
        let end = self.end(End::Token, at);
        (end - at >= SHORTEST_TOKEN).then_some((at, end))
    }

    /// Finds what follows `Bearer`, unless it is prose or the parameter of a challenge.
    fn bearer(&mut self, at: usize) -> Option<(usize, usize)> {
        let start = self.gap(self.signs.word(at, "bearer")?)?;
        let end = self.end(End::Token, start);
        // One sign behind a word is punctuation.
        let is_word = |word: &str| self.signs.word(start, word).is_some_and(|after| after + 1 >= end);
        (!PROSE.into_iter().any(is_word)).then_some((start, end))
    }

    /// Finds what follows `Basic` if it is a name and a password in Base64.
    fn basic(&mut self, at: usize) -> Option<(usize, usize)> {
        let start = self.gap(self.signs.word(at, "basic")?)?;
        let end = self.end(End::Token, start);
        let (mut bits, mut held, mut has_colon) = (0u32, 0, false);
        for (_, sign) in self.signs.from(start).take_while(|(at, _)| *at < end) {
            let Some(six) = six_bits(sign.byte) else { continue };
            (bits, held) = (bits << 6 | u32::from(six), held + 6);
            if held >= 8 {
                held -= 8;
                has_colon |= (bits >> held) & 0xff == u32::from(b':');
            }
        }
        has_colon.then_some((start, end))
    }

    /// Finds the user and the password of an address.
    fn user(&self, at: usize) -> Option<(usize, usize)> {
        let start = self.signs.word(at, "://")?;
        let (_, slash) = self.signs.from(at).take(3).last()?;
        let mut user = None;
        for (at, sign) in self.signs.from(start).filter(|(_, sign)| sign.level <= slash.level) {
            match sign.byte {
                b'@' => user = Some(at),
                b'/' | b'?' | b'#' | b'"' | b'<' | b'>' | ESCAPE => break,
                blank if blank.is_ascii_whitespace() => break,
                _ => (),
            }
        }
        user.map(|end| (start, end))
    }

    /// Finds a private key in PEM, to its end or that of the text.
    fn key(&mut self, at: usize) -> Option<(usize, usize)> {
        let kind = self.signs.word(at, "-----begin")?;
        let private = self.signs.from(kind).take(KIND).find_map(|(at, _)| self.signs.word(at, "private"))?;
        let start = self.signs.word(self.gap(private)?, "key-----")?;
        Some((start, self.end(End::Key, start)))
    }

    /// Finds the value that follows a name.
    fn named(&mut self, name: &Name, after: usize) -> Option<(usize, usize)> {
        let Separated { start, mark, quote, is_bare } = names::separated(&self.signs, name, after)?;
        let end = match quote {
            Some(Sign { byte, level, slashes, .. }) => End::Quote { byte, level, slashes },
            None if name.is_header && is_bare => End::Line { level: mark.level },
            None => End::Value { level: mark.level },
        };
        let end = self.end(end, start);
        // `client_secret: no such file` is prose.
        let is_prose =
            || self.signs.from(start).take_while(|(at, _)| *at < end).all(|(_, sign)| sign.byte.is_ascii_lowercase());
        (name.is_header || !is_bare || !is_prose()).then_some((start, end))
    }

    /// Returns where what begins at a place ends. Places only ever grow, so an
    /// end that was found before and lies further on is this one's as well.
    fn end(&mut self, end: End, start: usize) -> usize {
        if let Some(&known) = self.ends.get(&end).filter(|known| **known >= start) {
            return known;
        }
        let found = self.signs.from(start).find(|(at, sign)| self.closes(end, *at, *sign));
        let place = found.map_or(self.length, |(at, _)| at);
        self.ends.insert(end, place);
        place
    }

    fn closes(&self, end: End, at: usize, sign: Sign) -> bool {
        match end {
            End::Token => !(sign.byte.is_ascii_alphanumeric() || b"-._~+/=".contains(&sign.byte)),
            End::Value { level } => sign.level <= level && self.ends_value(sign),
            End::Line { level } => sign.level <= level && matches!(sign.byte, b'"' | b'\'' | b'\n' | b'\r' | ESCAPE),
            End::Quote { byte, level, slashes } => sign.byte == byte && sign.level <= level && sign.slashes <= slashes,
            End::Key => sign.byte == b'-' && self.signs.word(at, "-----end").is_some(),
        }
    }

    /// Returns whether a sign ends a value that is not quoted.
    fn ends_value(&self, sign: Sign) -> bool {
        match sign.byte {
            // A backslash ends it with the line, if that is what is meant.
            b' ' if sign.slashes > 0 => {
                self.signs.at(sign.end).is_none_or(|next| matches!(next.lower(), b'n' | b'r' | b't'))
            }
            b'&' | b'"' | b'\'' | b',' | b';' | b')' | b'}' | b']' | b'<' | b'>' | ESCAPE => true,
            byte => byte.is_ascii_whitespace(),
        }
    }

    /// Returns where the next word begins, if there is a gap before it.
    fn gap(&self, at: usize) -> Option<usize> {
        let is_blank = |sign: Sign| sign.byte.is_ascii_whitespace() || sign.byte == b'+';
        let (next, _) = self.signs.from(at).take(GAP).find(|(_, sign)| !is_blank(*sign))?;
        (next > at).then_some(next)
    }
}

fn six_bits(byte: u8) -> Option<u8> {
    match byte {
        b'A'..=b'Z' => Some(byte - b'A'),
        b'a'..=b'z' => Some(byte - b'a' + 26),
        b'0'..=b'9' => Some(byte - b'0' + 52),
        b'+' | b'-' => Some(62),
        b'/' | b'_' => Some(63),
        _ => None,
    }
}

#[cfg(test)]
mod tests;
