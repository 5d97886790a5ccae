//! The real binary against the sandbox, end to end.

mod harness;

mod adopting;
mod alerts;
mod callers;
mod changes;
mod checksums;
mod contract;
mod first_process;
mod full_volume;
mod gates;
mod handoff;
mod hardening;
mod identity;
mod kills;
mod leaks;
mod live;
mod logging;
mod lost_replies;
mod manager;
mod manual;
mod metrics;
mod openapi;
mod quota;
mod refusals;
mod reload;
mod sandbox;
mod secrets;
mod seeing;
mod sizes;
mod socket;
mod starting;
mod stopping;
mod strays;
mod tracked;
mod uploads;
