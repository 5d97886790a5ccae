//! The adapters against scripted servers, and against a real blob store.

mod auth;
mod authority;
pub(crate) mod blob;
mod graph;
mod keeper;
mod lookout;
mod network;
mod secret_file;
mod token_file;
