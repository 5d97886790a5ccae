//! How many sessions a data store may still have today.
//!
//! The service counts sessions per data store over a rolling day and says
//! nothing until it refuses. The agent keeps its own count and leaves a
//! reserve for a person in a hurry.

use chrono::{DateTime, TimeDelta, Utc};

/// The length of the rolling window.
pub const WINDOW: TimeDelta = TimeDelta::hours(24);

/// Returns when the next session may be opened, given when earlier ones were:
/// `None` if now.
pub fn next_slot(opened: &[DateTime<Utc>], allowed: u32, now: DateTime<Utc>) -> Option<DateTime<Utc>> {
    let mut recent: Vec<DateTime<Utc>> = opened.iter().copied().filter(|&at| at + WINDOW > now).collect();
    if recent.len() < allowed as usize {
        return None;
    }
    recent.sort_unstable();
    let freed_by = recent.len() - allowed as usize;
    Some(recent.get(freed_by).map_or(now + WINDOW, |&at| at + WINDOW))
}

/// Returns how many sessions are left of `allowed`.
pub fn left(opened: &[DateTime<Utc>], allowed: u32, now: DateTime<Utc>) -> u32 {
    let recent = opened.iter().filter(|&&at| at + WINDOW > now).count();
    allowed.saturating_sub(u32::try_from(recent).unwrap_or(u32::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hour(hour: i64) -> DateTime<Utc> {
        DateTime::from_timestamp(1_800_000_000 + hour * 3_600, 0).expect("a date of this century")
    }

    #[test]
    fn a_slot_comes_free_a_day_after_it_was_taken() {
        let opened = [hour(0), hour(1), hour(5)];
        assert_eq!(next_slot(&opened, 4, hour(6)), None);
        assert_eq!(next_slot(&opened, 3, hour(6)), Some(hour(24)));
        assert_eq!(next_slot(&opened, 2, hour(6)), Some(hour(25)));
        assert_eq!(next_slot(&opened, 3, hour(24)), None);
        assert_eq!(left(&opened, 5, hour(6)), 2);
        assert_eq!(left(&opened, 2, hour(6)), 0);
    }

    #[test]
    fn a_store_that_may_have_none_waits_a_day() {
        assert_eq!(next_slot(&[], 0, hour(0)), Some(hour(24)));
    }
}
