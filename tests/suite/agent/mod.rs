//! The agent: what waits, among fakes and in virtual time.

#![expect(clippy::wildcard_enum_match_arm, reason = "a script says what is special and lets the rest pass")]

mod adopting;
mod begins;
mod beside;
mod control;
mod durable;
mod events;
mod gates;
mod held;
mod lanes;
mod late;
mod long;
mod metrics;
mod notify;
mod page;
mod probes;
mod quota;
mod reload;
mod replaced;
mod restarts;
mod rough;
mod schedule;
mod spool;
mod stops;
mod strays;
mod sweeping;
mod times;
mod timetable;
mod unclaimed;
mod watchdog;
mod world;
