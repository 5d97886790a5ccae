//! Files as files of secrets must be: their owner's alone.

use std::fs::{self, Permissions};
use std::io::Write;
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::Path;

/// Writes a file that only its owner may read, whatever it was before.
pub(crate) fn write(path: &Path, content: impl AsRef<[u8]>) {
    let mut file = fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(path).unwrap();
    file.set_permissions(Permissions::from_mode(0o600)).unwrap();
    file.write_all(content.as_ref()).unwrap();
}
