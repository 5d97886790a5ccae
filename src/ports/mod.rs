//! The outside, named: a trait for each neighbour the agent speaks with. The
//! adapters implement them; the agent and the tests hold them as `Arc<dyn …>`.

use std::future::Future;
use std::pin::Pin;

pub mod blobs;
pub mod clock;
pub mod contract;
pub mod journal;
pub mod lookout;
pub mod service;
pub mod tokens;

/// An answer still to come from a port.
pub type Task<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;
