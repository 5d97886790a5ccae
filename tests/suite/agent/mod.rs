//! The agent: what waits, among fakes and in virtual time.

mod begins;
mod control;
mod durable;
mod events;
mod gates;
mod lanes;
mod late;
mod long;
mod probes;
mod restarts;
mod schedule;
mod stops;
mod world;
