//! The neighbours, watched: every request is counted and timed, whoever makes it.

use std::sync::Arc;
use std::time::Duration;

use super::Metrics;
use crate::ports::Task;
use crate::ports::blobs::{BlobError, BlobStore, BlockPut, StoredBlock, WholePut};
use crate::ports::clock::Clock;
use crate::ports::contract::{DataStore, Session, SessionChanges, SessionDraft, UploadAgent};
use crate::ports::service::{Attempt, LookupQuery, SessionKey, SessionService};
use crate::upload::uri::UploadUri;

/// A neighbour that is watched.
struct Watched<T: ?Sized> {
    inner: Arc<T>,
    metrics: Metrics,
    clock: Arc<dyn Clock>,
}

impl Metrics {
    /// Watches a client of the service.
    pub fn watch_service(&self, inner: Arc<dyn SessionService>, clock: &Arc<dyn Clock>) -> Arc<dyn SessionService> {
        Arc::new(Watched { inner, metrics: self.clone(), clock: Arc::clone(clock) })
    }

    /// Watches a client of the stores behind upload URIs.
    pub fn watch_blobs(&self, inner: Arc<dyn BlobStore>, clock: &Arc<dyn Clock>) -> Arc<dyn BlobStore> {
        Arc::new(Watched { inner, metrics: self.clone(), clock: Arc::clone(clock) })
    }
}

impl Watched<dyn SessionService> {
    fn watch<'a, T: Send + 'a>(&'a self, operation: &'static str, attempt: Attempt<'a, T>) -> Attempt<'a, T> {
        Box::pin(async move {
            let began = self.clock.now().moment;
            let result = attempt.await;
            let now = self.clock.now();
            let seen = result.as_ref().map_err(|error| &error.fault);
            self.metrics.asked(operation, seen, now.moment.since(began), now.wall);
            result
        })
    }
}

impl SessionService for Watched<dyn SessionService> {
    fn stores(&self) -> Attempt<'_, Vec<DataStore>> {
        self.watch("list_stores", self.inner.stores())
    }

    fn stores_named(&self, name: &str) -> Attempt<'_, Vec<DataStore>> {
        self.watch("list_stores", self.inner.stores_named(name))
    }

    fn store(&self, store: &str) -> Attempt<'_, DataStore> {
        self.watch("get_store", self.inner.store(store))
    }

    fn lookup(&self, store: &str, query: LookupQuery) -> Attempt<'_, Vec<String>> {
        self.watch("lookup", self.inner.lookup(store, query))
    }

    fn sessions(&self, store: &str) -> Attempt<'_, Vec<Session>> {
        self.watch("list_sessions", self.inner.sessions(store))
    }

    fn create(&self, store: &str, draft: SessionDraft) -> Attempt<'_, Session> {
        self.watch("create", self.inner.create(store, draft))
    }

    fn session(&self, key: &SessionKey) -> Attempt<'_, Session> {
        self.watch("get_session", self.inner.session(key))
    }

    fn update(&self, key: &SessionKey, changes: SessionChanges) -> Attempt<'_, Session> {
        self.watch("report", self.inner.update(key, changes))
    }

    fn restate(&self, key: &SessionKey, draft: SessionDraft) -> Attempt<'_, Session> {
        self.watch("restate", self.inner.restate(key, draft))
    }

    fn renew(&self, key: &SessionKey, patience: Duration) -> Attempt<'_, Session> {
        self.watch("renew", self.inner.renew(key, patience))
    }

    fn commit(&self, key: &SessionKey) -> Attempt<'_, ()> {
        self.watch("commit", self.inner.commit(key))
    }

    fn cancel(&self, key: &SessionKey) -> Attempt<'_, ()> {
        self.watch("cancel", self.inner.cancel(key))
    }

    fn delete(&self, key: &SessionKey) -> Attempt<'_, ()> {
        self.watch("delete", self.inner.delete(key))
    }

    fn upload_agents(&self) -> Attempt<'_, Vec<UploadAgent>> {
        self.watch("agents", self.inner.upload_agents())
    }

    fn create_upload_agent(&self, description: &str) -> Attempt<'_, UploadAgent> {
        self.watch("agents", self.inner.create_upload_agent(description))
    }

    fn upload_agent(&self, agent: &str) -> Attempt<'_, UploadAgent> {
        self.watch("agents", self.inner.upload_agent(agent))
    }

    fn delete_upload_agent(&self, agent: &str) -> Attempt<'_, ()> {
        self.watch("agents", self.inner.delete_upload_agent(agent))
    }

    fn session_upload_agent(&self, key: &SessionKey) -> Attempt<'_, Option<UploadAgent>> {
        self.watch("agents", self.inner.session_upload_agent(key))
    }
}

impl Watched<dyn BlobStore> {
    fn watch<'a, T: Send + 'a>(
        &'a self,
        operation: &'static str,
        attempt: Task<'a, Result<T, BlobError>>,
    ) -> Task<'a, Result<T, BlobError>> {
        Box::pin(async move {
            let began = self.clock.now().moment;
            let result = attempt.await;
            let took = self.clock.now().moment.since(began);
            self.metrics.put(operation, result.as_ref().map(|_| ()).map_err(|error| &error.fault), took);
            if operation == PUT_BLOCK && result.is_ok() {
                self.metrics.block_took(took);
            }
            result
        })
    }
}

/// The operation whose times are those of a block.
const PUT_BLOCK: &str = "put_block";

impl BlobStore for Watched<dyn BlobStore> {
    fn put(&self, uri: UploadUri, put: BlockPut) -> Task<'_, Result<(), BlobError>> {
        self.watch(PUT_BLOCK, self.inner.put(uri, put))
    }

    fn put_whole(&self, uri: UploadUri, put: WholePut) -> Task<'_, Result<(), BlobError>> {
        self.watch("put_whole", self.inner.put_whole(uri, put))
    }

    fn stored(&self, uri: UploadUri, patience: Duration) -> Task<'_, Result<Vec<StoredBlock>, BlobError>> {
        self.watch("list_blocks", self.inner.stored(uri, patience))
    }

    fn put_list(&self, uri: UploadUri, ids: Vec<String>, patience: Duration) -> Task<'_, Result<(), BlobError>> {
        self.watch("put_list", self.inner.put_list(uri, ids, patience))
    }
}
