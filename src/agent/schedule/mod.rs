//! Schedule: which table is uploaded when.
//!
//! A table is due when its file is another than was last tried, or when its
//! time has come. Either way it is taken once its file is whole (`settle`),
//! one table at a time, the one that is due longest first. Whatever could not
//! be done for a reason that may pass is tried again, ever more rarely.
//!
//! News of changes ([`crate::ports::lookout`]) only say when to look: what a
//! look finds is the truth, and without news there is a look every minute.
//!
//! # Invariants
//!
//! - A table of which an upload is unfinished is not begun again. Content that
//!   is newer than what still waits for a session takes its place; else it is
//!   the next, and of several changes or times meanwhile one comes of it.
//! - A time runs once, whatever the clock does, and whoever starts again.

mod settle;
mod take;
pub mod times;
pub mod timetable;
mod watch;
mod when;

use std::collections::{BTreeMap, BTreeSet};
use std::convert::Infallible;
use std::sync::Arc;

use chrono::{DateTime, Utc};
use tokio::task::JoinSet;

use super::ask::{Ask, Fact};
use super::exit::Trouble;
use super::intake::Intake;
use super::settings::Settings;
use super::status::UploadView;
use crate::ground::moment::Moment;
use crate::ports::lookout::{Lookout, News, Point};
use crate::table::manifest::SourceIdentity;

use take::{Settled, Taken};
use watch::{Due, Watch};
pub use when::When;

/// Times a way is gone again because it changed while the lookout was told of
/// it. What changes faster is found at the next look.
const WAYS: usize = 3;

/// Takes tables in as they are due, for ever.
///
/// # Errors
///
/// Only at the start, when a table's settings cannot be read.
pub async fn keep(intake: Intake, lookout: Box<dyn Lookout>) -> Result<Infallible, Trouble> {
    let mut schedule = Schedule {
        settings: settings(&intake),
        intake,
        lookout,
        watches: BTreeMap::new(),
        taking: JoinSet::new(),
        under_way: None,
        behind: BTreeMap::new(),
    };
    let mut swaps = schedule.intake.settings.swaps();
    let settings = Arc::clone(&schedule.settings);
    if let Some((_, refused)) = schedule.take_up(&settings).await.into_iter().next() {
        return Err(refused);
    }
    loop {
        schedule.turn().await;
        let wake = schedule.next_look();
        let Schedule { intake, lookout, watches, taking, .. } = &mut schedule;
        tokio::select! {
            news = lookout.news() => heard(watches, &news),
            Some(taken) = taking.join_next() => {
                if let Ok(taken) = taken {
                    schedule.took(&taken).await;
                }
            }
            () = swaps.changed() => (),
            () = intake.clock.sleep_until(wake) => (),
        }
    }
}

/// The tables and what is known of them.
struct Schedule {
    intake: Intake,
    settings: Arc<Settings>,
    lookout: Box<dyn Lookout>,
    watches: BTreeMap<String, Watch>,
    taking: JoinSet<Result<Taken, Trouble>>,
    /// What is being taken: one at a time, since hashing takes all cores.
    under_way: Option<UnderWay>,
    /// The upload of another table or a bundle that a table waits for, because
    /// it is of the same data store.
    behind: BTreeMap<String, String>,
}

/// A table that is being taken.
struct UnderWay {
    table: String,
    file: SourceIdentity,
    /// Until when its times are dealt with by that.
    until: Option<DateTime<Utc>>,
}

/// Returns the settings in force. The schedule asks for them on every turn.
fn settings(intake: &Intake) -> Arc<Settings> {
    intake.settings.now()
}

fn heard(watches: &mut BTreeMap<String, Watch>, news: &News) {
    for watch in watches.values_mut() {
        match news {
            News::Happened(happened) => happened.iter().for_each(|happening| watch.heard(happening)),
            News::Missed => watch.missed(),
        }
    }
}

impl Schedule {
    async fn turn(&mut self) {
        let settings = settings(&self.intake);
        if !Arc::ptr_eq(&settings, &self.settings) {
            for (table, refused) in self.take_up(&settings).await {
                tracing::error!(table, "{refused}");
                self.intake.board.change(&table, |view| view.trouble = Some(refused.message));
            }
            self.settings = settings;
        }
        let now = self.intake.clock.now();
        let names: Vec<String> =
            self.watches.iter().filter(|(_, watch)| watch.is_time(now)).map(|(name, _)| name.clone()).collect();
        if names.is_empty() {
            return;
        }
        self.look_out(&names);
        let mut due: Vec<(Moment, String, Due)> = Vec::new();
        for name in names {
            let Some(watch) = self.watches.get_mut(&name) else { continue };
            if let Some(found) = watch.look(&self.intake.board, now) {
                due.push((found.since, name, found));
            }
        }
        due.sort_by(|one, other| (one.0, &one.1).cmp(&(other.0, &other.1)));
        for (_, name, found) in due {
            self.take(&name, found.file).await;
        }
    }

    /// Takes up the tables of the settings; returns those whose settings are
    /// refused. What is known of a table by name stays.
    async fn take_up(&mut self, settings: &Settings) -> Vec<(String, Trouble)> {
        let now = self.intake.clock.now();
        let board = self.intake.board.clone();
        let (mut refused, mut facts) = (Vec::new(), Vec::new());
        let names: BTreeSet<&str> = settings.table.iter().map(|table| table.name.as_str()).collect();
        self.watches.retain(|name, _| names.contains(name.as_str()));
        // Their data stores may be others now.
        self.behind.clear();
        for table in &settings.table {
            let taken_up = match self.watches.get_mut(&table.name) {
                Some(watch) => watch.take_up(table, &board, now),
                None => Watch::new(table, &board, now).map(|watch| {
                    self.watches.insert(table.name.clone(), watch);
                }),
            };
            match taken_up {
                Ok(()) => facts.extend(self.watches.get(&table.name).and_then(|watch| watch.unremembered(&board))),
                Err(trouble) => refused.push((table.name.clone(), trouble)),
            }
        }
        self.remember(facts).await;
        refused
    }

    /// Tells the lookout where changes matter, before anything is looked at:
    /// what changes after a look is told then.
    fn look_out(&mut self, names: &[String]) {
        let mut points: BTreeMap<&String, BTreeSet<Point>> = BTreeMap::new();
        let mut blind = Vec::new();
        for _ in 0..WAYS {
            let before = points.clone();
            for name in names {
                if let Some(watch) = self.watches.get_mut(name) {
                    points.insert(name, watch.points().clone());
                }
            }
            if before == points {
                break;
            }
            let all: BTreeSet<Point> = self.watches.values().flat_map(Watch::known_points).cloned().collect();
            blind = self.lookout.look_at(&all);
        }
        for watch in self.watches.values_mut() {
            let reason = blind.iter().find(|blind| watch.known_points().any(|point| point.folder == blind.folder));
            let reason = reason.map(|blind| blind.reason.clone());
            watch.see(reason.as_deref());
        }
    }

    fn next_look(&self) -> Moment {
        let looks = self.watches.values().filter(|watch| watch.is_watched()).map(Watch::look_at);
        looks.min().unwrap_or(self.intake.clock.now().moment + watch::LOOK_ANYWAY)
    }

    /// Takes a table whose content is whole and wanted, if nothing is in the way.
    async fn take(&mut self, name: &str, file: SourceIdentity) {
        // Only a dispatcher that is gone does not answer: the agent is stopping.
        let Ok(unfinished) = self.intake.unfinished(name).await else { return };
        let Ok(behind) = self.behind(name).await else { return };
        let now = self.intake.clock.now();
        let board = self.intake.board.clone();
        let Some(watch) = self.watches.get_mut(name) else { return };
        let source = serde_json::to_value(file).ok();
        let has_times = watch.has_times();
        let is_same = |upload: &UploadView| upload.source == source && (upload.gives_way || !has_times);
        if unfinished.as_ref().is_some_and(is_same) || board.is_held(name, source.as_ref()) {
            // It is on its way, or held. Of a table with a time, this is what the time is for.
            let run = watch.run(now);
            let fact = watch.tried(file, run.map(|(until, _)| until), &board);
            return self.remember(fact).await;
        }
        if let Some(upload) = unfinished.filter(|upload| !upload.gives_way) {
            return watch.waits(format!("its upload {} is not finished", upload.upload), &board, now);
        }
        if let Some(upload) = behind {
            return watch.is_behind(&upload, &board, now);
        }
        if let Some(other) = &self.under_way {
            let why = match other.table == name {
                true => "it is about to be hashed".to_owned(),
                false => format!("table {} is hashed first", other.table),
            };
            return watch.waits(why, &board, now);
        }
        let (until, fact) = watch.run(now).unzip();
        self.under_way = Some(UnderWay { table: name.to_owned(), file, until });
        let (intake, settled) = (self.intake.clone(), Settled { table: name.to_owned(), source: file, fact });
        self.taking.spawn(async move { intake.take(settled).await });
    }

    /// Returns the upload that a table is known to wait for, if it is not over.
    async fn behind(&mut self, name: &str) -> Result<Option<String>, Trouble> {
        let Some(upload) = self.behind.get(name).cloned() else { return Ok(None) };
        if self.intake.is_unfinished(&upload).await? {
            return Ok(Some(upload));
        }
        self.behind.remove(name);
        Ok(None)
    }

    /// Takes in how taking a table went.
    async fn took(&mut self, taken: &Result<Taken, Trouble>) {
        let Some(UnderWay { table, file, until }) = self.under_way.take() else { return };
        let (now, board) = (self.intake.clock.now(), self.intake.board.clone());
        // Together, so that the one that is due longest is the next.
        self.watches.values_mut().for_each(|watch| watch.next_turn(now));
        let Some(watch) = self.watches.get_mut(&table) else { return };
        if let Ok(Taken::Behind(upload)) = taken {
            self.behind.insert(table, upload.clone());
            return watch.is_behind(upload, &board, now);
        }
        if !watch.took(taken, &board, now) {
            return;
        }
        let fact = watch.tried(file, until, &board);
        if taken.is_err() {
            // Nothing came of it, so nothing was remembered with it.
            self.remember(fact).await;
        }
    }

    /// Has the journal remember something.
    async fn remember(&self, facts: impl IntoIterator<Item = Fact>) {
        for (name, value) in facts {
            // The dispatcher is gone only when the agent is stopping.
            let _ = self.intake.asker.tell(Ask::Remember(name, value)).await;
        }
    }
}
