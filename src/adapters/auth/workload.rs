//! The token of another issuer, which proves the application to the authority
//! (workload identity federation). The platform puts it into a file, readable
//! for everyone in the container, and replaces it well before it ends.

use std::path::{Path, PathBuf};

use super::credential::{FileTrouble, Mark};
use super::surroundings::Surroundings;
use crate::adapters::secret_file::{self, Access, Content, Rules};
use crate::ground::secret::Secret;

/// What the file must be like: its mode is the platform's. Real tokens stay under 4 KiB.
const RULES: Rules =
    Rules { what: "federated token", longest: 64 << 10, content: Content::Token, access: Access::AsFound };

/// The file of another issuer's token.
#[derive(Debug, Clone)]
pub struct FederatedToken {
    path: PathBuf,
}

impl FederatedToken {
    /// Takes the configured file, or the one the surroundings name; `None` if
    /// neither names one. It is first read when a token is asked for.
    pub fn new(configured: &Path, surroundings: &Surroundings) -> Option<Self> {
        let configured = Some(configured).filter(|path| !path.as_os_str().is_empty());
        let path = configured.map(Path::to_owned).or_else(|| surroundings.federated_token_file.clone())?;
        Some(Self { path })
    }

    /// Returns what it is called in messages.
    pub fn name(&self) -> String {
        format!("the federated token in {}", self.path.display())
    }

    /// Reads the token as it is now. It is short-lived, so none is kept.
    ///
    /// # Errors
    ///
    /// Says what is wrong with the file, and what to do.
    pub fn assertion(&self) -> Result<Secret, FileTrouble> {
        secret_file::read_text(&self.path, &RULES).map(|(token, _)| token)
    }

    /// Returns the mark of the file as it is.
    pub fn marks(&self) -> Vec<Option<Mark>> {
        vec![Mark::of(&self.path)]
    }
}
