//! Takes the records of a piece of a table apart, without copying.

use memchr::memchr;

use super::marks::Marks;
use super::{Dialect, count_breaks, is_break};
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
    weighed: (usize, u64),
}

/// One record.
pub struct Row<'r, 'a> {
    /// Where it starts in the piece.
    pub offset: usize,
    /// How many fields it has.
    pub count: usize,
    /// Its fields; not all of them if there are more than a table may have columns.
    pub fields: &'r [Field<'a>],
    /// What is wrong with it as a record, whatever its fields say, and the
    /// number of the field that shows it, from 1; 0 if it is none in particular.
    pub fault: Option<(Fault, u32)>,
}

/// One field of a record, as it stands in the piece.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Field<'a> {
    raw: &'a [u8],
    /// The quote that is doubled in it; 0 if none is.
    doubled: u8,
}

impl<'a> Field<'a> {
    /// Returns how many bytes it has, doubled quotes counted twice.
    pub const fn length(&self) -> usize {
        self.raw.len()
    }

    /// Returns the field's value; `scratch` holds it where quotes are doubled.
    pub fn value<'s>(&self, scratch: &'s mut Vec<u8>) -> &'s [u8]
    where
        'a: 's,
    {
        if self.doubled == 0 {
            return self.raw;
        }
        scratch.clear();
        let mut rest = self.raw;
        while let Some(quote) = memchr(self.doubled, rest) {
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
            has_quotes: dialect.quotes.find(bytes).is_some(),
            has_nul: memchr(0, bytes).is_some(),
            fields: Vec::with_capacity(FIELDS_KEPT),
            counted: Counted::default(),
            weighed: (0, 0),
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
            Some((Fault::TooLong, 0))
        } else if stray > 0 {
            Some((Fault::StrayQuote, stray))
        } else if self.has_nul && memchr(0, record).is_some() {
            Some((Fault::NulByte, self.number(|field| field.contains(&0))))
        } else if record.len() > self.dialect.field_limit {
            let limit = self.dialect.field_limit;
            Some((Fault::FieldTooLong, self.number(|field| field.len() > limit))).filter(|(_, number)| *number > 0)
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

    /// Returns how many bytes of the source stand before a place in the piece.
    /// Cheap if the places asked for only rise.
    pub fn source_before(&mut self, place: usize) -> u64 {
        let (from, weight) = if place < self.weighed.0 { (0, 0) } else { self.weighed };
        self.weighed = (place, weight + self.dialect.coding.weigh(&self.bytes[from..place]));
        self.weighed.1
    }

    /// Returns the number of the first field kept that is so, from 1; 0 if none is.
    fn number(&self, is_so: impl Fn(&[u8]) -> bool) -> u32 {
        self.fields.iter().position(|field| is_so(field.raw)).map_or(0, |place| place as u32 + 1)
    }

    /// Takes the fields up to the record's line break, and leaves `at` on it.
    /// Returns how many there are, and the number of the first with a stray quote.
    fn take_record(&mut self) -> (usize, u32) {
        self.fields.clear();
        let (mut count, mut first_stray) = (0, 0);
        loop {
            let mut stray = false;
            let quote = if self.has_quotes { self.bytes.get(self.at).copied() } else { None };
            let field = match quote.filter(|byte| self.dialect.quotes.has(*byte)) {
                Some(quote) => self.take_quoted(quote, &mut stray),
                None => {
                    let start = self.at;
                    self.take_plain(&mut stray);
                    Field { raw: &self.bytes[start..self.at], doubled: 0 }
                }
            };
            count += 1;
            if stray && first_stray == 0 {
                first_stray = u32::try_from(count).unwrap_or(u32::MAX);
            }
            if self.fields.len() < FIELDS_KEPT {
                self.fields.push(field);
            }
            match self.bytes.get(self.at) {
                Some(byte) if *byte == self.dialect.separator.byte() => self.at += 1,
                Some(_) | None => return (count, first_stray),
            }
        }
    }

    /// Goes to the next separator or line break.
    #[inline]
    fn take_plain(&mut self, stray: &mut bool) {
        let end = self.marks.next(self.at);
        *stray |= self.has_quotes && self.dialect.quotes.find(&self.bytes[self.at..end]).is_some();
        self.at = end;
    }

    /// Takes a quoted value, from its first quote to the next separator or line break.
    fn take_quoted(&mut self, mark: u8, stray: &mut bool) -> Field<'a> {
        let start = self.at + 1;
        let mut doubled = 0;
        let mut from = start;
        loop {
            let Some(quote) = memchr(mark, &self.bytes[from..]).map(|at| from + at) else {
                // The splitter reports a quote that nothing closes; here it only must not run on.
                *stray = true;
                self.at = self.bytes.len();
                return Field { raw: &self.bytes[start..], doubled };
            };
            if self.bytes.get(quote + 1) == Some(&mark) {
                doubled = mark;
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
