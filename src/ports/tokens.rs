//! Where bearer tokens come from.

use super::Task;
use crate::ground::secret::Secret;

/// Why there is no token. The message says which credential and what to do.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{0}")]
pub struct NoToken(pub String);

/// Hands out bearer tokens for the session service.
pub trait TokenProvider: Send + Sync {
    /// Returns a token that is good now.
    ///
    /// # Errors
    ///
    /// Says which credential failed and what to do about it.
    fn token(&self) -> Task<'_, Result<Secret, NoToken>>;

    /// Forgets the token: the service has just refused it.
    fn refused(&self);
}
