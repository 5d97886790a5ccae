//! Reading a table: RFC 4180 over bytes, in two parts that agree on what a
//! record is.
//!
//! The [`splitter`] cuts the stream at record borders and looks at nothing but
//! quotes and line breaks; [`records`] takes the records of a piece apart, on
//! as many threads as there are pieces.
//!
//! # The dialect
//!
//! - A record ends at LF, CRLF or CR outside quotes. Lines without a byte are
//!   passed over. The last line needs no line break.
//! - A quote opens a quoted value only as the first byte of a field. Inside,
//!   a doubled quote is a quote, and line breaks and separators are plain
//!   bytes. Any other quote is a fault of its row and of no other row.
//!   [`Quotes`] says which bytes are quotes.
//! - A value is never guessed at: spaces around quotes, NUL bytes and bytes
//!   that are not text are faults of their row.

use std::path::Path;
use std::str::FromStr;

use serde::Deserialize;

pub mod content;
pub mod encoding;
mod marks;
pub mod records;
pub mod splitter;

use encoding::Coding;

/// The most bytes a record may have, its line break aside. It bounds memory
/// whatever the input; no table at the service's limits comes near it.
pub const ROW_LIMIT: usize = 1 << 20;

/// The most bytes a field may have, its quotes included. A longer one is text
/// that ran into the wrong column: nothing so long is searched for.
pub const FIELD_LIMIT: usize = 64 << 10;

/// The byte between two fields.
///
/// *Invariant:* it is ASCII, and no letter, digit, quote, line break or NUL, so
/// that it can be told from all that a field is made of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Separator(u8);

impl Separator {
    /// `,`
    pub const COMMA: Self = Self(b',');
    /// A tab.
    pub const TAB: Self = Self(b'\t');
    /// `|`
    pub const PIPE: Self = Self(b'|');
    /// `;`
    pub const SEMICOLON: Self = Self(b';');

    /// The separators that have a word.
    const WORDS: [(&str, Self); 4] =
        [("comma", Self::COMMA), ("tab", Self::TAB), ("pipe", Self::PIPE), ("semicolon", Self::SEMICOLON)];

    /// Makes a separator of a byte, if it can be one.
    pub const fn of(byte: u8) -> Option<Self> {
        match byte {
            0 | b'\n' | b'\r' | b'"' | b'\'' | 0x80.. => None,
            _ if byte.is_ascii_alphanumeric() => None,
            _ => Some(Self(byte)),
        }
    }

    /// Returns the separator that a file's name promises: `.csv` comma, `.tsv`
    /// and `.tab` tab, `.psv` pipe, each also before `.gz` or `.zst`. Any other
    /// name promises nothing, `.txt` included, and a guess would turn every row
    /// into one column.
    pub fn for_path(path: &Path) -> Option<Self> {
        let extension = path.extension()?.to_str()?.to_ascii_lowercase();
        match extension.as_str() {
            "csv" => Some(Self::COMMA),
            "tsv" | "tab" => Some(Self::TAB),
            "psv" => Some(Self::PIPE),
            "gz" | "zst" => Self::for_path(Path::new(path.file_stem()?)),
            _ => None,
        }
    }

    /// Returns the byte.
    pub const fn byte(self) -> u8 {
        self.0
    }

    /// Returns its word, or how its byte is written.
    pub fn name(self) -> String {
        let word = Self::WORDS.iter().find(|(_, separator)| *separator == self).map(|(word, _)| (*word).to_owned());
        word.unwrap_or_else(|| self.0.escape_ascii().to_string())
    }
}

/// Reads a separator's word or the character itself.
impl FromStr for Separator {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text == "{Tab}" {
            return Ok(Self::TAB);
        }
        let word = Self::WORDS.iter().find(|(word, _)| *word == text).map(|(_, separator)| *separator);
        let character = match text.as_bytes() {
            [byte] => Self::of(*byte),
            _ => None,
        };
        word.or(character).ok_or(
            "write auto, comma, tab, pipe, semicolon, or one ASCII character that is no letter, digit, quote or line break",
        )
    }
}

/// How a record ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LineEnd {
    /// At LF.
    Lf,
    /// At CRLF.
    CrLf,
    /// At CR alone.
    Cr,
    /// With the table.
    None,
}

/// Which bytes may wrap a value.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Quotes {
    /// `"`, as RFC 4180 has it.
    #[default]
    Double,
    /// `'`.
    Single,
    /// Either; a value ends with the one it begins with, and holds the other as it is.
    Microsoft,
    /// None: quotes are bytes like others, and no value holds a separator or a line break.
    None,
}

impl Quotes {
    const ALL: [Self; 4] = [Self::Double, Self::Single, Self::Microsoft, Self::None];

    /// Returns the setting's word for it.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Double => "double",
            Self::Single => "single",
            Self::Microsoft => "microsoft",
            Self::None => "none",
        }
    }

    /// Returns whether a byte may open a value.
    const fn has(self, byte: u8) -> bool {
        match self {
            Self::Double => byte == b'"',
            Self::Single => byte == b'\'',
            Self::Microsoft => matches!(byte, b'"' | b'\''),
            Self::None => false,
        }
    }

    /// Returns the place of the first quote.
    #[inline]
    fn find(self, bytes: &[u8]) -> Option<usize> {
        match self {
            Self::Double => memchr::memchr(b'"', bytes),
            Self::Single => memchr::memchr(b'\'', bytes),
            Self::Microsoft => memchr::memchr2(b'"', b'\'', bytes),
            Self::None => None,
        }
    }
}

impl FromStr for Quotes {
    type Err = &'static str;

    fn from_str(word: &str) -> Result<Self, Self::Err> {
        let found = Self::ALL.into_iter().find(|quotes| quotes.word() == word);
        found.ok_or("write double, single, microsoft or none")
    }
}

/// How the bytes of a table are to be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Dialect {
    /// What stands between two fields.
    pub separator: Separator,
    /// What may wrap a value.
    pub quotes: Quotes,
    /// What the bytes were before they became UTF-8.
    pub coding: Coding,
    /// The most bytes of UTF-8 a record may have; [`ROW_LIMIT`] but in tests.
    pub row_limit: usize,
    /// The most bytes of UTF-8 a field may have; [`FIELD_LIMIT`] but in tests.
    pub field_limit: usize,
}

impl Dialect {
    /// Makes the dialect of a separator: double quotes, UTF-8.
    pub const fn new(separator: Separator) -> Self {
        Self { separator, quotes: Quotes::Double, coding: Coding::Utf8, row_limit: ROW_LIMIT, field_limit: FIELD_LIMIT }
    }

    /// Makes the same dialect with other quotes.
    pub const fn quoted_by(self, quotes: Quotes) -> Self {
        Self { quotes, ..self }
    }

    /// Returns whether a quote behind this byte is the first of its field.
    const fn opens_field(self, byte: u8) -> bool {
        byte == self.separator.byte() || is_break(byte)
    }
}

const fn is_break(byte: u8) -> bool {
    matches!(byte, b'\n' | b'\r')
}

/// Counts the line breaks in some bytes: LF, CRLF and lone CR. A CR that ends
/// the bytes counts.
pub fn count_breaks(bytes: &[u8]) -> u64 {
    let feeds = memchr::memchr_iter(b'\n', bytes).count();
    let lone = memchr::memchr_iter(b'\r', bytes).filter(|at| bytes.get(at + 1) != Some(&b'\n')).count();
    (feeds + lone) as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_an_extension_that_says_it_chooses_the_separator() {
        assert_eq!(Separator::for_path(Path::new("/a/b.CSV")), Some(Separator::COMMA));
        assert_eq!(Separator::for_path(Path::new("b.tsv")), Some(Separator::TAB));
        assert_eq!(Separator::for_path(Path::new("b.psv")), Some(Separator::PIPE));
        assert_eq!(Separator::for_path(Path::new("b.txt")), None);
        assert_eq!(Separator::for_path(Path::new("csv")), None);
        assert_eq!(Separator::for_path(Path::new("a.tsv.GZ")), Some(Separator::TAB));
        assert_eq!(Separator::for_path(Path::new("a.csv.zst")), Some(Separator::COMMA));
        assert_eq!(Separator::for_path(Path::new("a.gz")), None);
    }

    #[test]
    fn a_separator_is_a_byte_that_no_value_is_made_of() {
        for (text, byte) in [("comma", b','), ("{Tab}", b'\t'), (";", b';'), ("\u{1f}", 0x1f), ("^", b'^')] {
            assert_eq!(text.parse::<Separator>().map(Separator::byte), Ok(byte), "{text:?}");
        }
        for text in ["", "a", "7", "\"", "'", "\n", "\r", "\0", "\u{e9}", ",,", "colon", "auto"] {
            assert!(text.parse::<Separator>().is_err(), "{text:?}");
        }
        for byte in (0..=255).filter_map(Separator::of) {
            let name = byte.name();
            assert!(name.is_ascii() && !name.is_empty(), "{name}");
        }
    }

    #[test]
    fn every_kind_of_line_break_counts_once() {
        assert_eq!(count_breaks(b"a\nb\r\nc\rd\r\r\n\n"), 6);
        assert_eq!(count_breaks(b"a"), 0);
    }
}
