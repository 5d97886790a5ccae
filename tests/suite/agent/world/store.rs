//! A blob store in memory: it counts what is in flight, takes as long as it is
//! told, and does what a script says to each block.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use edm_agent::ground::moment::Moment;
use edm_agent::ports::Task;
use edm_agent::ports::blobs::{BlobError, BlobStore, BlockPut, BlockTarget, StoredBlock, WholePut};
use edm_agent::ports::clock::Clock;
use edm_agent::upload::fault::BlobFault;
use edm_agent::upload::uri::UploadUri;

use crate::support::clock::TokioClock;

/// What becomes of a block.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Put {
    /// It is stored.
    Done,
    /// It is not stored, for this reason.
    Failed(BlobFault),
    /// It is never answered.
    Hung,
}

type Script = Box<dyn FnMut(usize) -> Put + Send>;

struct State {
    takes: Duration,
    script: Script,
    puts: Vec<Moment>,
    in_flight: (usize, u64),
    peak: (usize, u64),
    /// Whether ever more than one was in flight beyond a number of bytes.
    largest_company: u64,
    blobs: BTreeMap<String, BTreeMap<String, u64>>,
    lists: usize,
}

/// The store.
pub(crate) struct FakeStore {
    clock: TokioClock,
    state: Mutex<State>,
}

/// Takes a block off what is in flight, also when its request is dropped.
struct InFlight<'a>(&'a FakeStore, u64);

impl Drop for InFlight<'_> {
    fn drop(&mut self) {
        let state = &mut *self.0.state.lock().unwrap();
        state.in_flight.0 -= 1;
        state.in_flight.1 -= self.1;
    }
}

impl FakeStore {
    pub(crate) fn new(clock: TokioClock) -> Arc<Self> {
        let state = State {
            takes: Duration::from_millis(50),
            script: Box::new(|_| Put::Done),
            puts: Vec::new(),
            in_flight: (0, 0),
            peak: (0, 0),
            largest_company: 0,
            blobs: BTreeMap::new(),
            lists: 0,
        };
        Arc::new(Self { clock, state: Mutex::new(state) })
    }

    /// Sets how long a block takes.
    pub(crate) fn takes(&self, span: Duration) {
        self.state.lock().unwrap().takes = span;
    }

    /// Decides what becomes of each block from now on, counted from zero.
    pub(crate) fn script(&self, script: impl FnMut(usize) -> Put + Send + 'static) {
        self.state.lock().unwrap().script = Box::new(script);
    }

    /// Returns when blocks were sent.
    pub(crate) fn puts(&self) -> Vec<Moment> {
        self.state.lock().unwrap().puts.clone()
    }

    /// Returns how many blocks, and bytes, are in flight.
    pub(crate) fn in_flight(&self) -> (usize, u64) {
        self.state.lock().unwrap().in_flight
    }

    /// Returns the most blocks, and bytes, that ever were in flight.
    pub(crate) fn peak(&self) -> (usize, u64) {
        self.state.lock().unwrap().peak
    }

    /// Returns the most bytes that were ever in flight as two blocks or more.
    pub(crate) fn largest_company(&self) -> u64 {
        self.state.lock().unwrap().largest_company
    }

    /// Returns how many block lists were put.
    pub(crate) fn lists(&self) -> usize {
        self.state.lock().unwrap().lists
    }

    fn failed<T>(fault: BlobFault) -> Result<T, BlobError> {
        Err(BlobError { step: "put a block", detail: format!("{fault:?}"), fault })
    }
}

impl BlobStore for FakeStore {
    fn put(&self, uri: UploadUri, put: BlockPut) -> Task<'_, Result<(), BlobError>> {
        Box::pin(async move {
            let length = put.body.len() as u64;
            let (fate, takes) = {
                let state = &mut *self.state.lock().unwrap();
                state.in_flight.0 += 1;
                state.in_flight.1 += length;
                state.peak.0 = state.peak.0.max(state.in_flight.0);
                state.peak.1 = state.peak.1.max(state.in_flight.1);
                if state.in_flight.0 > 1 {
                    state.largest_company = state.largest_company.max(state.in_flight.1);
                }
                let fate = (state.script)(state.puts.len());
                state.puts.push(self.clock.now().moment);
                (fate, state.takes)
            };
            let _in_flight = InFlight(self, length);
            if fate == Put::Hung {
                std::future::pending::<()>().await;
            }
            self.clock.sleep_until(self.clock.now().moment + takes).await;
            if let Put::Failed(fault) = fate {
                return Self::failed(fault);
            }
            let (BlockTarget::Block { id: name } | BlockTarget::Blob { name }) = put.target;
            let place = uri.place().as_str().to_owned();
            self.state.lock().unwrap().blobs.entry(place).or_default().insert(name, length);
            Ok(())
        })
    }

    fn put_whole(&self, _: UploadUri, _: WholePut) -> Task<'_, Result<(), BlobError>> {
        Box::pin(async { Self::failed(BlobFault::Refused { status: 400 }) })
    }

    fn stored(&self, uri: UploadUri, _: Duration) -> Task<'_, Result<Vec<StoredBlock>, BlobError>> {
        Box::pin(async move {
            let state = self.state.lock().unwrap();
            let held = state.blobs.get(uri.place().as_str());
            Ok(held.into_iter().flatten().map(|(id, &length)| StoredBlock { id: id.clone(), length }).collect())
        })
    }

    fn put_list(&self, uri: UploadUri, ids: Vec<String>, _: Duration) -> Task<'_, Result<(), BlobError>> {
        Box::pin(async move {
            let state = &mut *self.state.lock().unwrap();
            state.lists += 1;
            let held = state.blobs.get(uri.place().as_str());
            match ids.iter().all(|id| held.is_some_and(|held| held.contains_key(id))) {
                true => Ok(()),
                false => Self::failed(BlobFault::BlocksLost),
            }
        })
    }
}
