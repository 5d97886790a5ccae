//! The ground every floor stands on: moments, units as people write them, and
//! secrets that cannot print. Nothing here knows what an upload is.

pub mod chance;
pub mod moment;
pub mod redact;
pub mod secret;
pub mod units;
