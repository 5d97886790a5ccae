//! What others may ask of the dispatcher. Each question carries the place for
//! its answer.

use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;
use tokio::sync::{mpsc, oneshot};

use super::settings::Settings;
use super::status::{Picture, UploadView, UriView};
use crate::adapters::bundle::Bundle;
use crate::ports::contract::Session;
use crate::ports::journal::Entry;
use crate::ports::service::Answer;
use crate::upload::ledger::Ledger;
use crate::upload::record::Record;

/// Why something asked for is not done.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AskRefused {
    /// There is no such upload.
    #[error("no upload or session {0} is known here: see `edm-agent status`")]
    Unknown(String),
    /// The upload is in the way of it.
    #[error("{0}")]
    Conflict(String),
    /// The agent is stopping.
    #[error("the agent is stopping: ask again when it is back")]
    Stopping,
}

/// The place for an answer.
pub type Reply<T> = oneshot::Sender<T>;

/// A fact for the journal: its name and its value.
pub type Fact = (String, Value);

/// What another uploader says it has stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Uploaded {
    /// The first so many blocks.
    Count(u32),
    /// These blocks, besides those said before.
    Blocks(Ledger),
}

/// An upload to begin.
pub struct Beginning {
    /// What it is of.
    pub entry: Entry,
    /// The configuration it keeps to.
    pub rules: Arc<Settings>,
    /// Its bundle, if it has one.
    pub bundle: Option<Arc<Bundle>>,
    /// With these, it goes on with a session that is open already: the records
    /// this agent would have written of it.
    pub records: Vec<Record>,
    /// Why a gate holds it, if one does.
    pub hold: Option<Vec<String>>,
    /// What is to be remembered with it or not at all.
    pub fact: Option<Fact>,
}

impl Beginning {
    /// Makes one of an entry, without anything else.
    pub fn of(entry: Entry, rules: Arc<Settings>) -> Self {
        Self { entry, rules, bundle: None, records: Vec::new(), hold: None, fact: None }
    }
}

/// A question or a wish.
pub enum Ask {
    /// How everything stands.
    Picture(Reply<Picture>),
    /// How one upload stands, by its id or its session's.
    View(String, Reply<Result<UploadView, AskRefused>>),
    /// Begin an upload. A table's newer content takes the place of what is held
    /// or still waits for a session.
    Begin(Box<Beginning>, Reply<Result<UploadView, AskRefused>>),
    /// Let a held upload pass.
    Release(String, Reply<Result<UploadView, AskRefused>>),
    /// Let an upload use the sessions of the day that are kept for people:
    /// somebody waits for it.
    Urge(String, Reply<Result<UploadView, AskRefused>>),
    /// Take in that a table was found to hold what is live, and what identifies
    /// the source that was looked at, if it is one of the configuration. Refused
    /// while other content of the table has a session.
    Unchanged(String, Option<Value>, Reply<Result<(), AskRefused>>),
    /// These are the sessions of a data store, as the service lists them.
    Listed(String, Box<Answer<Vec<Session>>>),
    /// Where the blocks of a tracked upload go now. The answer is a secret.
    UploadUri(String, Reply<Result<UriView, AskRefused>>),
    /// Take progress of another uploader in.
    Progress(String, Option<u32>, Uploaded, Reply<Result<UploadView, AskRefused>>),
    /// Renew a session now.
    Renew(String, Reply<Result<UploadView, AskRefused>>),
    /// Commit a tracked upload.
    Commit(String, Reply<Result<UploadView, AskRefused>>),
    /// End an upload.
    Cancel(String, Reply<Result<UploadView, AskRefused>>),
    /// Remember a fact in the journal.
    Remember(String, Value),
    /// The upload agent this host is registered as.
    Registered(String),
    /// Decide by another configuration from now on. Uploads that have begun keep
    /// the rules they began with where [`super::settings::Class`] says so.
    Configure(Arc<Settings>, Reply<()>),
    /// Take a turn: somebody wants to see that the loop turns.
    Wake,
    /// Stop: start nothing new, let what is under way finish for so long.
    Stop(Duration),
}

/// Asks the dispatcher.
#[derive(Clone)]
pub struct Asker(pub(super) mpsc::Sender<super::dispatcher::Input>);

impl Asker {
    /// Asks and waits for the answer.
    ///
    /// # Errors
    ///
    /// [`AskRefused::Stopping`] if the dispatcher is gone.
    pub async fn ask<T>(&self, question: impl FnOnce(Reply<T>) -> Ask) -> Result<T, AskRefused> {
        let (reply, answer) = oneshot::channel();
        self.tell(question(reply)).await?;
        answer.await.map_err(|_| AskRefused::Stopping)
    }

    /// Says something that has no answer.
    ///
    /// # Errors
    ///
    /// [`AskRefused::Stopping`] if the dispatcher is gone.
    pub async fn tell(&self, ask: Ask) -> Result<(), AskRefused> {
        self.0.send(super::dispatcher::Input::Ask(ask)).await.map_err(|_| AskRefused::Stopping)
    }
}
