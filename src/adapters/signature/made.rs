//! A signature: what it says, and how it is written.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use ring::digest::{Algorithm, Digest, SHA256, SHA512};

use super::wire::{ED25519, Fields, public_key, put, read_named, read_public_key};
use super::{NAMESPACE, unarmoured};

/// What stands between the dashes of its armour.
const LABEL: &str = "SSH SIGNATURE";

/// What a signature begins with, and what is signed.
const MAGIC: &[u8] = b"SSHSIG";

/// The version of the form.
const VERSION: u32 = 1;

/// Characters in a line of base64, as `ssh-keygen` has it.
const LINE: usize = 70;

/// An Ed25519 signature of a digest, for [`NAMESPACE`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Signature {
    key: [u8; 32],
    hash: Hash,
    bytes: [u8; 64],
}

/// How a file was digested.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Hash {
    Sha256,
    Sha512,
}

impl Hash {
    const fn name(self) -> &'static [u8] {
        match self {
            Self::Sha256 => b"sha256",
            Self::Sha512 => b"sha512",
        }
    }
}

impl Signature {
    pub(super) const fn new(key: [u8; 32], bytes: [u8; 64]) -> Self {
        Self { key, hash: Hash::Sha512, bytes }
    }

    /// Reads what `ssh-keygen -Y sign` writes. `None` for anything but one whole
    /// Ed25519 signature for [`NAMESPACE`].
    pub fn parse(text: &[u8]) -> Option<Self> {
        let blob = unarmoured(text, LABEL)?;
        let mut fields = Fields(&blob);
        if fields.bytes(MAGIC.len())? != MAGIC || fields.number()? != VERSION {
            return None;
        }
        let key = read_public_key(fields.text()?)?;
        if fields.text()? != NAMESPACE.as_bytes() || !fields.text()?.is_empty() {
            return None;
        }
        let name = fields.text()?;
        let hash = [Hash::Sha256, Hash::Sha512].into_iter().find(|hash| hash.name() == name)?;
        let bytes = read_named(fields.text()?)?;
        fields.0.is_empty().then_some(Self { key, hash, bytes })
    }

    /// Writes it as `ssh-keygen -Y sign` does.
    pub fn armoured(&self) -> String {
        let mut blob = MAGIC.to_vec();
        blob.extend_from_slice(&VERSION.to_be_bytes());
        put(&mut blob, &public_key(&self.key));
        put(&mut blob, NAMESPACE.as_bytes());
        put(&mut blob, b"");
        put(&mut blob, self.hash.name());
        let mut signature = Vec::new();
        put(&mut signature, ED25519);
        put(&mut signature, &self.bytes);
        put(&mut blob, &signature);
        let mut text = format!("-----BEGIN {LABEL}-----\n");
        for line in STANDARD.encode(blob).as_bytes().chunks(LINE) {
            text.push_str(std::str::from_utf8(line).expect("base64 is ASCII"));
            text.push('\n');
        }
        text + &format!("-----END {LABEL}-----\n")
    }

    /// Returns how the file is to be digested.
    pub fn algorithm(&self) -> &'static Algorithm {
        match self.hash {
            Hash::Sha256 => &SHA256,
            Hash::Sha512 => &SHA512,
        }
    }

    pub(super) const fn key(&self) -> &[u8; 32] {
        &self.key
    }

    pub(super) const fn bytes(&self) -> &[u8; 64] {
        &self.bytes
    }
}

/// Returns what is signed of a file with this digest.
pub(super) fn statement(digest: &Digest) -> Vec<u8> {
    let hash = if digest.algorithm() == &SHA256 { Hash::Sha256 } else { Hash::Sha512 };
    let mut signed = MAGIC.to_vec();
    put(&mut signed, NAMESPACE.as_bytes());
    put(&mut signed, b"");
    put(&mut signed, hash.name());
    put(&mut signed, digest.as_ref());
    signed
}
