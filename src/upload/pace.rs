//! How long to wait before asking again.
//!
//! Decorrelated jitter (M. Brooker, "Exponential Backoff and Jitter"): each
//! wait is drawn between the last one and three times it, under a cap; near
//! the cap, between half of it and all. Brooker draws from the base each time,
//! which lets an unlucky walk stay short: here the requests of an outage have
//! a bound. Agents that failed together drift apart, and a wait really waits.

use std::time::Duration;

use crate::ground::chance::draw;
use crate::ground::moment::Moment;

/// The waits of one kind of request.
#[derive(Debug, Clone)]
pub struct Pace {
    seed: u64,
    draws: u64,
    last: Duration,
    failures: u32,
    not_before: Moment,
    /// Until when the other side asked to be left alone.
    named: Moment,
}

/// The longest time obeyed that the other side names: an hour is long enough
/// to be no burden, and a year is a mistake.
const LONGEST_NAMED: Duration = Duration::from_secs(3_600);

impl Pace {
    /// Makes a pace that lets the first attempt through.
    pub fn new(seed: u64) -> Self {
        Self {
            seed,
            draws: 0,
            last: Duration::ZERO,
            failures: 0,
            not_before: Moment::default(),
            named: Moment::default(),
        }
    }

    /// Returns the moment before which nothing may be asked.
    pub const fn not_before(&self) -> Moment {
        self.not_before
    }

    /// Returns how many attempts failed since the last success.
    pub const fn failures(&self) -> u32 {
        self.failures
    }

    /// Takes a failure in: waits between `base` and `cap`, and at least as
    /// long as the other side asked.
    ///
    /// What fails while a wait runs was sent before it began and says nothing
    /// new, unless it names a time: many that fail together are one failure.
    pub fn failed(&mut self, now: Moment, base: Duration, cap: Duration, asked: Option<Duration>) {
        let asked = asked.map(|asked| asked.min(LONGEST_NAMED));
        self.failures = self.failures.saturating_add(1);
        if let Some(asked) = asked {
            self.named = self.named.max(now + asked);
        }
        if now < self.not_before {
            self.not_before = self.not_before.max(self.named);
            return;
        }
        let base = base.min(cap);
        let least = self.last.clamp(base, base.max(cap / 2));
        let most = (self.last.max(base) * 3).min(cap);
        let spread = most.saturating_sub(least).as_secs_f64();
        let wait = least + Duration::from_secs_f64(spread * draw(self.seed, self.draws));
        self.draws += 1;
        self.last = wait;
        // A server that names a time is obeyed, with a little of its own jitter
        // on top so that everyone it turned away does not come back at once.
        let wait = asked.map_or(wait, |asked| asked + wait / 4).max(wait);
        self.not_before = now + wait;
    }

    /// Takes a success in. A time the other side named is waited out all the same.
    pub fn succeeded(&mut self) {
        self.last = Duration::ZERO;
        self.failures = 0;
        self.not_before = self.named;
    }

    /// Asks for a fixed wait, which is no failure.
    pub fn rest(&mut self, now: Moment, wait: Duration) {
        self.not_before = self.not_before.max(now + wait);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn waits_grow_to_the_cap_and_never_vanish() {
        let mut pace = Pace::new(1);
        let mut now = Moment::default();
        let mut waits = Vec::new();
        for _ in 0..50 {
            pace.failed(now, SECOND, SECOND * 60, None);
            waits.push(now.until(pace.not_before()));
            now = pace.not_before();
        }
        assert!(waits.iter().all(|&wait| wait >= SECOND && wait <= SECOND * 60), "{waits:?}");
        assert!(waits.iter().any(|&wait| wait > SECOND * 30), "{waits:?}");
        pace.succeeded();
        assert!(pace.not_before() <= now);
    }

    #[test]
    fn a_time_the_server_names_is_waited_out() {
        let mut pace = Pace::new(1);
        pace.failed(Moment::default(), SECOND, SECOND * 2, Some(SECOND * 30));
        assert!(pace.not_before() >= Moment::default() + SECOND * 30);
    }
}
