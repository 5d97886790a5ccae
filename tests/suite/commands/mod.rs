//! The real binary against the sandbox, end to end.

mod harness;

mod changes;
mod checksums;
mod kills;
mod lost_replies;
mod refusals;
mod sizes;
mod stopping;
mod tracked;
mod uploads;
