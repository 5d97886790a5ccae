//! The key that Azure Arc wants to be shown. It answers the first request with
//! the name of a file that it has just written, which its group may read; who
//! can say what is in there belongs to the machine.
//!
//! # Invariants
//!
//! - Whoever answers can have no file read but a small `.key` directly in the
//!   configured folder, links and `..` followed before that is judged.

use std::fs::{File, OpenOptions};
use std::io::{self, Read};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use rustix::fs::OFlags;
use zeroize::Zeroizing;

use crate::adapters::http::exchange::Reply;
use crate::adapters::http::text::scrub;
use crate::ground::secret::Secret;

/// The longest key read.
const LONGEST_KEY: usize = 4_096;

/// How its user comes by the right to read keys.
const GROUP: &str = "put this program's user into the group himds, and restart it";

/// Returns the file that a challenge names, as it names it.
pub(super) fn named(reply: &Reply) -> Result<PathBuf, String> {
    let challenge = reply.header("www-authenticate").unwrap_or_default();
    let (scheme, rest) = challenge.trim().split_once(' ').unwrap_or_default();
    let realm = rest.trim().strip_prefix("realm=").map(|path| path.trim().trim_matches('"'));
    match realm.filter(|path| scheme.eq_ignore_ascii_case("basic") && !path.is_empty()) {
        Some(path) => Ok(PathBuf::from(path)),
        None => Err("it did not name the file of a key (WWW-Authenticate: Basic realm=…); \
                     is it Azure Arc that answers at IDENTITY_ENDPOINT?"
            .to_owned()),
    }
}

/// Reads a key, if it lies directly in the folder.
pub(super) fn key(path: &Path, folder: &Path) -> Result<Secret, String> {
    let shown = scrub(&path.display().to_string(), &[]);
    let step = format!("read the key {shown}");
    let unreadable = |error: io::Error| format!("{step}: {error}; {}", advice(&error, "look at `azcmagent show`"));
    if !path.is_absolute() {
        return Err(format!("{step}: that is no absolute path, so it was not read"));
    }
    let home = folder.canonicalize().map_err(|error| no_folder(folder, &error))?;
    let real = path.canonicalize().map_err(unreadable)?;
    if real.parent() != Some(&home) || real.extension().is_none_or(|extension| extension != "key") {
        let folder = folder.display();
        return Err(format!("{step}: it is no .key directly in {folder} (auth.arc_key_dir), so it was not read"));
    }
    // Neither a link put there since, nor a wait for whoever holds a pipe's other end.
    let flags = (OFlags::NOFOLLOW | OFlags::NONBLOCK).bits().cast_signed();
    let file = OpenOptions::new().read(true).custom_flags(flags).open(&real).map_err(unreadable)?;
    let content = content(&file).map_err(unreadable)?;
    let Some(content) = content.filter(|content| content.len() <= LONGEST_KEY) else {
        return Err(format!("{step}: it is not a regular file of at most {LONGEST_KEY} bytes"));
    };
    let bare = content.strip_suffix(b"\n").unwrap_or(&content);
    let bare = bare.strip_suffix(b"\r").unwrap_or(bare);
    match std::str::from_utf8(bare) {
        Ok(key) if !key.is_empty() && key.bytes().all(|byte| byte.is_ascii_graphic()) => {
            Ok(Secret::new(key.to_owned()))
        }
        Ok(_) | Err(_) => Err(format!("{step}: it holds no key; look at `azcmagent show`")),
    }
}

/// Says whether there is a folder to read keys from.
pub(super) fn look(folder: &Path) -> Result<(), String> {
    match folder.metadata() {
        Ok(data) if data.is_dir() => Ok(()),
        Ok(_) => Err(no_folder(folder, &io::ErrorKind::NotADirectory.into())),
        Err(error) => Err(no_folder(folder, &error)),
    }
}

fn no_folder(folder: &Path, error: &io::Error) -> String {
    let advice = advice(error, "name the folder of Azure Arc's keys in auth.arc_key_dir");
    format!("look into {}: {error}; {advice}", folder.display())
}

/// Returns what to do: the usual, unless it is a matter of rights.
fn advice<'a>(error: &io::Error, usual: &'a str) -> &'a str {
    if error.kind() == io::ErrorKind::PermissionDenied { GROUP } else { usual }
}

/// Reads up to a byte more than a key has, of a regular file.
fn content(file: &File) -> io::Result<Option<Zeroizing<Vec<u8>>>> {
    if !file.metadata()?.is_file() {
        return Ok(None);
    }
    let mut content = Zeroizing::new(Vec::with_capacity(LONGEST_KEY + 1));
    file.take(LONGEST_KEY as u64 + 1).read_to_end(&mut content)?;
    Ok(Some(content))
}
