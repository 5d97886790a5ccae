//! The lock file: an flock, and in it who holds it since when.
//!
//! The text is for people; only the flock decides. It stays behind when the
//! holder ends, and the next one writes over it.

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Seek, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use chrono::{DateTime, SecondsFormat, Utc};
use rustix::fs::{FlockOperation, OFlags, flock};
use rustix::io::Errno;

/// How much of a lock file is read: a pid and a date are far below it.
const TEXT_LIMIT: u64 = 256;

/// Who has the lock now.
pub(super) enum Taken {
    /// This process, until the file is closed.
    Ours(File),
    /// Another one.
    Theirs {
        /// Its id, if it wrote it.
        pid: Option<u32>,
        /// When it took the lock, if it wrote it.
        since: Option<String>,
    },
}

/// Takes the lock, or says who has it.
pub(super) fn take(path: &Path) -> io::Result<Taken> {
    let mut file = OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .custom_flags(OFlags::NOFOLLOW.bits().cast_signed())
        .open(path)?;
    match flock(&file, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => {
            // A full volume may have no room for it, and that is no reason not
            // to start: the lock holds without its text.
            sign(&mut file).ok();
            Ok(Taken::Ours(file))
        }
        Err(Errno::WOULDBLOCK) => {
            let (pid, since) = read(&file);
            Ok(Taken::Theirs { pid, since })
        }
        Err(error) => Err(error.into()),
    }
}

/// Writes who holds it. The date is the one the volume gives the write itself.
fn sign(file: &mut File) -> io::Result<()> {
    file.set_len(0)?;
    write!(file, "{}", std::process::id())?;
    let now = DateTime::<Utc>::from(file.metadata()?.modified()?);
    writeln!(file, " {}", now.to_rfc3339_opts(SecondsFormat::Secs, true))
}

fn read(mut file: &File) -> (Option<u32>, Option<String>) {
    let mut text = String::new();
    let read = file.rewind().and_then(|()| file.take(TEXT_LIMIT).read_to_string(&mut text));
    let mut words = read.ok().map(|_| text.split_whitespace()).into_iter().flatten();
    let pid = words.next().and_then(|pid| pid.parse().ok());
    (pid, words.next().map(str::to_owned))
}
