//! The one test binary: behaviour of the rooms together, by name.

mod adapters;
mod agent;
mod commands;
mod config;
mod deployment;
mod described;
mod floors;
mod fuzzed;
mod house;
mod journal;
mod sandbox;
mod secret_types;
mod support;
mod table;
mod upload;
