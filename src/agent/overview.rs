//! How everything stands, seen from outside: what `/metrics`, the status page
//! and the probes show.
//!
//! # Invariants
//!
//! - A look takes at most [`PATIENCE`], whatever hangs: what does not answer in
//!   time is left out.
//! - However many look, the dispatcher draws its picture once in [`PICTURE_KEPT`],
//!   and at most one thread waits for a volume.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use chrono::{DateTime, Utc};
use tokio::sync::watch;

use super::ask::{Ask, Asker};
use super::board::{Board, TableView};
use super::dispatcher::Volume;
use super::metrics::{Metrics, SERIES};
use super::settings::{InForce, Settings};
use super::status::{Picture, QuotaView, UploadView};
use crate::adapters::process::free_bytes;
use crate::ground::moment::{Moment, Now};
use crate::ports::clock::Clock;
use crate::ports::tokens::{SignIn, TokenProvider};

/// How long a look waits for the dispatcher and for the volumes. A scrape is
/// usually given ten seconds.
pub const PATIENCE: Duration = Duration::from_secs(2);
/// How long a picture is good enough for the next who look.
pub const PICTURE_KEPT: Duration = Duration::from_secs(1);

/// A volume the agent writes to: what it is for, and the bytes left on it.
pub type Room = (&'static str, u64);

/// How everything stands at one moment.
#[derive(Debug, Clone)]
pub struct Overview {
    /// When it was looked at.
    pub now: Now,
    /// The rules in force.
    pub settings: Arc<Settings>,
    /// How the dispatcher stands, unless it does not answer.
    pub picture: Option<Arc<Picture>>,
    /// The configured tables, at most [`SERIES`] of them.
    pub tables: Vec<TableView>,
    /// The ids of their data stores, by how those are configured, once found.
    pub stores: BTreeMap<String, String>,
    /// How the journal's volume is.
    pub volume: Volume,
    /// How signing in goes.
    pub sign_in: SignIn,
    /// Whether the agent is stopping.
    pub is_stopping: bool,
    /// Whether the dispatcher turned lately, or has ended because it was to.
    pub is_live: bool,
    /// The volumes that answered in time.
    pub rooms: Vec<Room>,
    /// When this process began.
    pub started: DateTime<Utc>,
}

/// Looks at everything.
#[derive(Clone)]
pub struct Lookout {
    /// The clocks.
    pub clock: Arc<dyn Clock>,
    /// The rules.
    pub settings: InForce,
    /// Asks the dispatcher.
    pub asker: Asker,
    /// When the dispatcher last turned.
    pub beat: watch::Receiver<Moment>,
    /// How the journal's volume is.
    pub volume: watch::Receiver<Volume>,
    /// How the tables stand.
    pub board: Board,
    /// Hands out tokens.
    pub tokens: Arc<dyn TokenProvider>,
    /// Set when the agent is stopping.
    pub stopping: Arc<AtomicBool>,
    /// What is counted.
    pub metrics: Metrics,
    /// What the last look brought.
    pub seen: Arc<Seen>,
}

/// What the last look brought, for the next.
#[derive(Default)]
pub struct Seen {
    picture: tokio::sync::Mutex<Option<(Moment, Arc<Picture>)>>,
    rooms: Mutex<Vec<Room>>,
    /// Whether a thread is waiting for a volume.
    is_asking: AtomicBool,
}

impl Lookout {
    /// Looks at everything, for at most [`PATIENCE`].
    pub async fn look(&self) -> Overview {
        let began = self.clock.now().moment;
        let (picture, rooms) = tokio::join!(self.in_time(self.picture()), self.in_time(self.rooms()));
        let (picture, now) = (picture.flatten(), self.clock.now());
        let is_stopping = self.stopping.load(Ordering::Relaxed);
        // Too busy to answer, perhaps; only one that does not turn is stuck.
        let has_turned = *self.beat.borrow() >= began;
        let settings = self.settings.now();
        let mut tables = self.board.views();
        tables.retain(|view| settings.find_table(&view.table).is_some());
        tables.truncate(SERIES);
        Overview {
            settings,
            is_live: picture.is_some() || is_stopping || has_turned,
            picture,
            tables,
            stores: self.board.stores(),
            volume: self.volume.borrow().clone(),
            sign_in: self.tokens.sign_in(),
            is_stopping,
            rooms: rooms.unwrap_or_default(),
            started: self.metrics.started(),
            now,
        }
    }

    async fn in_time<T>(&self, look: impl Future<Output = T>) -> Option<T> {
        tokio::select! {
            seen = look => Some(seen),
            () = self.clock.sleep_until(self.clock.now().moment + PATIENCE) => None,
        }
    }

    /// Returns how the dispatcher stands, or stood a moment ago; `None` if it is gone.
    async fn picture(&self) -> Option<Arc<Picture>> {
        let mut last = self.seen.picture.lock().await;
        let now = self.clock.now().moment;
        if let Some((drawn, picture)) = &*last
            && now.since(*drawn) < PICTURE_KEPT
        {
            return Some(Arc::clone(picture));
        }
        let picture = Arc::new(self.asker.ask(Ask::Picture).await.ok()?);
        *last = Some((now, Arc::clone(&picture)));
        Some(picture)
    }

    /// Asks the volumes how much room there is. One that hangs keeps one thread,
    /// and nothing is said of room until it answers.
    async fn rooms(&self) -> Vec<Room> {
        if !self.seen.is_asking.swap(true, Ordering::AcqRel) {
            let seen = Arc::clone(&self.seen);
            let settings = self.settings.now();
            let places = [("state", settings.state_dir.clone()), ("bundles", settings.bundle_dir())];
            let asking = tokio::task::spawn_blocking(move || {
                let rooms = places.into_iter().filter_map(|(name, path)| Some((name, room(path)?))).collect();
                *seen.rooms.lock().unwrap_or_else(PoisonError::into_inner) = rooms;
                seen.is_asking.store(false, Ordering::Release);
            });
            if asking.await.is_err() {
                return Vec::new();
            }
        } else if !self.has_answered().await {
            return Vec::new();
        }
        self.seen.rooms.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Waits for the answer that another look asked for.
    async fn has_answered(&self) -> bool {
        const LOOK_EVERY: Duration = Duration::from_millis(20);
        while self.seen.is_asking.load(Ordering::Acquire) {
            self.clock.sleep_until(self.clock.now().moment + LOOK_EVERY).await;
        }
        true
    }
}

/// Returns the room at a place, or where it will be made.
fn room(place: PathBuf) -> Option<u64> {
    place.ancestors().find_map(|place| free_bytes(place).ok())
}

impl Overview {
    /// Returns why the agent is not ready for work, for each thing that must be
    /// right; the dispatcher's turn is not among them.
    pub fn readiness(&self) -> [(&'static str, Option<String>); 3] {
        readiness(self.is_stopping, &self.volume, &self.sign_in)
    }

    /// Returns the open uploads; none are known of a dispatcher that does not answer.
    pub fn uploads(&self) -> &[UploadView] {
        self.picture.as_ref().map_or(&[], |picture| &picture.uploads)
    }

    /// Returns how many sessions each data store may still have today, under the
    /// name that is configured, at most [`SERIES`] of them.
    pub fn quotas(&self) -> Vec<QuotaView> {
        let Some(picture) = &self.picture else { return Vec::new() };
        // A table's store is configured by id or by name. The service said the id, or
        // its uploads know it, from before this agent started.
        let id_of = |table: &TableView| {
            if let Some(id) = self.stores.get(&table.data_store) {
                return id.clone();
            }
            let mut uploads = picture.uploads.iter().chain(&picture.closed);
            let found = uploads.find(|view| !view.tracked && view.table == table.table);
            found.map_or_else(|| table.data_store.clone(), |view| view.data_store.clone())
        };
        let named: Vec<(String, &String)> = self.tables.iter().map(|table| (id_of(table), &table.data_store)).collect();
        let allowed = self.settings.quota.sessions_per_day;
        let unused = |name: &String| QuotaView {
            data_store: name.clone(),
            allowed,
            left: allowed,
            reserved: self.settings.quota.reserved,
            ..QuotaView::default()
        };
        let mut stores: BTreeMap<String, QuotaView> =
            named.iter().map(|(_, name)| ((*name).clone(), unused(name))).collect();
        for view in &picture.quota {
            let name = named.iter().find(|(id, _)| *id == view.data_store).map_or(&view.data_store, |(_, name)| *name);
            stores.insert(name.clone(), QuotaView { data_store: name.clone(), ..view.clone() });
        }
        stores.into_values().take(SERIES).collect()
    }
}

/// Returns whether a table is held: somebody has to do something before it is
/// taken again. The one place that says so. `uploads` are those that are open.
pub fn is_held(table: &TableView, uploads: &[UploadView]) -> bool {
    // What may pass is tried again by itself, and shows as waiting.
    table.held.is_some() || (table.doing == "idle" && (table.trouble.is_some() || given_up(table, uploads).is_some()))
}

/// Says that a table is taken when it changes, and has not changed since an upload
/// of it came to nothing, if that is so: nobody takes the same content twice.
pub fn given_up(table: &TableView, uploads: &[UploadView]) -> Option<String> {
    let outcome = table.last_outcome.as_deref().filter(|outcome| matches!(*outcome, "failed" | "cancelled"))?;
    let is_idle = table.when == "on-change" && table.doing == "idle" && uploads_of(table, uploads).next().is_none();
    let name = &table.table;
    is_idle.then(|| {
        format!(
            "its last upload was {outcome}, and the same file is not taken again: bring a new one, or \
             `edm-agent upload --table {name}`"
        )
    })
}

/// Returns whether something is in the way of a table, also what passes by itself.
pub fn has_trouble(table: &TableView, uploads: &[UploadView]) -> bool {
    let is_stopped = |view: &UploadView| view.waiting.is_some() || view.trouble.is_some();
    table.trouble.is_some() || is_held(table, uploads) || uploads_of(table, uploads).any(is_stopped)
}

/// Returns the open uploads of a table that this agent sends.
fn uploads_of<'a>(table: &TableView, uploads: &'a [UploadView]) -> impl Iterator<Item = &'a UploadView> {
    uploads.iter().filter(move |view| !view.tracked && view.table == table.table)
}

/// Returns why the agent is not ready for work, for each thing that must be right.
pub fn readiness(is_stopping: bool, volume: &Volume, sign_in: &SignIn) -> [(&'static str, Option<String>); 3] {
    let journal = match volume {
        Volume::Sound => None,
        Volume::Stalled(reason) | Volume::Failed(reason) => Some(reason.clone()),
    };
    let out = || sign_in.trouble.clone().unwrap_or_else(|| "signing in".to_owned());
    [
        ("running", is_stopping.then(|| "stopping".to_owned())),
        ("journal", journal),
        ("sign-in", (!sign_in.is_in()).then(out)),
    ]
}
