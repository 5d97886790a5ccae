//! A session service in memory: it keeps sessions, lets them lapse, and does
//! what a script says to each call.

mod answers;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use chrono::{DateTime, Utc};
use edm_agent::ground::moment::Moment;
use edm_agent::ground::secret::Secret;
use edm_agent::ports::clock::Clock;
use edm_agent::ports::contract::{Column, DataStore, Session};
use edm_agent::ports::service::{Answer, Attempt, ServiceError, SessionKey};
use edm_agent::upload::fault::Fault;

use crate::support::clock::TokioClock;

/// The mark in every upload URI that must never be seen anywhere.
pub(crate) const SIGNATURE: &str = "CanarySignature";

/// An operation of the service.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Op {
    Stores,
    Sessions,
    Create,
    Get,
    Update,
    Restate,
    Renew,
    Commit,
    Cancel,
    Lookup,
    Agents,
}

/// A call as it came in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Call {
    pub(crate) op: Op,
    /// The session, or the data store where there is none yet.
    pub(crate) about: String,
    pub(crate) at: Moment,
    /// The count of remaining blocks, where one is said.
    pub(crate) remaining: Option<u32>,
}

/// What becomes of a call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Fate {
    /// It is done.
    Done,
    /// It is done, after so long.
    Slow(Duration),
    /// It is not done, for this reason.
    Failed(Fault),
    /// It is done, and the answer is lost.
    Lost,
    /// It is never answered.
    Hung,
    /// It is done, and its answer is altered on the way.
    Altered(Altered),
}

/// How the answer about a session is altered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Altered {
    /// It is of another session.
    Session,
    /// It is of another data store.
    Store,
    /// It is of another file.
    File,
    /// Its upload URI begins otherwise: this instead of scheme and host.
    Origin(&'static str),
    /// Its upload URI has ended, by the service's clock.
    Ended,
}

type Script = Box<dyn FnMut(&Call) -> Fate + Send>;

/// A session at the service.
#[derive(Debug, Clone)]
pub(crate) struct Remote {
    pub(crate) store: String,
    pub(crate) file_name: String,
    pub(crate) state: String,
    pub(crate) total: u32,
    pub(crate) remaining: u32,
    pub(crate) renewals: u32,
    pub(crate) extended: Moment,
    pub(crate) is_gone: bool,
    pub(crate) opened: DateTime<Utc>,
    pub(crate) agent: String,
    pub(crate) checksum: Option<String>,
    committed: Option<Moment>,
}

struct State {
    sessions: BTreeMap<String, Remote>,
    calls: Vec<Call>,
    script: Script,
    ttl: Duration,
    uri_ttl: Duration,
    lapsed: u32,
    uris: u64,
    stores: Vec<String>,
    /// How often somebody else changed the data of a store.
    touched: i64,
    /// What is done to the answer being made.
    alters: Option<Altered>,
}

/// The service. Every data store asked for by an id of `stores` exists.
pub(crate) struct FakeService {
    clock: TokioClock,
    state: Mutex<State>,
}

impl FakeService {
    pub(crate) fn new(clock: TokioClock) -> Arc<Self> {
        let state = State {
            sessions: BTreeMap::new(),
            calls: Vec::new(),
            script: Box::new(|_| Fate::Done),
            ttl: Duration::from_secs(900),
            uri_ttl: Duration::from_secs(3_600),
            lapsed: 0,
            uris: 0,
            stores: vec!["Letters".to_owned()],
            touched: 0,
            alters: None,
        };
        Arc::new(Self { clock, state: Mutex::new(state) })
    }

    /// Sets how long sessions and their upload URIs live.
    pub(crate) fn lives(&self, session: Duration, uri: Duration) {
        let mut state = self.state.lock().unwrap();
        (state.ttl, state.uri_ttl) = (session, uri);
    }

    /// Decides what becomes of each call from now on.
    pub(crate) fn script(&self, script: impl FnMut(&Call) -> Fate + Send + 'static) {
        self.state.lock().unwrap().script = Box::new(script);
    }

    /// Holds a session that another uploader opened on another day: tests keep
    /// more of them than a day allows.
    pub(crate) fn seed(&self, id: &str, store: &str, total: u32) {
        let opened = self.clock.now().wall - Duration::from_secs(2 * 86_400);
        let remote = Remote { opened, ..self.remote(store, "theirs", total) };
        self.state.lock().unwrap().sessions.insert(id.to_owned(), remote);
    }

    /// Has a data store more.
    pub(crate) fn also(&self, store: &str) {
        self.state.lock().unwrap().stores.push(store.to_owned());
    }

    /// Changes a session, as somebody else would.
    pub(crate) fn change(&self, id: &str, change: impl FnOnce(&mut Remote)) {
        change(self.state.lock().unwrap().sessions.get_mut(id).unwrap());
    }

    /// Loses a session.
    pub(crate) fn lose(&self, id: &str) {
        self.state.lock().unwrap().sessions.get_mut(id).unwrap().is_gone = true;
    }

    /// Changes the data of every store, as an upload from another host does.
    pub(crate) fn touch_stores(&self) {
        self.state.lock().unwrap().touched += 1;
    }

    /// Returns all sessions.
    pub(crate) fn sessions_now(&self) -> BTreeMap<String, Remote> {
        self.state.lock().unwrap().sessions.clone()
    }

    /// Returns how many sessions lapsed for want of a renewal.
    pub(crate) fn lapsed(&self) -> u32 {
        self.state.lock().unwrap().lapsed
    }

    /// Returns the calls so far, and forgets them.
    pub(crate) fn take(&self) -> Vec<Call> {
        std::mem::take(&mut self.state.lock().unwrap().calls)
    }

    /// Returns how many calls of an operation there were since the last take.
    pub(crate) fn count(&self, op: Op) -> usize {
        self.state.lock().unwrap().calls.iter().filter(|call| call.op == op).count()
    }

    fn remote(&self, store: &str, file_name: &str, total: u32) -> Remote {
        Remote {
            store: store.to_owned(),
            file_name: file_name.to_owned(),
            state: "Created".to_owned(),
            total,
            remaining: total,
            renewals: 0,
            extended: self.clock.now().moment,
            is_gone: false,
            opened: self.clock.now().wall,
            agent: String::new(),
            checksum: None,
            committed: None,
        }
    }

    /// Answers a call as its fate is.
    async fn call<T>(
        &self,
        op: Op,
        about: &str,
        remaining: Option<u32>,
        act: impl FnOnce(&mut State, Moment) -> Result<T, Fault>,
    ) -> Result<Answer<T>, ServiceError> {
        let asked = self.clock.now();
        let fate = {
            let state = &mut *self.state.lock().unwrap();
            let call = Call { op, about: about.to_owned(), at: asked.moment, remaining };
            let fate = (state.script)(&call);
            state.calls.push(call);
            fate
        };
        let failed = |fault: Fault| {
            let step = format!("{op:?} {about}");
            Err(ServiceError { step, detail: format!("{fault:?}"), fault })
        };
        match fate {
            Fate::Hung => std::future::pending().await,
            Fate::Failed(fault) => return failed(fault),
            Fate::Slow(span) => self.clock.sleep_until(asked.moment + span).await,
            Fate::Done | Fate::Lost | Fate::Altered(_) => {
                self.clock.sleep_until(asked.moment + Duration::from_millis(20)).await;
            }
        }
        let now = self.clock.now().moment;
        let outcome = act(&mut self.state.lock().unwrap(), now);
        match outcome {
            Ok(_) if fate == Fate::Lost => failed(Fault::Transient { retry_after: None }),
            Ok(value) => {
                self.state.lock().unwrap().alters = match fate {
                    Fate::Altered(how) => Some(how),
                    _ => None,
                };
                Ok(Answer { value, asked: asked.moment, server_time: Some(self.clock.now().wall) })
            }
            Err(fault) => failed(fault),
        }
    }

    fn on_session<'a, T: Send + 'static>(
        &'a self,
        op: Op,
        key: &SessionKey,
        remaining: Option<u32>,
        act: impl FnOnce(&mut Remote, Moment) -> T + Send + 'a,
    ) -> Attempt<'a, T> {
        let session = key.session.clone();
        Box::pin(async move {
            self.call(op, &session, remaining, |state, now| {
                let ttl = state.ttl;
                let Some(remote) = state.sessions.get_mut(&session) else { return Err(Fault::Gone) };
                if !remote.is_gone && remote.committed.is_none() && now.since(remote.extended) > ttl {
                    remote.is_gone = true;
                    state.lapsed += 1;
                }
                let remote = state.sessions.get_mut(&session).filter(|remote| !remote.is_gone).ok_or(Fault::Gone)?;
                Ok(act(remote, now))
            })
            .await
        })
    }

    /// Shows a session with a fresh upload URI.
    fn show(&self, key: &SessionKey, op: Op, renew: bool) -> Attempt<'_, Session> {
        let id = key.session.clone();
        let changed = self.on_session(op, key, None, move |remote, now| {
            if renew {
                remote.extended = now;
                remote.renewals += 1;
            }
            if remote.committed.is_some_and(|at| now.since(at) >= Duration::from_secs(90)) {
                remote.state = "Completed".to_owned();
            }
            remote.clone()
        });
        Box::pin(async move {
            let Answer { value, asked, server_time } = changed.await?;
            // Only here is there an id that was asked for.
            let is_another = self.state.lock().unwrap().alters == Some(Altered::Session);
            let shown = self.shown(&id, &value);
            let id = if is_another { "another".to_owned() } else { id };
            Ok(Answer { value: Session { id, ..shown }, asked, server_time })
        })
    }

    fn shown(&self, id: &str, remote: &Remote) -> Session {
        let state = &mut *self.state.lock().unwrap();
        let (number, altered) = (state.uris, state.alters.take());
        // One place for a session, a new signature with every extension.
        state.uris += 1;
        let now = self.clock.now().wall;
        let ends = if altered == Some(Altered::Ended) { now - Duration::from_secs(60) } else { now + state.uri_ttl };
        let expires = ends.format("%Y-%m-%dT%H:%M:%SZ");
        let origin = if let Some(Altered::Origin(origin)) = altered { origin } else { "https://blobs.test" };
        let uri = format!(
            "{origin}/box/{id}?sv=2024-11-04&sr=b&sp=rcw&se={expires}&sig={SIGNATURE}{}",
            if remote.renewals == 0 { 0 } else { number }
        );
        let unless = |how: Altered, text: &str| if altered == Some(how) { "another" } else { text }.to_owned();
        Session {
            id: id.to_owned(),
            data_store_id: unless(Altered::Store, &remote.store),
            file_name: unless(Altered::File, &remote.file_name),
            state: remote.state.clone(),
            total_block_count: Some(remote.total),
            remaining_block_count: Some(remote.remaining),
            upload_completion_date_time: remote.committed.map(|_| self.clock.now().wall),
            creation_date_time: Some(remote.opened),
            upload_agent_id: remote.agent.clone(),
            checksum: remote.checksum.clone().unwrap_or_default(),
            etag: Some(format!("tag-of-{id}")),
            data_upload_uri: Some(Secret::new(uri)),
            ..Session::default()
        }
    }
}

fn store_of(id: &str) -> DataStore {
    let column = |name: &str| Column { name: name.to_owned(), is_searchable: true, ..Column::default() };
    DataStore {
        id: id.to_owned(),
        display_name: id.to_owned(),
        columns: vec![column("A"), column("B")],
        ..DataStore::default()
    }
}
