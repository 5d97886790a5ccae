//! The adapters against scripted servers, and against a real blob store.

mod blob;
mod graph;
mod tls;
mod token;
