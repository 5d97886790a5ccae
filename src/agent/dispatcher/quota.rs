//! The sessions of each data store: how many a day has had, and when the next
//! may be opened.
//!
//! Before a session is opened the service is asked which ones there are, unless
//! it was lately or the ledger says no already: a list can only add to it. A
//! creation waits for that list, and goes by the journal alone if there is none.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};
use serde_json::Value;

use super::{Dispatcher, Input, Waiting};
use crate::agent::lanes::Kind;
use crate::agent::perform::is_open;
use crate::agent::settings::QuotaSettings;
use crate::agent::status::QuotaView;
use crate::ground::moment::{Moment, Now};
use crate::ports::contract::Session;
use crate::ports::service::{Answer, ServiceError};
use crate::upload::event::{Event, Reply};
use crate::upload::fault::Fault;
use crate::upload::quota::{Listed, SessionLedger};

const OPENED: &str = "opened/";
const LEARNED: &str = "quota/";

/// How long a list of sessions is taken to be the whole truth.
const LIST_FRESH: Duration = Duration::from_secs(300);
/// How long a list that failed is not asked for again.
const LIST_AGAIN: Duration = Duration::from_secs(60);
/// How long a creation waits while those under way may use up the quota.
const CREATION_UNDER_WAY: Duration = Duration::from_secs(60);
/// The longest a creation waits before the ledger is asked again, which costs
/// no request: a setting may have changed, or a day gone by.
const ASK_AGAIN: Duration = Duration::from_secs(600);

/// A list of sessions that was asked for.
pub struct Counted {
    store: String,
    lane: Kind,
    weight: u64,
    result: Result<Answer<Vec<Session>>, ServiceError>,
}

/// What is known of one data store.
#[derive(Default)]
struct Store {
    ledger: SessionLedger,
    /// Until when no list is asked for.
    listed_until: Moment,
    /// Whether the last list came.
    is_listed: bool,
    /// Creations under way.
    creating: u32,
    /// Creations that wait for a list that is under way.
    parked: Option<Vec<(u64, Waiting)>>,
}

/// The ledgers of all data stores.
#[derive(Default)]
pub(super) struct Quotas {
    stores: BTreeMap<String, Store>,
    changed: BTreeSet<String>,
}

impl Quotas {
    /// Takes up what the journal remembers.
    pub(super) fn read(facts: &[(String, Value)]) -> Self {
        let fact = |name: String| facts.iter().find(|(other, _)| *other == name).map(|(_, value)| value.clone());
        let of = |prefix| facts.iter().filter_map(move |(name, _)| name.strip_prefix(prefix));
        let names: BTreeSet<&str> = of(OPENED).chain(of(LEARNED)).collect();
        let stores = names.into_iter().map(|store| {
            let own = fact(format!("{OPENED}{store}")).and_then(own);
            let learned = fact(format!("{LEARNED}{store}")).and_then(|value| serde_json::from_value(value).ok());
            let ledger = SessionLedger::remembered(own.unwrap_or_default(), learned);
            (store.to_owned(), Store { ledger, ..Store::default() })
        });
        Self { stores: stores.collect(), changed: BTreeSet::new() }
    }

    fn store(&mut self, store: &str) -> &mut Store {
        self.stores.entry(store.to_owned()).or_default()
    }

    /// Takes in that a session of a store was opened here, or taken over.
    pub(super) fn opened(&mut self, store: &str, session: &str, now: Now) {
        self.store(store).ledger.opened(session, now.wall);
        self.changed.insert(store.to_owned());
    }

    /// Takes note that a session is being asked of a store.
    pub(super) fn create_began(&mut self, store: &str) {
        self.store(store).creating += 1;
    }

    /// Takes note that a store has answered.
    pub(super) fn create_ended(&mut self, store: &str) {
        let store = self.store(store);
        store.creating = store.creating.saturating_sub(1);
    }

    /// Takes in that the service refused one more session; returns how long to
    /// wait before the ledger is asked again.
    pub(super) fn refused(
        &mut self,
        store: &str,
        retry_after: Option<Duration>,
        settings: &QuotaSettings,
        now: Now,
    ) -> Duration {
        let own = self.store(store);
        let until = own.ledger.refused(settings.sessions_per_day, retry_after, settings.backoff, now.wall);
        // The service counts otherwise than we do: the next look is a new one.
        own.listed_until = now.moment;
        tracing::warn!(
            data_store = store,
            sessions = own.ledger.used(now.wall),
            configured = settings.sessions_per_day,
            again = %until.format("%Y-%m-%dT%H:%M:%SZ"),
            "the service refuses another session of the day: until then none is asked for"
        );
        self.changed.insert(store.to_owned());
        (until - now.wall).to_std().unwrap_or_default().min(ASK_AGAIN)
    }

    /// Returns how long a new session of a store must wait, if it must, and why.
    fn wait(
        &self,
        store: &str,
        urgent: bool,
        in_doubt: u32,
        settings: &QuotaSettings,
        now: Now,
    ) -> Option<(Duration, Option<DateTime<Utc>>)> {
        let (fresh, known) = (Store::default(), self.stores.get(store));
        let known = known.unwrap_or(&fresh);
        let reserved = if urgent { 0 } else { settings.reserved };
        let allowed = known.ledger.allowed(settings.sessions_per_day, reserved, now.wall);
        if let Some(free_at) = known.ledger.next_slot(allowed, now.wall) {
            let wait = (free_at - now.wall).to_std().unwrap_or_default().min(ASK_AGAIN);
            return Some((wait, Some(free_at)));
        }
        let under_way = known.creating + in_doubt;
        (known.ledger.left(allowed, now.wall) <= under_way).then_some((CREATION_UNDER_WAY, None))
    }

    /// Draws every store of which something is known.
    pub(super) fn views(&self, settings: &QuotaSettings, now: DateTime<Utc>) -> Vec<QuotaView> {
        let known = self.stores.iter().filter(|(_, store)| store.is_listed || store.ledger != SessionLedger::default());
        known.map(|(id, store)| view(id, &store.ledger, store.is_listed, settings, now)).collect()
    }

    /// Forgets what no longer counts.
    pub(super) fn forget_old(&mut self, settings: &QuotaSettings, now: DateTime<Utc>) {
        for (name, store) in &mut self.stores {
            if store.ledger.forget_old(settings.sessions_per_day, now) {
                self.changed.insert(name.clone());
            }
        }
    }

    /// Returns the facts that changed since they were last taken.
    pub(super) fn take_changes(&mut self) -> Vec<(String, Option<Value>)> {
        let mut facts = Vec::new();
        for name in std::mem::take(&mut self.changed) {
            let Some(store) = self.stores.get(&name) else { continue };
            let own = Some(store.ledger.own()).filter(|own| !own.is_empty());
            let own = own.and_then(|own| serde_json::to_value(own).ok());
            let learned = store.ledger.learned().and_then(|learned| serde_json::to_value(learned).ok());
            facts.push((format!("{OPENED}{name}"), own));
            facts.push((format!("{LEARNED}{name}"), learned));
        }
        facts
    }
}

/// Reads the sessions this agent opened. Version 0.1.0 remembered when, and not
/// which: those are named by their places.
fn own(fact: Value) -> Option<BTreeMap<String, DateTime<Utc>>> {
    let dates = serde_json::from_value::<Vec<DateTime<Utc>>>(fact.clone());
    let unnamed = |dates: Vec<DateTime<Utc>>| {
        dates.into_iter().enumerate().map(|(at, date)| (format!("unnamed {at}"), date)).collect()
    };
    dates.map(unnamed).or_else(|_| serde_json::from_value(fact)).ok()
}

/// Draws the data stores as the journal remembers them, for when no agent is at
/// work.
pub fn remembered(facts: &[(String, Value)], settings: &QuotaSettings, now: DateTime<Utc>) -> Vec<QuotaView> {
    Quotas::read(facts).views(settings, now)
}

fn view(id: &str, ledger: &SessionLedger, listed: bool, settings: &QuotaSettings, now: DateTime<Utc>) -> QuotaView {
    let limit = ledger.limit(settings.sessions_per_day, now);
    let oldest = ledger.window(now).first().map(|&at| at + crate::upload::quota::WINDOW);
    QuotaView {
        data_store: id.to_owned(),
        allowed: settings.sessions_per_day,
        learned: Some(limit).filter(|&limit| limit < settings.sessions_per_day),
        used: ledger.used(now),
        reserved: limit - ledger.allowed(settings.sessions_per_day, settings.reserved, now),
        left: ledger.left(limit, now),
        next_slot: oldest.max(ledger.refused_until(now)),
        known_from: if listed { "service" } else { "journal" }.to_owned(),
    }
}

impl Dispatcher {
    /// Returns whether a creation may leave now. Otherwise it was answered, or
    /// waits for the service's list of sessions.
    pub(super) fn admits(&mut self, waiting: &Waiting, lane: Kind, weight: u64, now: Now) -> bool {
        let Some(slot) = self.slots.get(&waiting.number) else {
            self.lanes.done(lane, weight);
            return false;
        };
        let (store, urgent) = (slot.entry.plan.store.clone(), slot.entry.urgent);
        let others = self.slots.values().filter(|other| other.entry.plan.store == store);
        let in_doubt = others.filter(|other| other.upload.may_have_session()).count();
        let in_doubt = u32::try_from(in_doubt).unwrap_or(u32::MAX);
        let settings = &self.parts.settings.quota;
        if let Some((wait, free_at)) = self.quotas.wait(&store, urgent, in_doubt, settings, now) {
            self.lanes.done(lane, weight);
            // One that is urgent may have what is kept for people, if that is what is left.
            let is_kept = !urgent && self.quotas.wait(&store, true, in_doubt, settings, now).is_none();
            self.defer(waiting, wait, free_at.map(|at| (at, is_kept)), now);
            return false;
        }
        let known = self.quotas.store(&store);
        if let Some(parked) = &mut known.parked {
            parked.push((weight, waiting.clone()));
            self.lanes.done(lane, weight);
            return false;
        }
        if now.moment < known.listed_until {
            return true;
        }
        known.parked = Some(vec![(weight, waiting.clone())]);
        let (performer, outbox) = (self.parts.performer.clone(), self.outbox.clone());
        self.tasks.spawn(async move {
            let result = performer.service.sessions(&store).await;
            let counted = Counted { store, lane, weight, result };
            // The dispatcher is gone only when the agent has stopped.
            let _ = outbox.send(Input::Counted(Box::new(counted))).await;
        });
        false
    }

    /// Answers a creation that the quota does not let leave; `free_at` is when it
    /// may, if that is known, and whether what is left is kept for people.
    fn defer(&mut self, waiting: &Waiting, wait: Duration, free_at: Option<(DateTime<Utc>, bool)>, now: Now) {
        let Some(slot) = self.slots.get_mut(&waiting.number) else { return };
        if let Some((free_at, is_kept)) = free_at {
            let reserve = if is_kept { ", but for what quota.reserved keeps for people" } else { "" };
            let said = format!(
                "open a session of data store {}: it has had its sessions of the day{reserve}; the next slot is at {}",
                slot.entry.plan.store,
                free_at.format("%Y-%m-%d %H:%MZ")
            );
            // Asked again and again, it is said once.
            if slot.trouble.as_ref() != Some(&said) {
                tracing::warn!(
                    upload = slot.entry.plan.id.0,
                    table = slot.entry.plan.table,
                    "waits for the quota: {said}"
                );
            }
            slot.trouble = Some(said);
        }
        let reply = Reply::Created(Err(Fault::Quota { retry_after: Some(wait) }));
        self.step(waiting.number, Event::Answered { epoch: waiting.epoch, reply }, now);
    }

    /// Takes the service's list of sessions in, and lets go of what waited for it.
    pub(super) fn counted(&mut self, counted: Counted) {
        let Counted { store, lane, weight, result } = counted;
        self.lanes.done(lane, weight);
        let now = self.parts.clock.now();
        match result {
            Ok(answer) => self.listed(&store, &answer, now),
            Err(error) => {
                tracing::warn!("{error}; the quota of data store {store} is known from the journal only");
                if let Fault::Transient { retry_after: Some(wait) } = error.fault {
                    self.close_gate(wait, now);
                }
                let known = self.quotas.store(&store);
                (known.is_listed, known.listed_until) = (false, now.moment + LIST_AGAIN);
            }
        }
        self.unpark(&store, now);
    }

    /// Takes a list of sessions in, whoever asked for it.
    pub(super) fn listed(&mut self, store: &str, answer: &Answer<Vec<Session>>, now: Now) {
        let rules = Arc::clone(&self.parts.settings);
        let sessions = answer.value.iter().filter(|session| !session.id.is_empty());
        let shown = sessions.map(|session| Listed {
            session: session.id.clone(),
            // By the service's clock it is so old; ours may be set.
            opened: earliest(session).map(|date| now.wall - (answer.server_time.unwrap_or(now.wall) - date)),
            is_over: !is_open(session, &rules),
        });
        let shown = shown.collect();
        let known = self.quotas.store(store);
        let own = known.ledger.own().clone();
        known.ledger.listed(shown, now.wall);
        (known.is_listed, known.listed_until) = (true, now.moment + LIST_FRESH);
        if own != *known.ledger.own() {
            self.quotas.changed.insert(store.to_owned());
        }
    }

    /// Lets creations go that wait for a list.
    fn unpark(&mut self, store: &str, now: Now) {
        for (weight, waiting) in self.quotas.store(store).parked.take().unwrap_or_default() {
            self.lanes.push(Kind::Control, now.moment, weight, waiting);
        }
    }

    /// Lets every creation go that waits for a list: the agent is stopping, and
    /// each is asked once more whether it may still leave.
    pub(super) fn unpark_all(&mut self, now: Now) {
        for store in self.quotas.stores.keys().cloned().collect::<Vec<_>>() {
            self.unpark(&store, now);
        }
    }
}

/// Returns the earliest date a session shows: it was opened then, or before.
fn earliest(session: &Session) -> Option<DateTime<Utc>> {
    let dates = [
        session.creation_date_time,
        session.start_date_time,
        session.upload_completion_date_time,
        session.last_updated_date_time,
        session.completion_date_time,
    ];
    session.creation_date_time.or_else(|| dates.into_iter().flatten().min())
}
