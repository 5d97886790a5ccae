//! The clocks of this host: Linux `CLOCK_BOOTTIME` to decide by, and the date
//! to inform.
//!
//! The boot clock goes on while the host is suspended; the timers a program
//! can sleep on by default do not. So a sleep is cut into slices and the boot
//! clock is read again after each: a lease that ended during a suspension is
//! seen within one slice of waking up.

use std::time::Duration;

use chrono::{DateTime, Utc};
use rustix::time::{ClockId, clock_gettime};

use crate::ground::moment::{Moment, Now};
use crate::ports::Task;
use crate::ports::clock::Clock;

/// The longest a sleep goes without reading the boot clock: how late a sleeper
/// may notice that the host was suspended. Well inside any lease's guard, and
/// rare enough to cost nothing.
pub const SLICE: Duration = Duration::from_secs(5);

/// The real clocks.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn now(&self) -> Now {
        Now { moment: boot(), wall: wall() }
    }

    fn sleep_until(&self, moment: Moment) -> Task<'static, ()> {
        Box::pin(async move {
            loop {
                let left = boot().until(moment);
                if left.is_zero() {
                    return;
                }
                slice(left.min(SLICE)).await;
            }
        })
    }

    /// What the boot clock counted and the monotonic one, which stands still
    /// during a suspension, did not.
    fn suspended(&self) -> Duration {
        // In this order, so that the time between the two calls is not counted.
        let boot = read(ClockId::Boottime);
        boot.saturating_sub(read(ClockId::Monotonic))
    }
}

/// Returns `CLOCK_MONOTONIC`, which the service manager counts by and nothing
/// here decides by.
pub fn monotonic() -> Duration {
    let time = clock_gettime(ClockId::Monotonic);
    let nanoseconds = u32::try_from(time.tv_nsec).unwrap_or(0);
    Duration::new(u64::try_from(time.tv_sec).unwrap_or(0), nanoseconds)
}

fn boot() -> Moment {
    Moment::from_boot(read(ClockId::Boottime))
}

fn read(clock: ClockId) -> Duration {
    let time = clock_gettime(clock);
    let seconds = u64::try_from(time.tv_sec).unwrap_or(0);
    let nanoseconds = u32::try_from(time.tv_nsec).unwrap_or(0);
    Duration::new(seconds, nanoseconds)
}

#[expect(clippy::disallowed_methods, reason = "this is the clock everyone else reads")]
fn wall() -> DateTime<Utc> {
    std::time::SystemTime::now().into()
}

#[expect(clippy::disallowed_methods, reason = "this is the clock everyone else sleeps by")]
async fn slice(span: Duration) {
    tokio::time::sleep(span).await;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_sleep_ends_when_its_moment_has_come_and_not_before() {
        let clock = SystemClock;
        let goal = clock.now().moment + Duration::from_millis(20);
        clock.sleep_until(goal).await;
        assert!(clock.now().moment >= goal);
    }

    #[test]
    fn a_host_that_is_awake_is_not_suspended_meanwhile() {
        let before = SystemClock.suspended();
        let after = SystemClock.suspended();
        assert!(after.abs_diff(before) < Duration::from_millis(500), "{before:?} and {after:?}");
    }

    #[tokio::test]
    async fn a_moment_that_has_passed_is_not_waited_for() {
        let before = SystemClock.now().moment;
        SystemClock.sleep_until(before - Duration::from_secs(60)).await;
        assert!(before.until(SystemClock.now().moment) < Duration::from_secs(1));
    }
}
