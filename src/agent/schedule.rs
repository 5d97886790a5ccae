//! Schedule: which table is uploaded when.
//!
//! A table that is uploaded `on-change` is looked at every few seconds. Its
//! file is taken once it has kept one identity over two looks, so that a file
//! still being written is left alone. A table with a cron expression is taken
//! at its times. Whatever could not be done for a reason that may pass is tried
//! again, ever more rarely.

use std::collections::BTreeMap;
use std::time::Duration;

use chrono::{DateTime, Utc};
use croner::Cron;
use serde_json::Value;

use super::exit::{Exit, Trouble};
use super::intake::{Cargo, Intake};
use super::settings::TableSettings;
use super::tables::identify;
use crate::ground::moment::Moment;
use crate::upload::pace::Pace;

/// How often tables are looked at.
const LOOK_EVERY: Duration = Duration::from_secs(2);
/// The first wait before a table is tried again.
const AGAIN: Duration = Duration::from_secs(15);
/// The longest wait before a table is tried again.
const AGAIN_AT_MOST: Duration = Duration::from_secs(300);

/// When a table is uploaded.
#[derive(Debug, Clone)]
pub enum When {
    /// When its file changes.
    OnChange,
    /// When somebody asks.
    Manual,
    /// At the times of a cron expression, UTC.
    Cron(Box<Cron>),
}

impl When {
    /// Reads the setting `when`.
    ///
    /// # Errors
    ///
    /// Says what may be written.
    pub fn parse(table: &TableSettings) -> Result<Self, Trouble> {
        if table.timezone != "UTC" {
            let message = format!("table {}: only timezone = \"UTC\" is understood so far", table.name);
            return Err(Trouble::new(Exit::BadConfiguration, message));
        }
        match table.when.as_str() {
            "on-change" => Ok(Self::OnChange),
            "manual" => Ok(Self::Manual),
            expression => expression.parse().map(|cron| Self::Cron(Box::new(cron))).map_err(|error| {
                let message = format!(
                    "table {}: when = \"{expression}\" is neither on-change, manual nor a cron expression: {error}",
                    table.name
                );
                Trouble::new(Exit::BadConfiguration, message)
            }),
        }
    }

    /// Returns the next time a clock decides, if one does.
    pub fn next(&self, after: DateTime<Utc>) -> Option<DateTime<Utc>> {
        match self {
            Self::OnChange | Self::Manual => None,
            Self::Cron(cron) => cron.find_next_occurrence(&after, false).ok(),
        }
    }
}

/// What is known of one table between two looks.
struct Watch {
    table: TableSettings,
    when: When,
    next: Option<DateTime<Utc>>,
    /// What its file was at the last look.
    seen: Option<Value>,
    /// What its file was when it was last tried.
    tried: Option<Value>,
    pace: Pace,
    /// Set while something that may pass is in the way.
    again: bool,
}

/// Takes tables in as they are due, for ever.
///
/// # Errors
///
/// When a table's `when` cannot be read, which is checked before a
/// configuration comes into force.
pub async fn keep(intake: Intake) -> Result<std::convert::Infallible, Trouble> {
    let mut watches: BTreeMap<String, Watch> = BTreeMap::new();
    loop {
        let settings = intake.settings.now();
        watches.retain(|name, _| settings.find_table(name).is_some());
        for table in &settings.table {
            // One that a reload brought or changed is watched anew: what was in its way may be gone.
            if watches.get(&table.name).is_none_or(|watch| watch.table != *table) {
                watches.insert(table.name.clone(), Watch::new(table, &intake)?);
            }
            let Some(watch) = watches.get_mut(&table.name) else { continue };
            if watch.is_due(table, &intake) {
                watch.take(table, &intake).await;
            }
        }
        intake.clock.sleep_until(intake.clock.now().moment + LOOK_EVERY).await;
    }
}

impl Watch {
    fn new(table: &TableSettings, intake: &Intake) -> Result<Self, Trouble> {
        let when = When::parse(table)?;
        let now = intake.clock.now();
        let next = when.next(now.wall);
        intake.board.change(&table.name, |view| view.next_run = next);
        let tried = intake.board.last(&table.name).source;
        let pace = Pace::new(now.moment.since_boot().as_secs());
        Ok(Self { table: table.clone(), when, next, seen: None, tried, pace, again: false })
    }

    fn is_due(&mut self, table: &TableSettings, intake: &Intake) -> bool {
        let now = intake.clock.now();
        if self.again {
            return now.moment >= self.pace.not_before();
        }
        match &self.when {
            When::Manual => false,
            When::Cron(_) => self.next.is_some_and(|next| now.wall >= next),
            When::OnChange => self.has_settled(table, intake, now.moment),
        }
    }

    /// Returns whether the file is another than was last tried and stayed the
    /// same over two looks.
    fn has_settled(&mut self, table: &TableSettings, intake: &Intake, now: Moment) -> bool {
        let identity = match identify(table) {
            Ok(identity) => serde_json::to_value(identity).ok(),
            Err(trouble) => {
                intake.board.change(&table.name, |view| view.trouble = Some(trouble.message));
                self.seen = None;
                return false;
            }
        };
        let settled = identity.is_some() && identity == self.seen;
        // An upload taken up from the journal tried it too, before this agent started.
        let is_new = identity != self.tried && identity != intake.board.last(&table.name).source;
        self.seen = identity;
        let doing = if is_new && !settled { "settling" } else { "idle" };
        intake.board.change(&table.name, |view| doing.clone_into(&mut view.doing));
        settled && is_new && now >= self.pace.not_before()
    }

    async fn take(&mut self, table: &TableSettings, intake: &Intake) {
        // What is tried is what was seen before: a change meanwhile is tried after.
        let tried = identify(table).ok().and_then(|identity| serde_json::to_value(identity).ok());
        let busy = intake.is_busy(&table.name).await;
        if busy {
            return;
        }
        let taken = intake.begin(&Cargo::Table(table.name.clone()), false).await;
        let now = intake.clock.now();
        match taken {
            Ok(_) => {
                self.pace.succeeded();
                self.again = false;
                intake.board.change(&table.name, |view| view.trouble = None);
            }
            Err(trouble) => {
                tracing::error!(table = table.name, "{trouble}");
                self.again = may_pass(trouble.exit);
                self.pace.failed(now.moment, AGAIN, AGAIN_AT_MOST, None);
                let doing = if self.again { "waiting" } else { "idle" };
                intake.board.change(&table.name, |view| {
                    view.trouble = Some(trouble.message);
                    doing.clone_into(&mut view.doing);
                });
            }
        }
        if !self.again {
            self.tried = tried;
            self.next = self.when.next(now.wall);
            intake.board.change(&table.name, |view| view.next_run = self.next);
        }
    }
}

/// Returns whether what is in the way may pass without anybody's doing, or
/// with somebody's doing elsewhere.
const fn may_pass(exit: Exit) -> bool {
    match exit {
        Exit::Unreachable | Exit::LocalIo | Exit::TryLater | Exit::NotPermitted | Exit::BadConfiguration => true,
        Exit::Done | Exit::Failed | Exit::Usage | Exit::BadData => false,
    }
}
