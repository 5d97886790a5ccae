//! Normalisation: what is made of a value before it is hashed.
//!
//! The rule is written down, with vectors, in `docs/NORMALISATION.md`, and
//! numbered: service and agent must agree on every byte, so a change of the
//! rule is a new number, never an edit.
//!
//! Nearly all cells are ASCII. Those are trimmed in place, and copied into a
//! recycled buffer only when a character must go or change.

use unicode_normalization::{IsNormalized, UnicodeNormalization, is_nfc_quick};

use super::schema::Field;

/// The number of the rule this build follows; the manifest carries it.
pub const NORMALISATION: u32 = 1;

/// The rule for one column.
#[derive(Debug, Clone)]
pub struct Normaliser {
    lower: bool,
    /// One bit for each ASCII character that is removed.
    removed_ascii: u128,
    removed: Vec<char>,
}

/// A value that is not UTF-8, so it has no characters to speak of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NotUtf8;

impl Normaliser {
    /// Makes the rule of a column.
    pub fn of(field: &Field) -> Self {
        let ascii = field.ignored_delimiters.iter().filter(|character| character.is_ascii());
        Self {
            lower: field.case_insensitive,
            removed_ascii: ascii.fold(0, |bits, character| bits | 1 << u32::from(*character)),
            removed: field.ignored_delimiters.clone(),
        }
    }

    /// Returns the bytes to hash for a value that is known to be ASCII, as
    /// [`Normaliser::apply`] does.
    #[inline]
    pub fn apply_ascii<'a>(&self, value: &'a [u8], scratch: &'a mut Vec<u8>) -> &'a [u8] {
        debug_assert!(value.is_ascii(), "the caller looked at it");
        if !self.lower && self.removed_ascii == 0 && !has_space_at_an_end(value) {
            return value;
        }
        self.ascii(value, scratch)
    }

    /// Returns the bytes to hash for a value. `scratch` holds them where they
    /// are not simply a part of the value.
    ///
    /// # Errors
    ///
    /// [`NotUtf8`] if the value is not UTF-8.
    pub fn apply<'a>(&self, value: &'a [u8], scratch: &'a mut Vec<u8>) -> Result<&'a [u8], NotUtf8> {
        if value.is_ascii() { Ok(self.ascii(value, scratch)) } else { self.unicode(value, scratch) }
    }

    fn ascii<'a>(&self, value: &'a [u8], scratch: &'a mut Vec<u8>) -> &'a [u8] {
        let value = trim(value);
        if self.removed_ascii == 0 && !(self.lower && value.iter().any(u8::is_ascii_uppercase)) {
            return value;
        }
        scratch.clear();
        scratch.extend(value.iter().filter(|byte| self.removed_ascii >> **byte & 1 == 0));
        if self.lower {
            scratch.make_ascii_lowercase();
        }
        trim(scratch)
    }

    #[cold]
    fn unicode<'a>(&self, value: &[u8], scratch: &'a mut Vec<u8>) -> Result<&'a [u8], NotUtf8> {
        let text = std::str::from_utf8(value).map_err(|_| NotUtf8)?.trim();
        let keep = |character: &char| !self.removed.contains(character);
        let kept: String = match is_nfc_quick(text.chars()) {
            IsNormalized::Yes => text.chars().filter(keep).collect(),
            IsNormalized::No | IsNormalized::Maybe => text.nfc().filter(keep).collect(),
        };
        let kept = if self.lower { kept.to_lowercase() } else { kept };
        scratch.clear();
        scratch.extend_from_slice(kept.trim().as_bytes());
        Ok(scratch)
    }
}

/// Whether a byte is one of the ASCII characters that Unicode counts as white space.
const fn is_space(byte: u8) -> bool {
    matches!(byte, b'\t'..=b'\r' | b' ')
}

fn has_space_at_an_end(value: &[u8]) -> bool {
    matches!(value, [first, ..] if is_space(*first)) || matches!(value, [.., last] if is_space(*last))
}

/// Trims white space of ASCII.
fn trim(mut value: &[u8]) -> &[u8] {
    while let [first, rest @ ..] = value
        && is_space(*first)
    {
        value = rest;
    }
    while let [rest @ .., last] = value
        && is_space(*last)
    {
        value = rest;
    }
    value
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn rule(lower: bool, ignored: &[char]) -> Normaliser {
        Normaliser::of(&Field { case_insensitive: lower, ignored_delimiters: ignored.to_vec(), ..Field::named("Any") })
    }

    proptest! {
        #[test]
        fn the_short_way_for_ascii_gives_what_the_long_way_gives(
            value in "[\\x00-\\x7f]{0,12}", lower: bool, ignored in prop::collection::vec(prop::char::range('!', '/'), 0..3),
        ) {
            let rule = rule(lower, &ignored);
            let (mut short, mut long) = (Vec::new(), Vec::new());
            prop_assert_eq!(rule.ascii(value.as_bytes(), &mut short), rule.unicode(value.as_bytes(), &mut long).unwrap());
            prop_assert_eq!(rule.apply_ascii(value.as_bytes(), &mut short), rule.unicode(value.as_bytes(), &mut long).unwrap());
        }

        #[test]
        fn a_normalised_value_is_not_changed_by_doing_it_again(value: String, lower: bool) {
            let rule = rule(lower, &['-', ' ']);
            let (mut first, mut second) = (Vec::new(), Vec::new());
            let once = rule.apply(value.as_bytes(), &mut first).unwrap().to_vec();
            // Lower-casing may undo NFC, and the rule does not compose a second time.
            prop_assume!(unicode_normalization::is_nfc(std::str::from_utf8(&once).unwrap()));
            prop_assert_eq!(rule.apply(&once, &mut second).unwrap(), once.as_slice());
        }
    }

    #[test]
    fn what_is_not_utf8_is_refused() {
        for value in [&b"\xff"[..], b"caf\xe9", b"\xc0\xaf", b"\xed\xa0\x80"] {
            assert_eq!(rule(true, &[]).apply(value, &mut Vec::new()), Err(NotUtf8));
        }
    }
}
