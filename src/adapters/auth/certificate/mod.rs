//! The client certificate an application proves itself with, and its key.
//!
//! They come as PEM or as PKCS#12, told apart by what the file holds. Nothing is
//! taken that the authority would refuse: it takes RSA of 2048 bits or more, the
//! key must be the certificate's own, and the certificate must be valid now.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use chrono::{DateTime, TimeDelta, Utc};
use ring::digest::{Algorithm, SHA1_FOR_LEGACY_USE_ONLY, SHA256, digest};
use ring::rand::SystemRandom;
use ring::rsa::KeyPair as RsaKeyPair;
use ring::signature::RSA_PSS_SHA256;
use x509_parser::certificate::X509Certificate;
use zeroize::Zeroizing;

pub use file::CertificateFile;
pub use unfit::Unfit;

use crate::ground::secret::Secret;

mod file;
mod pem;
mod pkcs12;
mod unfit;

/// How long before its end a certificate is worth a warning: time for people to
/// make another and register it.
pub const ENDS_SOON: TimeDelta = TimeDelta::days(30);

/// The object identifier of a key on an elliptic curve, in DER.
const EC_KEY: &[u8] = &[0x06, 0x07, 0x2A, 0x86, 0x48, 0xCE, 0x3D, 0x02, 0x01];

/// Where the kind of a PKCS#8 key stands, at the most: behind two lengths and a
/// version.
const KIND_ENDS: usize = 32;

/// A client certificate with its key. It has no `Debug`.
pub struct Certificate {
    key: RsaKeyPair,
    begins: DateTime<Utc>,
    ends: DateTime<Utc>,
    sha1: String,
    sha256: String,
    x5t: String,
}

/// What was found in a file.
struct Found {
    keys: Vec<Key>,
    certificates: Vec<Vec<u8>>,
}

/// A private key in DER, wiped when dropped.
enum Key {
    /// Of any kind, which it names.
    Pkcs8(Zeroizing<Vec<u8>>),
    /// RSA, as it was written before there was PKCS#8.
    Pkcs1(Zeroizing<Vec<u8>>),
}

impl Certificate {
    /// Reads the content of a file. Of several certificates of one key, as after
    /// a renewal, the one that is valid the longest is taken.
    ///
    /// # Errors
    ///
    /// Says what is wrong with it, to come after the name of the file.
    pub fn read(content: &[u8], password: Option<&Secret>, now: DateTime<Utc>) -> Result<Self, Unfit> {
        let found = find(content, password)?;
        let key = match &found.keys[..] {
            [key] => rsa(key)?,
            [] => return Err(Unfit::NoKey),
            keys => return Err(Unfit::ManyKeys(keys.len())),
        };
        if found.certificates.is_empty() {
            return Err(Unfit::NoCertificate);
        }
        let mut own = Vec::new();
        for der in &found.certificates {
            let certificate = parse(der)?;
            if certificate.public_key().subject_public_key.data.as_ref() == key.public().as_ref() {
                let validity = certificate.validity();
                own.push((date(validity.not_before.timestamp()), date(validity.not_after.timestamp()), der));
            }
        }
        let (begins, ends, der) =
            own.into_iter().max_by_key(|(begins, ends, _)| (*begins <= now, *ends)).ok_or(Unfit::Mismatch)?;
        let x5t = URL_SAFE_NO_PAD.encode(digest(&SHA256, der));
        let (sha1, sha256) = (hex(&SHA1_FOR_LEGACY_USE_ONLY, der), hex(&SHA256, der));
        let certificate = Self { key, begins, ends, sha1, sha256, x5t };
        certificate.check(now)?;
        Ok(certificate)
    }

    /// Checks that it is valid now.
    ///
    /// # Errors
    ///
    /// Says since when it is not, or until when.
    pub fn check(&self, now: DateTime<Utc>) -> Result<(), Unfit> {
        if now > self.ends {
            return Err(Unfit::Expired(self.ends));
        }
        if now < self.begins {
            return Err(Unfit::NotYet(self.begins));
        }
        Ok(())
    }

    /// Returns when it ends.
    pub const fn ends(&self) -> DateTime<Utc> {
        self.ends
    }

    /// Says whether it is time to make another.
    pub fn ends_soon(&self, now: DateTime<Utc>) -> bool {
        self.ends.signed_duration_since(now) < ENDS_SOON
    }

    /// Returns its SHA-1 fingerprint in capital hexadecimal digits: the
    /// "thumbprint" that Entra's portal shows.
    pub fn sha1(&self) -> &str {
        &self.sha1
    }

    /// Returns its SHA-256 fingerprint in capital hexadecimal digits.
    pub fn sha256(&self) -> &str {
        &self.sha256
    }

    /// Returns its SHA-256 fingerprint as a signed statement names it
    /// (`x5t#S256`, RFC 7515 section 4.1.8).
    pub fn x5t(&self) -> &str {
        &self.x5t
    }

    /// Returns the key, for signing.
    pub(super) const fn key(&self) -> &RsaKeyPair {
        &self.key
    }
}

/// Finds the keys and certificates in a file of either form.
fn find(content: &[u8], password: Option<&Secret>) -> Result<Found, Unfit> {
    if content.windows(pem::BEGIN.len()).any(|window| window == pem::BEGIN) {
        return find_in_pem(content, password);
    }
    // A sequence, as everything in DER is that comes in files.
    match content.first() {
        Some(0x30) if parse(content).is_ok() => Err(Unfit::NoKey),
        Some(0x30) => pkcs12::read(content, password),
        Some(_) | None => Err(Unfit::UnknownForm),
    }
}

fn find_in_pem(content: &[u8], password: Option<&Secret>) -> Result<Found, Unfit> {
    let mut found = Found { keys: Vec::new(), certificates: Vec::new() };
    for part in pem::parts(content)? {
        match part.label.as_str() {
            _ if part.is_locked => return Err(Unfit::OldEncryption),
            "CERTIFICATE" | "X509 CERTIFICATE" => found.certificates.push(part.der.to_vec()),
            "PRIVATE KEY" => found.keys.push(Key::Pkcs8(part.der)),
            "RSA PRIVATE KEY" => found.keys.push(Key::Pkcs1(part.der)),
            "ENCRYPTED PRIVATE KEY" => found.keys.push(pkcs12::unlock(&part.der, password)?),
            "EC PRIVATE KEY" => return Err(Unfit::EllipticCurve),
            label if label.ends_with("PRIVATE KEY") => return Err(Unfit::NotRsa),
            _ => (),
        }
    }
    Ok(found)
}

/// Reads an RSA key and checks that it is whole and long enough.
fn rsa(key: &Key) -> Result<RsaKeyPair, Unfit> {
    let read = match key {
        Key::Pkcs8(der) => {
            let head = &der[..der.len().min(KIND_ENDS)];
            if head.windows(EC_KEY.len()).any(|window| window == EC_KEY) {
                return Err(Unfit::EllipticCurve);
            }
            RsaKeyPair::from_pkcs8(der)
        }
        Key::Pkcs1(der) => RsaKeyPair::from_der(der),
    };
    // The words are all there is to tell the reasons apart by.
    let key = read.map_err(|rejected| match rejected.to_string().as_str() {
        "TooSmall" => Unfit::ShortKey,
        "WrongAlgorithm" => Unfit::NotRsa,
        _ => Unfit::BrokenKey,
    })?;
    // What reads it lets one bit less pass.
    if key.public().modulus_len() * 8 < 2_048 {
        return Err(Unfit::ShortKey);
    }
    // Damage in some of its numbers shows only when it signs.
    let mut signature = vec![0; key.public().modulus_len()];
    let signed = key.sign(&RSA_PSS_SHA256, &SystemRandom::new(), b"trial", &mut signature);
    signed.map(|()| key).map_err(|_| Unfit::BrokenKey)
}

fn parse(der: &[u8]) -> Result<X509Certificate<'_>, Unfit> {
    match x509_parser::parse_x509_certificate(der) {
        Ok(([], certificate)) => Ok(certificate),
        Ok(_) | Err(_) => Err(Unfit::BrokenCertificate),
    }
}

/// Returns the date of a certificate's own seconds; no date is beyond all dates.
fn date(seconds: i64) -> DateTime<Utc> {
    DateTime::from_timestamp(seconds, 0).unwrap_or(DateTime::<Utc>::MAX_UTC)
}

fn hex(algorithm: &'static Algorithm, der: &[u8]) -> String {
    digest(algorithm, der).as_ref().iter().map(|byte| format!("{byte:02X}")).collect()
}
