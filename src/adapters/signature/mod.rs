//! Detached signatures in the form of OpenSSH: what `ssh-keygen -Y sign` makes
//! and `ssh-keygen -Y verify` checks (PROTOCOL.sshsig of OpenSSH), Ed25519 only.
//!
//! What is signed is the digest of a file under a namespace of our own, so a
//! signature made for mail or for Git is none of a bundle.
//!
//! # Invariants
//!
//! - A restriction in a list of signers that is not understood here refuses the
//!   list; it is never passed over.
//! - No message holds anything of a private key.

use std::ffi::OsString;
use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use ring::digest::{Context, Digest};
use rustix::fs::{Mode, OFlags};
use zeroize::Zeroizing;

mod made;
mod signer;
mod trusted;
mod wire;

pub use made::Signature;
pub use signer::Signer;
pub use trusted::TrustedKeys;

/// What a signature of a bundle is made for.
pub const NAMESPACE: &str = "edm-agent-bundle";

/// What the name of a signature's file ends in, behind that of what is signed.
pub const SIGNATURE_SUFFIX: &str = ".sig";

/// The most bytes a signature's file is read for; one has about 300.
const SIGNATURE_LIMIT: u64 = 8 << 10;

/// Bytes that are digested at a time.
const READING: usize = 128 << 10;

/// Why something is not signed, or its signature not taken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SignatureError {
    /// The private key cannot be used: which, why, and what to do.
    #[error("{0}")]
    Key(String),
    /// The list of trusted keys cannot be used: which, why, and what to do.
    #[error("{0}")]
    List(String),
    /// There is no signature that can be read.
    #[error("read the signature {}: {problem}; have the bundle signed with `hash --sign-key`", path.display())]
    Unreadable {
        /// The file it was looked for in.
        path: PathBuf,
        /// What is wrong with it.
        problem: String,
    },
    /// There is one, and it does not vouch.
    #[error("check the signature {}: {problem}; nothing was opened", path.display())]
    Refused {
        /// Its file.
        path: PathBuf,
        /// Why it does not.
        problem: &'static str,
    },
}

/// Returns where the signature of a file or a folder is.
pub fn signature_path(signed: &Path) -> PathBuf {
    let mut name = OsString::from(signed.file_name().unwrap_or_default());
    name.push(SIGNATURE_SUFFIX);
    signed.with_file_name(name)
}

/// Reads the signature of a file or a folder, which stands beside it.
///
/// # Errors
///
/// [`SignatureError::Unreadable`].
pub fn read_signature(signed: &Path) -> Result<Signature, SignatureError> {
    let path = signature_path(signed);
    let read = open_public(&path).and_then(|file| read_public(file, SIGNATURE_LIMIT));
    let text = read.map_err(|error| error.to_string());
    text.and_then(|text| Signature::parse(&text).ok_or_else(|| "it is no Ed25519 signature of OpenSSH".to_owned()))
        .map_err(|problem| SignatureError::Unreadable { path, problem })
}

/// Digests what is read, to its end.
///
/// # Errors
///
/// As the reader says.
pub fn digest(signature: &Signature, mut input: impl Read) -> io::Result<Digest> {
    let mut context = Context::new(signature.algorithm());
    let mut buffer = vec![0; READING];
    loop {
        match input.read(&mut buffer) {
            Ok(0) => return Ok(context.finish()),
            Ok(read) => context.update(&buffer[..read]),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => (),
            Err(error) => return Err(error),
        }
    }
}

/// Reads a file that is no secret, up to a limit.
fn read_public(file: File, limit: u64) -> io::Result<Vec<u8>> {
    let mut content = Vec::new();
    file.take(limit + 1).read_to_end(&mut content)?;
    if content.len() as u64 > limit { Err(io::ErrorKind::FileTooLarge.into()) } else { Ok(content) }
}

/// Opens a regular file, without waiting for the writer of a pipe.
fn open_public(path: &Path) -> io::Result<File> {
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
    let file = File::from(rustix::fs::open(path, flags, Mode::empty())?);
    if file.metadata()?.is_file() { Ok(file) } else { Err(io::Error::other("it is not a regular file")) }
}

/// Takes off the armour of what OpenSSH writes: base64 between two lines.
fn unarmoured(text: &[u8], label: &str) -> Option<Zeroizing<Vec<u8>>> {
    use base64::Engine;
    let text = std::str::from_utf8(text).ok()?.trim();
    let inner = text.strip_prefix(&format!("-----BEGIN {label}-----"))?;
    let inner = inner.strip_suffix(&format!("-----END {label}-----"))?;
    // As long as the whole, so that growing leaves no copies of a key behind.
    let mut coded = Zeroizing::new(String::with_capacity(inner.len()));
    coded.extend(inner.split_ascii_whitespace());
    base64::engine::general_purpose::STANDARD.decode(coded.as_bytes()).ok().map(Zeroizing::new)
}
