//! The adapters against scripted servers, and against a real blob store.

mod auth;
pub(crate) mod blob;
mod graph;
mod tls;
mod token;
