//! What the service holds: data stores, sessions, upload agents, signatures
//! and tokens.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};
use serde_json::{Map, Value};

use super::blob::container::Place;
use super::blob::sas::{self, Grant, Scope};
use super::mint::Mint;
use super::process::Table;
use super::quirks::{RenewedUri, UriForm};
use super::reply::Refusal;
use super::session::{Phase, Session, Tally};
use super::settings::SandboxSettings;
use super::times;
use super::tokens::Tokens;

/// Sessions that have ended and are still known; the oldest go first.
const KEPT_ENDED: usize = 2_000;

/// Data stores and upload agents, each.
pub(super) const MOST_OBJECTS: usize = 10_000;

/// How long a signature that has ended is still told from one never given.
const SIGNATURE_REMEMBERED: Duration = Duration::from_secs(120);

/// How often signatures are looked through for those to forget. A thousand
/// sessions leave some ten thousand, too many to look at for each request.
const SWEEP_EVERY_MS: i64 = 1_000;

/// A day, in which a data store's sessions are counted.
const DAY: Duration = Duration::from_secs(86_400);

/// A data store.
pub(super) struct Store {
    pub(super) properties: Map<String, Value>,
    pub(super) opened: Vec<DateTime<Utc>>,
    pub(super) live: Option<Arc<Table>>,
}

/// What the service holds.
pub(super) struct World {
    pub(super) tokens: Tokens,
    pub(super) stores: BTreeMap<String, Store>,
    pub(super) agents: BTreeMap<String, (String, DateTime<Utc>)>,
    pub(super) sessions: HashMap<String, Session>,
    pub(super) grants: HashMap<String, Grant>,
    opened: u64,
    swept: DateTime<Utc>,
}

impl World {
    pub(super) fn new(bearer: String) -> Self {
        Self {
            tokens: Tokens::new(bearer),
            stores: BTreeMap::new(),
            agents: BTreeMap::new(),
            sessions: HashMap::new(),
            grants: HashMap::new(),
            opened: 0,
            swept: DateTime::<Utc>::MIN_UTC,
        }
    }

    /// Brings everything up to date: leases end, tables go live.
    pub(super) fn advance(&mut self, now: DateTime<Utc>, activity: &str, settings: &SandboxSettings) {
        for session in self.sessions.values_mut() {
            if session.phase == Phase::Open && now >= session.ends {
                let ends = session.ends;
                session.end(Phase::Expired, ends);
            }
            let due = session.committed_at.is_some_and(|since| now >= times::later(since, settings.processing_time));
            if session.phase != Phase::Processing || !due {
                continue;
            }
            match session.verdict.clone() {
                None => (),
                Some(Err(failure)) => {
                    let at = times::property(now, &settings.quirks);
                    session.error = Some(failure.object(&at, activity));
                    session.end(Phase::Failed, now);
                }
                Some(Ok(seal)) => {
                    let place = session.places.get(&session.place);
                    let table = Table {
                        session: session.id.clone(),
                        fields: session.fields(),
                        salt: session.said_text("salt").unwrap_or_default().to_owned(),
                        parts: place.map(Place::parts).unwrap_or_default(),
                        since: now,
                        readable: seal.blocks > 0,
                    };
                    session.end(Phase::Completed, now);
                    if let Some(store) = self.stores.get_mut(&session.store) {
                        let date = times::property(now, &settings.quirks);
                        store.properties.insert("dataLastUpdatedDateTime".to_owned(), date.into());
                        store.live = Some(Arc::new(table));
                    }
                }
            }
        }
        if now.signed_duration_since(self.swept).num_milliseconds().abs() >= SWEEP_EVERY_MS {
            self.swept = now;
            self.grants.retain(|_, grant| now < times::later(grant.ends(), SIGNATURE_REMEMBERED));
        }
        self.tokens.advance(now);
        self.prune();
    }

    /// Forgets the sessions that ended longest ago.
    fn prune(&mut self) {
        if self.sessions.len() <= KEPT_ENDED {
            return;
        }
        let is_over = |session: &&Session| !matches!(session.phase, Phase::Open | Phase::Processing);
        let mut over: Vec<_> =
            self.sessions.values().filter(is_over).map(|session| (session.number, session.id.clone())).collect();
        let beyond = over.len().saturating_sub(KEPT_ENDED);
        over.sort();
        for (_, id) in over.drain(..beyond) {
            self.sessions.remove(&id);
        }
    }

    pub(super) fn store(&mut self, id: &str) -> Result<&mut Store, Refusal> {
        self.stores.get_mut(id).ok_or_else(|| not_found("data store", id))
    }

    /// Returns a session that a client can see.
    pub(super) fn session(&mut self, store: &str, id: &str) -> Result<&mut Session, Refusal> {
        self.store(store)?;
        self.sessions
            .get_mut(id)
            .filter(|session| session.store == store && !is_gone(&session.phase))
            .ok_or_else(|| not_found("session", id))
    }

    /// Returns the sessions of a data store that a client can see, oldest first.
    pub(super) fn sessions_of(&self, store: &str) -> Vec<&Session> {
        let seen = |session: &&Session| session.store == store && !is_gone(&session.phase);
        let mut sessions: Vec<_> = self.sessions.values().filter(seen).collect();
        sessions.sort_by_key(|session| session.number);
        sessions
    }

    /// Counts a session against the quota of its data store.
    pub(super) fn charge(
        &mut self,
        store: &str,
        now: DateTime<Utc>,
        settings: &SandboxSettings,
    ) -> Result<(), Refusal> {
        let most = settings.quota();
        let opened = &mut self.store(store)?.opened;
        opened.retain(|&at| now < times::later(at, DAY));
        if opened.len() >= most as usize {
            let message =
                format!("Session creation is throttled. Max value of MaxCountOfSuccessfulSessions is {most}.");
            return Err(Refusal::no(settings.quirks.quota_status, "TooManyRequests", message));
        }
        opened.push(now);
        Ok(())
    }

    /// Returns a new session that is not yet known to anybody.
    pub(super) fn draft(
        &mut self,
        store: &str,
        now: DateTime<Utc>,
        mint: &Mint,
        settings: &SandboxSettings,
    ) -> Session {
        self.opened += 1;
        let id = mint.guid();
        let place = sas::place_of(&id, 0, &mint.guid(), &settings.quirks);
        Session {
            store: store.to_owned(),
            number: self.opened,
            phase: Phase::Open,
            created: now,
            updated: now,
            ends: times::later(now, settings.session_ttl),
            committed_at: None,
            ended_at: None,
            said: Map::new(),
            word: None,
            total: None,
            remaining: None,
            uri: None,
            places: BTreeMap::from([(Arc::clone(&place), Place::default())]),
            place,
            verdict: None,
            error: None,
            tally: Tally::default(),
            version: 1,
            id,
        }
    }

    /// Extends a session, with a fresh upload URI.
    pub(super) fn renew(
        &mut self,
        id: &str,
        now: DateTime<Utc>,
        mint: &Mint,
        origin: &str,
        settings: &SandboxSettings,
    ) {
        let Some(session) = self.sessions.get_mut(id) else { return };
        session.ends = times::later(now, settings.session_ttl);
        session.tally.renewals += 1;
        session.touch(now);
        let moves = settings.quirks.uri_moves_at_renewals.iter();
        let moved = moves.filter(|&&at| at <= session.tally.renewals).count();
        if settings.quirks.uri_moves_at_renewals.contains(&session.tally.renewals) {
            session.place = sas::place_of(id, moved, &mint.guid(), &settings.quirks);
            session.places.entry(Arc::clone(&session.place)).or_default();
        } else if settings.quirks.renewed_uri != RenewedUri::Fresh {
            return;
        }
        self.sign(id, now, mint, origin, settings);
    }

    /// Gives a session a fresh upload URI to its place.
    pub(super) fn sign(&mut self, id: &str, now: DateTime<Utc>, mint: &Mint, origin: &str, settings: &SandboxSettings) {
        let Some(session) = self.sessions.get_mut(id) else { return };
        let quirks = &settings.quirks;
        let origin = quirks.uri_origin.as_deref().unwrap_or(origin);
        let until = |ttl| times::whole_second(times::later(now, ttl));
        let uri = if quirks.uri == UriForm::Plain {
            format!("{origin}{}", session.place)
        } else {
            let scope = Scope {
                session: id,
                place: &session.place,
                only: (quirks.uri == UriForm::Blob).then_some(""),
                directory: quirks.uri == UriForm::Directory,
                rights: &quirks.uri_rights,
                ends: until(settings.upload_uri_ttl),
                key_ends: quirks.uri_key_ttl.map(until),
                policy: quirks.uri_stored_policy,
            };
            let signature = mint.signature();
            let (grant, path) = Grant::sign(&scope, &signature);
            self.grants.insert(signature, grant);
            format!("{origin}{path}")
        };
        if session.uri.as_ref().is_some_and(|old| *old != uri) {
            session.tally.uri_changes += 1;
        }
        session.uri = Some(uri);
    }
}

const fn is_gone(phase: &Phase) -> bool {
    matches!(phase, Phase::Expired | Phase::Deleted)
}

/// Returns the refusal of something that is not there.
pub(super) fn not_found(what: &str, id: &str) -> Refusal {
    Refusal::no(404, "ResourceNotFound", format!("The {what} '{id}' does not exist or has expired."))
}
