//! The private key that signs: a file as `ssh-keygen -t ed25519 -N ''` makes it
//! (PROTOCOL.key of OpenSSH).

use std::path::Path;

use ring::digest::{Context, Digest, SHA512};
use ring::signature::{Ed25519KeyPair, KeyPair};

use super::made::{Signature, statement};
use super::wire::{ED25519, Fields};
use super::{SignatureError, unarmoured};
use crate::adapters::secret_file::{Access, Content, Rules, read};

/// What the file must be like; one has about 400 bytes.
const RULES: Rules =
    Rules { what: "signing key", longest: 16 << 10, content: Content::Anything, access: Access::Private };

/// What it begins with, under its armour.
const MAGIC: &[u8] = b"openssh-key-v1\0";

/// How to make one.
const CURE: &str = "make one with `ssh-keygen -t ed25519 -N '' -f FILE`";

/// A private key. It has no `Debug`.
pub struct Signer(Ed25519KeyPair);

impl Signer {
    /// Reads a private key from a file that only its owner may read.
    ///
    /// # Errors
    ///
    /// [`SignatureError::Key`] with what to do.
    pub fn read(path: &Path) -> Result<Self, SignatureError> {
        let (text, _) = read(path, &RULES).map_err(|trouble| SignatureError::Key(trouble.to_string()))?;
        let unusable =
            |problem: &str| SignatureError::Key(format!("read the signing key {}: {problem}; {CURE}", path.display()));
        let blob = unarmoured(&text, "OPENSSH PRIVATE KEY").ok_or_else(|| unusable("it is no key of OpenSSH"))?;
        let mut fields = Fields(blob.strip_prefix(MAGIC).ok_or_else(|| unusable("it is no key of OpenSSH"))?);
        if fields.text() != Some(b"none") {
            return Err(unusable("it is locked with a passphrase, and nobody is there to type it"));
        }
        key_of(&mut fields).map(Self).ok_or_else(|| unusable("it is not one whole Ed25519 key"))
    }

    /// Signs a file by its SHA-512.
    ///
    /// # Panics
    ///
    /// If the digest is another.
    pub fn sign(&self, digest: &Digest) -> Signature {
        assert_eq!(digest.algorithm(), &SHA512, "a file is signed by its SHA-512");
        let key = self.0.public_key().as_ref().try_into().expect("a public key has 32 bytes");
        let bytes = self.0.sign(&statement(digest)).as_ref().try_into().expect("a signature has 64 bytes");
        Signature::new(key, bytes)
    }

    /// Returns what digests a file that is to be signed.
    pub fn digester() -> Context {
        Context::new(&SHA512)
    }
}

/// Reads the one key behind the name of the cipher, which is none.
fn key_of(fields: &mut Fields<'_>) -> Option<Ed25519KeyPair> {
    let (derivation, options, count) = (fields.text()?, fields.text()?, fields.number()?);
    if derivation != b"none" || !options.is_empty() || count != 1 {
        return None;
    }
    let _public = fields.text()?;
    let mut private = Fields(fields.text()?);
    if !fields.0.is_empty() || private.number()? != private.number()? || private.text()? != ED25519 {
        return None;
    }
    let (public, pair, _comment) = (private.text()?, private.text()?, private.text()?);
    let is_padded = private.0.iter().zip(1u8..).all(|(found, wanted)| *found == wanted);
    let (seed, repeated) = pair.split_at_checked(32)?;
    if !is_padded || repeated != public {
        return None;
    }
    Ed25519KeyPair::from_seed_and_public_key(seed, public).ok()
}
