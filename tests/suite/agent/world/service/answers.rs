//! The answers of the service in memory.

use std::time::Duration;

use chrono::{DateTime, TimeDelta};
use edm_agent::ports::contract::{DataStore, Session, SessionChanges, SessionDraft, UploadAgent};
use edm_agent::ports::service::{Answer, Attempt, LookupQuery, SessionKey, SessionService};
use edm_agent::upload::fault::Fault;

use super::{FakeService, Op, Remote, store_of};

impl SessionService for FakeService {
    fn stores(&self) -> Attempt<'_, Vec<DataStore>> {
        Box::pin(self.call(Op::Stores, "", None, |state, _| Ok(state.stores.iter().map(|id| store_of(id)).collect())))
    }

    fn store(&self, store: &str) -> Attempt<'_, DataStore> {
        let store = store.to_owned();
        Box::pin(async move {
            self.call(Op::Stores, &store, None, |state, _| {
                let live = |remote: &&Remote| remote.store == store && remote.state == "Completed";
                let (uploads, touched) = (state.sessions.values().filter(live).count() as i64, state.touched);
                let found = state.stores.iter().find(|id| **id == store).map(|id| store_of(id)).ok_or(Fault::Gone)?;
                // A day for each upload that went live, a second for each by somebody else.
                let updated =
                    (uploads > 0).then(|| DateTime::UNIX_EPOCH + TimeDelta::seconds(uploads * 86_400 + touched));
                Ok(DataStore { data_last_updated_date_time: updated, ..found })
            })
            .await
        })
    }

    fn lookup(&self, store: &str, _: LookupQuery) -> Attempt<'_, Vec<String>> {
        let store = store.to_owned();
        Box::pin(async move { self.call(Op::Lookup, &store, None, |_, _| Ok(vec!["row".to_owned()])).await })
    }

    fn sessions(&self, store: &str) -> Attempt<'_, Vec<Session>> {
        let store = store.to_owned();
        Box::pin(async move {
            let found = self.call(Op::Sessions, &store, None, |state, _| Ok(state.sessions.clone())).await?;
            let ours = found.value.iter().filter(|(_, remote)| remote.store == store && !remote.is_gone);
            let value = ours.map(|(id, remote)| self.shown(id, remote)).collect();
            Ok(Answer { value, asked: found.asked, server_time: found.server_time })
        })
    }

    fn create(&self, store: &str, draft: SessionDraft) -> Attempt<'_, Session> {
        let store = store.to_owned();
        Box::pin(async move {
            let made = self.call(Op::Create, &store, Some(draft.remaining_block_count), |state, now| {
                let id = format!("opened-{}", state.sessions.len());
                let remote = Remote {
                    extended: now,
                    agent: draft.upload_agent_id.clone().unwrap_or_default(),
                    checksum: draft.checksum.clone(),
                    ..self.remote(&store, &draft.file_name, draft.total_block_count)
                };
                state.sessions.insert(id.clone(), remote.clone());
                Ok((id, remote))
            });
            let Answer { value: (id, remote), asked, server_time } = made.await?;
            Ok(Answer { value: self.shown(&id, &remote), asked, server_time })
        })
    }

    fn session(&self, key: &SessionKey) -> Attempt<'_, Session> {
        self.show(key, Op::Get, false)
    }

    fn update(&self, key: &SessionKey, changes: SessionChanges) -> Attempt<'_, Session> {
        let said = changes.remaining_block_count;
        let changed = self.on_session(Op::Update, key, said, move |remote, _| {
            remote.remaining = said.unwrap_or(remote.remaining);
        });
        Box::pin(async move {
            let Answer { asked, server_time, .. } = changed.await?;
            Ok(Answer { value: Session::default(), asked, server_time })
        })
    }

    fn restate(&self, key: &SessionKey, draft: SessionDraft) -> Attempt<'_, Session> {
        let changed = self.on_session(Op::Restate, key, None, move |remote, _| remote.checksum = draft.checksum);
        Box::pin(async move {
            let Answer { asked, server_time, .. } = changed.await?;
            Ok(Answer { value: Session::default(), asked, server_time })
        })
    }

    fn renew(&self, key: &SessionKey, _: Duration) -> Attempt<'_, Session> {
        self.show(key, Op::Renew, true)
    }

    fn commit(&self, key: &SessionKey) -> Attempt<'_, ()> {
        self.on_session(Op::Commit, key, None, |remote, now| {
            remote.committed = Some(now);
            remote.state = "Processing".to_owned();
        })
    }

    fn cancel(&self, key: &SessionKey) -> Attempt<'_, ()> {
        self.on_session(Op::Cancel, key, None, |remote, _| remote.is_gone = true)
    }

    fn delete(&self, key: &SessionKey) -> Attempt<'_, ()> {
        self.cancel(key)
    }

    fn upload_agents(&self) -> Attempt<'_, Vec<UploadAgent>> {
        Box::pin(self.call(Op::Agents, "", None, |_, _| Ok(Vec::new())))
    }

    fn create_upload_agent(&self, _: &str) -> Attempt<'_, UploadAgent> {
        Box::pin(self.call(Op::Agents, "", None, |_, _| Ok(UploadAgent::default())))
    }

    fn upload_agent(&self, _: &str) -> Attempt<'_, UploadAgent> {
        Box::pin(self.call(Op::Agents, "", None, |_, _| Ok(UploadAgent::default())))
    }

    fn delete_upload_agent(&self, _: &str) -> Attempt<'_, ()> {
        Box::pin(self.call(Op::Agents, "", None, |_, _| Ok(())))
    }

    fn session_upload_agent(&self, _: &SessionKey) -> Attempt<'_, Option<UploadAgent>> {
        Box::pin(self.call(Op::Agents, "", None, |_, _| Ok(None)))
    }
}
