//! The agent: what waits, among fakes and in virtual time.

mod long;
mod world;
