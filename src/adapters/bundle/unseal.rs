//! From a sealed bundle to one that can be uploaded: its signature first, then
//! what is in it, and nothing left behind if anything is not as it must be.

use std::fs::File;
use std::io::{self, BufReader, Read, Seek};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;

use age::DecryptError;
use ring::digest::{Context, Digest};

use super::container::{ContainerError, Contents};
use super::error::{BundleError, ExitClass, HashError};
use super::keys::Identities;
use super::limits::{Limits, room_for};
use super::output::Partial;
use super::stored::Bundle;
use super::{BLOCKS_FILE, MANIFEST_FILE, SALT_FILE, stored};
use crate::adapters::signature::{self, Signature, SignatureError, TrustedKeys};
use crate::table::manifest::Manifest;

/// The most bytes the header of an age file may have; each recipient takes about
/// 100.
const HEADER_LIMIT: usize = 16 << 10;

/// What the last line of that header begins with.
const HEADER_END: &[u8] = b"\n--- ";

/// Bytes that are read at a time.
const READING: usize = 128 << 10;

/// Why a bundle that was handed over is not taken. Nothing of it is left behind.
#[derive(Debug, thiserror::Error)]
pub enum SealedError {
    /// It cannot be opened, or not be read to its end.
    #[error("read the sealed bundle {}; check that it is a file and that this process may read it", path.display())]
    Read {
        /// Its file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// It is signed by nobody who is trusted.
    #[error(transparent)]
    Signature(#[from] SignatureError),
    /// None of the keys opens it.
    #[error(
        "open the sealed bundle {}: it is sealed to other keys than those of the identity file; seal it to this host's \
         recipient, or name the right identity file", .0.display()
    )]
    NotForUs(PathBuf),
    /// It was changed, was cut short, or never was a bundle.
    #[error("open the sealed bundle {}: {problem}; hand it over again", path.display())]
    Unusable {
        /// Its file.
        path: PathBuf,
        /// What is wrong.
        problem: String,
    },
    /// It could not be written to this host's disk.
    #[error(transparent)]
    Write(#[from] HashError),
    /// What came out of it is not as its manifest says.
    #[error(transparent)]
    Content(#[from] BundleError),
}

impl SealedError {
    /// Returns what the exit code of a command should say. A signature that does
    /// not vouch is a fault of the bundle: no right of ours is missing.
    pub const fn class(&self) -> ExitClass {
        match self {
            Self::Read { .. } => ExitClass::LocalIo,
            Self::Signature(SignatureError::Key(_) | SignatureError::List(_)) => ExitClass::Configuration,
            Self::Signature(SignatureError::Unreadable { .. } | SignatureError::Refused { .. })
            | Self::NotForUs(_)
            | Self::Unusable { .. } => ExitClass::BadData,
            Self::Write(error) => error.class(),
            Self::Content(error) => error.class(),
        }
    }
}

/// Opens a sealed bundle: makes a bundle of it in the folder `output`, private to
/// this user, every digest checked. Blocks; memory stays the same for any bundle.
///
/// Where keys are trusted, the signature beside it is checked before a byte is
/// decrypted, and what is decrypted is shown to be what was signed.
///
/// # Errors
///
/// Says what is wrong and what to do about it; then there is no bundle.
pub fn unseal(
    sealed: &Path,
    identities: &Identities,
    trusted: Option<&TrustedKeys>,
    output: &Path,
    limits: Limits,
    stop: &AtomicBool,
) -> Result<Bundle, SealedError> {
    let mut file = open(sealed)?;
    let vouched = trusted.map(|keys| vouch(sealed, &mut file, keys)).transpose()?;
    let mut input =
        Tee { inner: file, context: vouched.as_ref().map(|(signature, _)| Context::new(signature.algorithm())) };
    let contents = decrypt(sealed, &mut input, identities)?;
    let needed = contents.manifest.bytes + contents.text.len() as u64;
    if let Some(most) = limits.bytes.filter(|most| needed > *most) {
        return Err(HashError::TooLarge { most }.into());
    }
    room_for(output.parent().unwrap_or(Path::new("/")), needed, limits.keep_free)?;
    let partial = Partial::create(output)?;
    let (text, salt) = (contents.text.clone(), contents.salt.clone());
    let mut blocks = partial.file(BLOCKS_FILE)?;
    let failed = |error: io::Error| HashError::write(partial.path_of(BLOCKS_FILE), error);
    contents.copy_blocks(&mut blocks, stop).map_err(|error| match error {
        ContainerError::Write(error) => failed(error).into(),
        ContainerError::Stopped => HashError::Stopped.into(),
        ContainerError::Read(_) | ContainerError::Content(_) => unusable(sealed, error),
    })?;
    blocks.sync_all().map_err(failed)?;
    if let (Some((_, digest)), Some(context)) = (vouched, input.context)
        && context.finish().as_ref() != digest.as_ref()
    {
        let problem = "it changed after its signature was checked".to_owned();
        return Err(SealedError::Unusable { path: sealed.to_owned(), problem });
    }
    partial.write(MANIFEST_FILE, &[&text])?;
    partial.write(SALT_FILE, &[salt.expose(), b"\n"])?;
    let made = Bundle::open(&partial.path_of("")).and_then(|bundle| bundle.verify());
    made.map_err(|error| named(error, sealed))?;
    partial.finish()?;
    Ok(Bundle::open(output)?)
}

/// Reads the manifest of a sealed bundle, and no further.
///
/// # Errors
///
/// As [`unseal`].
pub fn peek(sealed: &Path, identities: &Identities) -> Result<Manifest, SealedError> {
    decrypt(sealed, open(sealed)?, identities).map(|contents| contents.manifest)
}

/// Checks the signature of a bundle that is a folder: it is that of its manifest,
/// which holds the digests of all the rest.
///
/// # Errors
///
/// Says that nobody who is trusted vouches for it.
pub fn check_signature(bundle: &Bundle, trusted: &TrustedKeys) -> Result<(), SealedError> {
    let signed = bundle.dir();
    if bundle.manifest().salt_sha256.is_none() {
        let problem = "the manifest holds no digest of the salt, so nobody vouches for the salt";
        return Err(SignatureError::Refused { path: signature::signature_path(signed), problem }.into());
    }
    let made = signature::read_signature(signed)?;
    let digest = signature::digest(&made, bundle.manifest_text());
    let path = signed.join(MANIFEST_FILE);
    trusted.check(&made, &digest.map_err(|source| SealedError::Read { path, source })?, signed)?;
    Ok(())
}

/// Checks the signature of the whole file, and returns to its beginning.
fn vouch(sealed: &Path, file: &mut File, trusted: &TrustedKeys) -> Result<(Signature, Digest), SealedError> {
    let failed = |source| SealedError::Read { path: sealed.to_owned(), source };
    let made = signature::read_signature(sealed)?;
    let digest = signature::digest(&made, &mut *file).map_err(failed)?;
    trusted.check(&made, &digest, sealed)?;
    file.rewind().map_err(failed)?;
    Ok((made, digest))
}

fn decrypt<R: Read + AsFile>(
    sealed: &Path,
    input: R,
    identities: &Identities,
) -> Result<Contents<impl Read + use<R>>, SealedError> {
    let unfit = |problem: &str| SealedError::Unusable { path: sealed.to_owned(), problem: problem.to_owned() };
    check_header(input.as_file())
        .map_err(|source| SealedError::Read { path: sealed.to_owned(), source })?
        .ok_or_else(|| unfit("it is no file of age in its binary form"))?;
    let decryptor = age::Decryptor::new_buffered(BufReader::with_capacity(READING, input));
    let stream = decryptor.and_then(|decryptor| decryptor.decrypt(identities.iter()));
    let stream = stream.map_err(|error| match error {
        DecryptError::NoMatchingKeys => SealedError::NotForUs(sealed.to_owned()),
        DecryptError::Io(source) if source.raw_os_error().is_some() => {
            SealedError::Read { path: sealed.to_owned(), source }
        }
        DecryptError::DecryptionFailed
        | DecryptError::ExcessiveWork { .. }
        | DecryptError::InvalidHeader
        | DecryptError::InvalidMac
        | DecryptError::Io(_)
        | DecryptError::KeyDecryptionFailed
        | DecryptError::UnknownFormat => unfit("its header was changed or cut short"),
    })?;
    Contents::read(stream).map_err(|error| unusable(sealed, error))
}

/// Looks whether the header of an age file ends where one may end: reading it
/// takes memory until it does.
fn check_header(file: &File) -> io::Result<Option<()>> {
    let mut beginning = vec![0; HEADER_LIMIT];
    let mut filled = 0;
    while filled < beginning.len() {
        match file.read_at(&mut beginning[filled..], filled as u64) {
            Ok(0) => break,
            Ok(read) => filled += read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => (),
            Err(error) => return Err(error),
        }
    }
    Ok(memchr::memmem::find(&beginning[..filled], HEADER_END).map(drop))
}

fn open(sealed: &Path) -> Result<File, SealedError> {
    let failed = |source| SealedError::Read { path: sealed.to_owned(), source };
    let file = stored::open(sealed).map_err(|error| match error {
        BundleError::Read { source, .. } => failed(source),
        BundleError::Unusable { .. } | BundleError::Damaged { .. } | BundleError::Remove { .. } => error.into(),
    })?;
    let is_file = file.metadata().map_err(failed)?.is_file();
    if is_file { Ok(file) } else { Err(failed(io::Error::other("it is not a regular file"))) }
}

/// Tells bytes that cannot be read from bytes that are no bundle.
fn unusable(sealed: &Path, error: ContainerError) -> SealedError {
    let path = sealed.to_owned();
    match error {
        ContainerError::Read(source) if source.raw_os_error().is_some() => SealedError::Read { path, source },
        ContainerError::Read(_) => SealedError::Unusable { path, problem: "it was changed or cut short".to_owned() },
        ContainerError::Content(_) | ContainerError::Write(_) | ContainerError::Stopped => {
            SealedError::Unusable { path, problem: error.to_string() }
        }
    }
}

/// Has a message name the sealed bundle, not the folder it was opened in.
fn named(error: BundleError, sealed: &Path) -> SealedError {
    match error {
        BundleError::Unusable { problem, .. } => SealedError::Unusable { path: sealed.to_owned(), problem },
        BundleError::Damaged { index, problem, .. } => {
            SealedError::Content(BundleError::Damaged { dir: sealed.to_owned(), index, problem })
        }
        BundleError::Read { .. } | BundleError::Remove { .. } => error.into(),
    }
}

/// What reads a file, and can look at its beginning besides.
trait AsFile {
    fn as_file(&self) -> &File;
}

impl AsFile for File {
    fn as_file(&self) -> &File {
        self
    }
}

impl AsFile for &mut Tee {
    fn as_file(&self) -> &File {
        &self.inner
    }
}

/// Digests what is read through it, if that is asked for.
struct Tee {
    inner: File,
    context: Option<Context>,
}

impl Read for Tee {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.inner.read(buffer)?;
        if let Some(context) = &mut self.context {
            context.update(&buffer[..read]);
        }
        Ok(read)
    }
}
