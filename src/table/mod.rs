//! Tables: from the bytes of an export to hashed blocks, computed and never performed.

pub mod block;
