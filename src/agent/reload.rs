//! Reload: the whole configuration is read again, judged, and swapped or refused.
//!
//! Whoever wishes a reload, a signal or a request, raises a number; the
//! [`Reloader`] reads for all that were wished by then. So many wishes become
//! one reading, and what is in the file after the last wish is read last.
//!
//! # Invariants
//!
//! - A wish is answered by a reading that began after it.
//! - A configuration is judged whole before anything of it counts; a refused
//!   one changes nothing.
//! - No file, however slow, holds up a later wish for longer than ten seconds.

use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use serde_json::json;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use super::ask::{Ask, Asker};
use super::board::Board;
use super::exit::{Exit, Trouble};
use super::metrics::Metrics;
use super::notice::{Notice, Notices};
use super::settings::{Changes, InForce, Settings};
use crate::ground::moment::Moment;
use crate::ports::clock::Clock;

/// How long reading may take. A file on a host that does not answer is as one
/// that cannot be read.
const READING: Duration = Duration::from_secs(10);
/// Readings that may be late at a time: each holds a thread until its file
/// answers.
const LATE: usize = 4;
/// The least time from the end of one reload to the next: a storm of wishes
/// costs ten readings a second, and as many lines in the log.
const BREATH: Duration = Duration::from_millis(100);
/// Names of changed keys in one line of the log; more are counted.
const NAMED: usize = 20;

/// Reads the configuration as the start did: the file, the environment, the
/// flags, and every check.
pub type Load = Arc<dyn Fn() -> Result<Settings, Trouble> + Send + Sync>;

/// Which configuration is in force.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConfigurationView {
    /// Counts the configurations put in force, from 1 at the start.
    pub generation: u64,
    /// When this one was.
    pub loaded_at: DateTime<Utc>,
    /// How the last reload went, if there was one.
    pub last_reload: Option<LastReload>,
}

/// How a reload went.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LastReload {
    /// When.
    pub at: DateTime<Utc>,
    /// Whether the configuration was put in force.
    pub ok: bool,
    /// Why not.
    pub reason: Option<String>,
}

impl ConfigurationView {
    /// Returns why the last reload was refused, if it was.
    pub fn refused(&self) -> Option<&str> {
        self.last_reload.as_ref().and_then(|last| last.reason.as_deref())
    }
}

/// A configuration that was put in force.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Applied {
    /// Its number.
    pub generation: u64,
    /// What it changed: [`Changes::names`].
    pub changed: Vec<String>,
}

/// Why a wish for a reload came to nothing.
#[derive(Debug, Clone)]
pub enum ReloadRefused {
    /// The agent is stopping.
    Stopping,
    /// The configuration was refused.
    Refused {
        /// Why.
        trouble: Trouble,
        /// The number of the one that stays.
        generation: u64,
    },
}

/// What the last reading came to, and for whom.
#[derive(Debug, Clone)]
struct Seen {
    view: ConfigurationView,
    outcome: Result<Vec<String>, Trouble>,
    /// The last wish that is answered.
    answered: u64,
}

/// Wishes for reloads, and how the last one went. Clones share it.
#[derive(Clone)]
pub struct Reloads {
    wished: watch::Sender<u64>,
    seen: watch::Receiver<Seen>,
}

impl Reloads {
    /// Wishes a reload and does not wait for it.
    pub fn wish(&self) -> u64 {
        let mut number = 0;
        self.wished.send_modify(|wished| {
            *wished += 1;
            number = *wished;
        });
        number
    }

    /// Wishes a reload and waits until it is over.
    ///
    /// # Errors
    ///
    /// Why the old configuration stays, or that the agent is stopping.
    pub async fn reload(&self) -> Result<Applied, ReloadRefused> {
        let number = self.wish();
        let mut seen = self.seen.clone();
        let answered = seen.wait_for(|seen| seen.answered >= number).await.map_err(|_| ReloadRefused::Stopping)?;
        let Seen { view, outcome, .. } = answered.clone();
        match outcome {
            Ok(changed) => Ok(Applied { generation: view.generation, changed }),
            Err(trouble) => Err(ReloadRefused::Refused { trouble, generation: view.generation }),
        }
    }

    /// Returns which configuration is in force, and how the last reload went.
    pub fn view(&self) -> ConfigurationView {
        self.seen.borrow().view.clone()
    }

    /// Returns the number of the configuration in force.
    pub fn generation(&self) -> u64 {
        self.seen.borrow().view.generation
    }

    /// Returns whether the last reload, if there was one, was taken.
    pub fn is_last_ok(&self) -> bool {
        self.seen.borrow().view.refused().is_none()
    }

    /// Returns when the configuration in force was put there.
    pub fn loaded_at(&self) -> DateTime<Utc> {
        self.seen.borrow().view.loaded_at
    }
}

/// What a reload works with.
pub struct ReloadParts {
    /// Reads the configuration.
    pub load: Load,
    /// The configuration in force.
    pub in_force: InForce,
    /// Asks the dispatcher.
    pub asker: Asker,
    /// How the tables stand.
    pub board: Board,
    /// Where happenings are told.
    pub notices: Notices,
    /// Counts what happens.
    pub metrics: Metrics,
    /// The clocks.
    pub clock: Arc<dyn Clock>,
}

/// Carries reloads out, one at a time.
pub struct Reloader {
    parts: ReloadParts,
    wished: watch::Receiver<u64>,
    seen: watch::Sender<Seen>,
    /// The last wish the reload under way answers.
    taken: u64,
    /// Readings that took too long and have not come back.
    late: Vec<JoinHandle<Result<Settings, Trouble>>>,
    not_before: Moment,
}

impl Reloader {
    /// Makes one for a configuration just put in force, and the way to wish.
    pub fn new(parts: ReloadParts) -> (Self, Reloads) {
        let now = parts.clock.now();
        let view = ConfigurationView { generation: 1, loaded_at: now.wall, last_reload: None };
        let (seen, seen_by) = watch::channel(Seen { view, outcome: Ok(Vec::new()), answered: 0 });
        let (wished_by, wished) = watch::channel(0);
        let reloader = Self { parts, wished, seen, taken: 0, late: Vec::new(), not_before: now.moment };
        (reloader, Reloads { wished: wished_by, seen: seen_by })
    }

    /// Waits until a reload is wished, and for a breath after the last one.
    pub async fn wait(&mut self) {
        let taken = self.taken;
        if self.wished.wait_for(|&wished| wished > taken).await.is_err() {
            // Nobody is left who could wish one.
            std::future::pending::<()>().await;
        }
        self.parts.clock.sleep_until(self.not_before).await;
    }

    /// Reads the configuration for all who wish it by now, and puts it in force
    /// or refuses it. Those who wait are told by [`Self::answer`].
    pub async fn reload(&mut self) {
        self.taken = *self.wished.borrow_and_update();
        let outcome = self.attempt().await;
        let at = self.parts.clock.now().wall;
        self.seen.send_modify(|seen| {
            if outcome.is_ok() {
                seen.view.generation += 1;
                seen.view.loaded_at = at;
            }
            let reason = outcome.as_ref().err().map(|trouble| trouble.message.clone());
            seen.view.last_reload = Some(LastReload { at, ok: outcome.is_ok(), reason });
            seen.outcome = outcome;
        });
        let view = self.seen.borrow().view.clone();
        self.parts.metrics.reloaded(view.refused().is_none(), view.generation);
        self.tell(at);
    }

    /// Answers all whose wish the last reload was.
    pub fn answer(&mut self) {
        self.seen.send_modify(|seen| seen.answered = self.taken);
        self.not_before = self.parts.clock.now().moment + BREATH;
    }

    async fn attempt(&mut self) -> Result<Vec<String>, Trouble> {
        let settings = Arc::new(self.read().await?);
        let changes = Changes::between(&self.parts.in_force.now(), &settings);
        if !changes.restart.is_empty() {
            let keys = changes.restart.join(", ");
            return Err(refused(format!(
                "reload the configuration: it needs a restart, for {keys}: restart the agent, which goes on with every \
                 upload, or put back what they were"
            )));
        }
        let given = Arc::clone(&settings);
        let asked = self.parts.asker.ask(|reply| Ask::Configure(given, reply)).await;
        asked.map_err(|stopping| Trouble::new(Exit::TryLater, stopping.to_string()))?;
        self.parts.board.configure(&settings.table);
        self.parts.in_force.put(settings);
        Ok(changes.names)
    }

    /// Reads the configuration on a thread that may block.
    async fn read(&mut self) -> Result<Settings, Trouble> {
        let slow = || {
            let seconds = READING.as_secs();
            refused(format!(
                "read the configuration: it was not read within {seconds} s; look at its volume, and reload"
            ))
        };
        self.late.retain(|late| !late.is_finished());
        if self.late.len() >= LATE {
            return Err(slow());
        }
        let load = Arc::clone(&self.parts.load);
        let mut reading = tokio::task::spawn_blocking(move || load());
        let end = self.parts.clock.now().moment + READING;
        tokio::select! {
            biased;
            read = &mut reading => {
                read.unwrap_or_else(|_| Err(refused("read the configuration: the agent is stopping".to_owned())))
            }
            () = self.parts.clock.sleep_until(end) => {
                self.late.push(reading);
                Err(slow())
            }
        }
    }

    /// Says how the reload went, in the log and to whoever follows the events.
    fn tell(&self, at: DateTime<Utc>) {
        let Seen { view, outcome, .. } = self.seen.borrow().clone();
        let generation = view.generation;
        let (event, detail) = match outcome {
            Ok(changed) => {
                tracing::info!(
                    generation,
                    changed = named(&changed),
                    "the configuration was read again and is in force"
                );
                ("configuration-reloaded", json!({ "generation": generation, "changed": changed }))
            }
            Err(trouble) => {
                tracing::error!(generation, "{trouble}; the configuration in force stays as it is");
                ("configuration-refused", json!({ "generation": generation, "reason": trouble.message }))
            }
        };
        self.parts.notices.tell(Notice { at, event: event.to_owned(), upload: None, table: None, detail });
    }
}

fn refused(message: String) -> Trouble {
    Trouble::new(Exit::BadConfiguration, message)
}

/// Returns what changed, fit for one line.
fn named(changed: &[String]) -> String {
    if changed.is_empty() {
        return "nothing".to_owned();
    }
    let more = changed.len().saturating_sub(NAMED);
    let named = changed[..changed.len() - more].join(", ");
    if more == 0 { named } else { format!("{named} and {more} more") }
}
