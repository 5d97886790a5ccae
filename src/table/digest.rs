//! The digest of a cell: SHA-256 over the salt followed by the normalised value,
//! or HMAC-SHA-256 of the value with the salt as its key.
//!
//! The salt fills exactly one block of the hash function, so its part is
//! computed once and a value of up to 55 bytes costs one compression, or two
//! under HMAC.

use serde::Deserialize;
use sha2::{Digest, Sha256};
use zeroize::Zeroizing;

use super::block::CELL;
use super::salt::{SALT_LENGTH, Salt};

/// How a normalised value becomes a cell.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum CellDigest {
    /// SHA-256 of the salt followed by the value.
    #[default]
    Sha256,
    /// HMAC-SHA-256 (RFC 2104) of the value, the salt its key.
    HmacSha256,
}

impl CellDigest {
    const ALL: [Self; 2] = [Self::Sha256, Self::HmacSha256];

    /// Returns the name that the manifest and the setting have for it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Sha256 => "sha256",
            Self::HmacSha256 => "hmac-sha256",
        }
    }

    /// Finds it by that name.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|digest| digest.name() == name)
    }
}

/// A digest of a bundle's blocks as a whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DigestKind {
    /// MD5.
    Md5,
    /// SHA-256, which the manifest has.
    Sha256,
    /// SHA-512.
    Sha512,
}

/// Hashes cells under one salt.
#[derive(Clone)]
pub struct CellHasher {
    salted: Sha256,
    /// What digests the digest once more; only HMAC does.
    outer: Option<Sha256>,
}

impl CellHasher {
    /// Makes a hasher for one salt: SHA-256.
    pub fn new(salt: &Salt) -> Self {
        Self::of(CellDigest::Sha256, salt)
    }

    /// Makes a hasher for one salt.
    pub fn of(digest: CellDigest, salt: &Salt) -> Self {
        match digest {
            CellDigest::Sha256 => Self { salted: Sha256::new_with_prefix(salt.expose()), outer: None },
            CellDigest::HmacSha256 => Self {
                salted: Sha256::new_with_prefix(*masked(salt, 0x36)),
                outer: Some(Sha256::new_with_prefix(*masked(salt, 0x5c))),
            },
        }
    }

    /// Returns the digest of a normalised value.
    pub fn hash(&self, normalised: &[u8]) -> [u8; CELL] {
        let mut state = self.salted.clone();
        state.update(normalised);
        let digest = state.finalize();
        match &self.outer {
            None => digest.into(),
            Some(outer) => outer.clone().chain_update(digest).finalize().into(),
        }
    }
}

/// Returns a key of HMAC, one block long as the salt is.
fn masked(salt: &Salt, mask: u8) -> Zeroizing<[u8; SALT_LENGTH]> {
    Zeroizing::new(salt.expose().map(|byte| byte ^ mask))
}

/// Returns bytes in lower-case hex, the form lookups and manifests use.
pub fn hex(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let digits = bytes.iter().flat_map(|byte| [byte >> 4, byte & 15]);
    digits.map(|digit| char::from(DIGITS[usize::from(digit)])).collect()
}

/// Reads bytes in hex, in either case; nothing if the text is not that.
pub(crate) fn unhex(text: &str) -> Option<Vec<u8>> {
    let digit = |byte: u8| char::from(byte).to_digit(16);
    let byte = |pair: &[u8]| u8::try_from(digit(pair[0])? * 16 + digit(*pair.get(1)?)?).ok();
    text.as_bytes().chunks(2).map(byte).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_digest_is_the_plain_sha256_of_salt_and_value() {
        let salt = Salt::parse(&"a0".repeat(32)).unwrap();
        let hasher = CellHasher::new(&salt);
        for length in [0, 1, 55, 56, 63, 64, 65, 200] {
            let value = vec![b'x'; length];
            let plain = Sha256::digest([salt.expose(), value.as_slice()].concat());
            assert_eq!(hasher.hash(&value), *plain, "{length}");
        }
    }

    #[test]
    fn an_hmac_is_that_of_another_implementation() {
        let salt = Salt::parse(&"a0".repeat(32)).unwrap();
        let hasher = CellHasher::of(CellDigest::HmacSha256, &salt);
        let key = ring::hmac::Key::new(ring::hmac::HMAC_SHA256, salt.expose());
        for length in [0, 1, 55, 56, 63, 64, 65, 200] {
            let value = vec![b'x'; length];
            assert_eq!(hasher.hash(&value), ring::hmac::sign(&key, &value).as_ref(), "{length}");
        }
    }

    #[test]
    fn hex_is_read_as_it_is_written_and_nothing_else_is_read() {
        assert_eq!(hex(&[0x00, 0xff, 0x1a]), "00ff1a");
        assert_eq!(unhex("00Ff1a"), Some(vec![0x00, 0xff, 0x1a]));
        for text in ["0", "00f", "0g", "+1", "0\u{e9}"] {
            assert_eq!(unhex(text), None, "{text}");
        }
    }
}
