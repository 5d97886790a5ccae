//! The key of content digests: one file in the state directory, made once.
//!
//! Whoever loses it loses no data: the next upload is compared with nothing.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use zeroize::Zeroizing;

use super::error::HashError;
use crate::adapters::entropy;
use crate::adapters::secret_file::{Access, Content, FileTrouble, Rules, read_text};
use crate::table::content::{ContentKey, KEY_BYTES};
use crate::table::digest::{hex, unhex};

/// The file in the state directory.
const KEY_FILE: &str = "content.key";
/// What a key file must be like: the key in hex, and a line feed.
const RULES: Rules = Rules { what: "content key", longest: 1 << 10, content: Content::Token, access: Access::Private };

/// Returns where the key of a state directory is, and makes it, private to this
/// user, if there is none. Whoever calls holds the directory.
///
/// # Errors
///
/// Says that there are no random bytes, or that the file cannot be written.
pub fn make_content_key(state_dir: &Path) -> Result<PathBuf, HashError> {
    let path = state_dir.join(KEY_FILE);
    if path.exists() {
        return Ok(path);
    }
    let mut random = Zeroizing::new([0; KEY_BYTES]);
    entropy::fill(&mut *random)?;
    // Under another name first: a key that was cut short is worse than none.
    let partial = path.with_extension("key.partial");
    let written = write(&partial, &random).and_then(|()| std::fs::rename(&partial, &path));
    written.and_then(|()| File::open(state_dir)?.sync_all()).map_err(|error| HashError::write(path.clone(), error))?;
    Ok(path)
}

/// Returns where the key of a state directory is, if there is one that this user
/// may use: a table may be hashed by another user than the agent's.
pub fn find_content_key(state_dir: &Path) -> Option<PathBuf> {
    let path = state_dir.join(KEY_FILE);
    matches!(read_content_key(&path), Ok(Some(_))).then_some(path)
}

fn write(path: &Path, random: &[u8; KEY_BYTES]) -> io::Result<()> {
    let text = Zeroizing::new(hex(random));
    let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(path)?;
    file.write_all(text.as_bytes())?;
    file.write_all(b"\n")?;
    file.sync_all()
}

/// Reads a key; none if there is no such file.
///
/// # Errors
///
/// Says that what is there is no key, or not private, and what to do.
pub(super) fn read_content_key(path: &Path) -> Result<Option<ContentKey>, HashError> {
    if !path.exists() {
        return Ok(None);
    }
    let text = match read_text(path, &RULES) {
        Ok((text, _)) => text,
        Err(FileTrouble::Missing(trouble) | FileTrouble::Unusable(trouble)) => return Err(HashError::Key(trouble)),
    };
    let bytes = unhex(text.expose()).map(Zeroizing::new);
    let key = bytes.and_then(|bytes| <[u8; KEY_BYTES]>::try_from(bytes.as_slice()).ok());
    let key = key.ok_or_else(|| {
        let shown = path.display();
        HashError::Key(format!("read the content key {shown}: it is not one; remove it, and another is made"))
    })?;
    Ok(Some(ContentKey::new(Zeroizing::new(key))))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn a_key_is_made_once_private_and_read_back() {
        let dir = tempfile::tempdir().unwrap();
        assert!(read_content_key(&dir.path().join(KEY_FILE)).unwrap().is_none());
        let path = make_content_key(dir.path()).unwrap();
        let text = std::fs::read(&path).unwrap();
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert!(read_content_key(&path).unwrap().is_some());
        assert_eq!(make_content_key(dir.path()).unwrap(), path);
        assert_eq!(std::fs::read(&path).unwrap(), text, "the key stays");
        let other = tempfile::tempdir().unwrap();
        assert_ne!(std::fs::read(make_content_key(other.path()).unwrap()).unwrap(), text);
    }

    #[test]
    fn what_is_no_key_is_refused_and_never_quoted() {
        let dir = tempfile::tempdir().unwrap();
        let path = make_content_key(dir.path()).unwrap();
        for text in ["c0ffee", "secretsecret", ""] {
            std::fs::write(&path, text).unwrap();
            let Err(error) = read_content_key(&path) else { panic!("{text} is a key") };
            assert!(text.is_empty() || !error.to_string().contains(text), "{error}");
        }
    }
}
