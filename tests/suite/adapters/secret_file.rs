//! Files of secrets: what is read from them, and which are refused.

use std::fs::{self, Permissions};
use std::os::unix::fs::{PermissionsExt, chown, symlink};
use std::path::{Path, PathBuf};

use edm_agent::adapters::secret_file::{Access, Content, FileTrouble, Mark, Rules, read, read_text};

use crate::support::private;
use crate::support::skip::{Need, skip};

const TOKEN: Rules = Rules { what: "token file", longest: 40, content: Content::Token, access: Access::Private };

fn file(dir: &tempfile::TempDir, content: impl AsRef<[u8]>) -> PathBuf {
    let path = dir.path().join("token");
    private::write(&path, content);
    path
}

/// Returns what is said of a file that is refused, having checked that it says
/// which one and shows nothing of it.
fn refused(path: &Path, rules: &Rules) -> String {
    match read(path, rules).map(drop) {
        Err(FileTrouble::Unusable(said)) => {
            assert!(said.starts_with(&format!("read the {} {}: ", rules.what, path.display())), "{said}");
            assert!(!said.contains("canary"), "{said}");
            said
        }
        other => panic!("{path:?} is not refused: {other:?}"),
    }
}

#[test]
fn a_byte_order_mark_and_one_line_ending_are_cut_and_nothing_else() {
    let dir = tempfile::tempdir().unwrap();
    for content in ["canary", "canary\n", "canary\r\n", "\u{feff}canary", "\u{feff}canary\n"] {
        let (secret, _) = read_text(&file(&dir, content), &TOKEN).unwrap();
        assert_eq!(secret.expose(), "canary", "{content:?}");
    }
    let line = Rules { content: Content::Line, ..TOKEN };
    assert_eq!(read_text(&file(&dir, " canary pässword \n"), &line).unwrap().0.expose(), " canary pässword ");
    let whole = Rules { content: Content::Anything, ..TOKEN };
    assert_eq!(*read(&file(&dir, b"\x30\xff\n\n"), &whole).unwrap().0, b"\x30\xff\n\n");
}

#[test]
fn a_content_that_is_no_bare_secret_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let line = Rules { content: Content::Line, ..TOKEN };
    for content in ["", "\n", "\r\n", "\u{feff}", "\u{feff}\n"] {
        assert!(refused(&file(&dir, content), &TOKEN).contains("it is empty"), "{content:?}");
    }
    for content in ["canary\n\n", "canary\ncanary", "\ncanary", "canary\r", "canary\0"] {
        refused(&file(&dir, content), &TOKEN);
        assert!(refused(&file(&dir, content), &line).contains("more than one line"), "{content:?}");
    }
    for content in ["Bearer canary", " canary", "canary ", "canäry"] {
        refused(&file(&dir, content), &TOKEN);
    }
    assert!(refused(&file(&dir, b"canary\xff"), &line).contains("UTF-8"));
    assert!(refused(&file(&dir, "x".repeat(41)), &TOKEN).contains("more than 40 bytes"));
    assert!(read(&file(&dir, "x".repeat(40)), &TOKEN).is_ok());
}

#[test]
fn a_mode_that_lets_others_in_is_refused_with_the_command_that_mends_it() {
    let dir = tempfile::tempdir().unwrap();
    let path = file(&dir, "canary");
    let as_found = Rules { access: Access::AsFound, ..TOKEN };
    for mode in 0o400..0o1000 {
        fs::set_permissions(&path, Permissions::from_mode(mode)).unwrap();
        if [0o400, 0o440, 0o600, 0o640].contains(&mode) {
            assert!(read(&path, &TOKEN).is_ok(), "{mode:04o}");
        } else {
            let said = refused(&path, &TOKEN);
            assert!(said.contains(&format!("mode {mode:04o}")), "{said}");
            assert!(said.contains(&format!("`chmod 0600 {}`", path.display())), "{said}");
        }
        assert!(read(&path, &as_found).is_ok(), "{mode:04o}");
    }
}

#[test]
fn a_file_of_another_user_is_refused_unless_it_is_roots() {
    let dir = tempfile::tempdir().unwrap();
    let path = file(&dir, "canary");
    if chown(&path, Some(12_345), None).is_err() {
        return skip(Need::Root, "only root gives files away");
    }
    let said = refused(&path, &TOKEN);
    assert!(said.contains("user 12345") && said.contains("chown 0 "), "{said}");
    assert!(read(&path, &Rules { access: Access::AsFound, ..TOKEN }).is_ok());
}

#[test]
fn a_link_leads_to_what_it_names_and_what_is_no_file_is_refused_at_once() {
    let dir = tempfile::tempdir().unwrap();
    let path = file(&dir, "canary");
    let link = dir.path().join("..data");
    symlink(&path, &link).unwrap();
    let (secret, mark) = read_text(&link, &TOKEN).unwrap();
    assert_eq!((secret.expose(), Some(mark)), ("canary", Mark::of(&path)));

    let pipe = dir.path().join("pipe");
    let mode = rustix::fs::Mode::RUSR;
    rustix::fs::mknodat(rustix::fs::CWD, &pipe, rustix::fs::FileType::Fifo, mode, 0).unwrap();
    for path in [pipe.as_path(), dir.path(), Path::new("/dev/null")] {
        assert!(refused(path, &TOKEN).contains("not a regular file"), "{path:?}");
    }
}

#[test]
fn a_file_that_is_not_there_may_yet_come() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("token");
    let trouble = read(&path, &TOKEN).unwrap_err();
    assert!(matches!(&trouble, FileTrouble::Missing(said) if said.contains(path.to_str().unwrap())), "{trouble:?}");
    assert_eq!(Mark::of(&path), None);
}
