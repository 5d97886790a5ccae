//! The clocks of the host.

use std::time::Duration;

use super::Task;
use crate::ground::moment::{Moment, Now};

/// Reads the clocks and sleeps by them.
pub trait Clock: Send + Sync {
    /// Reads both clocks.
    fn now(&self) -> Now;

    /// Completes once the boot clock has reached `moment`, also when the host
    /// was suspended over it.
    fn sleep_until(&self, moment: Moment) -> Task<'static, ()>;

    /// Returns how long the host has been suspended since it was started. Grows
    /// only; a clock that knows nothing of suspensions says none.
    fn suspended(&self) -> Duration {
        Duration::ZERO
    }
}
