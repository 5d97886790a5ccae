//! The service's clock and the forms of its times.
//!
//! The service is another machine: its date follows the boot clock from where
//! it stood at the start, so a wall clock that is set on the agent's host does
//! not set the service's.

use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Duration as Span, FixedOffset, SubsecRound, Timelike, Utc};

use super::quirks::{Offset, Quirks};
use crate::ground::moment::{Moment, Now};
use crate::ports::clock::Clock;

/// The service's clock.
pub(super) struct ServiceClock {
    clock: Arc<dyn Clock>,
    start: Now,
    offset: Offset,
}

impl ServiceClock {
    pub(super) fn new(clock: Arc<dyn Clock>, offset: Offset) -> Self {
        let start = clock.now();
        Self { clock, start, offset }
    }

    /// Returns the service's date.
    pub(super) fn date(&self) -> DateTime<Utc> {
        let date = self.start.date_of(self.moment());
        match self.offset {
            Offset::None => date,
            Offset::Ahead(span) => later(date, span),
            Offset::Behind(span) => date.checked_sub_signed(signed(span)).unwrap_or(DateTime::<Utc>::MIN_UTC),
        }
    }

    /// Returns the boot clock.
    pub(super) fn moment(&self) -> Moment {
        self.clock.now().moment
    }

    /// Sleeps until a moment.
    pub(super) async fn sleep_until(&self, moment: Moment) {
        self.clock.sleep_until(moment).await;
    }

    /// Sleeps for a while.
    pub(super) async fn sleep(&self, span: Duration) {
        if !span.is_zero() {
            self.sleep_until(self.moment() + span).await;
        }
    }
}

fn signed(span: Duration) -> Span {
    Span::from_std(span).unwrap_or(Span::MAX)
}

/// Returns the date `span` after another; the end of time if that is later.
pub(super) fn later(date: DateTime<Utc>, span: Duration) -> DateTime<Utc> {
    date.checked_add_signed(signed(span)).unwrap_or(DateTime::<Utc>::MAX_UTC)
}

/// Returns the next whole second: a signature's end has no fraction, and one
/// that is rounded down could be over before it is handed out.
pub(super) fn whole_second(date: DateTime<Utc>) -> DateTime<Utc> {
    if date.nanosecond() == 0 { date } else { later(date.trunc_subsecs(0), Duration::from_secs(1)) }
}

/// Writes the end of a signature.
pub(super) fn signature_date(date: DateTime<Utc>) -> String {
    date.format("%Y-%m-%dT%H:%M:%SZ").to_string()
}

/// Writes a `Date` header.
pub(super) fn http_date(date: DateTime<Utc>) -> String {
    date.format("%a, %d %b %Y %H:%M:%S GMT").to_string()
}

/// Writes a time as a property of an object, in the form the quirks ask for.
pub(super) fn property(date: DateTime<Utc>, quirks: &Quirks) -> String {
    let zone = FixedOffset::east_opt(quirks.time_zone_minutes * 60).filter(|zone| zone.local_minus_utc() != 0);
    let nanos = format!("{:09}", date.nanosecond() % 1_000_000_000);
    let digits = &nanos[..usize::from(quirks.time_digits.min(9))];
    let fraction = if digits.is_empty() { String::new() } else { format!(".{digits}") };
    match zone {
        None => format!("{}{fraction}Z", date.format("%Y-%m-%dT%H:%M:%S")),
        Some(zone) => {
            let local = date.with_timezone(&zone);
            format!("{}{fraction}{}", local.format("%Y-%m-%dT%H:%M:%S"), local.format("%:z"))
        }
    }
}
