//! The salt: what makes digests of few possible values worth keeping secret.

use sha2::{Digest, Sha256};
use zeroize::Zeroize;

use super::digest::hex;

/// Characters of a salt; the form the service's own tools use.
pub const SALT_LENGTH: usize = 64;

/// Random bytes to offer [`Salt::from_random`]. Of 256 bytes four in a byte's
/// range are passed over, so twice the need falls short in no lifetime.
pub const RANDOM_BYTES: usize = 2 * SALT_LENGTH;

const ALPHABET: &[u8; 36] = b"abcdefghijklmnopqrstuvwxyz0123456789";

/// The largest multiple of the alphabet's size that a byte can count to.
const FAIR: u8 = 252;

/// The 64 characters of a–z and 0–9 that every value is hashed after.
///
/// It has no `Debug` and is wiped from memory when dropped: with it, every
/// digest of a short number can be guessed in a second.
#[derive(Clone)]
pub struct Salt([u8; SALT_LENGTH]);

impl Salt {
    /// Reads a salt; one line ending behind it is passed over.
    ///
    /// # Errors
    ///
    /// Says what a salt looks like, never what was found.
    pub fn parse(text: &str) -> Result<Self, SaltError> {
        let text = text.strip_suffix('\n').map_or(text, |line| line.strip_suffix('\r').unwrap_or(line));
        let bytes: [u8; SALT_LENGTH] = text.as_bytes().try_into().map_err(|_| SaltError { found: text.len() })?;
        if bytes.iter().any(|byte| !ALPHABET.contains(byte)) {
            return Err(SaltError { found: text.len() });
        }
        Ok(Self(bytes))
    }

    /// Makes a salt of random bytes, each character equally likely. Returns
    /// `None` if too few bytes were usable; see [`RANDOM_BYTES`].
    pub fn from_random(random: &[u8]) -> Option<Self> {
        let mut salt = Self([0; SALT_LENGTH]);
        let mut usable = random.iter().filter(|byte| **byte < FAIR);
        for character in &mut salt.0 {
            *character = ALPHABET[usize::from(*usable.next()?) % ALPHABET.len()];
        }
        Some(salt)
    }

    /// Returns the characters, for the places that hash, store and send them.
    pub const fn expose(&self) -> &[u8; SALT_LENGTH] {
        &self.0
    }

    /// Returns the SHA-256 of the characters in lower-case hex, which tells nothing
    /// of them.
    pub fn sha256(&self) -> String {
        hex(&Sha256::digest(self.0))
    }

    /// Returns the characters as text.
    pub fn expose_text(&self) -> &str {
        std::str::from_utf8(&self.0).expect("a salt is made of a-z and 0-9")
    }
}

impl Drop for Salt {
    fn drop(&mut self) {
        self.0.zeroize();
    }
}

/// Why a text is not a salt.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "read the salt: it must be {SALT_LENGTH} characters of a-z and 0-9, and this one has {found} bytes or other characters"
)]
pub struct SaltError {
    /// Bytes there were.
    pub found: usize,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_line_ending_is_passed_over_and_no_more() {
        let text = "0123456789abcdef".repeat(4);
        for (ending, accepted) in [("", true), ("\n", true), ("\r\n", true), ("\n\n", false), (" ", false)] {
            assert_eq!(Salt::parse(&format!("{text}{ending}")).is_ok(), accepted, "{ending:?}");
        }
        assert!(Salt::parse(&text.to_uppercase()).is_err());
        assert!(Salt::parse(&text[1..]).is_err());
    }

    #[test]
    fn every_character_is_equally_likely() {
        let mut counts = [0; 256];
        for byte in 0..=255u8 {
            if let Some(salt) = Salt::from_random(&[byte; SALT_LENGTH]) {
                counts[usize::from(salt.expose()[0])] += 1;
            }
        }
        assert!(ALPHABET.iter().all(|character| counts[usize::from(*character)] == 7));
    }
}
