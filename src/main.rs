//! The `edm-agent` program.

fn main() {}
