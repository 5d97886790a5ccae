//! Signing in without a person: every credential an agent can have, and the one
//! keeper of what they bring.

mod answer;
pub mod credential;
pub mod token_file;
