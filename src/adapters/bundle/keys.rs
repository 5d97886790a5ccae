//! Whom a bundle is sealed to, and who opens it: the X25519 keys of age.

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use age::x25519;

use crate::adapters::secret_file::{Access, Content, Rules, read_text};

/// The most keys a bundle is sealed to, and the most an identity file may hold:
/// each is tried for every one of the other.
pub const KEY_LIMIT: usize = 20;

/// The most bytes a file of recipients is read for.
const RECIPIENT_FILE_LIMIT: u64 = 16 << 10;

/// What an identity file must be like. `age-keygen` writes 184 bytes for a key.
const RULES: Rules =
    Rules { what: "identity file", longest: 16 << 10, content: Content::Anything, access: Access::Private };

/// Why a key cannot be used: which, why, and what to do, and nothing of a
/// secret one.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct KeyError(String);

/// The public keys a bundle is sealed to: each can open it.
#[derive(Clone)]
pub struct Recipients(Vec<x25519::Recipient>);

impl Recipients {
    /// Reads recipients that were typed (`age1…`), and files of them, one a line.
    ///
    /// # Errors
    ///
    /// Says which is none, and never repeats it: it may be the secret one.
    pub fn read(words: &[String], files: &[PathBuf]) -> Result<Self, KeyError> {
        let mut found = Vec::new();
        for (number, word) in (1..).zip(words) {
            found.push(recipient(word).map_err(|why| KeyError(format!("read --recipient {number}: {why}")))?);
        }
        for path in files {
            let failed = |why: String| KeyError(format!("read the recipients {}: {why}", path.display()));
            let text = read_short(path).map_err(|error| failed(error.to_string()))?;
            for (number, line) in keys(&text) {
                found.push(recipient(line).map_err(|why| failed(format!("line {number}: {why}")))?);
            }
        }
        match found.len() {
            0 => Err(KeyError("read the recipients: the files name none; put an `age1…` line there".to_owned())),
            1..=KEY_LIMIT => Ok(Self(found)),
            more => Err(KeyError(format!("read the recipients: there are {more}, and at most {KEY_LIMIT} may be"))),
        }
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &dyn age::Recipient> {
        self.0.iter().map(|recipient| recipient as &dyn age::Recipient)
    }
}

/// The secret keys that open a bundle. It has no `Debug`, and is wiped when dropped.
pub struct Identities(Vec<x25519::Identity>);

impl Identities {
    /// Reads a file as `age-keygen` writes it, which only its owner may read.
    ///
    /// # Errors
    ///
    /// Says which line is no key, and never what it holds.
    pub fn read(path: &Path) -> Result<Self, KeyError> {
        let (text, _) = read_text(path, &RULES).map_err(|trouble| KeyError(trouble.to_string()))?;
        let failed = |why: String| KeyError(format!("read the identity file {}: {why}", path.display()));
        let mut found = Vec::new();
        for (number, line) in keys(text.expose()) {
            let key = line.parse();
            found.push(key.map_err(|_| {
                failed(format!("line {number} is no AGE-SECRET-KEY-1…; make the file with `age-keygen -o FILE`"))
            })?);
        }
        match found.len() {
            0 => Err(failed("it holds no key; make it with `age-keygen -o FILE`".to_owned())),
            1..=KEY_LIMIT => Ok(Self(found)),
            more => Err(failed(format!("it holds {more} keys, and at most {KEY_LIMIT} may be"))),
        }
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &dyn age::Identity> {
        self.0.iter().map(|identity| identity as &dyn age::Identity)
    }
}

/// Returns the lines that are keys, with their numbers.
fn keys(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let lines = (1..).zip(text.lines().map(str::trim));
    lines.filter(|(_, line)| !line.is_empty() && !line.starts_with('#'))
}

fn recipient(word: &str) -> Result<x25519::Recipient, &'static str> {
    if word.to_ascii_uppercase().starts_with("AGE-SECRET-KEY-") {
        return Err("it is a secret key; replace that key now, and give the public one, `age1…`");
    }
    word.parse().map_err(|_| "it is no X25519 recipient of age, `age1…`")
}

fn read_short(path: &Path) -> io::Result<String> {
    let mut text = String::new();
    File::open(path)?.take(RECIPIENT_FILE_LIMIT + 1).read_to_string(&mut text)?;
    if text.len() as u64 > RECIPIENT_FILE_LIMIT { Err(io::ErrorKind::FileTooLarge.into()) } else { Ok(text) }
}
