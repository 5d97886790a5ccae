//! Saying that a test proves nothing on this machine.
//!
//! A test that is passed over looks like one that passed. So it says so past
//! the test runner's capture, and where `EDM_AGENT_NO_SKIP` says that what it
//! needs is there (`.ci/run` does), passing it over is a failure.

use std::io::Write;

/// What a test can need that not every machine has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Need {
    /// Microsoft's storage emulator.
    Azurite,
    /// A file system in a file: root, mkfs.ext4 and a loop device.
    Loop,
    /// Mounting a small volume in memory.
    Mount,
    /// `ssh-keygen`.
    OpenSsh,
    /// `python3`.
    Python,
    /// Being root.
    Root,
    /// `strace`, and the right to trace.
    Strace,
}

impl Need {
    /// Returns its word in `EDM_AGENT_NO_SKIP`.
    const fn word(self) -> &'static str {
        match self {
            Self::Azurite => "azurite",
            Self::Loop => "loop",
            Self::Mount => "mount",
            Self::OpenSsh => "openssh",
            Self::Python => "python",
            Self::Root => "root",
            Self::Strace => "strace",
        }
    }
}

/// Says that the running test proves nothing here, and why.
///
/// # Panics
///
/// If `EDM_AGENT_NO_SKIP` is `1`, or names the need among words parted by
/// commas.
pub(crate) fn skip(need: Need, reason: &str) {
    let demanded = std::env::var("EDM_AGENT_NO_SKIP").unwrap_or_default();
    let must_run = demanded == "1" || demanded.split(',').any(|word| word == need.word());
    assert!(!must_run, "{reason}: it was passed over where EDM_AGENT_NO_SKIP forbids it");
    let name = std::thread::current().name().unwrap_or("a test").to_owned();
    // Past the capture of the test's output, so that it is seen.
    std::io::stderr().write_all(format!("SKIPPED {name}: {reason}\n").as_bytes()).unwrap();
}
