//! The session service: the remote API as the agent needs it.

use std::time::Duration;

use chrono::{DateTime, Utc};

use super::Task;
use super::contract::{DataStore, Session, SessionChanges, SessionDraft, UploadAgent};
use crate::ground::moment::Moment;
use crate::upload::fault::Fault;

/// Names one session at the service.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SessionKey {
    /// The id of its data store.
    pub store: String,
    /// Its own id.
    pub session: String,
}

/// An answer of the service, with what is needed to judge its age.
#[derive(Debug, Clone)]
pub struct Answer<T> {
    /// What was answered.
    pub value: T,
    /// When the request started: leases are counted from here.
    pub asked: Moment,
    /// The service's date when it answered (`Date`), if it is to be believed.
    pub server_time: Option<DateTime<Utc>>,
}

/// Why the service did not do what was asked.
///
/// The message names the step, the status, the service's own code and message
/// and the request id to quote to its operators, and what to do next.
#[derive(Debug, thiserror::Error)]
#[error("{step}: {detail}")]
pub struct ServiceError {
    /// The step that failed, verb first: `renew session 1f…`.
    pub step: String,
    /// What was said, or what the network said instead.
    pub detail: String,
    /// What the machine should make of it.
    pub fault: Fault,
}

/// A question to a data store: which rows hold these values.
#[derive(Clone)]
pub struct LookupQuery {
    /// The column the values are of.
    pub key: String,
    /// The values, as they are to be sent (hashes, in hex).
    pub values: Vec<String>,
    /// The columns to return of the rows found.
    pub result_columns: Vec<String>,
}

/// An attempt at one operation of the service. Implementations do not retry,
/// but for a single repetition with a fresh token after a 401.
pub type Attempt<'a, T> = Task<'a, Result<Answer<T>, ServiceError>>;

/// The session service. `patience` bounds an attempt; without it the adapter's
/// own timeout does.
pub trait SessionService: Send + Sync {
    /// Lists the data stores, all pages.
    fn stores(&self) -> Attempt<'_, Vec<DataStore>>;
    /// Finds the data stores of one display name, by listing them all unless
    /// the implementation knows a shorter way.
    fn stores_named(&self, name: &str) -> Attempt<'_, Vec<DataStore>> {
        let name = name.to_owned();
        Box::pin(async move {
            let mut found = self.stores().await?;
            found.value.retain(|store| store.display_name == name);
            Ok(found)
        })
    }
    /// Reads one data store by id.
    fn store(&self, store: &str) -> Attempt<'_, DataStore>;
    /// Asks which rows of the live table hold some values.
    fn lookup(&self, store: &str, query: LookupQuery) -> Attempt<'_, Vec<String>>;
    /// Lists the sessions of a data store, all pages.
    fn sessions(&self, store: &str) -> Attempt<'_, Vec<Session>>;
    /// Opens a session.
    fn create(&self, store: &str, draft: SessionDraft) -> Attempt<'_, Session>;
    /// Reads a session.
    fn session(&self, key: &SessionKey) -> Attempt<'_, Session>;
    /// Changes some properties of a session.
    fn update(&self, key: &SessionKey, changes: SessionChanges) -> Attempt<'_, Session>;
    /// Says anew what an open session is of: its checksum, its salt, its fields
    /// and its blocks. The file name, the counts left and the agent stay.
    fn restate(&self, key: &SessionKey, draft: SessionDraft) -> Attempt<'_, Session>;
    /// Extends a session; an empty answer is followed by a read.
    fn renew(&self, key: &SessionKey, patience: Duration) -> Attempt<'_, Session>;
    /// Hands the uploaded blocks over for processing.
    fn commit(&self, key: &SessionKey) -> Attempt<'_, ()>;
    /// Ends a session without using its blocks.
    fn cancel(&self, key: &SessionKey) -> Attempt<'_, ()>;
    /// Removes a session.
    fn delete(&self, key: &SessionKey) -> Attempt<'_, ()>;
    /// Lists the registered upload agents, all pages.
    fn upload_agents(&self) -> Attempt<'_, Vec<UploadAgent>>;
    /// Registers an upload agent.
    fn create_upload_agent(&self, description: &str) -> Attempt<'_, UploadAgent>;
    /// Reads an upload agent.
    fn upload_agent(&self, agent: &str) -> Attempt<'_, UploadAgent>;
    /// Removes an upload agent.
    fn delete_upload_agent(&self, agent: &str) -> Attempt<'_, ()>;
    /// Reads the upload agent of a session, whether it comes alone or in a list.
    fn session_upload_agent(&self, key: &SessionKey) -> Attempt<'_, Option<UploadAgent>>;
}
