//! The upload agent for exact-match tables.
//!
//! Five floors over a small ground; a room names only rooms below it. See
//! `docs/ARCHITECTURE.md` for the map, the flows and the invariants.

pub mod adapters;
pub mod agent;
pub mod cli;
pub mod ground;
pub mod ports;
pub mod sandbox;
pub mod table;
pub mod upload;
