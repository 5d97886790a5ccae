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
//! - A value is never guessed at: spaces around quotes, NUL bytes and bytes
//!   that are not UTF-8 are faults of their row.

use std::path::Path;

mod marks;
pub mod records;
pub mod splitter;

/// The most bytes a record may have, its line break aside. It bounds memory
/// whatever the input; no table at the service's limits comes near it.
pub const ROW_LIMIT: usize = 1 << 20;

/// The byte between two fields.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Separator {
    /// `,`
    Comma,
    /// A tab.
    Tab,
    /// `|`
    Pipe,
}

impl Separator {
    /// Returns the separator that a file's name promises: `.csv` comma, `.tsv`
    /// and `.tab` tab, `.psv` pipe. Any other name promises nothing, `.txt`
    /// included, and a guess would turn every row into one column.
    pub fn for_path(path: &Path) -> Option<Self> {
        let extension = path.extension()?.to_str()?.to_ascii_lowercase();
        match extension.as_str() {
            "csv" => Some(Self::Comma),
            "tsv" | "tab" => Some(Self::Tab),
            "psv" => Some(Self::Pipe),
            _ => None,
        }
    }

    /// Returns the byte.
    pub const fn byte(self) -> u8 {
        match self {
            Self::Comma => b',',
            Self::Tab => b'\t',
            Self::Pipe => b'|',
        }
    }
}

/// How the bytes of a table are to be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Dialect {
    /// What stands between two fields.
    pub separator: Separator,
    /// The most bytes a record may have; [`ROW_LIMIT`] but in tests.
    pub row_limit: usize,
}

impl Dialect {
    /// Makes the dialect of a separator.
    pub const fn new(separator: Separator) -> Self {
        Self { separator, row_limit: ROW_LIMIT }
    }

    /// Returns whether a quote behind this byte is the first of its field.
    const fn opens_field(self, byte: u8) -> bool {
        byte == self.separator.byte() || is_break(byte)
    }
}

const QUOTE: u8 = b'"';

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
        assert_eq!(Separator::for_path(Path::new("/a/b.CSV")), Some(Separator::Comma));
        assert_eq!(Separator::for_path(Path::new("b.tsv")), Some(Separator::Tab));
        assert_eq!(Separator::for_path(Path::new("b.psv")), Some(Separator::Pipe));
        assert_eq!(Separator::for_path(Path::new("b.txt")), None);
        assert_eq!(Separator::for_path(Path::new("csv")), None);
    }

    #[test]
    fn every_kind_of_line_break_counts_once() {
        assert_eq!(count_breaks(b"a\nb\r\nc\rd\r\r\n\n"), 6);
        assert_eq!(count_breaks(b"a"), 0);
    }
}
