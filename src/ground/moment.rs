//! Points in time, as the pure floors see them.
//!
//! Leases are judged on the boot clock, which goes on while the host is
//! suspended and never jumps. The wall clock is carried beside it only because
//! the service speaks in dates.

use std::ops::{Add, Sub};
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};

/// A point on the host's boot clock (Linux `CLOCK_BOOTTIME`): the time since
/// the host started, suspension included.
///
/// A moment means nothing to another boot, so it is never written to disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Moment(Duration);

impl Moment {
    /// Returns the moment that lies `since_boot` after the host started.
    pub const fn from_boot(since_boot: Duration) -> Self {
        Self(since_boot)
    }

    /// Returns the time since the host started.
    pub const fn since_boot(self) -> Duration {
        self.0
    }

    /// Returns how long ago `earlier` was, or zero if it is still to come.
    pub const fn since(self, earlier: Self) -> Duration {
        self.0.saturating_sub(earlier.0)
    }

    /// Returns how long it is until `later`, or zero if it has passed.
    pub const fn until(self, later: Self) -> Duration {
        later.0.saturating_sub(self.0)
    }
}

impl Add<Duration> for Moment {
    type Output = Self;

    /// Saturates: a date in the year 9999 is as good as never.
    fn add(self, span: Duration) -> Self {
        Self(self.0.saturating_add(span))
    }
}

impl Sub<Duration> for Moment {
    type Output = Self;

    /// Saturates at the start of the host.
    fn sub(self, span: Duration) -> Self {
        Self(self.0.saturating_sub(span))
    }
}

/// One reading of both clocks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Now {
    /// The boot clock, which decides.
    pub moment: Moment,
    /// The host's idea of the date, which informs.
    pub wall: DateTime<Utc>,
}

impl Now {
    /// Translates a date into a moment, given that it was `date_now` at the
    /// moment of this reading. Dates in the past become moments in the past.
    pub fn moment_of(&self, date: DateTime<Utc>, date_now: DateTime<Utc>) -> Moment {
        let ahead = date.signed_duration_since(date_now);
        match ahead.to_std() {
            Ok(ahead) => self.moment + ahead,
            Err(_) => self.moment - (-ahead).to_std().unwrap_or(Duration::ZERO),
        }
    }

    /// Returns the date at a moment, by this reading of the clocks.
    pub fn date_of(&self, moment: Moment) -> DateTime<Utc> {
        let ahead = TimeDelta::from_std(self.moment.until(moment)).unwrap_or(TimeDelta::MAX);
        let behind = TimeDelta::from_std(self.moment.since(moment)).unwrap_or(TimeDelta::MAX);
        let date = self.wall.checked_add_signed(ahead).unwrap_or(DateTime::<Utc>::MAX_UTC);
        date.checked_sub_signed(behind).unwrap_or(DateTime::<Utc>::MIN_UTC)
    }
}
