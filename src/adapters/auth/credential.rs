//! What every credential can do: ask for a token once, and say whether its
//! files are of use. Keeping tokens, waiting and asking again is the keeper's.

use std::time::Duration;

pub use crate::adapters::secret_file::{FileTrouble, Mark};
use crate::ground::moment::Moment;
use crate::ground::secret::Secret;
use crate::ports::Task;
use crate::ports::tokens::NoToken;

/// A token that was handed out.
pub struct Granted {
    /// The token.
    pub token: Secret,
    /// When the request for it began, which its life is counted from.
    pub asked: Moment,
    /// How long it is good for; `None` if nobody says.
    pub life: Option<Duration>,
}

/// A credential of one kind.
pub trait Credential: Send + Sync {
    /// Returns what it is called in messages, such as `the client secret in
    /// /etc/edm-agent/secret`.
    fn name(&self) -> String;

    /// Asks for a token, once, and waits for nothing else.
    /// `claims` is the JSON of a claims challenge that the token must answer.
    ///
    /// # Errors
    ///
    /// Says which credential, what whoever was asked said, and what to do.
    fn ask<'a>(&'a self, claims: Option<&'a str>) -> Task<'a, Result<Granted, NoToken>>;

    /// Returns the marks of its files as they are, `None` for one that is missing.
    fn marks(&self) -> Vec<Option<Mark>>;

    /// Looks whether its files are of use, without asking anybody.
    ///
    /// # Errors
    ///
    /// Says which file is not, and what to do.
    fn look(&self) -> Result<(), FileTrouble>;

    /// Returns what somebody should do about it before long, though it is of use
    /// today.
    fn notice(&self) -> Option<String> {
        None
    }
}
