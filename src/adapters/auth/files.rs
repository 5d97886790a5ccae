//! Reads the files of credentials: the one place they are opened at.

use std::fs;
use std::io::{self, Read};
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use zeroize::Zeroizing;

use super::credential::{FileTrouble, Mark};
use crate::ground::secret::Secret;

/// Returns what tells whether a file is still the same, or nothing if there is none.
pub(super) fn mark(path: &Path) -> Option<Mark> {
    let data = fs::metadata(path).ok()?;
    Some(Mark { inode: data.ino(), length: data.len(), changed: (data.mtime(), data.mtime_nsec()) })
}

/// Reads a whole file of at most so many bytes. `what` names it: `certificate`.
pub(super) fn whole(path: &Path, what: &str, longest: usize) -> Result<Zeroizing<Vec<u8>>, FileTrouble> {
    let step = format!("read the {what} in {}", path.display());
    let missing = |error: io::Error| {
        FileTrouble::Missing(format!("{step}: {error}; put the {what} there, readable for this program"))
    };
    let unusable = |what: String| FileTrouble::Unusable(format!("{step}: {what}"));
    // A pipe would be waited on for ever.
    let data = fs::metadata(path).map_err(missing)?;
    if !data.is_file() {
        return Err(unusable("it is not a regular file".to_owned()));
    }
    let file = fs::File::open(path).map_err(missing)?;
    // Room for all of it, so that growing leaves no copies behind.
    let mut content = Zeroizing::new(Vec::with_capacity(longest + 1));
    file.take(longest as u64 + 1).read_to_end(&mut content).map_err(missing)?;
    if content.len() > longest {
        return Err(unusable(format!("it has more than {longest} bytes, so it is something else")));
    }
    if content.is_empty() {
        return Err(unusable(format!("it is empty; put the {what} there")));
    }
    Ok(content)
}

/// Reads a file of one line, without the line's end.
pub(super) fn line(path: &Path, what: &str, longest: usize) -> Result<Secret, FileTrouble> {
    let content = whole(path, what, longest)?;
    let bare = content.strip_prefix(b"\xef\xbb\xbf").unwrap_or(&content);
    let bare = bare.strip_suffix(b"\n").unwrap_or(bare);
    let bare = bare.strip_suffix(b"\r").unwrap_or(bare);
    let problem = match std::str::from_utf8(bare) {
        Ok("") => "it is empty",
        Ok(text) if text.contains(char::is_control) => "it has more than one line",
        Ok(text) => return Ok(Secret::new(text.to_owned())),
        Err(_) => "it is not text",
    };
    let path = path.display();
    Err(FileTrouble::Unusable(format!("read the {what} in {path}: {problem}; put the {what} there, and nothing else")))
}
