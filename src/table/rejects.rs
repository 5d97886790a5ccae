//! Rows that could not be taken: counted by reason, and the first of them named.
//!
//! *Invariant:* a reject names a line, a place and a reason, never a value.

use std::fmt;

use serde::{Deserialize, Serialize};

/// How many rejected rows are named one by one; the others are only counted.
pub const NAMED_LIMIT: usize = 100;

/// Why a row could not be taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Fault {
    /// More or fewer fields than the header has columns.
    ColumnCount,
    /// A value that is not UTF-8.
    NotUtf8,
    /// A quote inside an unquoted value, or text behind a closing quote.
    StrayQuote,
    /// More bytes than a row may have.
    TooLong,
    /// A NUL byte: a sign of a binary file or of UTF-16.
    NulByte,
}

impl Fault {
    /// All reasons, in the order they are shown.
    pub const ALL: [Self; 5] = [Self::ColumnCount, Self::NotUtf8, Self::StrayQuote, Self::TooLong, Self::NulByte];
}

impl fmt::Display for Fault {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(match self {
            Self::ColumnCount => "wrong column count",
            Self::NotUtf8 => "not UTF-8",
            Self::StrayQuote => "stray quote",
            Self::TooLong => "row too long",
            Self::NulByte => "NUL byte",
        })
    }
}

/// One rejected row.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reject {
    /// The line its record starts on, from 1.
    pub line: u64,
    /// The byte its record starts at, from 0.
    pub offset: u64,
    /// What is wrong with it.
    pub fault: Fault,
}

/// The rejected rows of a table, or of a piece of one.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Rejects {
    counts: [u64; Fault::ALL.len()],
    named: Vec<Reject>,
}

impl Rejects {
    /// Counts a row, and names it if there is room.
    pub fn add(&mut self, reject: Reject) {
        self.count(reject.fault);
        self.name(reject);
    }

    /// Counts a row that need not be named.
    pub fn count(&mut self, fault: Fault) {
        self.counts[fault as usize] += 1;
    }

    /// Returns whether another row would be named.
    pub fn has_room(&self) -> bool {
        self.named.len() < NAMED_LIMIT
    }

    /// Takes over the rows of the next piece, whose first line has `lines`
    /// lines before it.
    pub fn append(&mut self, piece: &Self, lines: u64) {
        for (count, more) in self.counts.iter_mut().zip(piece.counts) {
            *count += more;
        }
        for reject in &piece.named {
            self.name(Reject { line: reject.line + lines, ..*reject });
        }
    }

    /// Returns how many rows were rejected.
    pub fn total(&self) -> u64 {
        self.counts.iter().sum()
    }

    /// Returns how many rows were rejected for one reason.
    pub const fn of(&self, fault: Fault) -> u64 {
        self.counts[fault as usize]
    }

    /// Returns the first rejected rows, at most [`NAMED_LIMIT`], in the table's order.
    pub fn named(&self) -> &[Reject] {
        &self.named
    }

    fn name(&mut self, reject: Reject) {
        if self.has_room() {
            self.named.push(reject);
        }
    }
}

/// Shows the counts by reason, and where the first one is.
impl fmt::Display for Rejects {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, fault) in Fault::ALL.into_iter().filter(|fault| self.of(*fault) > 0).enumerate() {
            let comma = if at > 0 { ", " } else { "" };
            write!(out, "{comma}{} {fault}", self.of(fault))?;
        }
        match self.named.first() {
            Some(first) => write!(out, "; the first on line {} (byte {}): {}", first.line, first.offset, first.fault),
            None => Ok(()),
        }
    }
}
