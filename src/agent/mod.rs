//! The agent: everything that waits.
