//! skeleton
fn main() { let _ = edm_agent::table::digest::DIGEST; }
