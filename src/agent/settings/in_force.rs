//! The configuration in force.

use std::sync::Arc;

use tokio::sync::watch;

use super::Settings;

/// The configuration in force: one whole, shared, and replaced as a whole by a
/// reload. Whoever decides something takes it once and decides by that, so that
/// nothing is done half by the old one and half by the new.
#[derive(Clone)]
pub struct InForce(watch::Sender<Arc<Settings>>);

impl InForce {
    /// Puts a first configuration in force.
    pub fn new(settings: Arc<Settings>) -> Self {
        Self(watch::Sender::new(settings))
    }

    /// Returns the configuration in force at this moment.
    pub fn now(&self) -> Arc<Settings> {
        Arc::clone(&self.0.borrow())
    }

    /// Returns what tells of every one that is put in force from now on.
    pub(in crate::agent) fn swaps(&self) -> Swaps {
        Swaps { told: self.0.subscribe(), _teller: self.clone() }
    }

    /// Puts another in force. What holds the old one keeps it.
    pub(in crate::agent) fn put(&self, settings: Arc<Settings>) {
        self.0.send_replace(settings);
    }
}

/// Tells when another configuration is put in force.
pub(in crate::agent) struct Swaps {
    told: watch::Receiver<Arc<Settings>>,
    // As long as somebody waits, somebody can tell.
    _teller: InForce,
}

impl Swaps {
    /// Waits until another was put in force since the last time.
    pub(in crate::agent) async fn changed(&mut self) {
        self.told.changed().await.expect("its teller is held beside it");
    }
}
