//! The real binary against the sandbox, end to end.

mod harness;

mod changes;
mod checksums;
mod contract;
mod full_volume;
mod hardening;
mod identity;
mod kills;
mod leaks;
mod lost_replies;
mod refusals;
mod sandbox;
mod secrets;
mod seeing;
mod sizes;
mod stopping;
mod strays;
mod tracked;
mod uploads;
