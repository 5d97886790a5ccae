//! What several rooms' tests stand on.

pub(crate) mod clock;
pub(crate) mod mock;
pub(crate) mod private;
pub(crate) mod skip;
pub(crate) mod tokens;
pub(crate) mod tree;
pub(crate) mod volume;
