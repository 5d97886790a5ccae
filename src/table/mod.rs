//! Tables: from the bytes of an export to hashed blocks, computed and never performed.

pub mod block;
pub mod content;
pub mod digest;
pub mod gates;
pub mod header;
pub mod layout;
pub mod manifest;
pub mod normalise;
pub mod reader;
pub mod rejects;
pub mod rows;
pub mod salt;
pub mod schema;
pub mod sha256;
pub mod sketch;
pub mod survey;
