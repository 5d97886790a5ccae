//! The clocks of the host.

use super::Task;
use crate::ground::moment::{Moment, Now};

/// Reads the clocks and sleeps by them.
pub trait Clock: Send + Sync {
    /// Reads both clocks.
    fn now(&self) -> Now;

    /// Completes once the boot clock has reached `moment`, also when the host
    /// was suspended over it.
    fn sleep_until(&self, moment: Moment) -> Task<'static, ()>;
}
