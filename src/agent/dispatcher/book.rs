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
use crate::upload::plan::Plan;
use crate::upload::quota;
use crate::upload::record::Record;

/// Sessions found gone earlier than believed before the belief is lowered.
const SUSPECTS_NEEDED: usize = 2;

const OPENED: &str = "opened/";
const LIFE: &str = "life/";
const UPLOAD_AGENT: &str = "upload-agent";

/// How long sessions of a store were seen to live.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
struct Life {
    /// Ages, in seconds since the last renewal, at which sessions were gone.
    gone_at: Vec<u64>,
}

/// All facts, and which of them changed since they were last written.
#[derive(Debug, Default)]
pub(super) struct Book {
    opened: BTreeMap<String, Vec<DateTime<Utc>>>,
    lives: BTreeMap<String, Life>,
    other: BTreeMap<String, Value>,
    changed: Vec<(String, Option<Value>)>,
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
            Record::Lost { .. } => {
                let Some(age) = age.filter(|age| *age < settings.lease.session_ttl) else { return };
                let life = self.lives.entry(plan.store.clone()).or_default();
                life.gone_at.push(age.as_secs());
                tracing::warn!(
                    data_store = plan.store,
                    age_seconds = age.as_secs(),
                    "a session was gone earlier than lease.session_ttl says"
                );
                self.changed.push((format!("{LIFE}{}", plan.store), serde_json::to_value(life).ok()));
            }
            Record::Opened { .. }
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

    /// Returns how long sessions of a store are believed to live: as
    /// configured, unless two were gone earlier.
    pub(super) fn session_ttl(&self, store: &str, settings: &Settings) -> Duration {
        let configured = settings.lease.session_ttl;
        let Some(life) = self.lives.get(store) else { return configured };
        if life.gone_at.len() < SUSPECTS_NEEDED {
            return configured;
        }
        let learned = life.gone_at.iter().min().map_or(configured, |&age| Duration::from_secs(age.max(1)));
        learned.min(configured)
    }

    /// Returns how long a new session of the store must wait, if it must.
    pub(super) fn quota_wait(&self, entry: &Entry, now: Now, settings: &Settings) -> Option<Duration> {
        let opened = self.opened.get(&entry.plan.store).map_or(&[][..], Vec::as_slice);
        let quota = &settings.quota;
        let reserved = if entry.urgent { 0 } else { quota.reserved };
        let allowed = quota.sessions_per_day.saturating_sub(reserved);
        let free_at = quota::next_slot(opened, allowed, now.wall)?;
        (free_at - now.wall).to_std().ok()
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
