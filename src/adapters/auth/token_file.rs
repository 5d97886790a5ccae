//! The bearer token in a file that someone else keeps fresh.
//!
//! The file holds the bare token and, at most, one line ending. It is read again
//! when it changed, and when the service refused what it held.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use crate::adapters::secret_file::{Access, Content, Mark, Rules, read_text};
use crate::ground::moment::Moment;
use crate::ground::secret::Secret;
use crate::ports::Task;
use crate::ports::clock::Clock;
use crate::ports::tokens::{NoToken, SignIn, TokenProvider};

/// What the file must be like. Real tokens stay under 10 KiB.
const RULES: Rules = Rules { what: "token file", longest: 64 << 10, content: Content::Token, access: Access::Private };

/// How long a token is used before the file is looked at again.
const LOOK_EVERY: Duration = Duration::from_secs(5);

/// Hands out the token of a file.
pub struct TokenFile {
    path: PathBuf,
    clock: Arc<dyn Clock>,
    held: Mutex<Option<Held>>,
}

/// A token, with what tells whether the file is still the same.
struct Held {
    token: Secret,
    mark: Mark,
    looked: Moment,
}

impl TokenFile {
    /// Names the file; it is first read when a token is asked for.
    pub const fn new(path: PathBuf, clock: Arc<dyn Clock>) -> Self {
        Self { path, clock, held: Mutex::new(None) }
    }

    fn current(&self) -> Result<Secret, NoToken> {
        let now = self.clock.now().moment;
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(held) = held.as_mut() {
            let recent = held.looked.until(now) < LOOK_EVERY;
            if recent || Mark::of(&self.path) == Some(held.mark) {
                if !recent {
                    held.looked = now;
                }
                return Ok(held.token.clone());
            }
        }
        *held = None;
        let (token, mark) = read_text(&self.path, &RULES).map_err(|trouble| NoToken::refused(trouble.to_string()))?;
        *held = Some(Held { token: token.clone(), mark, looked: now });
        Ok(token)
    }
}

impl TokenProvider for TokenFile {
    fn token(&self) -> Task<'_, Result<Secret, NoToken>> {
        Box::pin(async move { self.current() })
    }

    fn refused(&self, _token: &Secret, _claims: Option<&str>) {
        *self.held.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }

    fn sign_in(&self) -> SignIn {
        SignIn::default()
    }
}
