//! Intake: from a table, or a bundle, to an upload.
//!
//! Hash first, upload after: the counts and the checksum are known before a
//! session is opened, and a bad extract costs none.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::JoinSet;

use super::adoption::Orphan;
use super::ask::{Ask, AskRefused, Asker, Beginning};
use super::board::Board;
use super::dispatcher::Volume;
use super::exit::{Exit, Trouble, hash_trouble};
use super::fresh::Fresh;
use super::gates::{Wishes, content_key};
use super::handoff::Given;
use super::metrics::Metrics;
use super::perform::total_blocks;
use super::registration::FirstAttempt;
use super::settings::{InForce, Settings, TableSettings};
use super::status::UploadView;
use super::tables::{find_store, hash_order, make_room};
use crate::adapters::bundle::{self, Bundle, HashProgress};
use crate::adapters::entropy;
use crate::ports::clock::Clock;
use crate::ports::contract::DataStore;
use crate::ports::journal::Entry;
use crate::ports::service::SessionService;
use crate::table::schema::Schema;
use crate::upload::pace::Pace;
use crate::upload::plan::{Plan, Sender, UploadId};

/// How often the picture of a table being hashed is drawn anew.
const PICTURE_EVERY: Duration = Duration::from_millis(200);
/// The first wait before a data store is looked for again.
const STORE_AGAIN: Duration = Duration::from_secs(1);
/// The longest wait before a data store is looked for again.
const STORE_AGAIN_AT_MOST: Duration = Duration::from_secs(30);

/// Makes uploads of tables and bundles.
#[derive(Clone)]
pub struct Intake {
    /// The configuration in force.
    pub settings: InForce,
    /// The clocks.
    pub clock: Arc<dyn Clock>,
    /// The session service, on a client of its own.
    pub service: Arc<dyn SessionService>,
    /// Asks the dispatcher.
    pub asker: Asker,
    /// How the tables stand.
    pub board: Board,
    /// How the journal's volume is: nothing is hashed while it is full.
    pub volume: watch::Receiver<Volume>,
    /// Set when the agent is stopping: hashing ends early.
    pub stop: Arc<AtomicBool>,
    /// Tables are hashed one at a time: each takes all cores.
    pub turn: Arc<tokio::sync::Mutex<()>>,
    /// Uploads begun in the background.
    pub tasks: Arc<Mutex<JoinSet<()>>>,
    /// Counts what happens.
    pub metrics: Metrics,
    /// The first attempt to register this host, which sessions wait for.
    pub registering: FirstAttempt,
}

/// What is to be uploaded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Cargo {
    /// A table of the configuration, by name.
    Table(String),
    /// A bundle on this host: a folder, or a sealed file.
    Bundle(PathBuf),
}

impl Intake {
    /// Begins an upload in the background, or returns the unfinished one of
    /// the same table (`Intake::follow`). While its table is hashed, and if it is refused, the
    /// board shows it.
    ///
    /// # Errors
    ///
    /// Only what shows at once: an unknown table, an agent that is stopping.
    pub async fn start(&self, cargo: Cargo, wishes: Wishes) -> Result<UploadView, Trouble> {
        let (table, phase) = match &cargo {
            Cargo::Table(name) => {
                let settings = self.settings.now();
                settings.find_table(name).ok_or_else(|| no_table(&settings, name))?;
                (name.clone(), "hashing")
            }
            Cargo::Bundle(dir) => (dir.display().to_string(), "verifying"),
        };
        if let Some(view) = self.follow(&cargo, true).await? {
            return Ok(view);
        }
        let settings = self.settings.now();
        if let Cargo::Table(name) = &cargo
            && let Some(table) = settings.find_table(name).filter(|_| wishes.accept)
            && let Some(view) = self.release_same(table).await?
        {
            return Ok(view);
        }
        let id = self.new_id()?;
        let begun = self.clock.now().wall;
        let phase = phase.to_owned();
        let view = UploadView { upload: id.to_string(), table, phase, begun, ..UploadView::default() };
        if let Some(other) = self.board.claim_intake(view.clone()) {
            return Ok(other);
        }
        let (intake, drawn) = (self.clone(), view.clone());
        let mut tasks = self.tasks.lock().unwrap_or_else(PoisonError::into_inner);
        while tasks.try_join_next().is_some() {}
        tasks.spawn(async move {
            let refused = match intake.begin_as(&cargo, id, true, wishes).await {
                Ok(unchanged) if unchanged.is_closed() => return intake.board.draw_intake(unchanged),
                Ok(begun) if begun.upload == drawn.upload => return intake.board.forget_intake(&drawn.upload),
                // Another began it first; whoever follows this one is told.
                Ok(begun) => {
                    Trouble::new(Exit::TryLater, format!("upload {} is under way already: follow that", begun.upload))
                }
                Err(trouble) => trouble,
            };
            tracing::error!(upload = drawn.upload, "{refused}");
            intake.board.draw_intake(UploadView {
                phase: "refused".to_owned(),
                outcome: Some("failed".to_owned()),
                reason: Some(refused.message),
                exit: Some(refused.exit as u8),
                closed: Some(intake.clock.now().wall),
                ..drawn
            });
        });
        Ok(view)
    }

    /// Begins an upload and returns when it has begun, or returns the
    /// unfinished one of the same table.
    ///
    /// # Errors
    ///
    /// Says what to do, and with which code a command should exit.
    pub async fn begin(&self, cargo: &Cargo, urgent: bool) -> Result<UploadView, Trouble> {
        self.begin_as(cargo, self.new_id()?, urgent, Wishes::default()).await
    }

    async fn begin_as(&self, cargo: &Cargo, id: UploadId, urgent: bool, wishes: Wishes) -> Result<UploadView, Trouble> {
        match cargo {
            Cargo::Table(name) => self.begin_table(name, id, urgent, wishes).await,
            Cargo::Bundle(dir) => self.begin_bundle(dir, id, urgent, wishes).await,
        }
    }

    async fn begin_table(&self, name: &str, id: UploadId, urgent: bool, wishes: Wishes) -> Result<UploadView, Trouble> {
        // A reload meanwhile counts for the next upload of the table.
        let settings = self.settings.now();
        let table = settings.find_table(name).ok_or_else(|| no_table(&settings, name))?;
        let store = self.store_of(&table.data_store, &id, urgent).await?;
        let _turn = self.turn.lock().await;
        if let Some(view) = self.follow(&Cargo::Table(name.to_owned()), urgent).await? {
            return Ok(view);
        }
        self.volume_is_sound().await?;
        let schema = self.schema(table, &store, wishes)?;
        let mut orphan = self.patiently(&id, urgent, || self.orphan(&store, name)).await?;
        let output = settings.bundle_dir().join(&id.0);
        let bundle = self.hash_to(table, &settings, schema, &mut orphan, &id, &output).await?;
        let source = serde_json::to_value(bundle.manifest().source.identity).ok();
        let fresh = Fresh::of(bundle, true);
        let beginning = async {
            let entry = self.entry(id, table.name.clone(), &store, &fresh, &settings, urgent)?;
            let beginning = Beginning::of(Entry { source, ..entry }, Arc::clone(&settings));
            self.begin_bundled(beginning, &fresh, orphan, wishes).await?.map_err(|refused| not_taken(&refused))
        };
        fresh.during(beginning).await
    }

    async fn begin_bundle(
        &self,
        path: &Path,
        id: UploadId,
        urgent: bool,
        wishes: Wishes,
    ) -> Result<UploadView, Trouble> {
        let settings = self.settings.now();
        let given = Given::find(path)?;
        if let Some(view) = self.unfinished_bundle(&given).await? {
            return Ok(view);
        }
        let is_ours = given.is_sealed();
        // What is sealed is opened onto that volume.
        self.volume_is_sound().await?;
        let fresh = Fresh::of(self.open_bundle(given, &id, &settings).await?, is_ours);
        fresh.during(self.begin_opened(&fresh, id, settings, urgent, wishes)).await
    }

    async fn begin_opened(
        &self,
        fresh: &Fresh,
        id: UploadId,
        settings: Arc<Settings>,
        urgent: bool,
        wishes: Wishes,
    ) -> Result<UploadView, Trouble> {
        let bundle = fresh.bundle();
        let table = bundle.manifest().table.clone();
        let configured = settings.find_table(&table).map(|table| table.data_store.clone());
        let store = configured.unwrap_or_else(|| bundle.manifest().data_store.clone());
        let store = self.store_of(&store, &id, urgent).await?;
        self.check_columns(bundle, &settings, &store, wishes)?;
        let entry = self.entry(id.clone(), table, &store, fresh, &settings, urgent)?;
        let table = entry.plan.table.clone();
        let look = || self.orphan(&store, &table);
        let (_turn, orphan) = match self.patiently(&id, urgent, look).await? {
            None => (None, None),
            // Only one takes it: nobody else does while this one has the turn.
            Some(_) => (Some(self.turn.lock().await), self.patiently(&id, urgent, look).await?),
        };
        let beginning = Beginning::of(entry, settings);
        self.begin_bundled(beginning, fresh, orphan, wishes).await?.map_err(|refused| not_taken(&refused))
    }

    async fn open_bundle(&self, given: Given, id: &UploadId, settings: &Arc<Settings>) -> Result<Bundle, Trouble> {
        let (settings, stop, id) = (Arc::clone(settings), Arc::clone(&self.stop), id.clone());
        let opened = tokio::task::spawn_blocking(move || given.open(&settings, &id, &stop));
        opened.await.unwrap_or_else(|_| Err(not_taken(&AskRefused::Stopping)))
    }

    /// Returns the upload of a table that is not finished, if there is one. One
    /// that is held is none: it gives way to a newer one.
    ///
    /// # Errors
    ///
    /// When the agent is stopping.
    pub async fn unfinished(&self, table: &str) -> Result<Option<UploadView>, Trouble> {
        let picture = self.asker.ask(Ask::Picture).await.map_err(|refused| not_taken(&refused))?;
        Ok(picture.uploads.into_iter().find(|view| is_under_way(view) && view.table == table))
    }

    pub(super) async fn unfinished_of(&self, cargo: &Cargo) -> Result<Option<UploadView>, Trouble> {
        match cargo {
            Cargo::Table(name) => self.unfinished(name).await,
            // One that is not there is told of when it is opened.
            Cargo::Bundle(path) => match Given::find(path) {
                Ok(given) => self.unfinished_bundle(&given).await,
                Err(_) => Ok(None),
            },
        }
    }

    async fn unfinished_bundle(&self, given: &Given) -> Result<Option<UploadView>, Trouble> {
        let picture = self.asker.ask(Ask::Picture).await.map_err(|refused| not_taken(&refused))?;
        let same =
            |view: &UploadView| is_under_way(view) && view.bundle.as_deref().is_some_and(|folder| given.is_in(folder));
        Ok(picture.uploads.into_iter().find(same))
    }

    /// Waits until the journal can be written. One that failed never can.
    pub(super) async fn volume_is_sound(&self) -> Result<(), Trouble> {
        let mut volume = self.volume.clone();
        let seen = volume.wait_for(|volume| !matches!(volume, Volume::Stalled(_))).await.map(|volume| volume.clone());
        match seen {
            Ok(Volume::Failed(reason)) => Err(Trouble::new(Exit::LocalIo, reason)),
            Ok(Volume::Sound | Volume::Stalled(_)) => Ok(()),
            // The dispatcher is gone.
            Err(_) => Err(not_taken(&AskRefused::Stopping)),
        }
    }

    pub(super) fn new_id(&self) -> Result<UploadId, Trouble> {
        Ok(UploadId::new(self.clock.now().wall, seed()?))
    }

    /// Finds a data store by id or display name: the first step of whatever
    /// begins, so this waits until the host is registered, or has tried to be.
    ///
    /// # Errors
    ///
    /// Says what to do, and with which code a command should exit.
    pub async fn find_store(&self, name: &str) -> Result<DataStore, Trouble> {
        self.registering.over().await;
        let found = find_store(self.service.as_ref(), name).await?;
        self.board.found_store(name, &found.id);
        Ok(found)
    }

    /// Finds the data store of an upload. One that somebody waits for waits out
    /// what may pass; one of the schedule is tried again by it.
    pub(super) async fn store_of(&self, name: &str, id: &UploadId, urgent: bool) -> Result<DataStore, Trouble> {
        self.patiently(id, urgent, || self.find_store(name)).await
    }

    /// Asks the service until it answers, as [`Intake::store_of`] says.
    pub(super) async fn patiently<T, F>(
        &self,
        id: &UploadId,
        urgent: bool,
        ask: impl Fn() -> F + Send + Sync,
    ) -> Result<T, Trouble>
    where
        F: Future<Output = Result<T, Trouble>> + Send,
    {
        let mut pace = Pace::new(seed()?);
        let begun = self.clock.now().moment;
        loop {
            let refused = match ask().await {
                Ok(answer) => {
                    self.board.change_intake(&id.0, |view| (view.waiting, view.trouble) = (None, None));
                    return Ok(answer);
                }
                Err(refused) => refused,
            };
            let now = self.clock.now().moment;
            let may_pass = matches!(refused.exit, Exit::Unreachable | Exit::TryLater);
            if !urgent || !may_pass || now.since(begun) >= self.settings.now().upload.give_up_after {
                return Err(refused);
            }
            tracing::warn!(upload = id.0, "{refused}");
            self.board.change_intake(&id.0, |view| {
                view.waiting = Some("service".to_owned());
                view.trouble = Some(refused.message);
            });
            pace.failed(now, STORE_AGAIN, STORE_AGAIN_AT_MOST, None);
            self.clock.sleep_until(pace.not_before()).await;
        }
    }

    pub(super) async fn hash(
        &self,
        table: &TableSettings,
        settings: &Settings,
        schema: Schema,
        orphan: Option<&Orphan>,
        id: &UploadId,
        output: &Path,
    ) -> Result<Bundle, Trouble> {
        let mut order = hash_order(table, settings.upload.block_size, schema, output)?;
        if let Some(orphan) = orphan {
            orphan.shape(&mut order);
        }
        let name = table.name.clone();
        let (clock, stop) = (Arc::clone(&self.clock), Arc::clone(&self.stop));
        let (min_free, max_bytes) = (settings.bundles.min_free, settings.bundles.max_bytes);
        let state_dir = Some(settings.state_dir.clone()).filter(|_| table.skip_unchanged);
        let progress = Arc::new(HashProgress::default());
        let seen = Arc::clone(&progress);
        let hashing = tokio::task::spawn_blocking(move || {
            make_room(&mut order, min_free, max_bytes)?;
            order.content_key = state_dir.as_deref().and_then(content_key);
            bundle::hash(&order, clock.as_ref(), &progress, &stop).map_err(|error| hash_trouble(&order.table, &error))
        });
        self.board.change(&name, |view| (view.doing, view.why) = ("hashing".to_owned(), None));
        let drawing = async {
            loop {
                let read = seen.bytes_read.load(Ordering::Relaxed);
                let total = seen.bytes_total.load(Ordering::Relaxed);
                let rows = seen.rows.load(Ordering::Relaxed);
                self.board.change(&name, |view| {
                    view.read_bytes = read;
                    view.source_bytes = total;
                    view.rows = rows;
                });
                self.board.change_intake(&id.0, |view| {
                    view.stored_bytes = read;
                    view.bytes = total;
                    view.rows = rows;
                });
                self.clock.sleep_until(self.clock.now().moment + PICTURE_EVERY).await;
            }
        };
        let hashed = tokio::select! {
            hashed = hashing => hashed,
            () = drawing => unreachable!("the picture is drawn for ever"),
        };
        self.metrics.hashed(&name, seen.rows.load(Ordering::Relaxed), seen.rejected.load(Ordering::Relaxed));
        self.board.change(&name, |view| "idle".clone_into(&mut view.doing));
        hashed.unwrap_or_else(|_| Err(not_taken(&AskRefused::Stopping)))
    }

    pub(super) fn entry(
        &self,
        id: UploadId,
        table: String,
        store: &DataStore,
        fresh: &Fresh,
        settings: &Settings,
        urgent: bool,
    ) -> Result<Entry, Trouble> {
        let bundle = fresh.bundle();
        let plan = Plan {
            file_name: Plan::file_name(&label(&table), &id),
            store: store.id.clone(),
            sender: Sender::Owned,
            total_blocks: total_blocks(bundle),
            canary: settings.find_table(&table).is_some_and(|table| table.canary.is_some()),
            seed: seed()?,
            begun: self.clock.now().wall,
            table,
            id,
        };
        Ok(Entry { plan, bundle: Some(bundle.dir().to_owned()), owns_bundle: fresh.is_ours(), source: None, urgent })
    }

    /// Begins an upload.
    pub(super) async fn begin_entry(&self, beginning: Beginning) -> Result<UploadView, AskRefused> {
        self.asker.ask(|reply| Ask::Begin(Box::new(beginning), reply)).await.and_then(|view| view)
    }
}

/// Makes a name safe as the start of a file name at the service.
pub(super) fn label(name: &str) -> String {
    let safe =
        |character: char| if character.is_ascii_alphanumeric() || "-_".contains(character) { character } else { '_' };
    name.chars().map(safe).take(64).collect()
}

pub(super) fn no_table(settings: &Settings, name: &str) -> Trouble {
    let names: Vec<&str> = settings.table.iter().map(|table| table.name.as_str()).collect();
    let known = if names.is_empty() { "it has none".to_owned() } else { format!("it has {}", names.join(", ")) };
    Trouble::new(Exit::BadConfiguration, format!("find table {name} in the configuration: {known}"))
}

pub(super) fn is_under_way(view: &UploadView) -> bool {
    !view.tracked && !view.is_closed() && view.held.is_none()
}

/// Returns how a command ends whose question the dispatcher did not take.
pub(super) fn not_taken(refused: &AskRefused) -> Trouble {
    Trouble::new(Exit::TryLater, refused.to_string())
}

pub(super) fn seed() -> Result<u64, Trouble> {
    entropy::seed().map_err(|error| Trouble::new(Exit::LocalIo, error.to_string()))
}
