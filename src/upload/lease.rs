//! How long a session and its upload URI still hold, and when to renew them.
//!
//! Two clocks run for each session. The upload URI says when it ends; the
//! session does not, so its life is a configured guess. The lease ends with the
//! earlier of the two, counted from the *start* of the request that granted
//! it: whatever time the answer took, the service began counting no earlier.
//! The draw depends on the seed and the number of renewals alone, so a restart
//! renews when the dead agent would have.

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};

use super::policy::Policy;
use crate::ground::chance::draw;
use crate::ground::moment::{Moment, Now};

/// A session that has not outlived one renewal is renewed within this time:
/// until then its life is a guess that nothing has confirmed.
const FIRST_RENEWAL: Duration = Duration::from_secs(300);

/// The part of a lease's life that bounds the guard, so that short leases are
/// not all guard.
const GUARD_SHARE: f64 = 0.05;

/// `Date` has whole seconds, rounded down: the service's clock may be this far
/// ahead of it.
const DATE_GRAIN: TimeDelta = TimeDelta::seconds(1);

/// The life granted to a session.
#[derive(Debug, Clone, PartialEq)]
pub struct Lease {
    granted: Moment,
    extended: Moment,
    session_end: Moment,
    uri_end: Option<Moment>,
    guard: Duration,
    renew_at: Moment,
}

/// What is known when a lease begins.
#[derive(Debug, Clone, Copy)]
pub struct Grant {
    /// When the request that granted or showed it started.
    pub asked: Moment,
    /// When the session was last opened or renewed, by the boot clock.
    pub extended: Moment,
    /// The end the upload URI names, by the store's clock.
    pub uri_expires: Option<DateTime<Utc>>,
    /// The service's date in the answer.
    pub server_time: Option<DateTime<Utc>>,
    /// How often the session was renewed so far.
    pub renewals: u32,
}

impl Lease {
    /// Makes the lease of a grant.
    pub fn new(grant: Grant, now: Now, policy: &Policy, seed: u64) -> Self {
        let session_end = grant.extended + policy.session_ttl;
        let uri_end = grant.uri_expires.map(|end| uri_end(end, &grant, now));
        let end = uri_end.map_or(session_end, |uri_end| uri_end.min(session_end));
        let life = grant.extended.until(end);
        let [from, to] = policy.renew_window;
        let share = from + (to - from) * draw(seed, u64::from(grant.renewals));
        let drawn = grant.extended + life.mul_f64(share.clamp(0.0, 1.0));
        let renew_at = match grant.renewals {
            0 => drawn.min(grant.extended + FIRST_RENEWAL),
            _ => drawn,
        };
        Self {
            granted: grant.asked,
            extended: grant.extended,
            session_end,
            uri_end,
            guard: policy.guard.min(life.mul_f64(GUARD_SHARE)),
            renew_at,
        }
    }

    /// Returns when it ends.
    pub fn end(&self) -> Moment {
        self.uri_end.map_or(self.session_end, |uri_end| uri_end.min(self.session_end))
    }

    /// Returns when the upload URI ends, if it says.
    pub const fn uri_end(&self) -> Option<Moment> {
        self.uri_end
    }

    /// Returns when it is to be renewed.
    pub const fn renew_at(&self) -> Moment {
        self.renew_at
    }

    /// Returns when the request that granted it started.
    pub const fn granted(&self) -> Moment {
        self.granted
    }

    /// Returns the part of its life that is left, from 0 to 1. Its life began
    /// when the session was last opened or renewed.
    pub fn share_left(&self, now: Moment) -> f64 {
        let life = self.extended.until(self.end()).as_secs_f64();
        if life > 0.0 { (now.until(self.end()).as_secs_f64() / life).clamp(0.0, 1.0) } else { 0.0 }
    }

    /// Returns whether something may be sent under it now: at least the guard
    /// remains.
    pub fn covers(&self, now: Moment) -> bool {
        now + self.guard < self.end()
    }

    /// Returns the last moment at which something may be sent under it.
    pub fn last_use(&self) -> Moment {
        self.end() - self.guard
    }

    /// Returns whether it has ended.
    pub fn has_ended(&self, now: Moment) -> bool {
        now >= self.end()
    }

    /// Returns whether the session has ended, whatever became of its upload URI.
    pub fn session_has_ended(&self, now: Moment) -> bool {
        now >= self.session_end
    }

    /// Moves the renewal forward to now.
    pub fn renew_now(&mut self, now: Moment) {
        self.renew_at = self.renew_at.min(now);
    }
}

/// Translates the end an upload URI names to the boot clock. The service's own
/// date at the answer is the best clock there is for it; without one the
/// host's must do.
fn uri_end(end: DateTime<Utc>, grant: &Grant, now: Now) -> Moment {
    let anchor = Now { moment: grant.asked, wall: now.wall };
    anchor.moment_of(end, latest_date(grant.server_time, grant.asked, now))
}

/// Returns the latest date it may have been when a request started: by the
/// service's clock if the answer says it, which it said only later; else by
/// this host's.
pub fn latest_date(server_time: Option<DateTime<Utc>>, asked: Moment, now: Now) -> DateTime<Utc> {
    server_time.map_or_else(|| now.date_of(asked), |date| date.checked_add_signed(DATE_GRAIN).unwrap_or(date))
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn at(seconds: u64) -> Now {
        let wall = DateTime::from_timestamp(1_800_000_000 + seconds as i64, 0).unwrap();
        Now { moment: Moment::from_boot(SECOND * seconds as u32), wall }
    }

    fn grant(asked: u64, uri_life: Option<i64>, server_ahead: i64, renewals: u32) -> Grant {
        let server_time = at(asked).wall + TimeDelta::seconds(server_ahead);
        Grant {
            asked: at(asked).moment,
            extended: at(asked).moment,
            uri_expires: uri_life.map(|life| server_time + TimeDelta::seconds(life)),
            server_time: Some(server_time),
            renewals,
        }
    }

    #[test]
    fn it_ends_with_the_earlier_of_its_two_clocks() {
        let policy = Policy { session_ttl: SECOND * 100, ..Policy::default() };
        let by_uri = Lease::new(grant(50, Some(31), 0, 1), at(50), &policy, 1);
        assert_eq!(by_uri.end(), at(80).moment, "a second is left for the grain of the date");
        let by_session = Lease::new(grant(50, Some(1_000), 0, 1), at(50), &policy, 1);
        assert_eq!(by_session.end(), at(150).moment);
    }

    #[test]
    fn a_service_whose_clock_is_off_changes_nothing() {
        let policy = Policy::default();
        let plain = Lease::new(grant(50, Some(600), 0, 1), at(50), &policy, 1);
        for ahead in [-86_400, -60, 60, 86_400] {
            assert_eq!(Lease::new(grant(50, Some(600), ahead, 1), at(50), &policy, 1), plain);
        }
    }

    #[test]
    fn a_slow_answer_does_not_lengthen_it() {
        let policy = Policy { session_ttl: SECOND * 100, ..Policy::default() };
        let late = Lease::new(grant(50, None, 0, 1), at(90), &policy, 1);
        assert_eq!(late.end(), at(150).moment);
    }

    #[test]
    fn the_draw_lies_in_the_window_and_the_first_comes_early() {
        let policy = Policy::default();
        for renewals in 1..200 {
            let lease = Lease::new(grant(0, None, 0, renewals), at(0), &policy, 9);
            let share = lease.renew_at().since_boot().as_secs_f64() / 3_600.0;
            assert!((0.35..=0.60).contains(&share), "{share}");
        }
        let first = Lease::new(grant(0, None, 0, 0), at(0), &policy, 9);
        assert!(first.renew_at() <= at(300).moment);
    }

    #[test]
    fn the_share_that_is_left_falls_from_one_to_nothing() {
        let policy = Policy { session_ttl: SECOND * 100, ..Policy::default() };
        let lease = Lease::new(grant(50, None, 0, 1), at(50), &policy, 1);
        let shares = [50, 75, 150, 200].map(|second| lease.share_left(at(second).moment));
        assert_eq!(shares, [1.0, 0.75, 0.0, 0.0]);
    }

    #[test]
    fn the_guard_of_a_short_lease_is_a_twentieth_of_it() {
        let policy = Policy { session_ttl: SECOND * 100, ..Policy::default() };
        let lease = Lease::new(grant(0, None, 0, 1), at(0), &policy, 1);
        assert!(lease.covers(at(94).moment));
        assert!(!lease.covers(at(95).moment));
    }
}
