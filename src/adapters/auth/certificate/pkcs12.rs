//! Reads PKCS#12 (RFC 7292), and with it encrypted PKCS#8 keys.
//!
//! The key passes through the archive crate's own memory, which it does not wipe;
//! what leaves here is wiped.

use p12_keystore::Pkcs12Archive;
use p12_keystore::error::Error;
use zeroize::Zeroizing;

use super::unfit::Unfit;
use super::{Found, Key};
use crate::ground::secret::Secret;

/// `data` of PKCS#7: plain content.
const DATA: &[u8] = &[0x06, 0x09, 0x2A, 0x86, 0x48, 0x86, 0xF7, 0x0D, 0x01, 0x07, 0x01];

/// `pkcs8ShroudedKeyBag`: an encrypted key.
const SHROUDED_KEY: &[u8] = &[0x06, 0x0B, 0x2A, 0x86, 0x48, 0x86, 0xF7, 0x0D, 0x01, 0x0C, 0x0A, 0x01, 0x02];

/// The version every archive has: 3.
const VERSION: &[u8] = &[0x02, 0x01, 0x03];

const SEQUENCE: u8 = 0x30;
const OCTETS: u8 = 0x04;
const EXPLICIT: u8 = 0xA0;

/// Reads the keys and certificates of an archive.
pub(super) fn read(archive: &[u8], password: Option<&Secret>) -> Result<Found, Unfit> {
    let opened = Pkcs12Archive::from_pkcs12(archive, password.map_or("", Secret::expose));
    let archive = opened.map_err(|error| unfit(&error, password.is_some()))?;
    Ok(Found {
        keys: archive.keys.iter().map(|bag| Key::Pkcs8(Zeroizing::new(bag.key.as_der().to_vec()))).collect(),
        certificates: archive.certs.iter().map(|bag| bag.cert.as_der().to_vec()).collect(),
    })
}

/// Opens a key that is encrypted by itself (`EncryptedPrivateKeyInfo`). In an
/// archive the same structure is one of the things it can hold; so it is put
/// into one, and there is one way of decrypting with one set of limits.
pub(super) fn unlock(key: &[u8], password: Option<&Secret>) -> Result<Key, Unfit> {
    let password = password.ok_or(Unfit::Locked)?;
    let bag = tagged(SEQUENCE, &[SHROUDED_KEY, &tagged(EXPLICIT, &[key])]);
    let contents = plain(&tagged(SEQUENCE, &[&bag]));
    let safe = plain(&tagged(SEQUENCE, &[&contents]));
    let found = read(&tagged(SEQUENCE, &[VERSION, &safe]), Some(password))?;
    found.keys.into_iter().next().ok_or(Unfit::BrokenKey)
}

/// Says what an error of the archive means for people.
fn unfit(error: &Error, has_password: bool) -> Unfit {
    // What comes out of a decryption with another password is no key.
    if matches!(error, Error::MacError(_) | Error::UnpadError | Error::Pkcs5Error(_) | Error::InvalidPrivateKey) {
        return if has_password { Unfit::WrongPassword } else { Unfit::Locked };
    }
    if matches!(error, Error::UnsupportedEncryptionScheme | Error::UnsupportedMacAlgorithm) {
        return Unfit::UnknownCipher;
    }
    Unfit::BrokenArchive
}

/// Returns plain content as an archive wraps it.
fn plain(content: &[u8]) -> Vec<u8> {
    tagged(SEQUENCE, &[DATA, &tagged(EXPLICIT, &[&tagged(OCTETS, &[content])])])
}

/// Returns a value in DER: its tag, its length in as few bytes as can be, and
/// its parts.
fn tagged(tag: u8, parts: &[&[u8]]) -> Vec<u8> {
    let content = parts.concat();
    let length = content.len().to_be_bytes();
    let length = &length[length.iter().position(|byte| *byte != 0).unwrap_or(length.len() - 1)..];
    let mut value = vec![tag];
    if content.len() >= 0x80 {
        value.push(0x80 | u8::try_from(length.len()).unwrap_or(u8::MAX));
    }
    value.extend_from_slice(length);
    value.extend_from_slice(&content);
    value
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_take_as_few_bytes_as_can_be() {
        for (length, head) in [
            (0, &[0x30, 0][..]),
            (127, &[0x30, 127]),
            (128, &[0x30, 0x81, 128]),
            (256, &[0x30, 0x82, 1, 0]),
            (65_536, &[0x30, 0x83, 1, 0, 0]),
        ] {
            let value = tagged(SEQUENCE, &[&vec![7; length]]);
            assert_eq!(&value[..head.len()], head);
            assert_eq!(value.len(), head.len() + length);
        }
    }
}
