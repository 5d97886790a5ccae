//! An agent in this process: the state directory's lock, the journal, the
//! dispatcher and the intake, put together.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::runtime::Handle;

use super::logs;
use super::unheard::Unheard;
use crate::adapters::bundle::BufferPool;
use crate::adapters::clock::SystemClock;
use crate::adapters::journal::SqliteJournal;
use crate::adapters::state::StateDir;
use crate::agent::dispatcher::{self, Input};
use crate::agent::exit::{Exit, Trouble};
use crate::agent::intake::Intake;
use crate::agent::metrics::Metrics;
use crate::agent::outside;
use crate::agent::perform::Performer;
use crate::agent::registration::FirstAttempt;
use crate::agent::settings::{InForce, Settings};
use crate::agent::sign_in;
use crate::agent::watchdog::Vitals;
use crate::agent::{Agent, Ingredients};
use crate::ports::clock::Clock;
use crate::ports::journal::JournalError;
use crate::ports::tokens::TokenProvider;

/// An agent in this process.
pub(crate) struct Local {
    pub(crate) agent: Agent,
    pub(crate) intake: Intake,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) tokens: Arc<dyn TokenProvider>,
    pub(crate) stop: Arc<AtomicBool>,
    /// Whether this host is registered as an upload agent already.
    pub(crate) is_registered: bool,
    /// How the upload ended that the last command to wait for one did not live
    /// to report.
    pub(crate) unheard: Option<Unheard>,
    journal: Arc<SqliteJournal>,
    state: StateDir,
}

impl Local {
    /// Takes the state directory, reads the journal and starts the dispatcher
    /// with every unfinished upload.
    pub(crate) fn start(settings: Arc<Settings>) -> Result<Self, Trouble> {
        let clock: Arc<dyn Clock> = Arc::new(SystemClock);
        let tokens = sign_in::tokens(&settings, &clock)?;
        let metrics = Metrics::new(clock.now().wall);
        metrics.watch_log(logs::dropped);
        let service = metrics.watch_service(outside::service(&settings, &tokens, &clock)?, &clock);
        let blobs = metrics.watch_blobs(outside::blobs(&settings, &clock)?, &clock);
        // The intake asks on connections of its own: those of the dispatcher
        // belong to the dispatcher's thread.
        let own_service = metrics.watch_service(outside::service(&settings, &tokens, &clock)?, &clock);
        let state = open_state(&settings.state_dir)?;
        let inbox = dispatcher::inbox();
        let outbox = inbox.0.clone();
        // The dispatcher may be gone when the last news come: nobody minds.
        let news = Box::new(move |news| drop(outbox.blocking_send(Input::News(news))));
        let (journal, memory) = SqliteJournal::open(&state.journal(), news).map_err(|error| journal_trouble(&error))?;
        let journal = Arc::new(journal);
        let is_registered = memory.facts.iter().any(|(name, _)| name == "upload-agent");
        let unheard = Unheard::find(&memory.facts);
        let memory_limit = usize::try_from(settings.upload.memory).unwrap_or(usize::MAX);
        let performer = Performer { service, blobs, pool: BufferPool::new(memory_limit) };
        let agent = Agent::start(Ingredients {
            clock: Arc::clone(&clock),
            performer,
            journal: journal.clone(),
            memory,
            settings: Arc::clone(&settings),
            blocks: Handle::current(),
            metrics: metrics.clone(),
            inbox,
        })
        .map_err(|error| Trouble::new(Exit::LocalIo, format!("start the dispatcher: {error}")))?;
        let stop = Arc::new(AtomicBool::new(false));
        let intake = Intake {
            settings: InForce::new(settings),
            clock: Arc::clone(&clock),
            service: own_service,
            asker: agent.asker.clone(),
            board: agent.board.clone(),
            volume: agent.volume.clone(),
            stop: Arc::clone(&stop),
            turn: Arc::default(),
            tasks: Arc::default(),
            metrics,
            registering: FirstAttempt::default(),
        };
        Ok(Self { agent, intake, clock, tokens, stop, is_registered, unheard, journal, state })
    }

    /// Returns what must move for the agent to count as alive.
    pub(crate) fn vitals(&self) -> Vitals {
        Vitals {
            clock: Arc::clone(&self.clock),
            asker: self.agent.asker.clone(),
            beat: self.agent.beat.clone(),
            writer: self.journal.clone(),
        }
    }

    /// Stops: what is under way finishes for at most `grace`, the journal is
    /// made durable, the state directory is let go. Sessions stay alive.
    pub(crate) async fn stop(self, grace: Duration) {
        self.stop.store(true, Ordering::Relaxed);
        self.agent.stop(grace).await;
        let journal = self.journal;
        let durable = tokio::task::spawn_blocking(move || journal.close()).await.unwrap_or(false);
        if !durable {
            tracing::warn!("not everything became durable; the next start asks the service for what is missing");
        }
        drop(self.state);
    }
}

/// Takes the state directory.
pub(crate) fn open_state(path: &Path) -> Result<StateDir, Trouble> {
    StateDir::open(path, false).map_err(|error| {
        let exit = match error.exit_code() {
            75 => Exit::TryLater,
            78 => Exit::BadConfiguration,
            _ => Exit::LocalIo,
        };
        Trouble::new(exit, error.to_string())
    })
}

pub(crate) fn journal_trouble(error: &JournalError) -> Trouble {
    let exit = match error {
        JournalError::Newer(_) | JournalError::Corrupt(_) => Exit::BadConfiguration,
        JournalError::Volume(_) => Exit::LocalIo,
    };
    Trouble::new(exit, error.to_string())
}
