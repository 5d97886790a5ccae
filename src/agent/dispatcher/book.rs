//! The book of facts that belong to no upload: what was learned of how long
//! sessions live, and how each table last fared.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::agent::settings::Settings;
use crate::upload::outcome::{Failure, Outcome};
use crate::upload::plan::Plan;
use crate::upload::record::Record;

/// Sessions found gone earlier than believed before the belief is lowered.
const SUSPECTS_NEEDED: usize = 2;

const LIFE: &str = "life/";
const UPLOAD_AGENT: &str = "upload-agent";

/// The shortest life that is believed: a session that somebody deletes was
/// gone early too, and must not make the agent renew without end.
const LIFE_LEAST: Duration = Duration::from_secs(10);

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
    lives: BTreeMap<String, Life>,
    other: BTreeMap<String, Value>,
    changed: Vec<(String, Option<Value>)>,
    /// Data stores of whose sessions something new is believed.
    learned: Vec<String>,
}

impl Book {
    pub(super) fn read(facts: &[(String, Value)]) -> Self {
        let mut book = Self::default();
        for (name, value) in facts {
            if let Some(store) = name.strip_prefix(LIFE) {
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

    /// Learns from a record: which sessions were gone earlier than believed.
    pub(super) fn note(&mut self, record: &Record, plan: &Plan, age: Option<Duration>, settings: &Settings) {
        match record {
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

    pub(super) fn take_changes(&mut self) -> Vec<(String, Option<Value>)> {
        std::mem::take(&mut self.changed)
    }
}
