//! The real binary against the sandbox, end to end.

mod harness;

mod kills;
mod lost_replies;
mod stopping;
mod tracked;
mod uploads;
