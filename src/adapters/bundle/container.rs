//! What a sealed bundle is inside: one stream of a bundle's three parts, without
//! names. `docs/BUNDLE.md` describes it byte by byte.
//!
//! # Invariants
//!
//! - What comes is known, and held to the limits, before any of it is passed on.
//! - Memory is that of the manifest, however much comes.

use std::io::{self, Read, Write};
use std::sync::atomic::{AtomicBool, Ordering};

use zeroize::Zeroizing;

use super::limits::ROW_COUNT_LIMIT;
use super::stored::MANIFEST_LIMIT;
use crate::table::digest::hex;
use crate::table::manifest::Manifest;
use crate::table::salt::{SALT_LENGTH, Salt};
use crate::table::sha256::{Kernel, Stream};

/// What it begins with.
const MAGIC: [u8; 4] = *b"EDMS";
/// The version of the layout.
const VERSION: u32 = 1;
/// Bytes that are copied at a time.
const COPYING: usize = 128 << 10;

/// Why what comes is not taken.
#[derive(Debug, thiserror::Error)]
pub enum ContainerError {
    /// It could not be read, which may mean that it was changed or cut short.
    #[error("read it")]
    Read(#[source] io::Error),
    /// The blocks could not be passed on.
    #[error("write its blocks")]
    Write(#[source] io::Error),
    /// It can be read and is not a bundle this build takes.
    #[error("{0}")]
    Content(String),
    /// The caller asked to stop.
    #[error("stopped on request")]
    Stopped,
}

/// The parts of a bundle, its blocks yet to be read.
pub struct Contents<R> {
    /// Its manifest.
    pub manifest: Manifest,
    /// The same, byte by byte.
    pub text: Vec<u8>,
    /// Its salt.
    pub salt: Salt,
    blocks: R,
}

/// Returns what stands before the manifest.
pub(super) fn header(manifest: &[u8], salt: &Salt) -> Zeroizing<Vec<u8>> {
    let length = u32::try_from(manifest.len()).expect("a manifest has some MiB at most");
    Zeroizing::new([&MAGIC[..], &VERSION.to_le_bytes(), &length.to_le_bytes(), salt.expose()].concat())
}

impl<R: Read> Contents<R> {
    /// Reads as far as the blocks.
    ///
    /// # Errors
    ///
    /// Says what is not as it must be.
    pub fn read(mut input: R) -> Result<Self, ContainerError> {
        let content = |problem: &str| ContainerError::Content(problem.to_owned());
        let mut number = || -> Result<[u8; 4], ContainerError> {
            let mut bytes = [0; 4];
            input.read_exact(&mut bytes).map_err(ContainerError::Read)?;
            Ok(bytes)
        };
        if number()? != MAGIC {
            return Err(content("it holds something else than a bundle"));
        }
        let version = u32::from_le_bytes(number()?);
        if version != VERSION {
            return Err(ContainerError::Content(format!("its layout is {version}, and this build reads {VERSION}")));
        }
        let length = u64::from(u32::from_le_bytes(number()?));
        if length > MANIFEST_LIMIT {
            return Err(content("its manifest is longer than any"));
        }
        let mut salt = Zeroizing::new([0; SALT_LENGTH]);
        input.read_exact(&mut salt[..]).map_err(ContainerError::Read)?;
        let salt = std::str::from_utf8(&salt[..]).ok().and_then(|text| Salt::parse(text).ok());
        let salt = salt.ok_or_else(|| content("its salt is not 64 characters of a-z and 0-9"))?;
        // Grown as it comes: a length alone takes no memory.
        let mut text = Vec::new();
        let read = input.by_ref().take(length).read_to_end(&mut text).map_err(ContainerError::Read)?;
        if read as u64 != length {
            return Err(content("it ends within its manifest"));
        }
        let manifest: Manifest = serde_json::from_slice(&text)
            .map_err(|error| ContainerError::Content(format!("its manifest cannot be read (line {})", error.line())))?;
        manifest.check().map_err(|error| ContainerError::Content(error.to_string()))?;
        if manifest.rows > ROW_COUNT_LIMIT {
            return Err(content("it has more rows than a data store takes"));
        }
        Ok(Self { manifest, text, salt, blocks: input })
    }

    /// Passes the blocks on, and reads to the end. What was passed on is good
    /// only if all went well.
    ///
    /// # Errors
    ///
    /// Says what is not as the manifest has it, or that the caller asked to stop.
    pub fn copy_blocks(mut self, sink: &mut impl Write, stop: &AtomicBool) -> Result<(), ContainerError> {
        let content = |problem: &str| ContainerError::Content(problem.to_owned());
        let mut sha256 = Stream::new(Kernel::best());
        let mut buffer = vec![0; COPYING];
        let mut left = self.manifest.bytes;
        while left > 0 {
            if stop.load(Ordering::Relaxed) {
                return Err(ContainerError::Stopped);
            }
            let room = usize::try_from(left).unwrap_or(COPYING).min(COPYING);
            let read = read_some(&mut self.blocks, &mut buffer[..room])?;
            if read == 0 {
                return Err(content("it ends within its blocks"));
            }
            sha256.update(&buffer[..read]);
            sink.write_all(&buffer[..read]).map_err(ContainerError::Write)?;
            left -= read as u64;
        }
        if read_some(&mut self.blocks, &mut buffer)? > 0 {
            return Err(content("something follows its blocks"));
        }
        if hex(&sha256.finish()) != self.manifest.sha256 {
            return Err(content("the SHA-256 of its blocks is not the one in its manifest"));
        }
        Ok(())
    }
}

fn read_some(input: &mut impl Read, buffer: &mut [u8]) -> Result<usize, ContainerError> {
    loop {
        match input.read(buffer) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => (),
            result => return result.map_err(ContainerError::Read),
        }
    }
}
