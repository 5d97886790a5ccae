//! Feeding the service manager's watchdog, for as long as all that must move
//! moves.
//!
//! Three things must: the dispatcher, which owns every lease and lets the lanes
//! go; the journal's writer; and the workers, which send the blocks. The
//! workers are the ones who run this, so where they hang nothing is said.
//!
//! A disk that is full or does not answer is no hang of the agent. Renewals and
//! blocks do not wait for it, and a restart would: killed, the agent could not
//! even read its journal, and every lease would run out.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;

use super::ask::{Ask, Asker};
use super::notify::Notifier;
use crate::ground::moment::Moment;
use crate::ports::clock::Clock;
use crate::ports::journal::{Place, Pulse};

/// How often the journal's writer is looked at while it is waited for.
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// What does not move.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Still {
    /// The dispatcher has not turned.
    #[error("the dispatcher does not turn")]
    Dispatcher,
    /// The dispatcher has ended.
    #[error("the dispatcher is gone")]
    NoDispatcher,
    /// The journal's writer has not turned, and is not at its disk.
    #[error("the journal's writer does not turn")]
    Writer,
    /// The journal's writer has ended.
    #[error("the journal's writer is gone")]
    NoWriter,
}

/// What must move.
#[derive(Clone)]
pub struct Vitals {
    /// The clocks.
    pub clock: Arc<dyn Clock>,
    /// Wakes the dispatcher.
    pub asker: Asker,
    /// When the dispatcher last turned.
    pub beat: watch::Receiver<Moment>,
    /// Shows whether the journal's writer moves.
    pub writer: Arc<dyn Pulse>,
}

impl Vitals {
    /// Returns once everything has moved.
    ///
    /// # Errors
    ///
    /// What has not, within `patience`.
    pub async fn moved(&self, patience: Duration) -> Result<(), Still> {
        let deadline = self.clock.now().moment + patience;
        let turns = self.writer.sign().turns;
        self.writer.knock();
        turned(&self.clock, &self.asker, &self.beat, patience).await?;
        loop {
            let sign = self.writer.sign();
            match sign.place {
                Place::Gone => return Err(Still::NoWriter),
                Place::AtDisk => return Ok(()),
                Place::Waiting if sign.turns > turns => return Ok(()),
                Place::Waiting if self.clock.now().moment >= deadline => return Err(Still::Writer),
                Place::Waiting => self.clock.sleep_until(self.clock.now().moment + LOOK_EVERY).await,
            }
        }
    }
}

/// Returns once the dispatcher has turned.
///
/// # Errors
///
/// When it has not, within `patience`.
pub async fn turned(
    clock: &Arc<dyn Clock>,
    asker: &Asker,
    beat: &watch::Receiver<Moment>,
    patience: Duration,
) -> Result<(), Still> {
    let asked = clock.now().moment;
    let mut beat = beat.clone();
    // The inbox of a dispatcher that is stuck may be full: that wait is bounded too.
    let turned = async {
        let woken = asker.tell(Ask::Wake).await.is_ok();
        woken && beat.wait_for(|&beat| beat >= asked).await.is_ok()
    };
    tokio::select! {
        turned = turned => if turned { Ok(()) } else { Err(Still::NoDispatcher) },
        () = clock.sleep_until(asked + patience) => Err(Still::Dispatcher),
    }
}

/// Feeds the watchdog twice in each of its `periods`, while everything moves.
/// Runs for ever, on the workers.
pub async fn feed(vitals: Vitals, notifier: Arc<Notifier>, period: Duration) {
    let clock = Arc::clone(&vitals.clock);
    let mut next = clock.now().moment;
    let mut is_still = false;
    loop {
        next = (next + period / 2).max(clock.now().moment);
        clock.sleep_until(next).await;
        // What takes longer than this would come too late to be told in time.
        match vitals.moved(period / 4).await {
            Ok(()) => {
                notifier.alive();
                is_still = false;
            }
            Err(still) => {
                if !std::mem::replace(&mut is_still, true) {
                    tracing::error!("{still}: the service manager will restart this agent unless it moves again");
                }
            }
        }
    }
}
