//! The agent: what waits, among fakes and in virtual time.

mod begins;
mod durable;
mod gates;
mod lanes;
mod long;
mod restarts;
mod schedule;
mod stops;
mod world;
