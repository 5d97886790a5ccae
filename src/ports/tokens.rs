//! Where bearer tokens come from.

use std::time::Duration;

use super::Task;
use crate::ground::secret::Secret;

/// Why there is no token. The message says which credential, what whoever was
/// asked said, and what to do.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct NoToken {
    /// For people.
    pub message: String,
    /// What it means for whoever needed one.
    pub why: Why,
}

/// What it means that there is no token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Why {
    /// Whoever hands out tokens could not be asked, or did not settle the matter.
    Unreachable {
        /// How long it asked to be left alone.
        retry_after: Option<Duration>,
    },
    /// There is no credential, or it was refused: until somebody mends it,
    /// asking again brings nothing.
    Refused,
}

impl NoToken {
    /// Says that nobody settled the matter.
    pub fn unreachable(message: impl Into<String>) -> Self {
        Self { message: message.into(), why: Why::Unreachable { retry_after: None } }
    }

    /// Says that the credential is missing or was refused.
    pub fn refused(message: impl Into<String>) -> Self {
        Self { message: message.into(), why: Why::Refused }
    }
}

/// How signing in goes.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SignIn {
    /// Whether a token is held that is good now.
    pub has_token: bool,
    /// Whether the service refuses the tokens that are handed out.
    pub is_refused: bool,
    /// Why the last attempt brought no token, until one does, or that the service
    /// refuses what is brought.
    pub trouble: Option<String>,
}

impl SignIn {
    /// Returns whether the service can be asked for something.
    pub const fn is_in(&self) -> bool {
        self.has_token && !self.is_refused
    }
}

/// Hands out bearer tokens for the session service.
pub trait TokenProvider: Send + Sync {
    /// Returns a token that is good now.
    ///
    /// # Errors
    ///
    /// Says which credential failed and what to do about it.
    fn token(&self) -> Task<'_, Result<Secret, NoToken>>;

    /// Takes in that the service refused a token, so that it is not handed out
    /// again. `claims` is what conditional access asks for, if it does: the JSON
    /// of a claims challenge.
    fn refused(&self, token: &Secret, claims: Option<&str>);

    /// Takes in that the service took a token.
    fn accepted(&self);

    /// Returns how signing in goes.
    fn sign_in(&self) -> SignIn;
}
