//! From the bytes of a table to UTF-8, where they are not UTF-8 already.
//!
//! Nothing is guessed: a byte order mark or the setting says what the bytes are,
//! and where the two contradict each other the table is refused. What is no
//! character becomes bytes that are no UTF-8, so that the row it stands in is
//! found bad where every row is looked at, and no replacement is ever hashed.
//!
//! *Invariant:* from the UTF-8 that came of them, [`Coding::weigh`] tells how many
//! bytes stood in the source, so places are named as they are in the source.

use std::str::FromStr;

use serde::Deserialize;

/// The most bytes a byte order mark has; enough to tell every one from the others.
pub const MARK_LIMIT: usize = 4;

/// What is written for a byte or a unit that is no character: no UTF-8 holds it.
const NO_CHARACTER: u8 = 0xff;

/// How the setting says the characters of a table are written.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
pub enum Encoding {
    /// UTF-8, or what a byte order mark says.
    #[default]
    #[serde(rename = "auto")]
    Auto,
    /// UTF-8, with or without a byte order mark.
    #[serde(rename = "utf-8")]
    Utf8,
    /// UTF-16 with a byte order mark.
    #[serde(rename = "utf-16")]
    Utf16,
    /// ISO 8859-1: every byte is a character, but 80 to 9F are none.
    #[serde(rename = "latin-1")]
    Latin1,
}

/// How the characters of a table are in fact written.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Coding {
    /// UTF-8.
    #[default]
    Utf8,
    /// UTF-16, the low byte first.
    Utf16Le,
    /// UTF-16, the high byte first.
    Utf16Be,
    /// ISO 8859-1.
    Latin1,
}

/// Why a table cannot be read as the setting says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum EncodingError {
    /// UTF-32, which nothing here reads.
    #[error("it is UTF-32; export it as UTF-8")]
    Utf32,
    /// The byte order mark of another encoding.
    #[error("it begins with the byte order mark of {found} and `encoding` says {wanted}; set `encoding` to auto")]
    Contradiction {
        /// What the mark says.
        found: &'static str,
        /// What the setting says.
        wanted: &'static str,
    },
    /// UTF-16 whose order of bytes nothing tells.
    #[error("`encoding` says utf-16 and it has no byte order mark; export it with one, or as UTF-8")]
    NoMark,
}

impl Encoding {
    /// Returns what the first bytes of a table are, and how many of them are the
    /// byte order mark. Up to [`MARK_LIMIT`] bytes are looked at.
    ///
    /// # Errors
    ///
    /// Says why the bytes are not what the setting says.
    pub fn find(self, head: &[u8]) -> Result<(Coding, usize), EncodingError> {
        if head.starts_with(b"\xff\xfe\0\0") || head.starts_with(b"\0\0\xfe\xff") {
            return Err(EncodingError::Utf32);
        }
        let marks = [
            (Coding::Utf8, b"\xef\xbb\xbf".as_slice()),
            (Coding::Utf16Le, b"\xff\xfe"),
            (Coding::Utf16Be, b"\xfe\xff"),
        ];
        let mark =
            marks.into_iter().find(|(_, mark)| head.starts_with(mark)).map(|(coding, mark)| (coding, mark.len()));
        match (self, mark) {
            (Self::Auto, Some(found)) | (Self::Utf8, Some(found @ (Coding::Utf8, _))) => Ok(found),
            (Self::Utf16, Some(found @ (Coding::Utf16Le | Coding::Utf16Be, _))) => Ok(found),
            (Self::Auto | Self::Utf8, None) => Ok((Coding::Utf8, 0)),
            (Self::Latin1, None) => Ok((Coding::Latin1, 0)),
            (Self::Utf16, None) => Err(EncodingError::NoMark),
            (Self::Utf8 | Self::Utf16 | Self::Latin1, Some((found, _))) => {
                Err(EncodingError::Contradiction { found: found.name(), wanted: self.word() })
            }
        }
    }

    /// Returns the setting's word for it.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Auto => "auto",
            Self::Utf8 => "utf-8",
            Self::Utf16 => "utf-16",
            Self::Latin1 => "latin-1",
        }
    }
}

impl FromStr for Encoding {
    type Err = &'static str;

    fn from_str(word: &str) -> Result<Self, Self::Err> {
        let all = [Self::Auto, Self::Utf8, Self::Utf16, Self::Latin1];
        all.into_iter().find(|encoding| encoding.word() == word).ok_or("write auto, utf-8, utf-16 or latin-1")
    }
}

impl Coding {
    /// Returns its name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Utf8 => "utf-8",
            Self::Utf16Le => "utf-16le",
            Self::Utf16Be => "utf-16be",
            Self::Latin1 => "latin-1",
        }
    }

    /// Returns how many bytes of the source these bytes of UTF-8 came of.
    pub fn weigh(self, bytes: &[u8]) -> u64 {
        match self {
            Self::Utf8 => bytes.len() as u64,
            Self::Latin1 | Self::Utf16Le | Self::Utf16Be => bytes.iter().map(|byte| self.weight(*byte)).sum(),
        }
    }

    /// Returns how many bytes of the source begin with this byte of UTF-8.
    pub(super) const fn weight(self, byte: u8) -> u64 {
        let is_first = byte & 0xc0 != 0x80;
        match self {
            Self::Utf8 => 1,
            Self::Latin1 => is_first as u64,
            Self::Utf16Le | Self::Utf16Be => match byte {
                NO_CHARACTER => 1,
                0xf0.. => 4,
                _ => 2 * is_first as u64,
            },
        }
    }
}

/// Turns bytes of another encoding into UTF-8 as they come.
#[derive(Debug)]
pub struct Transcoder {
    coding: Coding,
    /// The first byte of a unit whose second is still to come.
    half: Option<u8>,
    /// The first surrogate of a pair whose second is still to come.
    high: Option<u16>,
}

impl Transcoder {
    /// The most bytes that come of one byte of a source.
    pub const GROWTH: usize = 3;

    /// The most bytes that [`Transcoder::finish`] adds.
    pub const REST: usize = 4;

    /// Makes a transcoder for what follows a byte order mark.
    pub const fn new(coding: Coding) -> Self {
        Self { coding, half: None, high: None }
    }

    /// Appends what the bytes come to.
    pub fn push(&mut self, bytes: &[u8], output: &mut Vec<u8>) {
        match self.coding {
            Coding::Utf8 => output.extend_from_slice(bytes),
            Coding::Latin1 => bytes.iter().for_each(|byte| latin1(*byte, output)),
            Coding::Utf16Le => self.utf16(bytes, u16::from_le_bytes, output),
            Coding::Utf16Be => self.utf16(bytes, u16::from_be_bytes, output),
        }
    }

    /// Appends what is left when the source ends.
    pub fn finish(&mut self, output: &mut Vec<u8>) {
        if let Some(high) = self.high.take() {
            lone(high, output);
        }
        if self.half.take().is_some() {
            output.push(NO_CHARACTER);
        }
    }

    fn utf16(&mut self, mut bytes: &[u8], unit: impl Fn([u8; 2]) -> u16, output: &mut Vec<u8>) {
        if let (Some(first), [second, rest @ ..]) = (self.half, bytes) {
            self.half = None;
            self.unit(unit([first, *second]), output);
            bytes = rest;
        }
        let (pairs, rest) = bytes.as_chunks::<2>();
        for pair in pairs {
            match unit(*pair) {
                ascii @ ..0x80 if self.high.is_none() => output.push(ascii as u8),
                other => self.unit(other, output),
            }
        }
        if let [first] = rest {
            self.half = Some(*first);
        }
    }

    fn unit(&mut self, unit: u16, output: &mut Vec<u8>) {
        let pair = self.high.take();
        match (pair, unit) {
            (Some(high), 0xdc00..=0xdfff) => {
                let scalar = 0x1_0000 + ((u32::from(high) - 0xd800) << 10) + (u32::from(unit) - 0xdc00);
                write(char::from_u32(scalar).expect("a pair of surrogates is a character"), output);
                return;
            }
            (Some(high), _) => lone(high, output),
            (None, _) => (),
        }
        match unit {
            0xd800..=0xdbff => self.high = Some(unit),
            _ => match char::from_u32(u32::from(unit)) {
                Some(character) => write(character, output),
                None => lone(unit, output),
            },
        }
    }
}

fn latin1(byte: u8, output: &mut Vec<u8>) {
    match byte {
        0x80..=0x9f => output.push(NO_CHARACTER),
        _ => write(char::from(byte), output),
    }
}

fn write(character: char, output: &mut Vec<u8>) {
    output.extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes());
}

/// Writes a surrogate without its other half as UTF-8 would if it might.
fn lone(surrogate: u16, output: &mut Vec<u8>) {
    let low = |bits: u16| 0x80 | (bits & 0x3f) as u8;
    output.extend_from_slice(&[0xe0 | (surrogate >> 12) as u8, low(surrogate >> 6), low(surrogate)]);
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn transcoded(coding: Coding, bytes: &[u8], step: usize) -> Vec<u8> {
        let (mut transcoder, mut output) = (Transcoder::new(coding), Vec::new());
        bytes.chunks(step).for_each(|chunk| transcoder.push(chunk, &mut output));
        transcoder.finish(&mut output);
        output
    }

    proptest! {
        #[test]
        fn text_comes_out_as_it_went_in_and_weighs_what_it_was(text: String, step in 1usize..9) {
            for (coding, bytes) in [
                (Coding::Utf16Le, text.encode_utf16().flat_map(u16::to_le_bytes).collect::<Vec<u8>>()),
                (Coding::Utf16Be, text.encode_utf16().flat_map(u16::to_be_bytes).collect()),
                (Coding::Utf8, text.clone().into_bytes()),
            ] {
                let output = transcoded(coding, &bytes, step);
                prop_assert_eq!(&output, text.as_bytes());
                prop_assert_eq!(coding.weigh(&output), bytes.len() as u64);
            }
        }

        #[test]
        fn any_bytes_weigh_what_they_were_and_are_utf8_only_if_they_were_text(bytes: Vec<u8>, step in 1usize..9) {
            for coding in [Coding::Utf16Le, Coding::Utf16Be, Coding::Latin1] {
                let output = transcoded(coding, &bytes, step);
                prop_assert_eq!(coding.weigh(&output), bytes.len() as u64);
                prop_assert!(output.len() <= bytes.len() * Transcoder::GROWTH + Transcoder::REST);
                let is_text = match coding {
                    Coding::Latin1 => !bytes.iter().any(|byte| (0x80..=0x9f).contains(byte)),
                    Coding::Utf8 | Coding::Utf16Le | Coding::Utf16Be => {
                        let (units, rest) = bytes.as_chunks::<2>();
                        let unit = |pair: &[u8; 2]| if coding == Coding::Utf16Le { u16::from_le_bytes(*pair) } else { u16::from_be_bytes(*pair) };
                        rest.is_empty() && String::from_utf16(&units.iter().map(unit).collect::<Vec<_>>()).is_ok()
                    }
                };
                prop_assert_eq!(std::str::from_utf8(&output).is_ok(), is_text);
            }
        }
    }

    #[test]
    fn a_mark_and_the_setting_must_agree() {
        let (utf8, le, be) = (b"\xef\xbb\xbfA".as_slice(), b"\xff\xfeA\0".as_slice(), b"\xfe\xff\0A".as_slice());
        for encoding in [Encoding::Auto, Encoding::Utf8] {
            assert_eq!(encoding.find(utf8), Ok((Coding::Utf8, 3)));
            assert_eq!(encoding.find(b"A,B"), Ok((Coding::Utf8, 0)));
            assert_eq!(encoding.find(b""), Ok((Coding::Utf8, 0)));
        }
        for encoding in [Encoding::Auto, Encoding::Utf16] {
            assert_eq!(encoding.find(le), Ok((Coding::Utf16Le, 2)));
            assert_eq!(encoding.find(be), Ok((Coding::Utf16Be, 2)));
        }
        assert_eq!(Encoding::Latin1.find(b"A,B"), Ok((Coding::Latin1, 0)));
        assert_eq!(Encoding::Utf16.find(b"A\0"), Err(EncodingError::NoMark));
        for (encoding, head) in
            [(Encoding::Utf8, le), (Encoding::Utf16, utf8), (Encoding::Latin1, utf8), (Encoding::Latin1, be)]
        {
            assert!(matches!(encoding.find(head), Err(EncodingError::Contradiction { .. })));
        }
        assert_eq!(Encoding::Auto.find(b"\xff\xfe\0\0"), Err(EncodingError::Utf32));
    }
}
