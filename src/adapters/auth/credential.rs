//! What every credential can do: ask for a token once, and say whether its
//! files are of use. Keeping tokens, waiting and asking again is the keeper's.

use std::time::Duration;

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

/// What changes when a file is rewritten or replaced.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Mark {
    /// Its inode.
    pub inode: u64,
    /// Its length in bytes.
    pub length: u64,
    /// When it changed, in seconds and nanoseconds of the file system's clock.
    pub changed: (i64, i64),
}

/// Why a file of a credential is of no use. The text names the file and says
/// what to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FileTrouble {
    /// It is not there, or may not be read: whoever puts it there may yet come.
    Missing(String),
    /// What is there cannot be right.
    Unusable(String),
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
}
