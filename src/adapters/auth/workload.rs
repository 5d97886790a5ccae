//! The token of another issuer, which proves the application to the authority
//! (workload identity federation). The platform puts it into a file, readable
//! for everyone in the container, and replaces it well before it ends.

use std::path::Path;

use super::credential::{FileTrouble, Mark};
use super::surroundings::Surroundings;
use super::watched::Watched;
use crate::adapters::secret_file::{Access, Content, Rules};
use crate::ground::secret::Secret;
use crate::ports::clock::Clock;

/// What the file must be like: its mode is the platform's. Real tokens stay under 4 KiB.
const RULES: Rules =
    Rules { what: "federated token", longest: 64 << 10, content: Content::Token, access: Access::AsFound };

/// The file of another issuer's token.
pub struct FederatedToken(Watched);

impl FederatedToken {
    /// Takes the configured file, or the one the surroundings name; `None` if
    /// neither names one. It is first read when a token is asked for.
    pub fn new(configured: &Path, surroundings: &Surroundings) -> Option<Self> {
        let configured = Some(configured).filter(|path| !path.as_os_str().is_empty());
        let path = configured.map(Path::to_owned).or_else(|| surroundings.federated_token_file.clone())?;
        Some(Self(Watched::new(path, RULES)))
    }

    /// Returns what it is called in messages.
    pub fn name(&self) -> String {
        format!("the federated token in {}", self.0.path().display())
    }

    /// Returns the token, read again if the file has changed and settled.
    ///
    /// # Errors
    ///
    /// Says what is wrong with the file, and what to do.
    pub async fn assertion(&self, clock: &dyn Clock) -> Result<Secret, FileTrouble> {
        self.0.current(clock).await
    }

    /// Looks whether the file is of use.
    ///
    /// # Errors
    ///
    /// Says what is wrong with it, and what to do.
    pub fn look(&self) -> Result<(), FileTrouble> {
        self.0.look()
    }

    /// Returns the mark of the file as it is.
    pub fn marks(&self) -> Vec<Option<Mark>> {
        vec![self.0.mark()]
    }
}
