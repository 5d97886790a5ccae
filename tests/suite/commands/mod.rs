//! The real binary against the sandbox, end to end.

mod harness;

mod changes;
mod checksums;
mod contract;
mod full_volume;
mod hardening;
mod kills;
mod lost_replies;
mod refusals;
mod secrets;
mod seeing;
mod sizes;
mod stopping;
mod tracked;
mod uploads;
