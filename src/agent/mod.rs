//! The agent: everything that waits.
//!
//! The [`dispatcher`] owns every upload and runs on a thread of its own. Around
//! it, [`intake`] makes tables into bundles, [`schedule`] says when, and
//! [`control`] lets other programs of this host ask and wish.

mod adoption;
pub mod ask;
pub mod board;
pub mod client;
pub mod control;
pub mod dispatcher;
pub mod exit;
mod follow;
mod fresh;
pub mod gates;
pub mod handoff;
pub mod housekeeping;
pub mod intake;
pub mod lanes;
pub mod metrics;
pub mod notice;
pub mod notify;
pub mod outside;
pub mod overview;
pub mod page;
pub mod perform;
pub mod probes;
pub mod quotas;
pub mod registration;
pub mod reload;
pub mod routes;
pub mod schedule;
pub mod serve;
pub mod settings;
pub mod sign_in;
pub mod signals;
mod stall;
pub mod status;
pub mod summary;
pub mod tables;
mod tracking;
pub mod watchdog;

use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::sync::watch;

use crate::ground::moment::Moment;
use crate::ports::clock::Clock;
use crate::ports::journal::{Journal, Memory};

use ask::{Ask, Asker};
use board::Board;
use dispatcher::{Dispatcher, Input, Parts, Volume};
use metrics::Metrics;
use notice::Notices;
use perform::Performer;
use settings::Settings;

/// A running agent.
pub struct Agent {
    /// Asks the dispatcher.
    pub asker: Asker,
    /// Tells what happens.
    pub notices: Notices,
    /// How the tables stand.
    pub board: Board,
    /// How the journal's volume is.
    pub volume: watch::Receiver<Volume>,
    /// When the dispatcher last turned.
    pub beat: watch::Receiver<Moment>,
    thread: JoinHandle<()>,
}

/// What an agent is made of.
pub struct Ingredients {
    /// The clocks.
    pub clock: Arc<dyn Clock>,
    /// Carries commands out.
    pub performer: Performer,
    /// Keeps the account.
    pub journal: Arc<dyn Journal>,
    /// What the journal remembered.
    pub memory: Memory,
    /// The rules.
    pub settings: Arc<Settings>,
    /// Where blocks are read and sent.
    pub blocks: Handle,
    /// Counts what happens.
    pub metrics: Metrics,
    /// The dispatcher's inbox, which the journal's news already go to.
    pub inbox: (tokio::sync::mpsc::Sender<Input>, tokio::sync::mpsc::Receiver<Input>),
}

impl Agent {
    /// Starts the dispatcher on a thread of its own, with every open upload
    /// of the journal.
    ///
    /// # Errors
    ///
    /// When the operating system gives no thread or no event queue.
    pub fn start(ingredients: Ingredients) -> std::io::Result<Self> {
        let Ingredients { clock, performer, journal, memory, settings, blocks, metrics, inbox } = ingredients;
        let notices = Notices::new();
        let board = Board::new(&settings.table, &memory.facts);
        let parts = Parts {
            clock,
            performer: Arc::new(performer),
            journal,
            settings,
            blocks,
            notices: notices.clone(),
            board: board.clone(),
            metrics,
        };
        let (dispatcher, doors) = Dispatcher::new(parts, memory, inbox);
        let runtime = tokio::runtime::Builder::new_current_thread().enable_io().enable_time().build()?;
        let thread = std::thread::Builder::new()
            .name("dispatcher".to_owned())
            .spawn(move || runtime.block_on(dispatcher.run()))?;
        Ok(Self { asker: doors.asker, notices, board, volume: doors.volume, beat: doors.beat, thread })
    }

    /// Stops: starts nothing new, lets what is under way finish for at most
    /// `grace`, and returns when the dispatcher is done. Sessions stay alive
    /// at the service.
    pub async fn stop(self, grace: Duration) {
        // Either it hears this or it is gone already; both end the thread.
        let _ = self.asker.tell(Ask::Stop(grace)).await;
        let thread = self.thread;
        if tokio::task::spawn_blocking(move || thread.join()).await.is_err() {
            tracing::warn!("the dispatcher did not end cleanly; the journal knows all that is durable");
        }
    }
}
