//! Ids, signatures and tokens.

use std::io;
use std::sync::atomic::{AtomicU64, Ordering};

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use sha2::{Digest, Sha256};

/// Mints texts nobody can guess: each is a hash of a random key and a counter.
pub(super) struct Mint {
    key: [u8; 32],
    minted: AtomicU64,
}

impl Mint {
    /// Draws a key.
    pub(super) fn new() -> io::Result<Self> {
        let mut key = [0; 32];
        #[expect(clippy::disallowed_methods, reason = "the service has a generator of its own, as the real one has")]
        getrandom::fill(&mut key).map_err(io::Error::other)?;
        Ok(Self { key, minted: AtomicU64::new(0) })
    }

    fn bytes(&self) -> [u8; 32] {
        let number = self.minted.fetch_add(1, Ordering::Relaxed);
        Sha256::new().chain_update(self.key).chain_update(number.to_le_bytes()).finalize().into()
    }

    /// Returns a GUID of version 4.
    pub(super) fn guid(&self) -> String {
        let mut bytes = self.bytes();
        bytes[6] = bytes[6] & 0x0f | 0x40;
        bytes[8] = bytes[8] & 0x3f | 0x80;
        let hex = hex(&bytes[..16]);
        [&hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..]].join("-")
    }

    /// Returns the serial number of a certificate.
    pub(super) fn serial(&self) -> [u8; 16] {
        let mut serial = [0; 16];
        serial.copy_from_slice(&self.bytes()[..16]);
        // Neither negative nor with zeros at the front.
        serial[0] = serial[0] & 0x7f | 0x40;
        serial
    }

    /// Returns a signature in base64, as it is before it goes into a URI.
    pub(super) fn signature(&self) -> String {
        STANDARD.encode(self.bytes())
    }

    /// Returns a bearer token.
    pub(super) fn token(&self) -> String {
        format!("sandbox.{}.{}", URL_SAFE_NO_PAD.encode(self.bytes()), URL_SAFE_NO_PAD.encode(&self.bytes()[..12]))
    }
}

/// Returns the bytes in lower-case hexadecimal.
pub(super) fn hex(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let digits = bytes.iter().flat_map(|byte| [DIGITS[usize::from(byte >> 4)], DIGITS[usize::from(byte & 15)]]);
    digits.map(char::from).collect()
}

/// Reads 32 bytes in lower-case hexadecimal.
pub(super) fn unhex(text: &str) -> Option<[u8; 32]> {
    let digits = text.as_bytes();
    if digits.len() != 64 || digits.iter().any(u8::is_ascii_uppercase) {
        return None;
    }
    let mut bytes = [0; 32];
    for (byte, pair) in bytes.iter_mut().zip(digits.chunks_exact(2)) {
        let digit = |at: usize| char::from(pair[at]).to_digit(16);
        *byte = u8::try_from(digit(0)? * 16 + digit(1)?).ok()?;
    }
    Some(bytes)
}
