//! A secret in a file that somebody else replaces while the agent runs.
//!
//! A new content is believed once the file has stopped changing: whoever writes
//! it in place leaves half of it there for a moment. Until then, and if the new
//! content is of no use, what was read last goes on being used.

use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use crate::adapters::secret_file::{FileTrouble, Mark, Rules, read_text};
use crate::ground::secret::Secret;
use crate::ports::clock::Clock;

/// How long a file must stay the same to count as written.
const SETTLED: Duration = Duration::from_secs(1);

/// How often it is looked at until it has settled; one that never does is read as it is.
const LOOKS: usize = 10;

/// The secret of a file, and what was last read of it.
pub(super) struct Watched {
    path: PathBuf,
    rules: Rules,
    held: Mutex<Option<(Secret, Mark)>>,
    /// What was said of a content that was of no use, so that it is said once.
    complaint: Mutex<Option<FileTrouble>>,
}

impl Watched {
    /// Names the file; it is first read when the secret is needed.
    pub(super) const fn new(path: PathBuf, rules: Rules) -> Self {
        Self { path, rules, held: Mutex::new(None), complaint: Mutex::new(None) }
    }

    /// Returns the file.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Returns the mark of the file as it is.
    pub(super) fn mark(&self) -> Option<Mark> {
        Mark::of(&self.path)
    }

    /// Looks whether the file is of use.
    pub(super) fn look(&self) -> Result<(), FileTrouble> {
        read_text(&self.path, &self.rules).map(drop)
    }

    /// Returns the secret, read again if the file has changed and settled.
    pub(super) async fn current(&self, clock: &dyn Clock) -> Result<Secret, FileTrouble> {
        let held = self.held.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let Some((old, mark)) = held else { return self.read() };
        if self.mark() == Some(mark) {
            return Ok(old);
        }
        self.settle(clock).await;
        self.read().or_else(|trouble| {
            let mut complaint = self.complaint.lock().unwrap_or_else(PoisonError::into_inner);
            if complaint.as_ref() != Some(&trouble) {
                tracing::warn!("{trouble}; what was read of it before is used on");
            }
            *complaint = Some(trouble);
            Ok(old)
        })
    }

    async fn settle(&self, clock: &dyn Clock) {
        let mut before = self.mark();
        for _ in 0..LOOKS {
            clock.sleep_until(clock.now().moment + SETTLED).await;
            let after = self.mark();
            if before == after {
                return;
            }
            before = after;
        }
    }

    fn read(&self) -> Result<Secret, FileTrouble> {
        let (secret, mark) = read_text(&self.path, &self.rules)?;
        *self.held.lock().unwrap_or_else(PoisonError::into_inner) = Some((secret.clone(), mark));
        Ok(secret)
    }
}
