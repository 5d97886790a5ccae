//! How many sessions a data store may still have today.
//!
//! The service counts sessions per data store over a rolling day and says
//! nothing until it refuses. A [`SessionLedger`] is the agent's own count: the
//! union, by session id, of what its journal says it opened and of what the
//! service's list shows, so another host's sessions count and none counts
//! twice. Where the service refuses all the same, it learns a lower limit.
//!
//! # Invariants
//!
//! - A session counts once, whoever opened it and however often it is seen.
//! - As long as nothing is opened while [`SessionLedger::next_slot`] names a
//!   time, no rolling window holds more sessions than are allowed.

use std::collections::BTreeMap;
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use serde::{Deserialize, Serialize};

/// The length of the rolling window.
pub const WINDOW: TimeDelta = TimeDelta::hours(24);
/// How long what was learned stands before it is believed to be one too low:
/// a service that lowered its limit refuses again, which costs one request.
pub const RISES_EVERY: TimeDelta = TimeDelta::hours(24);
/// The least a refused creation waits, doubled with every refusal in a row.
pub const REFUSED_LEAST: TimeDelta = TimeDelta::minutes(1);
/// The most a refused creation waits: by then the window is another.
pub const REFUSED_MOST: TimeDelta = WINDOW;
/// Refusals in a row that still double the wait.
const DOUBLINGS: u32 = 10;
/// Sessions of one data store that are remembered; the newest count, and
/// nobody may have as many in a day.
const MOST_SESSIONS: usize = 1_000;

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

/// A session as the service's list shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listed {
    /// The service's id.
    pub session: String,
    /// When it was opened, by this host's clock: the earliest date the service
    /// shows of it, if it shows one.
    pub opened: Option<DateTime<Utc>>,
    /// Whether it is at its end.
    pub is_over: bool,
}

/// What a refusal taught of a data store. Durable, as a fact of the journal.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Learned {
    /// Sessions the service allows in a window.
    pub limit: u32,
    /// When it refused last.
    pub at: DateTime<Utc>,
    /// Until when no session is asked for.
    pub until: Option<DateTime<Utc>>,
    /// Refusals in a row.
    pub refusals: u32,
}

/// The sessions of one data store over the last day.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SessionLedger {
    /// Those this agent opened, and when it knew.
    own: BTreeMap<String, DateTime<Utc>>,
    /// Those of the service's list, and when they were opened.
    listed: BTreeMap<String, DateTime<Utc>>,
    /// Those of the list that show no date, and when they were first seen.
    undated: BTreeMap<String, DateTime<Utc>>,
    learned: Option<Learned>,
}

impl SessionLedger {
    /// Takes up what the journal remembers.
    pub fn remembered(own: BTreeMap<String, DateTime<Utc>>, learned: Option<Learned>) -> Self {
        Self { own, learned, ..Self::default() }
    }

    /// Returns the sessions this agent opened, as the journal is to remember them.
    pub const fn own(&self) -> &BTreeMap<String, DateTime<Utc>> {
        &self.own
    }

    /// Returns what refusals taught, as the journal is to remember it.
    pub const fn learned(&self) -> Option<&Learned> {
        self.learned.as_ref()
    }

    /// Takes in that this agent has a session. The service took it, so what was
    /// learned is not lower than what there is by now.
    pub fn opened(&mut self, session: &str, at: DateTime<Utc>) {
        self.own.entry(session.to_owned()).or_insert(at);
        let used = self.used(at);
        if let Some(learned) = &mut self.learned {
            learned.limit = learned.limit.max(used);
            (learned.refusals, learned.until) = (0, None);
        }
        keep_newest(&mut self.own);
    }

    /// Takes the service's list in, whole. What it showed before and shows no
    /// more was opened all the same, and counts on.
    ///
    /// A session that shows no date counts from when it was first seen, for as
    /// long as it is listed: later than it was opened, so never too little. One
    /// that has ended without any date could be of any day and does not count;
    /// those of this agent do, by the journal.
    pub fn listed(&mut self, sessions: Vec<Listed>, now: DateTime<Utc>) {
        let mut undated = BTreeMap::new();
        for Listed { session, opened, is_over } in sessions {
            match opened {
                Some(at) if at + WINDOW > now => {
                    self.undated.remove(&session);
                    self.listed.insert(session, at.min(now));
                }
                // The service's date is better than ours: it is of another day.
                Some(at) => {
                    self.own.entry(session).and_modify(|ours| *ours = at);
                }
                None if is_over => (),
                None => {
                    let first = self.undated.get(&session).copied().unwrap_or(now);
                    undated.insert(session, first);
                }
            }
        }
        self.undated.retain(|_, first| *first + WINDOW > now);
        self.undated.extend(undated);
        keep_newest(&mut self.listed);
        keep_newest(&mut self.undated);
    }

    /// Returns when each session of the window was opened, oldest first.
    pub fn window(&self, now: DateTime<Utc>) -> Vec<DateTime<Utc>> {
        let mut union: BTreeMap<&str, DateTime<Utc>> = BTreeMap::new();
        for source in [&self.undated, &self.own, &self.listed] {
            union.extend(source.iter().map(|(session, &at)| (session.as_str(), at)));
        }
        let mut recent: Vec<DateTime<Utc>> = union.into_values().filter(|&at| at + WINDOW > now).collect();
        recent.sort_unstable();
        recent
    }

    /// Returns how many sessions the window holds.
    pub fn used(&self, now: DateTime<Utc>) -> u32 {
        u32::try_from(self.window(now).len()).unwrap_or(u32::MAX)
    }

    /// Returns how many sessions may be had in a window: as configured, unless
    /// the service refused at fewer. What was learned rises by one for every
    /// [`RISES_EVERY`] without a refusal.
    pub fn limit(&self, configured: u32, now: DateTime<Utc>) -> u32 {
        let Some(learned) = &self.learned else { return configured };
        let days = (now - learned.at).num_seconds().max(0) / RISES_EVERY.num_seconds();
        configured.min(learned.limit.saturating_add(u32::try_from(days).unwrap_or(u32::MAX)))
    }

    /// Returns how many of them anybody, or somebody in no hurry, may use. A
    /// learned limit never leaves nothing but the reserve.
    pub fn allowed(&self, configured: u32, reserved: u32, now: DateTime<Utc>) -> u32 {
        let limit = self.limit(configured, now);
        let reserved = if limit < configured { reserved.min(limit.saturating_sub(1)) } else { reserved };
        limit.saturating_sub(reserved)
    }

    /// Returns when the next session may be opened under a number of allowed
    /// ones: `None` if now.
    pub fn next_slot(&self, allowed: u32, now: DateTime<Utc>) -> Option<DateTime<Utc>> {
        next_slot(&self.window(now), allowed, now).max(self.refused_until(now))
    }

    /// Returns until when the service does not want to be asked, if it refused.
    pub fn refused_until(&self, now: DateTime<Utc>) -> Option<DateTime<Utc>> {
        self.learned.as_ref()?.until.filter(|&until| until > now)
    }

    /// Returns how many sessions are left of a number of allowed ones.
    pub fn left(&self, allowed: u32, now: DateTime<Utc>) -> u32 {
        if self.refused_until(now).is_some() { 0 } else { allowed.saturating_sub(self.used(now)) }
    }

    /// Takes in that the service refused one more: what it allows is what there
    /// is, and one at the least. Returns when to ask again: when the oldest
    /// known session leaves the window; knowing none, after `backoff`, doubled
    /// with every refusal in a row; in any case not before the service said.
    pub fn refused(
        &mut self,
        configured: u32,
        retry_after: Option<Duration>,
        backoff: Duration,
        now: DateTime<Utc>,
    ) -> DateTime<Utc> {
        let window = self.window(now);
        let known = u32::try_from(window.len()).unwrap_or(u32::MAX).max(1);
        let limit = self.limit(configured, now).min(known);
        let refusals = self.learned.as_ref().map_or(0, |learned| learned.refusals);
        let doubled = |wait: TimeDelta| (wait * (1 << refusals.min(DOUBLINGS))).clamp(REFUSED_LEAST, REFUSED_MOST);
        let span = |span: Duration| TimeDelta::from_std(span).unwrap_or(REFUSED_MOST).min(REFUSED_MOST);
        let again = window.first().map_or_else(|| now + doubled(span(backoff)), |&oldest| oldest + WINDOW);
        let least = now + doubled(REFUSED_LEAST).max(retry_after.map_or(TimeDelta::zero(), span));
        let until = again.max(least);
        self.learned = Some(Learned { limit, at: now, until: Some(until), refusals: refusals + 1 });
        until
    }

    /// Forgets what no longer counts; returns whether the journal has something
    /// to forget as well.
    pub fn forget_old(&mut self, configured: u32, now: DateTime<Utc>) -> bool {
        let before = (self.own.len(), self.learned.is_some());
        self.own.retain(|_, at| *at + WINDOW > now);
        self.listed.retain(|_, at| *at + WINDOW > now);
        if self.limit(configured, now) >= configured && self.refused_until(now).is_none() {
            self.learned = None;
        }
        before != (self.own.len(), self.learned.is_some())
    }
}

/// Keeps a map of sessions within its bound.
fn keep_newest(sessions: &mut BTreeMap<String, DateTime<Utc>>) {
    while sessions.len() > MOST_SESSIONS {
        let Some(oldest) = sessions.iter().min_by_key(|(_, at)| **at).map(|(session, _)| session.clone()) else {
            return;
        };
        sessions.remove(&oldest);
    }
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
    }

    #[test]
    fn a_store_that_may_have_none_waits_a_day() {
        assert_eq!(next_slot(&[], 0, hour(0)), Some(hour(24)));
    }
}
