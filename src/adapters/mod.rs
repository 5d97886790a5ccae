//! The adapters: each implements a port over one real neighbour.

pub mod auth;
pub mod blob;
pub mod bundle;
pub mod clock;
pub mod entropy;
pub mod graph;
pub mod http;
pub mod journal;
pub mod lookout;
pub mod process;
pub mod secret_file;
pub mod signature;
pub mod state;
