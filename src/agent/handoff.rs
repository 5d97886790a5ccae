//! Bundles that were made on another host: whose they are, and what opens them.
//!
//! A bundle is a folder or, sealed, a file. Where `bundles.trusted_keys_file` is
//! set, neither is opened before somebody who is trusted vouches for it.

use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;

use sha2::{Digest, Sha256};

use super::exit::{Exit, Trouble, bundle_trouble, sealed_trouble};
use super::outside::credential;
use super::settings::{BundleSettings, Settings};
use crate::adapters::bundle::{self, Bundle, Identities, Limits, SealedError};
use crate::adapters::signature::TrustedKeys;
use crate::table::digest::hex;
use crate::upload::plan::UploadId;

/// Bytes of the digest that names the folder a sealed bundle is opened in.
const NAME: usize = 16;

/// A bundle as it was handed over.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Given {
    /// A folder, to be used where it is.
    Folder(PathBuf),
    /// A sealed file, to be opened in a folder of the agent's own.
    Sealed {
        /// The file.
        file: PathBuf,
        /// What the names of its folders begin with, as long as it does not
        /// change; each upload of it has a folder of its own.
        name: String,
    },
}

impl Given {
    /// Looks at what is at a path.
    ///
    /// # Errors
    ///
    /// Says that nothing can be seen there.
    pub(super) fn find(path: &Path) -> Result<Self, Trouble> {
        let failed =
            |error: std::io::Error| Trouble::new(Exit::BadData, format!("open the bundle {}: {error}", path.display()));
        let path = path.canonicalize().map_err(failed)?;
        let data = path.metadata().map_err(failed)?;
        if data.is_dir() {
            return Ok(Self::Folder(path));
        }
        let state = [data.dev().to_le_bytes(), data.ino().to_le_bytes(), data.len().to_le_bytes()].concat();
        let times = [data.mtime(), data.mtime_nsec()].map(i64::to_le_bytes).concat();
        let digest = Sha256::new().chain_update(state).chain_update(times).finalize();
        Ok(Self::Sealed { file: path, name: format!("sealed-{}", hex(&digest[..NAME])) })
    }

    /// Returns whether what is uploaded from a folder is this bundle.
    pub(super) fn is_in(&self, folder: &Path) -> bool {
        match self {
            Self::Folder(own) => own == folder,
            Self::Sealed { name, .. } => {
                folder.file_name().is_some_and(|found| found.as_encoded_bytes().starts_with(name.as_bytes()))
            }
        }
    }

    /// Returns whether the folder it is uploaded from is the agent's, to be removed when it is done.
    pub(super) const fn is_sealed(&self) -> bool {
        matches!(self, Self::Sealed { .. })
    }

    /// Opens it for an upload and checks every digest: a session is spent only on
    /// a bundle that is what its manifest says. What another upload of the same
    /// file has is not touched. Blocks.
    ///
    /// # Errors
    ///
    /// Says what is wrong; then nothing of it is left behind.
    pub(super) fn open(&self, settings: &Settings, id: &UploadId, stop: &AtomicBool) -> Result<Bundle, Trouble> {
        let bundles = &settings.bundles;
        let trusted = trusted_keys(bundles)?;
        match self {
            Self::Folder(folder) => {
                let opened = Bundle::open(folder).map_err(|error| bundle_trouble(&error))?;
                if let Some(trusted) = trusted {
                    bundle::check_signature(&opened, &trusted).map_err(|error| sealed_trouble(&error))?;
                }
                opened.verify().map_err(|error| bundle_trouble(&error))?;
                Ok(opened)
            }
            Self::Sealed { file, name } => {
                let identities = identities(bundles)?.ok_or_else(|| no_identity(file))?;
                let parent = settings.bundle_dir();
                std::fs::create_dir_all(&parent).map_err(|error| {
                    let message = format!("make the folder {} for bundles: {error}", parent.display());
                    Trouble::new(Exit::LocalIo, message)
                })?;
                let folder = parent.join(format!("{name}-{id}"));
                let limits = Limits { bytes: bundles.max_bytes, keep_free: bundles.min_free, ..Limits::default() };
                bundle::unseal(file, &identities, trusted.as_ref(), &folder, limits, stop)
                    .map_err(|error| sealed_trouble(&error))
            }
        }
    }
}

/// Returns the checksum of a bundle's blocks, if it can be opened. Blocks.
pub fn checksum(path: &Path, settings: &Settings) -> Option<String> {
    match Given::find(path).ok()? {
        Given::Folder(folder) => Bundle::open(&folder).ok().map(|bundle| bundle.manifest().sha256.clone()),
        Given::Sealed { file, .. } => {
            let identities = identities(&settings.bundles).ok()??;
            bundle::peek(&file, &identities).ok().map(|manifest| manifest.sha256)
        }
    }
}

/// Reads the keys that open sealed bundles, if there are any. Blocks.
///
/// # Errors
///
/// Says what to do about the file.
pub fn identities(settings: &BundleSettings) -> Result<Option<Identities>, Trouble> {
    let path = named(&settings.identity_file);
    let read = path.map(|path| Identities::read(&credential(path))).transpose();
    read.map_err(|error| Trouble::new(Exit::BadConfiguration, error.to_string()))
}

/// Reads whose signatures count, if bundles need one. Blocks.
///
/// # Errors
///
/// Says what to do about the file.
pub fn trusted_keys(settings: &BundleSettings) -> Result<Option<TrustedKeys>, Trouble> {
    let path = named(&settings.trusted_keys_file);
    let read = path.map(|path| TrustedKeys::read(&credential(path))).transpose();
    read.map_err(|error| sealed_trouble(&SealedError::from(error)))
}

fn named(path: &Path) -> Option<&Path> {
    Some(path).filter(|path| !path.as_os_str().is_empty())
}

fn no_identity(file: &Path) -> Trouble {
    let message = format!(
        "open the sealed bundle {}: nothing says which key opens it; set bundles.identity_file, or give --identity",
        file.display()
    );
    Trouble::new(Exit::BadConfiguration, message)
}
