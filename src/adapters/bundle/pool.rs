//! Buffers for blocks on their way out, recycled, and never more than a limit.

use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

/// A pool of buffers. Clones share it.
#[derive(Clone)]
pub struct BufferPool {
    shared: Arc<Shared>,
}

struct Shared {
    limit: usize,
    state: Mutex<State>,
    returned: Condvar,
}

#[derive(Default)]
struct State {
    /// Bytes of the buffers that are in use.
    used: usize,
    idle: Vec<Vec<u8>>,
}

/// A buffer out of a pool; it goes back when it is dropped.
pub(super) struct Pooled {
    bytes: Vec<u8>,
    shared: Arc<Shared>,
}

impl BufferPool {
    /// Makes a pool that holds at most `limit` bytes, in use and idle together;
    /// a single buffer may be larger.
    pub fn new(limit: usize) -> Self {
        Self { shared: Arc::new(Shared { limit, state: Mutex::default(), returned: Condvar::new() }) }
    }

    /// Returns how many buffers of a length can be in use at once; at least one.
    pub fn capacity_for(&self, length: usize) -> usize {
        (self.shared.limit / length.max(1)).max(1)
    }

    /// Returns the bytes the pool holds now, in use and idle.
    pub fn held(&self) -> usize {
        let state = self.shared.lock();
        state.used + state.idle.iter().map(Vec::capacity).sum::<usize>()
    }

    /// Gives idle buffers back to the system; for when no upload goes on.
    pub fn trim(&self) {
        self.shared.lock().idle = Vec::new();
    }

    /// Takes a buffer of a length, its content arbitrary; waits while the pool
    /// is at its limit. Must not be called where waiting is not allowed.
    pub(super) fn take(&self, length: usize) -> Pooled {
        let mut state = self.shared.lock();
        let mut bytes = loop {
            if let Some(at) = state.idle.iter().position(|idle| idle.capacity() >= length) {
                break state.idle.swap_remove(at);
            }
            if state.used == 0 || state.used + length <= self.shared.limit {
                // What is idle is too small for this length, and would count against the limit.
                state.idle.clear();
                break Vec::with_capacity(length);
            }
            state = self.shared.returned.wait(state).unwrap_or_else(PoisonError::into_inner);
        };
        state.used += bytes.capacity();
        drop(state);
        bytes.resize(length, 0);
        Pooled { bytes, shared: Arc::clone(&self.shared) }
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl AsRef<[u8]> for Pooled {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

impl AsMut<[u8]> for Pooled {
    fn as_mut(&mut self) -> &mut [u8] {
        &mut self.bytes
    }
}

impl Drop for Pooled {
    fn drop(&mut self) {
        let mut state = self.shared.lock();
        state.used -= self.bytes.capacity();
        state.idle.push(std::mem::take(&mut self.bytes));
        drop(state);
        self.shared.returned.notify_all();
    }
}
