//! The key that Azure Arc wants to be shown. It answers the first request with
//! the name of a file that it has just written, which its group may read; who
//! can say what is in there belongs to the machine.
//!
//! # Invariants
//!
//! - Whoever answers can have no file read but a small `.key` directly in the
//!   configured folder, links and `..` followed before that is judged.

use std::io;
use std::path::{Path, PathBuf};

use crate::adapters::http::exchange::Reply;
use crate::adapters::http::text::scrub;
use crate::adapters::secret_file::{Access, Content, FileTrouble, Rules, read_text};
use crate::ground::secret::Secret;

/// What the file of a key must be like. Its mode is Azure Arc's.
const RULES: Rules = Rules { what: "key", longest: 4_096, content: Content::Token, access: Access::AsFound };

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
    read_text(&real, &RULES).map(|(key, _)| key).map_err(|trouble| match trouble {
        FileTrouble::Missing(said) => format!("{said}; {GROUP}"),
        FileTrouble::Unusable(said) => said,
    })
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
