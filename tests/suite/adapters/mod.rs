//! The adapters against scripted servers, and against a real blob store.

pub(crate) mod blob;
mod graph;
mod network;
mod token;
