//! The timetable: when a cron expression comes round, in a time zone.
//!
//! A wall clock that is put forward leaves times out, one that is put back
//! shows some twice. An expression that names its hours is meant once for each
//! of them: times left out run once, together, when the gap ends, and times
//! shown twice run at their first showing. An expression that runs in every
//! hour is meant by elapsed time, as Vixie cron takes it: it runs whenever the
//! wall clock shows one of its times, so it goes on through a repeated hour and
//! has nothing to make up for after a gap.
//!
//! Nothing here reads a clock: see [`super::times`] for what is due.

use chrono::{DateTime, LocalResult, NaiveDateTime, Offset, TimeDelta, TimeZone, Utc};
use chrono_tz::{TZ_VARIANTS, Tz};
use croner::Cron;

/// Longer than any clock was ever put forward or back by, and than any zone is
/// away from UTC, together.
const WINDOW: TimeDelta = TimeDelta::days(3);
/// Letters that a slip in the name of a zone may be away from the name.
const SLIP: usize = 3;

/// A cron expression in a time zone.
#[derive(Debug, Clone)]
pub struct Timetable {
    cron: Cron,
    zone: Tz,
    /// Whether the expression runs in every hour of a day.
    hourly: bool,
}

impl Timetable {
    /// Reads a cron expression.
    ///
    /// # Errors
    ///
    /// Says what about it is wrong; also of one that never comes round, such as
    /// a 30 February.
    pub fn parse(expression: &str, zone: Tz) -> Result<Self, String> {
        let cron: Cron = expression.parse().map_err(|error: croner::errors::CronError| error.to_string())?;
        let hourly = (0..24).all(|hour| cron.pattern.hour_match(hour).unwrap_or(false));
        let timetable = Self { cron, zone, hourly };
        match timetable.next(DateTime::UNIX_EPOCH) {
            Some(_) => Ok(timetable),
            None => Err("it never comes round".to_owned()),
        }
    }

    /// Returns the zone.
    pub const fn zone(&self) -> Tz {
        self.zone
    }

    /// Returns the first time after `after`, to the second.
    pub fn next(&self, after: DateTime<Utc>) -> Option<DateTime<Utc>> {
        let local = after.with_timezone(&self.zone).naive_local();
        let ahead = self.first(local, |shown| self.instants(shown).into_iter().flatten().find(|&at| at > after));
        match self.zone.from_local_datetime(&local) {
            // The wall clock is about to show times again that lie behind it now.
            LocalResult::Ambiguous(first, again) if self.hourly && after < again => {
                let before = local.checked_sub_signed(again.to_utc() - first.to_utc())?;
                let repeated = self.first(before, |shown| self.instants(shown)[1].filter(|&at| at > after));
                ahead.into_iter().chain(repeated).min()
            }
            LocalResult::Ambiguous(..) | LocalResult::Single(_) | LocalResult::None => ahead,
        }
    }

    /// Returns the first time of the expression, by a wall clock that is never
    /// set, that is of use.
    fn first(
        &self,
        mut shown: NaiveDateTime,
        of_use: impl Fn(NaiveDateTime) -> Option<DateTime<Utc>>,
    ) -> Option<DateTime<Utc>> {
        loop {
            shown = self.cron.find_next_occurrence(&shown, false).ok()?;
            if let Some(at) = of_use(shown) {
                return Some(at);
            }
        }
    }

    /// Returns when a time of the expression runs: in order, and at most twice.
    fn instants(&self, shown: NaiveDateTime) -> [Option<DateTime<Utc>>; 2] {
        match self.zone.from_local_datetime(&shown) {
            LocalResult::Single(at) => [Some(at.to_utc()), Some(at.to_utc())],
            LocalResult::Ambiguous(first, again) => [Some(first.to_utc()), self.hourly.then(|| again.to_utc())],
            LocalResult::None if self.hourly => [None, None],
            LocalResult::None => [Some(self.end_of_gap(shown)), None],
        }
    }

    /// Returns when the gap ends that a wall clock time is in: the first second
    /// at which the clock shows something later.
    fn end_of_gap(&self, shown: NaiveDateTime) -> DateTime<Utc> {
        let is_past = |at: DateTime<Utc>| {
            let offset = self.zone.offset_from_utc_datetime(&at.naive_utc()).fix();
            at.naive_utc() + offset > shown
        };
        let (mut before, mut after) = (shown.and_utc() - WINDOW, shown.and_utc() + WINDOW);
        while after - before > TimeDelta::seconds(1) {
            let middle = before + TimeDelta::seconds((after - before).num_seconds() / 2);
            match is_past(middle) {
                true => after = middle,
                false => before = middle,
            }
        }
        after
    }
}

/// Finds a time zone by its IANA name, such as `Europe/Berlin`.
///
/// # Errors
///
/// Says what is meant, perhaps.
pub fn zone(name: &str) -> Result<Tz, String> {
    name.parse().map_err(|_| {
        let distance = |known: &&Tz| strsim::damerau_levenshtein(&known.name().to_lowercase(), &name.to_lowercase());
        let near = TZ_VARIANTS.iter().min_by_key(distance).filter(|known| distance(known) <= SLIP);
        let near = near.map_or_else(String::new, |known| format!("; {} is one", known.name()));
        format!("must be UTC or a name of the IANA time zone database, such as Europe/Berlin{near}")
    })
}
