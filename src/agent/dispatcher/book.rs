//! The book of facts that belong to no upload: sessions opened, what was
//! learned of how long they live, and how each table last fared.

use std::collections::BTreeMap;
use std::time::Duration;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::agent::settings::Settings;
use crate::ground::moment::Now;
use crate::ports::journal::Entry;
use crate::upload::outcome::{Failure, Outcome};
use crate::upload::plan::Plan;
use crate::upload::quota;
use crate::upload::record::Record;

/// Sessions found gone earlier than believed before the belief is lowered.
const SUSPECTS_NEEDED: usize = 2;

const OPENED: &str = "opened/";
const LIFE: &str = "life/";
const UPLOAD_AGENT: &str = "upload-agent";

/// The shortest life that is believed: a session that somebody deletes was
/// gone early too, and must not make the agent renew without end.
const LIFE_LEAST: Duration = Duration::from_secs(10);
/// How long a creation waits while those under way may use up the quota.
const CREATION_UNDER_WAY: Duration = Duration::from_secs(60);

/// How long sessions of a store were seen to live.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
struct Life {
    /// The lowest ages, in seconds since the last renewal, at which sessions
    /// were gone; as many as are needed to believe it.
    gone_at: Vec<u64>,
}

impl Life {
    fn gone(&mut self, age: Duration) {
        self.gone_at.push(age.as_secs());
        self.gone_at.sort_unstable();
        self.gone_at.truncate(SUSPECTS_NEEDED);
    }

    /// Returns the age below which enough sessions were gone.
    fn believed(&self) -> Option<Duration> {
        let age = *self.gone_at.get(SUSPECTS_NEEDED - 1)?;
        Some(Duration::from_secs(age).max(LIFE_LEAST))
    }
}

/// All facts, and which of them changed since they were last written.
#[derive(Debug, Default)]
pub(super) struct Book {
    opened: BTreeMap<String, Vec<DateTime<Utc>>>,
    lives: BTreeMap<String, Life>,
    other: BTreeMap<String, Value>,
    changed: Vec<(String, Option<Value>)>,
    /// Creations under way, by data store.
    creating: BTreeMap<String, u32>,
    /// Data stores of whose sessions something new is believed.
    learned: Vec<String>,
}

impl Book {
    pub(super) fn read(facts: &[(String, Value)]) -> Self {
        let mut book = Self::default();
        for (name, value) in facts {
            if let Some(store) = name.strip_prefix(OPENED) {
                let dates = serde_json::from_value(value.clone()).unwrap_or_default();
                book.opened.insert(store.to_owned(), dates);
            } else if let Some(store) = name.strip_prefix(LIFE) {
                let life = serde_json::from_value(value.clone()).unwrap_or_default();
                book.lives.insert(store.to_owned(), life);
            } else {
                book.other.insert(name.clone(), value.clone());
            }
        }
        book
    }

    /// Returns the upload agent this host is registered as.
    pub(super) fn upload_agent(&self) -> Option<String> {
        self.other.get(UPLOAD_AGENT)?.as_str().map(str::to_owned)
    }

    pub(super) fn registered(&mut self, agent: &str) {
        self.remember(UPLOAD_AGENT.to_owned(), Value::from(agent));
    }

    pub(super) fn remember(&mut self, name: String, value: Value) {
        self.changed.push((name.clone(), Some(value.clone())));
        self.other.insert(name, value);
    }

    pub(super) fn fact(&self, name: &str) -> Option<&Value> {
        self.other.get(name)
    }

    /// Learns from a record: which sessions were opened, and which were gone
    /// earlier than believed.
    pub(super) fn note(&mut self, record: &Record, plan: &Plan, age: Option<Duration>, now: Now, settings: &Settings) {
        match record {
            Record::Opened { .. } if plan.is_opened_here() => {
                let dates = self.opened.entry(plan.store.clone()).or_default();
                dates.push(now.wall);
                self.changed.push((format!("{OPENED}{}", plan.store), serde_json::to_value(dates).ok()));
            }
            Record::Lost { .. } | Record::Closed { outcome: Outcome::Failed(Failure::SessionGone), .. } => {
                // Whoever else uploads may have removed a tracked session itself.
                if let Some(age) = age.filter(|_| plan.is_owned()) {
                    self.gone(&plan.store, age, settings);
                }
            }
            Record::Opened { .. }
            | Record::GateHeld { .. }
            | Record::GateReleased { .. }
            | Record::CreateIntended
            | Record::Renewed { .. }
            | Record::Placed { .. }
            | Record::Stored { .. }
            | Record::Listed { .. }
            | Record::Reported { .. }
            | Record::ReportsReduced { .. }
            | Record::CommitRequested
            | Record::CommitIntended
            | Record::Committed { .. }
            | Record::Live
            | Record::Ending { .. }
            | Record::Closed { .. } => (),
        }
    }

    /// Learns that a session of a store was gone at an age.
    fn gone(&mut self, store: &str, age: Duration, settings: &Settings) {
        let believed = self.session_ttl(store, settings);
        if age >= believed {
            return;
        }
        tracing::warn!(
            data_store = store,
            age_seconds = age.as_secs(),
            "a session was gone earlier than lease.session_ttl says"
        );
        let life = self.lives.entry(store.to_owned()).or_default();
        life.gone(age);
        self.changed.push((format!("{LIFE}{store}"), serde_json::to_value(life).ok()));
        if self.session_ttl(store, settings) < believed {
            self.learned.push(store.to_owned());
        }
    }

    /// Returns the data stores of whose sessions something new is believed
    /// since it was last asked.
    pub(super) fn take_learned(&mut self) -> Vec<String> {
        std::mem::take(&mut self.learned)
    }

    /// Returns how long sessions of a store are believed to live: as
    /// configured, unless two were gone earlier.
    pub(super) fn session_ttl(&self, store: &str, settings: &Settings) -> Duration {
        let configured = settings.lease.session_ttl;
        self.lives.get(store).and_then(Life::believed).map_or(configured, |learned| learned.min(configured))
    }

    /// Takes note that a session is being asked of a store.
    pub(super) fn create_began(&mut self, store: &str) {
        *self.creating.entry(store.to_owned()).or_default() += 1;
    }

    /// Takes note that a store has answered.
    pub(super) fn create_ended(&mut self, store: &str) {
        if let Some(creating) = self.creating.get_mut(store) {
            *creating -= 1;
            if *creating == 0 {
                self.creating.remove(store);
            }
        }
    }

    /// Returns how long a new session of the store must wait, if it must.
    pub(super) fn quota_wait(&self, entry: &Entry, now: Now, settings: &Settings) -> Option<Duration> {
        let opened = self.opened.get(&entry.plan.store).map_or(&[][..], Vec::as_slice);
        let quota = &settings.quota;
        let reserved = if entry.urgent { 0 } else { quota.reserved };
        let allowed = quota.sessions_per_day.saturating_sub(reserved);
        if let Some(free_at) = quota::next_slot(opened, allowed, now.wall) {
            return (free_at - now.wall).to_std().ok();
        }
        let creating = self.creating.get(&entry.plan.store).copied().unwrap_or(0);
        (quota::left(opened, allowed, now.wall) <= creating).then_some(CREATION_UNDER_WAY)
    }

    /// Returns how many sessions each store had over the last day.
    pub(super) fn sessions_today(&self, now: DateTime<Utc>) -> Vec<(String, u32)> {
        let recent = |dates: &[DateTime<Utc>]| dates.iter().filter(|&&at| at + quota::WINDOW > now).count();
        self.opened.iter().map(|(store, dates)| (store.clone(), u32::try_from(recent(dates)).unwrap_or(0))).collect()
    }

    /// Forgets openings that no longer count.
    pub(super) fn forget_old(&mut self, now: DateTime<Utc>) {
        for (store, dates) in &mut self.opened {
            let before = dates.len();
            dates.retain(|&at| at + quota::WINDOW > now);
            if dates.len() != before {
                self.changed.push((format!("{OPENED}{store}"), serde_json::to_value(dates).ok()));
            }
        }
    }

    pub(super) fn take_changes(&mut self) -> Vec<(String, Option<Value>)> {
        std::mem::take(&mut self.changed)
    }
}
