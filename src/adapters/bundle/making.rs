//! A bundle in the making, in either of its forms: a folder, or one sealed file.

use std::fs::File;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use ring::digest::Digest;
use rustix::fs::{CWD, Mode, OFlags};

use super::error::HashError;
use super::keys::Recipients;
use super::output::Partial;
use super::sealed::Sealing;
use super::{BLOCKS_FILE, MANIFEST_FILE, SALT_FILE};
use crate::adapters::signature::{Signer, signature_path};
use crate::table::salt::Salt;

/// A bundle whose blocks are being written.
pub(super) struct Making<'a> {
    output: &'a Path,
    form: Form<'a>,
}

enum Form<'a> {
    Folder(Partial),
    Sealed(Sealing, &'a Recipients),
}

impl<'a> Making<'a> {
    /// Begins one; with recipients it will be sealed to them.
    pub(super) fn begin(output: &'a Path, recipients: Option<&'a Recipients>) -> Result<Self, HashError> {
        let form = match recipients {
            Some(recipients) => Form::Sealed(Sealing::create(output)?, recipients),
            None => Form::Folder(Partial::create(output)?),
        };
        Ok(Self { output, form })
    }

    /// Makes the file of its blocks; the path is for messages.
    pub(super) fn blocks(&self) -> Result<(PathBuf, File), HashError> {
        match &self.form {
            Form::Folder(partial) => Ok((partial.path_of(BLOCKS_FILE), partial.file(BLOCKS_FILE)?)),
            Form::Sealed(sealing, _) => Ok((sealing.cells_path(), sealing.cells()?)),
        }
    }

    /// Adds the rest, and gives it its name when it can no longer be lost. A
    /// signature is there before what it is of: without it nobody takes that.
    pub(super) fn finish(
        self,
        manifest: &[u8],
        salt: &Salt,
        blocks: File,
        signer: Option<&Signer>,
        keep_free: u64,
    ) -> Result<(), HashError> {
        let sign = |digest: &Digest| signer.map_or(Ok(()), |signer| write_signature(self.output, signer, digest));
        match self.form {
            Form::Folder(partial) => {
                blocks.sync_all().map_err(|error| HashError::write(partial.path_of(BLOCKS_FILE), error))?;
                partial.write(MANIFEST_FILE, &[manifest])?;
                partial.write(SALT_FILE, &[salt.expose(), b"\n"])?;
                let mut digester = Signer::digester();
                digester.update(manifest);
                sign(&digester.finish())?;
                partial.finish()
            }
            Form::Sealed(mut sealing, recipients) => {
                let digest = sealing.seal(recipients, manifest, salt, blocks, keep_free)?;
                sign(&digest)?;
                sealing.finish()
            }
        }
    }
}

/// Writes the signature, private to this user, in the place of an earlier one.
fn write_signature(output: &Path, signer: &Signer, digest: &Digest) -> Result<(), HashError> {
    let path = signature_path(output);
    let failed = |error: io::Error| HashError::write(path.clone(), error);
    match std::fs::remove_file(&path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(failed(error)),
        Ok(()) | Err(_) => (),
    }
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let file = rustix::fs::openat(CWD, &path, flags, Mode::RUSR | Mode::WUSR).map(File::from);
    let mut file = file.map_err(|errno| failed(errno.into()))?;
    let text = signer.sign(digest).armoured();
    file.write_all(text.as_bytes()).and_then(|()| file.sync_all()).map_err(failed)
}
