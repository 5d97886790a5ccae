//! What must hold for any bytes from outside: a check for each fuzz target.
//!
//! The fuzzer calls them with what it makes up, and the ordinary test suite
//! with the seeds in `seeds/`, one folder for each target. A new target is a
//! module here, a line in [`TARGETS`], a file in `fuzz_targets/`, a `[[bin]]` in
//! `Cargo.toml`, and a few seeds.

pub mod container;
pub mod reader;
pub mod retry_after;
pub mod schema;
pub mod signature;
pub mod upload_uri;

/// A check: it panics where something does not hold.
pub type Check = fn(&[u8]);

/// Every target by its name.
pub const TARGETS: &[(&str, Check)] = &[
    ("container", container::check),
    ("reader", reader::check),
    ("retry_after", retry_after::check),
    ("schema", schema::check),
    ("signature", signature::check),
    ("upload_uri", upload_uri::check),
];
