//! The adapters against scripted servers, and against a real blob store.

mod auth;
pub(crate) mod blob;
mod graph;
mod keeper;
mod secret_file;
mod tls;
mod token_file;
