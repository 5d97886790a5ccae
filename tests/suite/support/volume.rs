//! A volume of a test's own, small enough to be really full.

use std::fs::{self, File};
use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use tempfile::TempDir;

use super::skip::{Need, skip};

/// An ext4 file system of 8 MiB in a file, gone when dropped.
pub(crate) struct Volume {
    home: TempDir,
}

impl Volume {
    /// Makes and mounts one; nothing, having said so, where that cannot be done.
    pub(crate) fn new() -> Option<Self> {
        let volume = Self { home: TempDir::new().unwrap() };
        fs::create_dir(volume.root()).unwrap();
        File::create(volume.image()).unwrap().set_len(8 << 20).unwrap();
        let made = run("mkfs.ext4", &["-q", "-m", "0"], &[&volume.image()]);
        if made && volume.mount() {
            return Some(volume);
        }
        skip(Need::Loop, "a loop volume needs root, mkfs.ext4 and a loop device");
        None
    }

    fn image(&self) -> PathBuf {
        self.home.path().join("image")
    }

    /// Returns where it is mounted.
    pub(crate) fn root(&self) -> PathBuf {
        self.home.path().join("root")
    }

    pub(crate) fn mount(&self) -> bool {
        run("mount", &["-o", "loop"], &[&self.image(), &self.root()])
    }

    pub(crate) fn unmount(&self) -> bool {
        run("umount", &[], &[&self.root()])
    }

    /// Fills it to the last byte.
    pub(crate) fn fill(&self) {
        let mut filler = File::options().append(true).create(true).open(self.root().join("filler")).unwrap();
        for size in [1 << 16, 1 << 10, 1] {
            let chunk = vec![0; size];
            while filler.write_all(&chunk).is_ok() {}
        }
        assert_eq!(filler.write_all(b"x").unwrap_err().kind(), ErrorKind::StorageFull);
    }

    /// Makes room again.
    pub(crate) fn free(&self) {
        fs::remove_file(self.root().join("filler")).unwrap();
    }
}

impl Drop for Volume {
    fn drop(&mut self) {
        self.unmount();
    }
}

/// Runs a program on paths; returns whether it did what it was asked.
pub(crate) fn run(program: &str, arguments: &[&str], paths: &[&Path]) -> bool {
    let ran = Command::new(program).args(arguments).args(paths).stdout(Stdio::null()).stderr(Stdio::null()).status();
    ran.is_ok_and(|status| status.success())
}
