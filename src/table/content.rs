//! The content digest: tells, under a key of this host, whether two tables hold
//! the same, though each was hashed under a salt of its own.
//!
//! It is made beside the hashing, over the normalised values, and must cost
//! little of it; and pieces of a table are hashed by many threads that know
//! neither each other nor the number of their first row. So the values are the
//! coefficients of a polynomial over the prime field of 2¹²⁷ − 1, evaluated at a
//! secret point: two pieces are put together by one multiplication, whatever
//! their sizes, and a value of up to 15 bytes costs another. What comes of it
//! is never shown; it goes through HMAC-SHA-256 under the same key, together
//! with all else that decides what is uploaded. That is a Carter–Wegman
//! authenticator: for a table of *n* values two different contents have one
//! digest with a probability of *n* / 2¹²⁷, and without the key the digest says
//! nothing.
//!
//! ```text
//! word of 128 bits    bytes 0–14  up to 15 bytes of the value, zeros behind them
//!                     byte 15     how many, and 16 more in the last word of the value
//! ```
//!
//! *Invariant:* the digest depends on the rows that were taken and their order,
//! on the schema, the digest of cells and a fixed salt; not on how the file is
//! cut, quoted or coded, nor on the order of its columns.

use std::fmt;

use ring::hmac;
use zeroize::{Zeroize, Zeroizing};

use super::digest::{CellDigest, hex};
use super::normalise::NORMALISATION;
use super::salt::Salt;
use super::schema::Schema;

/// Random bytes of a key.
pub const KEY_BYTES: usize = 32;

/// The prime of the field, 2¹²⁷ − 1.
const PRIME: u128 = (1 << 127) - 1;
/// The low 63 bits.
const LOW_63: u128 = (1 << 63) - 1;
/// Bytes of a value in one word.
const WORD: usize = 15;
/// What marks the last word of a value.
const LAST: u128 = 16;
/// Names the way the digest is made: another way is another name, so that
/// digests of two ways never agree.
const WAY: &str = "edm-content/1";

/// The key of content digests. It has no `Debug` and is wiped when dropped:
/// with it, a guess at a small table could be tried against its digest.
#[derive(Clone)]
pub struct ContentKey(Zeroizing<[u8; KEY_BYTES]>);

/// Takes the values of one piece in; each thread has its own.
#[derive(Clone)]
pub struct ContentHasher {
    point: u128,
    part: Part,
}

/// What a run of values has come to.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
pub struct Part {
    value: u128,
    words: u64,
}

/// What besides its values decides what is uploaded of a table.
pub struct Terms<'a> {
    /// Its columns and their rules.
    pub schema: &'a Schema,
    /// How a value becomes a cell.
    pub digest: CellDigest,
    /// The salt, where it is not a fresh one each time.
    pub salt: Option<&'a Salt>,
    /// Rows that were taken.
    pub rows: u64,
}

impl ContentKey {
    /// Makes a key of random bytes.
    pub const fn new(random: Zeroizing<[u8; KEY_BYTES]>) -> Self {
        Self(random)
    }

    /// Returns what takes the values in.
    pub fn hasher(&self) -> ContentHasher {
        let tag = hmac::sign(&self.hmac(), b"edm-content/1 point");
        let (point, _) = tag.as_ref().split_first_chunk().expect("a tag has 32 bytes");
        ContentHasher { point: u128::from_le_bytes(*point) & PRIME, part: Part::default() }
    }

    /// Returns the digest in lower-case hex.
    pub fn finish(&self, part: Part, terms: &Terms<'_>) -> String {
        // In the field the prime itself is zero.
        let value = if part.value == PRIME { 0 } else { part.value };
        let salt = terms.salt.map(Salt::expose_text);
        let fields = terms.schema.fields();
        let said = (WAY, NORMALISATION, terms.digest.name(), salt, fields, terms.rows, part.words, value.to_string());
        let said = Zeroizing::new(serde_json::to_vec(&said).expect("texts and numbers are JSON"));
        hex(hmac::sign(&self.hmac(), &said).as_ref())
    }

    fn hmac(&self) -> hmac::Key {
        hmac::Key::new(hmac::HMAC_SHA256, &*self.0)
    }
}

impl ContentHasher {
    /// Takes a normalised value in.
    pub fn push(&mut self, normalised: &[u8]) {
        let mut rest = normalised;
        while rest.len() > WORD {
            let (word, behind) = rest.split_at(WORD);
            self.word(word, 0);
            rest = behind;
        }
        self.word(rest, LAST);
    }

    /// Returns what was taken in so far.
    pub const fn part(&self) -> Part {
        self.part
    }

    /// Goes back to what was taken in before.
    pub const fn restore(&mut self, part: Part) {
        self.part = part;
    }

    /// Puts another piece's values behind those taken in.
    pub fn append(&mut self, behind: Part) {
        let shifted = multiply(self.part.value, power(self.point, behind.words));
        self.part = Part { value: fold(shifted + behind.value), words: self.part.words + behind.words };
    }

    fn word(&mut self, bytes: &[u8], mark: u128) {
        let word = load(bytes) | (bytes.len() as u128 | mark) << 120;
        self.part.value = fold(multiply(self.part.value, self.point) + word);
        self.part.words += 1;
    }
}

impl Drop for ContentHasher {
    fn drop(&mut self) {
        self.point.zeroize();
    }
}

impl fmt::Debug for Part {
    /// Says no more than how much there was: the value is for the digest only.
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("Part").field("words", &self.words).finish_non_exhaustive()
    }
}

/// Returns up to 15 bytes as a number, the first lowest. A copy of a length
/// that is not known is a call, so two overlapping reads of a known one do.
fn load(bytes: &[u8]) -> u128 {
    if let (Some(first), Some(last)) = (bytes.first_chunk(), bytes.last_chunk()) {
        let behind = 8 * (bytes.len() - 8);
        u128::from(u64::from_le_bytes(*first)) | u128::from(u64::from_le_bytes(*last)) << behind
    } else if let (Some(first), Some(last)) = (bytes.first_chunk(), bytes.last_chunk()) {
        let behind = 8 * (bytes.len() - 4);
        u128::from(u32::from_le_bytes(*first)) | u128::from(u32::from_le_bytes(*last)) << behind
    } else {
        bytes.iter().rev().fold(0, |number, byte| number << 8 | u128::from(*byte))
    }
}

/// Brings the sum of two numbers, each up to the prime, up to the prime again, the
/// same in the field: 2¹²⁷ counts as one there. The prime stays itself.
const fn fold(sum: u128) -> u128 {
    (sum & PRIME) + (sum >> 127)
}

/// Multiplies two numbers up to the prime in the field; so is the product.
const fn multiply(one: u128, other: u128) -> u128 {
    let (one_high, one_low) = (one >> 64, one & u64::MAX as u128);
    let (other_high, other_low) = (other >> 64, other & u64::MAX as u128);
    // 64 by 63 bits, twice: below 2¹²⁸; and so are both sums below.
    let middle = one_low * other_high + one_high * other_low;
    let low = one_low * other_low;
    let above = fold(2 * (one_high * other_high) + ((middle & LOW_63) << 64));
    let below = fold((low & PRIME) + (low >> 127) + (middle >> 63));
    fold(above + below)
}

/// Raises a number to a power in the field.
const fn power(base: u128, exponent: u64) -> u128 {
    let (mut result, mut square, mut left) = (1, base, exponent);
    while left > 0 {
        if left & 1 == 1 {
            result = multiply(result, square);
        }
        square = multiply(square, square);
        left >>= 1;
    }
    result
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::table::schema::Field;
    use proptest::prelude::*;

    fn key(byte: u8) -> ContentKey {
        ContentKey::new(Zeroizing::new([byte; KEY_BYTES]))
    }

    fn schema() -> Schema {
        Schema::from_fields("Letters", vec![Field::named("A"), Field::named("B")]).unwrap()
    }

    fn digest_under(key: &ContentKey, values: &[&[u8]]) -> String {
        let mut hasher = key.hasher();
        values.iter().for_each(|value| hasher.push(value));
        let schema = schema();
        let terms = Terms { schema: &schema, digest: CellDigest::Sha256, salt: None, rows: 3 };
        key.finish(hasher.part(), &terms)
    }

    fn digest(values: &[&[u8]]) -> String {
        digest_under(&key(7), values)
    }

    /// The same bit by bit, with nothing but additions.
    fn slowly(one: u128, other: u128) -> u128 {
        let add = |one: u128, other: u128| (one % PRIME + other % PRIME) % PRIME;
        (0..128).rev().fold(0, |product, bit| {
            let doubled = add(product, product);
            if other >> bit & 1 == 1 { add(doubled, one) } else { doubled }
        })
    }

    proptest! {
        #[test]
        fn products_are_those_of_the_field(one in 0..=PRIME, other in prop_oneof![0..=PRIME, PRIME - 3..=PRIME, 0..4u128]) {
            prop_assert_eq!(multiply(one, other) % PRIME, slowly(one, other));
            prop_assert!(multiply(one, other) <= PRIME);
        }

        #[test]
        fn pieces_come_to_the_same_wherever_they_are_cut(
            values in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..40), 0..20), cuts in any::<u32>(),
        ) {
            let mut whole = key(7).hasher();
            let mut joined = key(7).hasher();
            let mut piece = key(7).hasher();
            for (number, value) in values.iter().enumerate() {
                whole.push(value);
                piece.push(value);
                if cuts >> number & 1 == 1 {
                    joined.append(piece.part());
                    piece.restore(Part::default());
                }
            }
            joined.append(piece.part());
            let canonical = |part: Part| (part.value % PRIME, part.words);
            prop_assert_eq!(canonical(joined.part()), canonical(whole.part()));
        }

        #[test]
        fn a_word_holds_exactly_its_bytes(bytes in prop::collection::vec(any::<u8>(), 0..=WORD)) {
            let mut padded = [0; 16];
            padded[..bytes.len()].copy_from_slice(&bytes);
            prop_assert_eq!(load(&bytes), u128::from_le_bytes(padded));
        }
    }

    #[test]
    fn values_that_look_alike_put_together_are_told_apart() {
        let long = [b'x'; 31];
        let contents: [&[&[u8]]; 10] = [
            &[b"ab", b"c"],
            &[b"a", b"bc"],
            &[b"abc", b""],
            &[b"", b"abc"],
            &[b"c", b"ab"],
            &[b"ab", b"c", b""],
            &[b"ab\0", b"c"],
            &[&long[..15], &long[15..]],
            &[&long[..16], &long[16..]],
            &[&long, b""],
        ];
        for (number, one) in contents.iter().enumerate() {
            for other in &contents[number + 1..] {
                assert_ne!(digest(one), digest(other), "{one:?} and {other:?}");
            }
        }
    }

    #[test]
    fn the_key_and_every_term_decide() {
        let values: [&[u8]; 2] = [b"a", b"b"];
        let same = digest(&values);
        assert_eq!(same, digest(&values));
        assert_ne!(same, digest_under(&key(8), &values));
        let (key, schema, salt) = (key(7), schema(), Salt::parse(&"a0".repeat(32)).unwrap());
        let lower = Field { case_insensitive: true, ..Field::named("B") };
        let other = Schema::from_fields("Letters", vec![Field::named("A"), lower]).unwrap();
        let mut hasher = key.hasher();
        values.iter().for_each(|value| hasher.push(value));
        let terms = |schema, digest, salt, rows| key.finish(hasher.part(), &Terms { schema, digest, salt, rows });
        assert_eq!(terms(&schema, CellDigest::Sha256, None, 3), same);
        for changed in [
            terms(&other, CellDigest::Sha256, None, 3),
            terms(&schema, CellDigest::HmacSha256, None, 3),
            terms(&schema, CellDigest::Sha256, Some(&salt), 3),
            terms(&schema, CellDigest::Sha256, None, 4),
        ] {
            assert_ne!(changed, same);
        }
    }
}
