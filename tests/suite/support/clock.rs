//! A clock that runs on tokio's time, so that a paused test can turn it.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use edm_agent::ground::moment::{Moment, Now};
use edm_agent::ports::Task;
use edm_agent::ports::clock::Clock;

/// How long the host had been up when the test began: far enough from zero
/// that a subtraction below it shows.
const UPTIME: Duration = Duration::from_secs(86_400);

/// Both clocks, driven by tokio's. It was midnight on 1 January 2026 when it
/// was made.
#[derive(Debug, Clone, Copy)]
pub(crate) struct TokioClock {
    started: tokio::time::Instant,
}

impl TokioClock {
    /// Starts the clock.
    #[expect(clippy::disallowed_methods, reason = "this is the clock the tests read")]
    pub(crate) fn start() -> Self {
        Self { started: tokio::time::Instant::now() }
    }

    /// Returns the date the clock was started at.
    pub(crate) fn midnight() -> DateTime<Utc> {
        "2026-01-01T00:00:00Z".parse().unwrap()
    }
}

impl Clock for TokioClock {
    fn now(&self) -> Now {
        let elapsed = self.started.elapsed();
        Now { moment: Moment::from_boot(UPTIME + elapsed), wall: Self::midnight() + elapsed }
    }

    fn sleep_until(&self, moment: Moment) -> Task<'static, ()> {
        let goal = self.started + moment.since_boot().saturating_sub(UPTIME);
        Box::pin(sleep_until(goal))
    }
}

/// A clock whose date can be set, as the other of a host.
#[derive(Debug, Clone)]
pub(crate) struct SetClock {
    clock: TokioClock,
    ahead_ms: Arc<AtomicI64>,
}

impl SetClock {
    /// Puts the date of a clock in a test's hand.
    pub(crate) fn of(clock: TokioClock) -> Self {
        Self { clock, ahead_ms: Arc::default() }
    }

    /// Sets the date ahead of what it would be, or back.
    pub(crate) fn set(&self, ahead: TimeDelta) {
        self.ahead_ms.fetch_add(ahead.num_milliseconds(), Ordering::Relaxed);
    }
}

impl Clock for SetClock {
    fn now(&self) -> Now {
        let now = self.clock.now();
        Now { wall: now.wall + TimeDelta::milliseconds(self.ahead_ms.load(Ordering::Relaxed)), ..now }
    }

    fn sleep_until(&self, moment: Moment) -> Task<'static, ()> {
        self.clock.sleep_until(moment)
    }
}

/// A clock by which nobody wakes who sleeps for longer than a second.
#[derive(Debug, Clone, Copy)]
pub(crate) struct NapClock(pub(crate) TokioClock);

impl Clock for NapClock {
    fn now(&self) -> Now {
        self.0.now()
    }

    fn sleep_until(&self, moment: Moment) -> Task<'static, ()> {
        match self.now().moment.until(moment) <= Duration::from_secs(1) {
            true => self.0.sleep_until(moment),
            false => Box::pin(std::future::pending()),
        }
    }
}

#[expect(clippy::disallowed_methods, reason = "this is the clock the tests sleep by")]
async fn sleep_until(goal: tokio::time::Instant) {
    tokio::time::sleep_until(goal).await;
}
