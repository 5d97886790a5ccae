//! The real binary against the sandbox, end to end.

mod harness;

mod changes;
mod checksums;
mod contract;
mod first_process;
mod full_volume;
mod kills;
mod live;
mod lost_replies;
mod manager;
mod manual;
mod refusals;
mod secrets;
mod seeing;
mod sizes;
mod stopping;
mod tracked;
mod uploads;
