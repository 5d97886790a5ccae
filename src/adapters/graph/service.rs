//! The operations, each to the letter of the reference.

use std::time::Duration;

use reqwest::Method;
use serde_json::Value;

use super::settings::{ActionForm, BodilessBody, BodilessContentType, StoreLookup};
use super::wire::{Call, Payload};
use super::{GraphService, bodies};
use crate::adapters::http::secret::SecretJson;
use crate::adapters::http::text::encode;
use crate::ground::secret::Secret;
use crate::ports::contract::{DataStore, Session, SessionChanges, SessionDraft, UploadAgent};
use crate::ports::service::{Answer, Attempt, LookupQuery, ServiceError, SessionKey, SessionService};

const STORES: &str = "exactMatchDataStores";
const AGENTS: &str = "exactMatchUploadAgents";

impl GraphService {
    fn session_call(&self, verb: &str, method: Method, key: &SessionKey) -> Result<Call, ServiceError> {
        self.call(format!("{verb} session {}", key.session), method, &[STORES, &key.store, "sessions", &key.session])
    }

    /// Prepares an action on a session, which takes no body.
    fn action(&self, name: &str, key: &SessionKey) -> Result<Call, ServiceError> {
        let step = format!("{name} session {}", key.session);
        let path = [STORES, &key.store, "sessions", &key.session, &self.action_name(name)];
        let mut call = self.call(step, Method::POST, &path)?;
        call.payload = match (self.contract.bodiless_body, self.contract.bodiless_content_type) {
            (BodilessBody::Object, _) => Payload::Json(SecretJson::new(Value::Object(serde_json::Map::new()))),
            (BodilessBody::None, BodilessContentType::None) => Payload::Bodiless(None),
            (BodilessBody::None, BodilessContentType::Json) => Payload::Bodiless(Some("application/json")),
        };
        Ok(call)
    }

    fn action_name(&self, name: &str) -> String {
        match self.contract.action_form {
            ActionForm::Short => name.to_owned(),
            ActionForm::Qualified => format!("microsoft.graph.{name}"),
        }
    }

    /// Asks for a session under a known key, and reads the session when the
    /// answer holds none. The age stays that of the first request: whatever it
    /// extended, it extended from there.
    async fn or_read(
        &self,
        call: Result<Call, ServiceError>,
        key: SessionKey,
    ) -> Result<Answer<Session>, ServiceError> {
        let call = call?;
        let begun = self.wire.clock.now().moment;
        let first = self.maybe(&call, "session").await?;
        if let Some(value) = first.value {
            return Ok(Answer { value: known(value, &key), asked: first.asked, server_time: first.server_time });
        }
        let mut read = self.session_call("read", Method::GET, &key)?;
        read.step.clone_from(&call.step);
        let spent = begun.until(self.wire.clock.now().moment);
        read.patience = call.patience.saturating_sub(spent);
        let second = self.one(Ok(read), "session").await?;
        Ok(Answer { value: known(second.value, &key), asked: first.asked, server_time: second.server_time })
    }
}

/// Fills in the id of a session that was asked for by it.
fn known(mut session: Session, key: &SessionKey) -> Session {
    if session.id.is_empty() {
        session.id.clone_from(&key.session);
    }
    session
}

impl SessionService for GraphService {
    fn stores(&self) -> Attempt<'_, Vec<DataStore>> {
        let call = self.call("list data stores".to_owned(), Method::GET, &[STORES]);
        Box::pin(self.all(call, "data store"))
    }

    fn stores_named(&self, name: &str) -> Attempt<'_, Vec<DataStore>> {
        let call = self.call(format!("find data store {name}"), Method::GET, &[STORES]).map(|mut call| {
            if self.contract.store_lookup == StoreLookup::Filter {
                let filter = format!("displayName eq '{}'", name.replace('\'', "''"));
                call.url.set_query(Some(&format!("$filter={}", encode(&filter))));
            }
            call
        });
        let name = name.to_owned();
        Box::pin(async move {
            let mut found = self.all::<DataStore>(call, "data store").await?;
            // A service that ignores the filter lists them all.
            found.value.retain(|store| store.display_name == name);
            Ok(found)
        })
    }

    fn store(&self, store: &str) -> Attempt<'_, DataStore> {
        let call = self.call(format!("read data store {store}"), Method::GET, &[STORES, store]);
        Box::pin(self.one(call, "data store"))
    }

    fn lookup(&self, store: &str, query: LookupQuery) -> Attempt<'_, Vec<String>> {
        let path = [STORES, store, &self.action_name("lookup")];
        let call = self.call(format!("look up values in data store {store}"), Method::POST, &path).map(|mut call| {
            call.payload = Payload::Json(SecretJson::new(bodies::lookup(&query)));
            call.secrets.extend(query.values.into_iter().map(Secret::new));
            call
        });
        Box::pin(self.all(call, "list of rows"))
    }

    fn sessions(&self, store: &str) -> Attempt<'_, Vec<Session>> {
        let step = format!("list the sessions of data store {store}");
        Box::pin(self.all(self.call(step, Method::GET, &[STORES, store, "sessions"]), "session"))
    }

    fn create(&self, store: &str, draft: SessionDraft) -> Attempt<'_, Session> {
        let step = format!("open a session of data store {store}");
        let call = self.call(step, Method::POST, &[STORES, store, "sessions"]).map(|mut call| {
            call.payload = Payload::Json(SecretJson::new(bodies::draft(&self.contract, store, &draft)));
            call.creates = true;
            call.secrets.extend(draft.salt);
            call
        });
        Box::pin(async move {
            let call = call?;
            let Answer { value, asked, server_time } = self.maybe::<Session>(&call, "session").await?;
            // Without an id it cannot be told from a session of someone else.
            let session = value.filter(|session| !session.id.is_empty());
            let value = session.ok_or_else(|| call.unclear("the answer holds no session with an id"))?;
            Ok(Answer { value, asked, server_time })
        })
    }

    fn session(&self, key: &SessionKey) -> Attempt<'_, Session> {
        let call = self.session_call("read", Method::GET, key);
        let key = key.clone();
        Box::pin(async move {
            let Answer { value, asked, server_time } = self.one(call, "session").await?;
            Ok(Answer { value: known(value, &key), asked, server_time })
        })
    }

    fn update(&self, key: &SessionKey, changes: SessionChanges) -> Attempt<'_, Session> {
        let call = self.session_call("update", Method::PATCH, key).map(|mut call| {
            call.payload = Payload::Json(SecretJson::new(bodies::changes(&self.contract, &key.store, &changes)));
            call.if_match = changes.if_match.filter(|_| self.contract.if_match);
            call
        });
        Box::pin(self.or_read(call, key.clone()))
    }

    fn restate(&self, key: &SessionKey, draft: SessionDraft) -> Attempt<'_, Session> {
        let call = self.session_call("update", Method::PATCH, key).map(|mut call| {
            call.payload = Payload::Json(SecretJson::new(bodies::restated(&self.contract, &key.store, &draft)));
            call.secrets.extend(draft.salt);
            call
        });
        Box::pin(self.or_read(call, key.clone()))
    }

    fn renew(&self, key: &SessionKey, patience: Duration) -> Attempt<'_, Session> {
        let call = self.action("renew", key).map(|mut call| {
            call.patience = call.patience.min(patience);
            call
        });
        Box::pin(self.or_read(call, key.clone()))
    }

    fn commit(&self, key: &SessionKey) -> Attempt<'_, ()> {
        Box::pin(self.done(self.action("commit", key)))
    }

    fn cancel(&self, key: &SessionKey) -> Attempt<'_, ()> {
        Box::pin(self.done(self.action("cancel", key)))
    }

    fn delete(&self, key: &SessionKey) -> Attempt<'_, ()> {
        Box::pin(self.done(self.session_call("delete", Method::DELETE, key)))
    }

    fn upload_agents(&self) -> Attempt<'_, Vec<UploadAgent>> {
        let call = self.call("list upload agents".to_owned(), Method::GET, &[AGENTS]);
        Box::pin(self.all(call, "upload agent"))
    }

    fn create_upload_agent(&self, description: &str) -> Attempt<'_, UploadAgent> {
        let call = self.call("register this upload agent".to_owned(), Method::POST, &[AGENTS]).map(|mut call| {
            call.payload = Payload::Json(SecretJson::new(bodies::agent(&self.contract, description)));
            call
        });
        Box::pin(self.one(call, "upload agent"))
    }

    fn upload_agent(&self, agent: &str) -> Attempt<'_, UploadAgent> {
        let call = self.call(format!("read upload agent {agent}"), Method::GET, &[AGENTS, agent]);
        Box::pin(self.one(call, "upload agent"))
    }

    fn delete_upload_agent(&self, agent: &str) -> Attempt<'_, ()> {
        Box::pin(self.done(self.call(format!("remove upload agent {agent}"), Method::DELETE, &[AGENTS, agent])))
    }

    fn session_upload_agent(&self, key: &SessionKey) -> Attempt<'_, Option<UploadAgent>> {
        let path = [STORES, &key.store, "sessions", &key.session, "uploadAgent"];
        let call = self.call(format!("read the upload agent of session {}", key.session), Method::GET, &path);
        Box::pin(async move {
            let Answer { value, asked, server_time } = self.all::<UploadAgent>(call, "upload agent").await?;
            Ok(Answer { value: value.into_iter().next(), asked, server_time })
        })
    }
}
