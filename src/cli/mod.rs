//! What the person at the terminal says and sees.

pub mod config;
pub mod logs;
