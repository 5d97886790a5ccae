//! The bearer token in a file that someone else keeps fresh.
//!
//! The file holds the bare token and, at most, one newline. It is read again
//! when it changed, and when the service refused what it held.

use std::fs;
use std::io::{self, Read};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use zeroize::Zeroize;

use crate::ground::moment::Moment;
use crate::ground::secret::Secret;
use crate::ports::Task;
use crate::ports::clock::Clock;
use crate::ports::tokens::{NoToken, SignIn, TokenProvider};

/// The longest token accepted, in bytes; real ones stay under 10 KiB.
const LONGEST: u64 = 64 << 10;

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

/// What changes when a file is rewritten or replaced.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Mark {
    inode: u64,
    length: u64,
    changed: (i64, i64),
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
            if recent || mark(&self.path).ok() == Some(held.mark) {
                if !recent {
                    held.looked = now;
                }
                return Ok(held.token.clone());
            }
        }
        *held = None;
        let (token, mark) = read(&self.path)?;
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

fn mark(path: &Path) -> io::Result<Mark> {
    fs::metadata(path).map(|data| mark_of(&data))
}

fn mark_of(data: &fs::Metadata) -> Mark {
    Mark { inode: data.ino(), length: data.len(), changed: (data.mtime(), data.mtime_nsec()) }
}

fn read(path: &Path) -> Result<(Secret, Mark), NoToken> {
    let shown = path.display();
    let unreadable = |error: io::Error| {
        NoToken::refused(format!("read the token file {shown}: {error}; put a token there that this program may read"))
    };
    // A pipe would be waited on for ever.
    if !fs::metadata(path).map_err(unreadable)?.is_file() {
        return Err(NoToken::refused(format!(
            "read the token file {shown}: it is not a regular file; put the bare token in one"
        )));
    }
    let file = fs::File::open(path).map_err(unreadable)?;
    let data = file.metadata().map_err(unreadable)?;
    let mut text = String::new();
    let read = file.take(LONGEST + 1).read_to_string(&mut text).map_err(unreadable);
    let token =
        read.and_then(|_| bare(&text).map_err(|what| NoToken::refused(format!("read the token file {shown}: {what}"))));
    text.zeroize();
    Ok((Secret::new(token?), mark_of(&data)))
}

/// Returns the token in a text, or what is wrong with the text.
fn bare(text: &str) -> Result<String, &'static str> {
    let token = text.strip_suffix('\n').unwrap_or(text);
    let token = token.strip_suffix('\r').unwrap_or(token);
    if token.is_empty() {
        return Err("it is empty; put the bare token there");
    }
    if text.len() as u64 > LONGEST {
        return Err("it is far longer than any token; put the bare token there");
    }
    if !token.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err("it holds more than a bare token; leave out `Bearer`, quotes, spaces and further lines");
    }
    Ok(token.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_newline_is_cut_and_anything_else_beside_the_token_is_refused() {
        for text in ["abc.def", "abc.def\n", "abc.def\r\n"] {
            assert_eq!(bare(text), Ok("abc.def".to_owned()));
        }
        for text in ["", "\n", "abc\n\n", "Bearer abc", "\u{feff}abc", "a\0b", &"a".repeat(70_000)] {
            assert!(bare(text).is_err(), "{text:.20}");
        }
    }
}
