//! Files that hold secrets: one way to read them.
//!
//! A file is opened first and judged by what was opened, never by its name, so
//! that it cannot be swapped in between. Links are followed: the secrets of a
//! container are links to whatever is current.
//!
//! # Invariants
//!
//! - What was read stands in one place of its exact size, and is wiped when dropped.
//! - No message holds anything of a file but its name, length, mode and owner.

use std::fs::{File, Metadata, OpenOptions};
use std::io::{self, Read};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::Path;

use rustix::fs::OFlags;
use rustix::process::geteuid;
use zeroize::Zeroizing;

use crate::ground::secret::Secret;

/// Mode bits no file of a secret may have: the group may read it, nobody else
/// anything, and nobody runs it.
const TOO_WIDE: u32 = 0o137;

/// What some editors put before a text.
const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

/// What a file of a secret must be like.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rules {
    /// What it is called in messages, such as `token file`.
    pub what: &'static str,
    /// The most bytes it may have.
    pub longest: usize,
    /// What it may hold.
    pub content: Content,
    /// Who may have access to it.
    pub access: Access,
}

/// What a file of a secret may hold, besides a byte order mark, which is cut.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Content {
    /// Anything but nothing, such as a certificate; not a byte is cut behind it.
    Anything,
    /// One line of UTF-8 without control characters. One line ending is cut.
    Line,
    /// Visible ASCII characters only. One line ending is cut.
    Token,
}

/// Who may have access to a file of a secret.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// Its owner, who is root or the agent's user, and for reading its group.
    Private,
    /// Whoever has it: the mode is made by another program, such as the one that
    /// puts short-lived tokens into containers.
    AsFound,
}

/// What changes when a file is rewritten or replaced.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Mark {
    /// Its inode.
    pub inode: u64,
    /// Its length in bytes.
    pub length: u64,
    /// When it changed, its mode and owner included, in seconds and nanoseconds of
    /// the file system's clock.
    pub changed: (i64, i64),
}

/// Why a file of a secret is of no use. The text names the file and says what
/// to do.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FileTrouble {
    /// It is not there, or may not be read: whoever puts it there may yet come.
    #[error("{0}")]
    Missing(String),
    /// What is there cannot be right.
    #[error("{0}")]
    Unusable(String),
}

impl Mark {
    /// Returns the mark of a file as it is, or `None` if there is none to be seen.
    pub fn of(path: &Path) -> Option<Self> {
        std::fs::metadata(path).ok().map(|data| Self::from(&data))
    }
}

impl From<&Metadata> for Mark {
    fn from(data: &Metadata) -> Self {
        Self { inode: data.ino(), length: data.len(), changed: (data.ctime(), data.ctime_nsec()) }
    }
}

/// Reads a file of a secret and returns what it holds with the mark of what was
/// read. Blocks as long as its disk does, and never on a pipe.
///
/// # Errors
///
/// Says which file is not as the rules have it, and what to do.
pub fn read(path: &Path, rules: &Rules) -> Result<(Zeroizing<Vec<u8>>, Mark), FileTrouble> {
    let (file, data) = open(path, rules)?;
    let unusable = |problem: String| FileTrouble::Unusable(said(path, rules, &problem));
    let whole = fill(file, rules.longest).map_err(|error| missing(path, rules, &error))?;
    if whole.len() > rules.longest {
        return Err(unusable(format!("it has more than {} bytes; is it the right file?", rules.longest)));
    }
    let content = whole.strip_prefix(BYTE_ORDER_MARK).unwrap_or(&whole);
    let content = match rules.content {
        Content::Anything => content,
        Content::Line | Content::Token => without_line_ending(content),
    };
    if content.is_empty() {
        return Err(unusable("it is empty; put the secret there".to_owned()));
    }
    check(content, rules.content).map_err(|problem| unusable(problem.to_owned()))?;
    Ok((Zeroizing::new(content.to_vec()), Mark::from(&data)))
}

/// Reads a file of a secret that is a text; see [`read`].
///
/// # Errors
///
/// As [`read`], and if it is not UTF-8.
pub fn read_text(path: &Path, rules: &Rules) -> Result<(Secret, Mark), FileTrouble> {
    let (content, mark) = read(path, rules)?;
    let text = Secret::from_bytes(content)
        .ok_or_else(|| FileTrouble::Unusable(said(path, rules, "it is not text; is it the right file?")))?;
    Ok((text, mark))
}

/// Opens a file and judges it by all but its content.
fn open(path: &Path, rules: &Rules) -> Result<(File, Metadata), FileTrouble> {
    // A pipe without a writer would be waited on for ever, and a terminal taken over.
    let flags = OFlags::NONBLOCK | OFlags::NOCTTY;
    let opened = OpenOptions::new().read(true).custom_flags(flags.bits().cast_signed()).open(path);
    let file = opened.map_err(|error| missing(path, rules, &error))?;
    let data = file.metadata().map_err(|error| missing(path, rules, &error))?;
    let unusable = |problem: String| Err(FileTrouble::Unusable(said(path, rules, &problem)));
    if !data.is_file() {
        return unusable("it is not a regular file; put the secret in one".to_owned());
    }
    match rules.access {
        Access::AsFound => return Ok((file, data)),
        Access::Private => (),
    }
    let (user, shown) = (geteuid().as_raw(), path.display());
    if data.uid() != user && data.uid() != 0 {
        let owner = data.uid();
        return unusable(format!(
            "it belongs to user {owner}, who could change it: run `chown {user} {shown}`, or give it to root"
        ));
    }
    let mode = data.mode() & 0o7777;
    if mode & TOO_WIDE != 0 {
        let cure = match data.uid() == user {
            true => format!("run `chmod 0600 {shown}`"),
            false => format!("run `chmod 0640 {shown}` and give it a group that user {user} is in"),
        };
        return unusable(format!("its mode {mode:04o} lets others in: {cure}"));
    }
    Ok((file, data))
}

/// Reads up to one byte more than the limit, into memory that never moves.
fn fill(mut file: File, limit: usize) -> io::Result<Zeroizing<Vec<u8>>> {
    let mut whole = Zeroizing::new(vec![0; limit + 1]);
    let mut filled = 0;
    while filled < whole.len() {
        match file.read(&mut whole[filled..]) {
            Ok(0) => break,
            Ok(read) => filled += read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => (),
            Err(error) => return Err(error),
        }
    }
    whole.truncate(filled);
    Ok(whole)
}

fn without_line_ending(content: &[u8]) -> &[u8] {
    content.strip_suffix(b"\n").map_or(content, |line| line.strip_suffix(b"\r").unwrap_or(line))
}

fn check(content: &[u8], form: Content) -> Result<(), &'static str> {
    match form {
        Content::Anything => Ok(()),
        Content::Line => match std::str::from_utf8(content) {
            Ok(line) if !line.contains(char::is_control) => Ok(()),
            Ok(_) => Err("it holds more than one line; put the bare secret there"),
            Err(_) => Err("it is not text in UTF-8; is it the right file?"),
        },
        Content::Token if content.iter().all(u8::is_ascii_graphic) => Ok(()),
        Content::Token => {
            Err("it holds more than the bare secret; leave out `Bearer`, quotes, spaces and further lines")
        }
    }
}

fn missing(path: &Path, rules: &Rules, error: &io::Error) -> FileTrouble {
    FileTrouble::Missing(said(path, rules, &format!("{error}; put it there, and let this program read it")))
}

fn said(path: &Path, rules: &Rules, problem: &str) -> String {
    format!("read the {} {}: {problem}", rules.what, path.display())
}
