//! A bundle that no upload has yet.
//!
//! It holds its salt, so it is not left lying about when its upload is refused,
//! for whatever reason, and as often as that is tried again: between the making
//! of a bundle and the dispatcher's word it is held as a [`Fresh`].

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio::runtime::Handle;

use crate::adapters::bundle::Bundle;

/// A bundle that is removed unless an upload takes it.
pub(super) struct Fresh {
    bundle: Arc<Bundle>,
    is_ours: bool,
    /// Whether it goes: it is ours, and no upload has it.
    goes: AtomicBool,
}

impl Fresh {
    /// Takes charge of a bundle. One that is not the agent's own is never removed.
    pub(super) fn of(bundle: Bundle, is_ours: bool) -> Self {
        Self { bundle: Arc::new(bundle), is_ours, goes: AtomicBool::new(is_ours) }
    }

    /// Returns the bundle.
    pub(super) const fn bundle(&self) -> &Arc<Bundle> {
        &self.bundle
    }

    /// Returns whether its folder is the agent's own.
    pub(super) const fn is_ours(&self) -> bool {
        self.is_ours
    }

    /// Asks for an upload of it. It is the upload's while that is not answered,
    /// and if it is granted.
    pub(super) async fn offer<T, E>(&self, asking: impl Future<Output = Result<T, E>> + Send) -> Result<T, E> {
        self.goes.store(false, Ordering::Relaxed);
        let answer = asking.await;
        if answer.is_err() {
            self.goes.store(self.is_ours, Ordering::Relaxed);
        }
        answer
    }

    /// Does what may lead to an upload of it. If none has it then, it is gone
    /// when this returns.
    pub(super) async fn during<T>(&self, work: impl Future<Output = T> + Send) -> T {
        let done = work.await;
        if let Some(remove) = self.removal() {
            // It fails only when the agent is stopping.
            drop(tokio::task::spawn_blocking(remove).await);
        }
        done
    }

    /// Returns what removes it, once, if it is to go. Gigabytes may take a while.
    fn removal(&self) -> Option<impl FnOnce() + Send + 'static> {
        if !self.goes.swap(false, Ordering::Relaxed) {
            return None;
        }
        let bundle = Bundle::clone(&self.bundle);
        Some(move || {
            if let Err(error) = bundle.remove() {
                tracing::warn!("{error}");
            }
        })
    }
}

impl Drop for Fresh {
    /// Whoever began the upload was cut short.
    fn drop(&mut self) {
        let Some(remove) = self.removal() else { return };
        match Handle::try_current() {
            Ok(handle) => drop(handle.spawn_blocking(remove)),
            Err(_) => remove(),
        }
    }
}
