//! The one test binary: behaviour of the rooms together, by name.

mod adapters;
mod sandbox;
mod support;
mod table;
