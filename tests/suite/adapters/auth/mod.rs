//! The credentials an agent can have.
//!
//! The keys in `vectors` were made by the script beside them; they protect
//! nothing, and no host knows them.

use std::path::Path;

use chrono::{DateTime, Utc};
use edm_agent::ground::secret::Secret;

mod assertion;
mod certificate;
mod managed;
mod workload;

/// Returns some of the vectors, one behind the other.
fn vectors(names: &[&str]) -> Vec<u8> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/suite/adapters/auth/vectors");
    names.iter().flat_map(|name| std::fs::read(folder.join(name)).unwrap()).collect()
}

fn date(text: &str) -> DateTime<Utc> {
    text.parse().unwrap()
}

/// Returns a day on which every vector is valid.
fn today() -> DateTime<Utc> {
    date("2026-01-01T00:00:00Z")
}

fn secret(text: &str) -> Secret {
    Secret::new(text.to_owned())
}
