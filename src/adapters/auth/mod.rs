//! Signing in without a person: every credential an agent can have, and the one
//! keeper of what they bring.

mod answer;
pub mod assertion;
pub mod certificate;
pub mod credential;
mod files;
pub mod managed;
pub mod surroundings;
pub mod token_file;
pub mod workload;
