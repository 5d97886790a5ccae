//! One session: what it is, what a client may change of it, how it ends.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};
use serde_json::{Map, Value, json};

use super::blob::container::Place;
use super::process::{Failure, Seal};
use super::quirks::{Quirks, StoreIdSpelling};
use super::reply::Refusal;
use super::times;

/// A progress report that was taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    /// The service's date when it came.
    pub at: DateTime<Utc>,
    /// Blocks still to be uploaded, if it said so.
    pub remaining: Option<u32>,
    /// Blocks of the upload, if it said so.
    pub total: Option<u32>,
    /// The client's word, if it said one.
    pub state: Option<String>,
}

/// Where a session stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Phase {
    /// Blocks may come.
    Open,
    /// Committed, and not live yet.
    Processing,
    /// Live.
    Completed,
    /// It will never be live.
    Failed,
    /// Ended by its client or an administrator.
    Cancelled,
    /// Its lease ended.
    Expired,
    /// Removed.
    Deleted,
}

/// One session.
pub(super) struct Session {
    pub(super) id: String,
    pub(super) store: String,
    /// Its place in the order of creation.
    pub(super) number: u64,
    pub(super) phase: Phase,
    pub(super) created: DateTime<Utc>,
    pub(super) updated: DateTime<Utc>,
    /// When it is gone unless renewed.
    pub(super) ends: DateTime<Utc>,
    pub(super) committed_at: Option<DateTime<Utc>>,
    pub(super) ended_at: Option<DateTime<Utc>>,
    /// The client's properties but for the counts and the state.
    pub(super) said: Map<String, Value>,
    pub(super) word: Option<String>,
    pub(super) total: Option<u32>,
    pub(super) remaining: Option<u32>,
    pub(super) uri: Option<String>,
    /// Where its blocks go now.
    pub(super) place: Arc<str>,
    pub(super) places: BTreeMap<Arc<str>, Place>,
    /// What processing found, once it has looked.
    pub(super) verdict: Option<Result<Seal, Failure>>,
    pub(super) error: Option<Value>,
    pub(super) tally: Tally,
    pub(super) version: u64,
}

/// What has been done to a session.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Tally {
    /// Progress reports that were taken, the oldest dropped beyond 10,000.
    pub reports: Vec<Report>,
    /// Renewals that took effect.
    pub renewals: u32,
    /// Commits that took effect: 0 or 1.
    pub commits: u32,
    /// Block lists that took effect.
    pub block_lists: u32,
    /// How often a renewal brought another upload URI.
    pub uri_changes: u32,
    /// How often each block, by its id, or blob, by its name, was stored.
    pub puts: BTreeMap<String, u32>,
}

/// Reports that are remembered of one session.
const REPORTS: usize = 10_000;

/// A test of a value's type.
type Fits = fn(&Value) -> bool;

/// Properties that are the client's to say, with the test of their type.
const OWNED: &[(&str, Fits)] = &[
    ("fileName", Value::is_string),
    ("fields", is_texts),
    ("checksum", Value::is_string),
    ("rowsPerBlock", is_positive),
    ("salt", Value::is_string),
    ("uploadAgentId", Value::is_string),
];

const ODATA_TYPE: &str = "#microsoft.graph.exactMatchSession";

fn is_texts(value: &Value) -> bool {
    value.as_array().is_some_and(|items| items.iter().all(Value::is_string))
}

fn is_positive(value: &Value) -> bool {
    value.as_i64().is_some_and(|number| (1..=i64::from(i32::MAX)).contains(&number))
}

fn bad(message: impl Into<String>) -> Refusal {
    Refusal::breach(400, "BadRequest", message)
}

impl Session {
    /// Returns the refusal of anything but reading, if the session has ended.
    pub(super) fn expect_open(&self, action: &str) -> Result<(), Refusal> {
        if self.phase == Phase::Open {
            return Ok(());
        }
        Err(Refusal::no(409, "Conflict", format!("The session has ended and cannot be asked to {action}.")))
    }

    /// Takes what a client says about the session: all of it, or nothing.
    pub(super) fn take(&mut self, body: &Map<String, Value>, quirks: &Quirks) -> Result<Report, Refusal> {
        let mut report = Report { at: self.updated, remaining: None, total: None, state: None };
        let mut said = self.said.clone();
        if quirks.require_odata_type && !body.contains_key("@odata.type") {
            return Err(bad(format!("The property '@odata.type' is missing: expected {ODATA_TYPE}.")));
        }
        for (name, value) in body {
            match name.as_str() {
                "@odata.type" if value == ODATA_TYPE => (),
                "remainingBlockCount" => report.remaining = Some(count(name, value)?),
                "totalBlockCount" => report.total = Some(count(name, value)?),
                "state" => report.state = Some(self.word(value, quirks)?),
                "dataStoreId" | "datastoreId" => self.names_its_store(name, value, quirks)?,
                _ => match OWNED.iter().find(|(owned, _)| owned == name) {
                    Some((_, fits)) if fits(value) => {
                        said.insert(name.clone(), value.clone());
                    }
                    Some(_) => return Err(bad(format!("The value of '{name}' has the wrong type."))),
                    None => {
                        return Err(bad(format!("The property '{name}' does not exist or is not a client's to set.")));
                    }
                },
            }
        }
        if let (Some(known), Some(new)) = (self.total, report.total)
            && known != new
        {
            return Err(bad(format!("totalBlockCount is {known} and cannot change to {new}.")));
        }
        let total = report.total.or(self.total);
        if let (Some(remaining), Some(total)) = (report.remaining, total)
            && remaining > total
        {
            return Err(bad(format!("remainingBlockCount {remaining} exceeds totalBlockCount {total}.")));
        }
        if let (Some(known), Some(new)) = (self.remaining, report.remaining)
            && new > known
        {
            return Err(bad(format!("remainingBlockCount rises from {known} to {new}.")));
        }
        self.said = said;
        self.total = total;
        self.remaining = report.remaining.or(self.remaining);
        if report.state.is_some() {
            self.word.clone_from(&report.state);
        }
        Ok(report)
    }

    fn word(&self, value: &Value, quirks: &Quirks) -> Result<String, Refusal> {
        let word = value.as_str().ok_or_else(|| bad("The value of 'state' has the wrong type."))?;
        let own = [&quirks.words.processing, &quirks.words.completed, &quirks.words.failed, &quirks.words.cancelled];
        if own.iter().any(|own| own.eq_ignore_ascii_case(word)) {
            return Err(bad(format!("The state '{word}' is not a client's to set.")));
        }
        if quirks.accepted_states.as_ref().is_some_and(|words| !words.iter().any(|known| known == word)) {
            return Err(Refusal::no(400, "BadRequest", format!("The state '{word}' is not known.")));
        }
        Ok(word.to_owned())
    }

    fn names_its_store(&self, name: &str, value: &Value, quirks: &Quirks) -> Result<(), Refusal> {
        let spelling = store_id_name(quirks);
        if name != spelling {
            return Err(bad(format!("The property '{name}' does not exist; did you mean '{spelling}'?")));
        }
        if value != self.store.as_str() {
            return Err(bad(format!("'{name}' does not name the data store of the address.")));
        }
        Ok(())
    }

    /// Remembers a report.
    pub(super) fn remember(&mut self, report: Report) {
        if self.tally.reports.len() == REPORTS {
            self.tally.reports.remove(0);
        }
        self.tally.reports.push(report);
    }

    /// Ends the session; its blocks are dropped.
    pub(super) fn end(&mut self, phase: Phase, at: DateTime<Utc>) {
        self.phase = phase;
        self.ended_at = Some(at);
        self.touch(at);
        self.places.clear();
        self.uri = None;
    }

    pub(super) fn touch(&mut self, at: DateTime<Utc>) {
        self.updated = at;
        self.version += 1;
    }

    /// Returns the entity tag.
    pub(super) fn etag(&self) -> String {
        format!("W/\"{}.{}\"", &self.id[..8], self.version)
    }

    /// Returns the columns the session says its rows have.
    pub(super) fn fields(&self) -> Vec<String> {
        let items = self.said.get("fields").and_then(Value::as_array);
        items.into_iter().flatten().filter_map(Value::as_str).map(str::to_owned).collect()
    }

    /// Returns a property the client has said, as text.
    pub(super) fn said_text(&self, name: &str) -> Option<&str> {
        self.said.get(name).and_then(Value::as_str).filter(|text| !text.is_empty())
    }

    /// Returns the word for where it stands.
    pub(super) fn state<'a>(&'a self, quirks: &'a Quirks) -> &'a str {
        match self.phase {
            Phase::Open => self.word.as_deref().unwrap_or(&quirks.words.created),
            Phase::Processing => &quirks.words.processing,
            Phase::Completed => &quirks.words.completed,
            Phase::Failed => &quirks.words.failed,
            Phase::Cancelled => &quirks.words.cancelled,
            Phase::Expired => "Expired",
            Phase::Deleted => "Deleted",
        }
    }

    /// Returns the jobs left of processing: they count down over its time, and
    /// the last ends only with the session.
    pub(super) fn jobs_left(&self, now: DateTime<Utc>, jobs: u32, takes: Duration) -> u32 {
        let Some(since) = self.committed_at else { return jobs };
        if self.phase != Phase::Processing {
            return 0;
        }
        let gone = now.signed_duration_since(since).to_std().unwrap_or_default();
        let share = if takes.is_zero() { 1.0 } else { gone.as_secs_f64() / takes.as_secs_f64() };
        let done = (f64::from(jobs) * share.min(1.0)) as u32;
        jobs.saturating_sub(done).max(1)
    }

    /// Returns the session as an object of the API.
    pub(super) fn object(&self, quirks: &Quirks, jobs: Option<(u32, u32)>) -> Value {
        let date = |date: Option<DateTime<Utc>>| date.map(|date| times::property(date, quirks));
        let live = self.ended_at.filter(|_| self.phase == Phase::Completed);
        let mut object = json!({
            "id": self.id,
            store_id_name(quirks): self.store,
            "creationDateTime": date(Some(self.created)),
            "startDateTime": date(Some(self.created)),
            "lastUpdatedDateTime": date(Some(self.updated)),
            "uploadCompletionDateTime": date(self.committed_at),
            "processingCompletionDateTime": date(live),
            "completionDateTime": date(self.ended_at),
            "error": self.error,
            "state": self.state(quirks),
            "totalBlockCount": self.total,
            "remainingBlockCount": self.remaining,
            "totalJobCount": jobs.map(|(total, _)| total),
            "remainingJobCount": jobs.map(|(_, left)| left),
            "dataUploadURI": self.uri,
        });
        let properties = object.as_object_mut().expect("an object was just written");
        for (name, _) in OWNED {
            properties.insert((*name).to_owned(), self.said.get(*name).cloned().unwrap_or(Value::Null));
        }
        if quirks.etags {
            properties.insert("@odata.etag".to_owned(), self.etag().into());
        }
        if quirks.extra_properties {
            properties
                .insert("@odata.context".to_owned(), "https://graph.example/beta/$metadata#sessions/$entity".into());
            properties.insert("retentionPolicy".to_owned(), json!({"days": 7, "tags": ["a", null]}));
            properties.insert("priority".to_owned(), 2.5.into());
        }
        object
    }
}

/// Returns the spelling of the data store's id.
pub(super) const fn store_id_name(quirks: &Quirks) -> &'static str {
    match quirks.datastore_id {
        StoreIdSpelling::DataStoreId => "dataStoreId",
        StoreIdSpelling::DatastoreId => "datastoreId",
    }
}

fn count(name: &str, value: &Value) -> Result<u32, Refusal> {
    let number = value.as_i64().ok_or_else(|| bad(format!("The value of '{name}' has the wrong type.")))?;
    if number < 0 {
        return Err(bad(format!("{name} is negative: {number}.")));
    }
    i32::try_from(number).map(i32::cast_unsigned).map_err(|_| bad(format!("{name} is too large: {number}.")))
}
