//! One table: what is known of it between two looks, and what a look decides.

use std::collections::BTreeSet;
use std::io;
use std::time::Duration;

use chrono::{DateTime, Utc};

use super::settle::{Settled, Settling, Sight};
use super::take::Taken;
use super::times::{Remembered, Times};
use super::when::{When, marker, rule};
use crate::adapters::entropy;
use crate::adapters::lookout::way;
use crate::agent::ask::Fact;
use crate::agent::board::{Board, TableView, times_fact};
use crate::agent::exit::{Exit, Trouble};
use crate::agent::settings::{CatchUp, TableSettings};
use crate::agent::tables::identify;
use crate::ground::moment::{Moment, Now};
use crate::ground::units::Span;
use crate::ports::lookout::{Happening, Point};
use crate::table::manifest::SourceIdentity;
use crate::upload::pace::Pace;

/// How often a table is looked at whose changes are not told, or that waits
/// for something of which no news come.
const LOOK_EVERY: Duration = Duration::from_secs(2);
/// How often a table is looked at whose changes are told: news may get lost,
/// and the date may be set.
pub(super) const LOOK_ANYWAY: Duration = Duration::from_secs(60);
/// The least time between two looks, however many news come.
const LOOK_AT_MOST: Duration = Duration::from_millis(100);
/// The first wait before a table is tried again.
const AGAIN: Duration = Duration::from_secs(15);
/// The longest wait before a table is tried again.
const AGAIN_AT_MOST: Duration = Duration::from_secs(300);

/// What is known of one table between two looks.
pub(super) struct Watch {
    table: TableSettings,
    when: When,
    /// Of a table with a cron expression.
    times: Option<Times>,
    settling: Settling,
    /// What its file was when it was last tried.
    tried: Option<SourceIdentity>,
    pace: Pace,
    /// Where changes may lead to another file.
    points: BTreeSet<Point>,
    /// Why changes are not told, if they are not.
    blind: Option<String>,
    /// Whether something was renamed into place since the last look.
    arrived: bool,
    looked: Moment,
    look_at: Moment,
    /// Whether its file was not there at the last look.
    is_missing: bool,
    /// What was last logged of that, so that it is logged once.
    said: Option<String>,
    /// Since when it is due.
    due: Option<Moment>,
}

/// A table whose content is whole and wanted.
pub(super) struct Due {
    pub(super) file: SourceIdentity,
    /// Since when: who waits longest goes first.
    pub(super) since: Moment,
}

impl Watch {
    /// Begins to watch a table, with what the board remembers of it.
    ///
    /// # Errors
    ///
    /// When its settings cannot be read, or the system gives no randomness.
    pub(super) fn new(table: &TableSettings, board: &Board, now: Now) -> Result<Self, Trouble> {
        let tried = last_tried(table, board);
        let mut watch = Self {
            table: table.clone(),
            when: When::Manual,
            times: None,
            settling: Settling::default(),
            tried,
            pace: Pace::new(now.moment.since_boot().as_secs()),
            points: BTreeSet::new(),
            blind: None,
            arrived: false,
            looked: Moment::default(),
            look_at: now.moment,
            is_missing: false,
            said: None,
            due: None,
        };
        watch.take_up(table, board, now)?;
        Ok(watch)
    }

    /// Takes up other settings; what is known of the table stays.
    ///
    /// # Errors
    ///
    /// As [`Self::new`]; the settings before stay in force.
    pub(super) fn take_up(&mut self, table: &TableSettings, board: &Board, now: Now) -> Result<(), Trouble> {
        let when = When::parse(table)?;
        let times = match &when {
            When::OnChange | When::Manual => None,
            When::Cron(timetable) => {
                let (seed, until) = self.dealt_with(table, board, now)?;
                Some(Times::new((**timetable).clone(), table.jitter, seed, until))
            }
        };
        if table.path != self.table.path {
            self.settling = Settling::default();
        }
        if *table != self.table {
            // What was in its way may be gone: what came to nothing is tried again.
            self.pace.succeeded();
            self.tried = last_tried(table, board);
        }
        (self.when, self.times, self.table, self.look_at) = (when, times, table.clone(), now.moment);
        board.change(&table.name, |view| {
            view.when.clone_from(&table.when);
            view.timezone.clone_from(&table.timezone);
        });
        self.show_next(board);
        Ok(())
    }

    /// Returns the seed of a table's times, and until when they are dealt with.
    /// Those of another expression say nothing of this one.
    fn dealt_with(&self, table: &TableSettings, board: &Board, now: Now) -> Result<(u64, DateTime<Utc>), Trouble> {
        let is_same = |when: &str, timezone: &str| when == table.when && timezone == table.timezone;
        if let Some(times) = self.times.as_ref().filter(|_| is_same(&self.table.when, &self.table.timezone)) {
            return Ok(times.memory());
        }
        let remembered = board.times(&table.name).and_then(|value| serde_json::from_value::<Remembered>(value).ok());
        match remembered {
            Some(times) if is_same(&times.when, &times.timezone) => match table.catch_up {
                CatchUp::Once => Ok((times.seed, times.until)),
                CatchUp::None => Ok((times.seed, times.until.max(now.wall))),
            },
            Some(times) => Ok((times.seed, now.wall)),
            None => {
                let seed = entropy::seed().map_err(|error| Trouble::new(Exit::LocalIo, error.to_string()))?;
                Ok((seed, now.wall))
            }
        }
    }

    /// Returns what the journal does not know of the table's times yet: on the
    /// first start, that nothing before it is to be made up for.
    pub(super) fn unremembered(&self, board: &Board) -> Option<Fact> {
        let (name, value) = self.fact()?;
        if board.times(&self.table.name).as_ref() == Some(&value) {
            return None;
        }
        board.keep_times(&self.table.name, value.clone());
        Some((name, value))
    }

    /// Returns what is to be remembered of the table's times.
    fn fact(&self) -> Option<Fact> {
        self.remembered(self.times.as_ref()?.memory().1)
    }

    fn remembered(&self, until: DateTime<Utc>) -> Option<Fact> {
        let (seed, _) = self.times.as_ref()?.memory();
        let (when, timezone) = (self.table.when.clone(), self.table.timezone.clone());
        let value = serde_json::to_value(Remembered { when, timezone, seed, until }).ok()?;
        Some(times_fact(&self.table.name, value))
    }

    /// Returns what is to be remembered of a run that begins now, with it.
    pub(super) fn run(&self, now: Now) -> Option<(DateTime<Utc>, Fact)> {
        let until = self.times.as_ref()?.dealt_with(now.wall);
        Some((until, self.remembered(until)?))
    }

    /// Returns where changes may lead to another file, and what its table is
    /// marked by.
    pub(super) fn points(&mut self) -> &BTreeSet<Point> {
        self.points = match self.when {
            When::Manual => BTreeSet::new(),
            When::OnChange | When::Cron(_) => {
                let mut points = way(&self.table.path);
                points.extend(marker(&self.table).into_iter().flat_map(|marker| way(&marker)));
                points
            }
        };
        &self.points
    }

    /// Returns those points as of the last time they were asked for.
    pub(super) fn known_points(&self) -> impl Iterator<Item = &Point> {
        self.points.iter()
    }

    /// Takes up whether changes are told; says it once if they are not.
    pub(super) fn see(&mut self, blind: Option<&str>) {
        let nowhere = self.points.is_empty().then_some("its path leads nowhere");
        let blind = blind.or(nowhere).map(str::to_owned);
        if let Some(reason) = blind.as_ref().filter(|_| self.blind.is_none() && self.is_watched()) {
            let every = LOOK_EVERY.as_secs();
            tracing::warn!(
                table = self.table.name,
                "changes of {} are not told, so it is looked at every {every} s: {reason}",
                self.table.path.display()
            );
        }
        self.blind = blind;
    }

    /// Returns whether a clock decides.
    pub(super) const fn has_times(&self) -> bool {
        self.times.is_some()
    }

    /// Returns whether the table is looked at at all.
    pub(super) const fn is_watched(&self) -> bool {
        !matches!(self.when, When::Manual)
    }

    /// Takes news in: it is to be looked at, soon.
    pub(super) fn heard(&mut self, happening: &Happening) {
        if self.points.contains(&happening.point) {
            let is_marker = marker(&self.table).is_some_and(|path| path.file_name() == Some(&happening.point.name));
            self.arrived |= happening.arrived && !is_marker;
            self.missed();
        }
    }

    /// Takes in that something may have happened.
    pub(super) fn missed(&mut self) {
        self.look_at = self.look_at.min(self.looked + LOOK_AT_MOST);
    }

    /// Returns when it wants to be looked at.
    pub(super) const fn look_at(&self) -> Moment {
        self.look_at
    }

    /// Returns whether it is time to look.
    pub(super) fn is_time(&self, now: Now) -> bool {
        self.is_watched() && now.moment >= self.look_at
    }

    /// Looks, and decides what comes of it.
    pub(super) fn look(&mut self, board: &Board, now: Now) -> Option<Due> {
        self.looked = now.moment;
        self.look_at = now.moment + if self.blind.is_some() { LOOK_EVERY } else { LOOK_ANYWAY };
        if let Some(times) = &mut self.times {
            if times.correct(now.wall) {
                tracing::warn!(table = self.table.name, "the clock went back by days: its times begin anew from now");
                self.show_next(board);
            }
            // One that has come is waited for by what is in its way.
            if let Some(next) = self.times.as_ref().and_then(Times::next).filter(|&next| next > now.wall) {
                self.wake(now.moment_of(next, now.wall));
            }
        }
        let found = identify(&self.table);
        let marked = marker(&self.table).and_then(|path| path.symlink_metadata().ok()).map(|found| modified_ns(&found));
        let arrived = std::mem::take(&mut self.arrived);
        let sight = found.as_ref().ok().map(|&file| Sight { file, marker_ns: marked, arrived });
        self.settling.saw(sight, now.moment);
        let is_due = self.times.as_ref().and_then(Times::next).is_some_and(|next| now.wall >= next);
        let file = match found {
            Ok(file) => {
                if std::mem::take(&mut self.is_missing) {
                    board.change(&self.table.name, |view| view.trouble = None);
                }
                file
            }
            Err(trouble) => {
                self.not_there(trouble, is_due, board);
                return None;
            }
        };
        let is_wanted = match self.when {
            When::Manual => false,
            When::OnChange => self.is_new(file, board),
            When::Cron(_) => is_due,
        };
        if !is_wanted {
            self.due = None;
            self.show(board, "idle", None);
            return None;
        }
        match self.settling.settled(rule(&self.table), now.moment) {
            Settled::Yes if now.moment < self.pace.not_before() => {
                self.wake(self.pace.not_before());
                self.show(board, "waiting", Some("it is tried again shortly".to_owned()));
                None
            }
            Settled::Yes => {
                let since = *self.due.get_or_insert(now.moment);
                Some(Due { file, since })
            }
            Settled::Until(moment) => {
                self.wake(moment);
                let span = Span(self.table.settle);
                self.show(board, "settling", Some(format!("its file is taken once it has stayed the same for {span}")));
                None
            }
            Settled::NoMarker => {
                let path = marker(&self.table).unwrap_or_default();
                let why = format!("it is taken once {} is there and not older than the file", path.display());
                self.show(board, "waiting-for-marker", Some(why));
                None
            }
        }
    }

    /// Returns whether the file is another than was last tried. An upload taken
    /// up from the journal tried it too, before this agent started.
    fn is_new(&self, file: SourceIdentity, board: &Board) -> bool {
        let last = board.last(&self.table.name).source;
        self.tried != Some(file) && last != serde_json::to_value(file).ok()
    }

    /// A file that is not there is no news, unless its time has come; one that is
    /// there and cannot be looked at is.
    fn not_there(&mut self, trouble: Trouble, is_due: bool, board: &Board) {
        self.due = None;
        self.is_missing = true;
        let found = self.table.path.metadata();
        let is_trouble = is_due || !found.is_err_and(|error| error.kind() == io::ErrorKind::NotFound);
        let why = match is_due {
            true => "its time has come, and it is taken as soon as its file is there".to_owned(),
            false => trouble.message.clone(),
        };
        if is_trouble && self.said.as_ref() != Some(&trouble.message) {
            tracing::error!(table = self.table.name, "{trouble}");
            self.said = Some(trouble.message.clone());
        }
        self.show(board, if is_due { "waiting" } else { "idle" }, Some(why));
        board.change(&self.table.name, |view| view.trouble = is_trouble.then_some(trouble.message));
    }

    /// Takes in that the way is free: it is looked at now if it is due.
    pub(super) fn next_turn(&mut self, now: Now) {
        if self.due.is_some() {
            self.wake(now.moment);
        }
    }

    /// Takes in that it must wait for something of which no news come.
    pub(super) fn waits(&mut self, why: String, board: &Board, now: Now) {
        self.wake(now.moment + LOOK_EVERY);
        self.show(board, "waiting", Some(why));
    }

    /// Takes in that another upload of its data store is in the way.
    pub(super) fn is_behind(&mut self, upload: &str, board: &Board, now: Now) {
        self.waits(format!("upload {upload} of its data store is not finished"), board, now);
    }

    /// Takes in that its content is on its way, or was tried in vain; returns
    /// what is to be remembered of that.
    pub(super) fn tried(&mut self, file: SourceIdentity, until: Option<DateTime<Utc>>, board: &Board) -> Option<Fact> {
        self.tried = Some(file);
        self.due = None;
        self.said = None;
        self.show(board, "idle", None);
        let (times, until) = self.times.as_mut().zip(until)?;
        times.ran(until);
        self.show_next(board);
        let (name, value) = self.fact()?;
        board.keep_times(&self.table.name, value.clone());
        Some((name, value))
    }

    /// Takes in how taking it went; returns whether it is done with.
    pub(super) fn took(&mut self, taken: &Result<Taken, Trouble>, board: &Board, now: Now) -> bool {
        match taken {
            Ok(Taken::Begun) => {
                self.pace.succeeded();
                self.wake(now.moment);
                board.change(&self.table.name, |view| view.trouble = None);
                true
            }
            Ok(Taken::NotNow | Taken::Behind(_)) => {
                self.wake(now.moment + LOOK_EVERY);
                false
            }
            Err(trouble) => {
                tracing::error!(table = self.table.name, "{trouble}");
                self.pace.failed(now.moment, AGAIN, AGAIN_AT_MOST, None);
                self.wake(now.moment);
                board.change(&self.table.name, |view| view.trouble = Some(trouble.message.clone()));
                !may_pass(trouble.exit)
            }
        }
    }

    fn wake(&mut self, moment: Moment) {
        self.look_at = self.look_at.min(moment);
    }

    /// Shows what it does, unless it is being hashed: the one who does that
    /// shows it.
    fn show(&self, board: &Board, doing: &str, why: Option<String>) {
        board.change(&self.table.name, |view| {
            if view.doing != "hashing" {
                doing.clone_into(&mut view.doing);
                view.why = why;
            }
        });
    }

    fn show_next(&self, board: &Board) {
        let next = self.times.as_ref().and_then(Times::next);
        let zone = self.times.as_ref().map(|times| times.timetable().zone());
        board.change(&self.table.name, |view: &mut TableView| {
            view.next_run = next;
            view.next_run_local = next.zip(zone).map(|(next, zone)| next.with_timezone(&zone).to_rfc3339());
        });
    }
}

/// Returns what the file of the last upload of a table was.
fn last_tried(table: &TableSettings, board: &Board) -> Option<SourceIdentity> {
    board.last(&table.name).source.and_then(|source| serde_json::from_value(source).ok())
}

fn modified_ns(found: &std::fs::Metadata) -> i64 {
    use std::os::unix::fs::MetadataExt;
    found.mtime().saturating_mul(1_000_000_000).saturating_add(found.mtime_nsec())
}

/// Returns whether what is in the way may pass without anybody's doing, or
/// with somebody's doing elsewhere.
const fn may_pass(exit: Exit) -> bool {
    match exit {
        Exit::Unreachable | Exit::LocalIo | Exit::TryLater | Exit::NotPermitted | Exit::BadConfiguration => true,
        Exit::Done | Exit::Failed | Exit::Usage | Exit::BadData => false,
    }
}
