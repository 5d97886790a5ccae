//! Takes the records of a piece of a table apart, without copying.

use memchr::memchr;

use super::marks::Marks;
use super::{Dialect, QUOTE, count_breaks, is_break};
use crate::table::rejects::Fault;
use crate::table::schema::COLUMN_LIMIT;

/// The most fields of a record that are kept. One over the most columns is
/// enough to see that there are too many, whatever the row holds.
const FIELDS_KEPT: usize = COLUMN_LIMIT + 1;

/// Walks over the records of a piece that starts and ends at record borders.
pub struct Records<'a> {
    dialect: Dialect,
    bytes: &'a [u8],
    at: usize,
    marks: Marks<'a>,
    has_quotes: bool,
    has_nul: bool,
    fields: Vec<Field<'a>>,
    counted: Counted,
}

/// One record.
pub struct Row<'r, 'a> {
    /// Where it starts in the piece.
    pub offset: usize,
    /// How many fields it has.
    pub count: usize,
    /// Its fields; not all of them if there are more than a table may have columns.
    pub fields: &'r [Field<'a>],
    /// What is wrong with it as a record, whatever its fields say.
    pub fault: Option<Fault>,
}

/// One field of a record, as it stands in the piece.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Field<'a> {
    raw: &'a [u8],
    doubled: bool,
}

impl<'a> Field<'a> {
    /// Returns the field's value; `scratch` holds it where quotes are doubled.
    pub fn value<'s>(&self, scratch: &'s mut Vec<u8>) -> &'s [u8]
    where
        'a: 's,
    {
        if !self.doubled {
            return self.raw;
        }
        scratch.clear();
        let mut rest = self.raw;
        while let Some(quote) = memchr(QUOTE, rest) {
            scratch.extend_from_slice(&rest[..=quote]);
            rest = rest.get(quote + 2..).unwrap_or_default();
        }
        scratch.extend_from_slice(rest);
        scratch
    }
}

impl<'a> Records<'a> {
    /// Starts at a record border of a piece.
    pub fn new(dialect: Dialect, bytes: &'a [u8], start: usize) -> Self {
        Self {
            dialect,
            bytes,
            at: start,
            marks: Marks::new(bytes, dialect.separator.byte()),
            has_quotes: memchr(QUOTE, bytes).is_some(),
            has_nul: memchr(0, bytes).is_some(),
            fields: Vec::with_capacity(FIELDS_KEPT),
            counted: Counted::default(),
        }
    }

    /// Returns the next record, if there is one.
    pub fn advance(&mut self) -> Option<Row<'_, 'a>> {
        while self.bytes.get(self.at).is_some_and(|byte| is_break(*byte)) {
            self.at += 1;
        }
        if self.at >= self.bytes.len() {
            return None;
        }
        let offset = self.at;
        let (count, stray) = self.take_record();
        let record = &self.bytes[offset..self.at];
        let fault = if record.len() > self.dialect.row_limit {
            Some(Fault::TooLong)
        } else if stray {
            Some(Fault::StrayQuote)
        } else if self.has_nul && memchr(0, record).is_some() {
            Some(Fault::NulByte)
        } else {
            None
        };
        Some(Row { offset, count, fields: &self.fields, fault })
    }

    /// Returns the place behind the record last returned.
    pub const fn position(&self) -> usize {
        self.at
    }

    /// Returns how many line breaks stand before a place in the piece. Cheap
    /// if the places asked for only rise.
    pub fn breaks_before(&mut self, place: usize) -> u64 {
        self.counted.up_to(self.bytes, place)
    }

    /// Takes the fields up to the record's line break, and leaves `at` on it.
    fn take_record(&mut self) -> (usize, bool) {
        self.fields.clear();
        let (mut count, mut stray) = (0, false);
        loop {
            let field = if self.has_quotes && self.bytes.get(self.at) == Some(&QUOTE) {
                self.take_quoted(&mut stray)
            } else {
                let start = self.at;
                self.take_plain(&mut stray);
                Field { raw: &self.bytes[start..self.at], doubled: false }
            };
            count += 1;
            if self.fields.len() < FIELDS_KEPT {
                self.fields.push(field);
            }
            match self.bytes.get(self.at) {
                Some(byte) if *byte == self.dialect.separator.byte() => self.at += 1,
                Some(_) | None => return (count, stray),
            }
        }
    }

    /// Goes to the next separator or line break.
    #[inline]
    fn take_plain(&mut self, stray: &mut bool) {
        let end = self.marks.next(self.at);
        *stray |= self.has_quotes && memchr(QUOTE, &self.bytes[self.at..end]).is_some();
        self.at = end;
    }

    /// Takes a quoted value, from its first quote to the next separator or line break.
    fn take_quoted(&mut self, stray: &mut bool) -> Field<'a> {
        let start = self.at + 1;
        let mut doubled = false;
        let mut from = start;
        loop {
            let Some(quote) = memchr(QUOTE, &self.bytes[from..]).map(|at| from + at) else {
                // The splitter reports a quote that nothing closes; here it only must not run on.
                *stray = true;
                self.at = self.bytes.len();
                return Field { raw: &self.bytes[start..], doubled };
            };
            if self.bytes.get(quote + 1) == Some(&QUOTE) {
                doubled = true;
                from = quote + 2;
                continue;
            }
            self.at = quote + 1;
            match self.bytes.get(self.at) {
                Some(byte) if !self.dialect.opens_field(*byte) => {
                    *stray = true;
                    self.take_plain(stray);
                }
                Some(_) | None => (),
            }
            return Field { raw: &self.bytes[start..quote], doubled };
        }
    }
}

/// Line breaks counted so far, so that asking often is not counting often.
#[derive(Debug, Default)]
struct Counted {
    place: usize,
    breaks: u64,
}

impl Counted {
    fn up_to(&mut self, bytes: &[u8], place: usize) -> u64 {
        if place < self.place {
            *self = Self::default();
        }
        self.breaks += count_breaks(&bytes[self.place..place]);
        self.place = place;
        self.breaks
    }
}
