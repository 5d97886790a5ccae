//! Signing in without a person: every credential an agent can have, and the one
//! keeper of what they bring.
//!
//! A credential ([`credential::Credential`]) can be asked for a token, once. All
//! that is common to them is the keeper's ([`keeper::Keeper`]): one question for
//! all callers, renewal ahead of time, waiting, and what is said of it.

mod answer;
pub mod application;
pub mod assertion;
pub mod authority;
pub mod certificate;
pub mod credential;
pub mod keeper;
pub mod managed;
mod refusal;
pub mod surroundings;
pub mod token_file;
mod watched;
pub mod workload;
