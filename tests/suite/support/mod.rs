//! What several rooms' tests stand on.

pub(crate) mod authority;
pub(crate) mod clock;
pub(crate) mod mock;
pub(crate) mod names;
pub(crate) mod openapi;
pub(crate) mod openmetrics;
pub(crate) mod private;
pub(crate) mod secure;
pub(crate) mod skip;
pub(crate) mod tokens;
pub(crate) mod tree;
pub(crate) mod tunnel;
pub(crate) mod volume;
pub(crate) mod yaml;
