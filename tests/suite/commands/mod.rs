//! The real binary against the sandbox, end to end.

mod harness;

mod adopting;
mod changes;
mod checksums;
mod contract;
mod first_process;
mod full_volume;
mod hardening;
mod identity;
mod kills;
mod leaks;
mod live;
mod lost_replies;
mod manager;
mod manual;
mod quota;
mod refusals;
mod sandbox;
mod secrets;
mod seeing;
mod sizes;
mod stopping;
mod strays;
mod tracked;
mod uploads;
