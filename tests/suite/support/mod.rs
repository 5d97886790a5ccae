//! What several rooms' tests stand on.

pub(crate) mod clock;
pub(crate) mod mock;
