//! Times: which times of a timetable are dealt with, and when the next runs.
//!
//! What is remembered is one instant: every time up to it is dealt with. So a
//! clock that jumps ahead over several times makes one run, one that is put
//! back makes none again, and neither does an agent that starts again.

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use serde::{Deserialize, Serialize};

use super::timetable::Timetable;
use crate::ground::chance::draw;

/// How far the clock may go back with every time still running once. Further,
/// it was wrong before, and waiting for it to get there again could take years.
const BACK_AT_MOST: TimeDelta = TimeDelta::days(1);
/// The longest `jitter`.
pub const JITTER_AT_MOST: Duration = Duration::from_secs(86_400);

/// What the journal remembers of a table's times.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Remembered {
    /// The expression it is of.
    pub when: String,
    /// The zone it is of.
    pub timezone: String,
    /// What the delays are drawn from.
    pub seed: u64,
    /// Every time up to this one is dealt with.
    pub until: DateTime<Utc>,
}

/// The times of one table.
#[derive(Debug, Clone)]
pub struct Times {
    timetable: Timetable,
    jitter: Duration,
    seed: u64,
    until: DateTime<Utc>,
}

impl Times {
    /// Begins with everything up to `until` dealt with. Each run is delayed by
    /// a draw from `seed` of less than `jitter`, and before the time after it.
    pub fn new(timetable: Timetable, jitter: Duration, seed: u64, until: DateTime<Utc>) -> Self {
        Self { timetable, jitter: jitter.min(JITTER_AT_MOST), seed, until }
    }

    /// Returns the timetable.
    pub const fn timetable(&self) -> &Timetable {
        &self.timetable
    }

    /// Returns the seed and until when everything is dealt with.
    pub const fn memory(&self) -> (u64, DateTime<Utc>) {
        (self.seed, self.until)
    }

    /// Returns when it runs next, its delay included.
    pub fn next(&self) -> Option<DateTime<Utc>> {
        self.timetable.next(self.until).map(|time| self.delayed(time))
    }

    /// Returns until when everything is dealt with by a run that begins now.
    pub fn dealt_with(&self, now: DateTime<Utc>) -> DateTime<Utc> {
        if now <= self.until {
            return self.until;
        }
        // Only the last time before now can be delayed past it.
        let mut last = self.until.max(now - delta(self.jitter));
        while let Some(time) = self.timetable.next(last).filter(|&time| time <= now) {
            if self.delayed(time) > now {
                return last;
            }
            last = time;
        }
        now
    }

    /// Takes a run in.
    pub fn ran(&mut self, until: DateTime<Utc>) {
        self.until = self.until.max(until);
    }

    /// Starts anew from now if the clock was so far ahead that waiting for it
    /// makes no sense; returns whether it was.
    pub fn correct(&mut self, now: DateTime<Utc>) -> bool {
        let was_ahead = self.until - now > BACK_AT_MOST;
        if was_ahead {
            self.until = now;
        }
        was_ahead
    }

    fn delayed(&self, time: DateTime<Utc>) -> DateTime<Utc> {
        let jitter = delta(self.jitter);
        let most = self.timetable.next(time).map_or(jitter, |next| jitter.min(next - time));
        let share = draw(self.seed, time.timestamp().cast_unsigned());
        #[expect(clippy::cast_possible_truncation, reason = "a part of a day in milliseconds")]
        let delay = (most.num_milliseconds() as f64 * share) as i64;
        time + TimeDelta::milliseconds(delay)
    }
}

fn delta(span: Duration) -> TimeDelta {
    TimeDelta::from_std(span).unwrap_or(TimeDelta::MAX)
}
