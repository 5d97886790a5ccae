//! The bandwidth of the blob endpoint.

use std::sync::Mutex;
use std::time::Duration;

use super::times::ServiceClock;
use crate::ground::moment::Moment;

/// How far the line may run ahead of its rate, so that each small piece does
/// not cost a sleep of its own.
const SLACK: Duration = Duration::from_millis(20);

/// A line of so many bytes per second, shared by all who use it.
pub(super) struct Pipe {
    bytes_per_second: u64,
    free: Mutex<Moment>,
}

impl Pipe {
    pub(super) fn new(bytes_per_second: u64) -> Self {
        Self { bytes_per_second: bytes_per_second.max(1), free: Mutex::new(Moment::default()) }
    }

    /// Waits until this many bytes have gone through.
    pub(super) async fn pass(&self, bytes: usize, clock: &ServiceClock) {
        let nanos = (bytes as u128 * 1_000_000_000) / u128::from(self.bytes_per_second);
        let now = clock.moment();
        let through = {
            let mut free = super::held(&self.free);
            *free = (*free).max(now) + Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX));
            *free
        };
        if now.until(through) > SLACK {
            clock.sleep_until(through).await;
        }
    }
}
