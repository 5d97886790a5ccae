//! The real binary against the sandbox, end to end.

mod harness;

mod changes;
mod kills;
mod lost_replies;
mod refusals;
mod stopping;
mod tracked;
mod uploads;
