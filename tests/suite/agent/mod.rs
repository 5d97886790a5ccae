//! The agent: what waits, among fakes and in virtual time.

#![expect(clippy::wildcard_enum_match_arm, reason = "a script says what is special and lets the rest pass")]

mod adopting;
mod begins;
mod control;
mod durable;
mod events;
mod gates;
mod lanes;
mod late;
mod long;
mod notify;
mod probes;
mod quota;
mod restarts;
mod schedule;
mod stops;
mod strays;
mod sweeping;
mod watchdog;
mod world;
