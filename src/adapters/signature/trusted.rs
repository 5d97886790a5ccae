//! Whose signatures count: a file in the form of OpenSSH's `allowed_signers`
//! (ssh-keygen(1), ALLOWED SIGNERS).

use std::os::unix::fs::MetadataExt;
use std::path::Path;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use ring::digest::Digest;
use ring::signature::{ED25519 as VERIFIER, UnparsedPublicKey};
use rustix::process::geteuid;

use super::made::{Signature, statement};
use super::wire::read_public_key;
use super::{NAMESPACE, SignatureError, open_public, read_public, signature_path};

/// The most bytes the file may have: some hundred keys.
const LIST_LIMIT: u64 = 64 << 10;

/// Mode bits the file must not have: others could add their keys.
const TOO_WIDE: u32 = 0o022;

/// Keys whose signatures are taken.
#[derive(Debug, Clone)]
pub struct TrustedKeys(Vec<[u8; 32]>);

impl TrustedKeys {
    /// Reads the file. Keys of other kinds than Ed25519, and those that are for
    /// other namespaces, are passed over.
    ///
    /// # Errors
    ///
    /// [`SignatureError::List`]: which file or line is no use, and what to do.
    pub fn read(path: &Path) -> Result<Self, SignatureError> {
        let failed =
            |problem: String| SignatureError::List(format!("read the trusted keys {}: {problem}", path.display()));
        let opened = open_public(path).and_then(|file| file.metadata().map(|data| (file, data)));
        let (file, data) = opened.map_err(|error| failed(error.to_string()))?;
        let user = geteuid().as_raw();
        if (data.uid() != user && data.uid() != 0) || data.mode() & TOO_WIDE != 0 {
            return Err(failed("others may change it; give it to root and run `chmod go-w` on it".to_owned()));
        }
        let text = read_public(file, LIST_LIMIT).map_err(|error| failed(error.to_string()))?;
        let text = String::from_utf8(text).map_err(|_| failed("it is not text".to_owned()))?;
        Self::parse(&text).map_err(failed)
    }

    /// Reads the text of such a file.
    ///
    /// # Errors
    ///
    /// Says which line cannot be taken, and why.
    pub fn parse(text: &str) -> Result<Self, String> {
        let mut keys = Vec::new();
        for (number, line) in (1..).zip(text.lines().map(str::trim)) {
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            keys.extend(key_of(line).map_err(|problem| format!("line {number}: {problem}"))?);
        }
        match keys.is_empty() {
            true => Err(format!("it has no Ed25519 key for the namespace {NAMESPACE}; add the signer's public key")),
            false => Ok(Self(keys)),
        }
    }

    /// Checks that a signature is of one of these keys, and of a file with this
    /// digest, made as the signature says. `signed` names the file in messages.
    ///
    /// # Errors
    ///
    /// [`SignatureError::Refused`].
    pub fn check(&self, signature: &Signature, digest: &Digest, signed: &Path) -> Result<(), SignatureError> {
        let refused = |problem| Err(SignatureError::Refused { path: signature_path(signed), problem });
        if !self.0.contains(signature.key()) {
            return refused("its key is none of the trusted ones");
        }
        let verified = UnparsedPublicKey::new(&VERIFIER, signature.key()).verify(&statement(digest), signature.bytes());
        match verified {
            Ok(()) => Ok(()),
            Err(_) => refused("it is not of these bytes; they were changed, or it belongs to another bundle"),
        }
    }
}

/// Reads a line: principals, options if any, the kind of the key, the key.
fn key_of(line: &str) -> Result<Option<[u8; 32]>, String> {
    let mut rest = line;
    let _principals = field(&mut rest);
    let mut kind = field(&mut rest);
    let mut is_ours = true;
    if !is_kind(kind) {
        for option in split(kind, ',') {
            is_ours &= holds(option)?;
        }
        kind = field(&mut rest);
    }
    if !is_kind(kind) {
        return Err("it is not PRINCIPAL [OPTIONS] KIND KEY".to_owned());
    }
    if kind != "ssh-ed25519" || !is_ours {
        return Ok(None);
    }
    let key = STANDARD.decode(field(&mut rest)).ok().and_then(|blob| read_public_key(&blob));
    key.map(Some).ok_or_else(|| "its key is not whole".to_owned())
}

fn is_kind(word: &str) -> bool {
    ["ssh-", "ecdsa-", "sk-"].iter().any(|start| word.starts_with(start))
}

/// Returns whether an option lets a key sign bundles.
fn holds(option: &str) -> Result<bool, String> {
    let (name, value) = option.split_once('=').unwrap_or((option, ""));
    if !name.eq_ignore_ascii_case("namespaces") {
        return Err(format!("the option `{name}` is not understood here; keep such keys in a file of their own"));
    }
    let mut names = value.trim_matches('"').split(',');
    let is_pattern = |name: &str| name.contains(['*', '?', '!']);
    if names.clone().any(is_pattern) {
        return Err("a pattern of namespaces is not understood here; write them out".to_owned());
    }
    Ok(names.any(|name| name == NAMESPACE))
}

/// Takes a field off the front; blanks in double quotes belong to it.
fn field<'a>(rest: &mut &'a str) -> &'a str {
    let line = rest.trim_start();
    let first = split(line, ' ').next().unwrap_or_default();
    let first = split(first, '\t').next().unwrap_or_default();
    *rest = &line[first.len()..];
    first
}

/// Splits at a character that stands outside of double quotes.
fn split(text: &str, at: char) -> impl Iterator<Item = &str> {
    let mut is_quoted = false;
    text.split(move |character| {
        is_quoted ^= character == '"';
        character == at && !is_quoted
    })
}
