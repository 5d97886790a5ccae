//! The ledger of sessions: a union that counts each once, a window that never
//! holds more than are allowed, and what a refusal teaches.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use edm_agent::upload::quota::{Listed, REFUSED_LEAST, SessionLedger, WINDOW};
use proptest::prelude::*;

fn minute(minute: i64) -> DateTime<Utc> {
    DateTime::from_timestamp(1_800_000_000 + minute * 60, 0).unwrap()
}

fn hour(at: i64) -> DateTime<Utc> {
    minute(at * 60)
}

fn listed(session: &str, opened: impl Into<Option<DateTime<Utc>>>) -> Listed {
    Listed { session: session.to_owned(), opened: opened.into(), is_over: false }
}

const HOUR: Duration = Duration::from_secs(3_600);

#[derive(Debug, Clone)]
enum Deed {
    /// Somebody else opens a session.
    Foreign,
    /// We want one, and look at the list first.
    Ours,
    /// We look at the list.
    Look,
    /// The agent starts again.
    Restart,
}

fn deeds() -> impl Strategy<Value = Vec<(i64, Deed)>> {
    let deed =
        prop_oneof![Just(Deed::Foreign), Just(Deed::Ours), Just(Deed::Ours), Just(Deed::Look), Just(Deed::Restart)];
    proptest::collection::vec((0..400_i64, deed), 1..120)
}

proptest! {
    #[test]
    fn no_window_ever_holds_more_than_are_allowed_but_for_those_of_others(deeds in deeds(), allowed in 1..6_u32) {
        let mut ledger = SessionLedger::default();
        // The service: every session, when it was opened, and whether by us.
        let mut truth: Vec<(String, DateTime<Utc>, bool)> = Vec::new();
        let mut now = minute(0);
        let list = |truth: &[(String, DateTime<Utc>, bool)]| {
            truth.iter().map(|(session, at, _)| listed(session, *at)).collect::<Vec<_>>()
        };
        for (pause, deed) in deeds {
            now += TimeDelta::minutes(pause);
            let session = format!("s{}", truth.len());
            match deed {
                Deed::Foreign => truth.push((session, now, false)),
                Deed::Look => ledger.listed(list(&truth), now),
                Deed::Restart => {
                    ledger.forget_old(allowed, now);
                    ledger = SessionLedger::remembered(ledger.own().clone(), ledger.learned().cloned());
                }
                Deed::Ours => {
                    ledger.listed(list(&truth), now);
                    let in_window = truth.iter().filter(|(_, at, _)| *at + WINDOW > now).count();
                    prop_assert_eq!(ledger.used(now) as usize, in_window, "each counts once");
                    match ledger.next_slot(allowed, now) {
                        Some(slot) => {
                            prop_assert!(slot > now && in_window >= allowed as usize);
                            let then = truth.iter().filter(|(_, at, _)| *at + WINDOW > slot).count();
                            prop_assert!(then < allowed as usize, "the slot named is one");
                        }
                        None => {
                            prop_assert!(in_window < allowed as usize, "{in_window} of {allowed} before ours");
                            ledger.opened(&session, now);
                            truth.push((session, now, true));
                        }
                    }
                }
            }
        }
    }

    #[test]
    fn seeing_the_same_sessions_again_in_any_order_changes_nothing(
        opened in proptest::collection::btree_map("[a-f]", 0..2_000_i64, 0..6),
        own in proptest::collection::btree_set("[a-f]", 0..6),
    ) {
        let now = minute(1_500);
        let own: BTreeMap<String, DateTime<Utc>> = own.into_iter().map(|session| (session, minute(1_000))).collect();
        let list: Vec<Listed> = opened.iter().map(|(session, &at)| listed(session, minute(at))).collect();
        let mut once = SessionLedger::remembered(own.clone(), None);
        once.listed(list.clone(), now);
        let mut often = SessionLedger::remembered(own.clone(), None);
        for _ in 0..3 {
            often.listed(list.iter().rev().cloned().collect(), now);
            for session in opened.keys().filter(|session| own.contains_key(*session)) {
                often.opened(session, now);
            }
        }
        prop_assert_eq!(once.window(now), often.window(now));
        let all: BTreeSet<&String> = opened.keys().chain(own.keys()).collect();
        prop_assert!(once.used(now) as usize <= all.len(), "none counts twice");
    }
}

#[test]
fn a_session_that_is_listed_no_more_was_opened_all_the_same() {
    let mut ledger = SessionLedger::default();
    ledger.listed(vec![listed("theirs", hour(1))], hour(2));
    ledger.listed(Vec::new(), hour(3));
    assert_eq!(ledger.used(hour(3)), 1, "it expired, and its slot is spent");
    assert_eq!(ledger.used(hour(25)), 0);
}

#[test]
fn a_session_without_a_date_counts_from_when_it_was_first_seen_and_an_ended_one_not() {
    let mut ledger = SessionLedger::default();
    let ended = Listed { is_over: true, ..listed("ended", None) };
    ledger.listed(vec![listed("open", None), ended.clone()], hour(1));
    assert_eq!(ledger.used(hour(1)), 1);
    ledger.listed(vec![listed("open", None), ended], hour(20));
    assert_eq!(ledger.used(hour(24)), 1);
    ledger.listed(vec![listed("open", None)], hour(26));
    assert_eq!(ledger.used(hour(26)), 0, "seen for a day, it is not seen for the first time again");
}

#[test]
fn the_date_of_the_service_is_better_than_ours() {
    let mut ledger = SessionLedger::default();
    ledger.opened("found-late", hour(20));
    ledger.listed(vec![listed("found-late", hour(2))], hour(20));
    assert_eq!(ledger.next_slot(1, hour(20)), Some(hour(26)));
}

#[test]
fn a_refusal_teaches_the_number_there_is_and_waits_for_the_oldest_to_leave() {
    let mut ledger = SessionLedger::default();
    ledger.listed(vec![listed("a", hour(1)), listed("b", hour(4))], hour(10));

    let again = ledger.refused(5, Some(Duration::from_secs(10)), HOUR * 6, hour(10));

    assert_eq!(again, hour(25), "hours, whatever seconds the service names");
    assert_eq!((ledger.limit(5, hour(10)), ledger.left(2, hour(10))), (2, 0));
    assert_eq!(ledger.next_slot(ledger.allowed(5, 0, hour(24)), hour(24)), Some(hour(25)));
    assert_eq!(ledger.next_slot(ledger.allowed(5, 0, hour(25)), hour(25)), None);
}

#[test]
fn without_a_session_to_wait_for_the_wait_doubles_from_the_backoff_to_a_day() {
    let mut ledger = SessionLedger::default();
    let mut now = hour(0);
    for expected in [6, 12, 24, 24] {
        let again = ledger.refused(5, None, HOUR * 6, now);
        assert_eq!(again, now + TimeDelta::hours(expected));
        assert_eq!(ledger.limit(5, now), 1, "nothing known is not nothing allowed");
        now = again;
    }
    ledger.opened("at last", now);
    assert_eq!(ledger.refused_until(now), None);
    let again = ledger.refused(5, None, HOUR * 6, now);
    assert_eq!(again, now + WINDOW, "there is one to wait for");
}

#[test]
fn a_longer_retry_after_is_obeyed_and_an_oldest_that_leaves_at_once_is_not_asked_for_in_seconds() {
    let mut ledger = SessionLedger::default();
    ledger.opened("a", hour(0));
    assert_eq!(ledger.clone().refused(5, Some(HOUR * 20), HOUR * 6, hour(10)), hour(30));
    let leaves = hour(24) - TimeDelta::seconds(5);
    assert_eq!(ledger.refused(5, None, HOUR * 6, leaves), leaves + REFUSED_LEAST);
    assert_eq!(ledger.refused(5, None, HOUR * 6, hour(25)), hour(37), "refused again with nothing known: hours");
}

#[test]
fn what_was_learned_rises_by_one_a_day_outlives_a_restart_and_is_forgotten_at_the_configured_limit() {
    let mut ledger = SessionLedger::default();
    ledger.listed(vec![listed("a", hour(1)), listed("b", hour(4))], hour(10));
    ledger.refused(5, None, HOUR * 6, hour(10));
    let mut ledger = SessionLedger::remembered(ledger.own().clone(), ledger.learned().cloned());
    for (day, limit) in [(0, 2), (1, 3), (2, 4), (3, 5), (9, 5)] {
        assert_eq!(ledger.limit(5, hour(10 + day * 24)), limit, "day {day}");
    }
    assert_eq!(ledger.limit(2, hour(11)), 2, "a setting that is lower rules");
    assert!(!ledger.forget_old(5, hour(50)));
    assert!(ledger.forget_old(5, hour(100)), "the journal forgets it too");
    assert_eq!(ledger.learned(), None);
}

#[test]
fn sessions_the_service_takes_above_what_was_learned_raise_it() {
    let mut ledger = SessionLedger::default();
    ledger.opened("a", hour(0));
    ledger.refused(5, None, HOUR * 6, hour(1));
    assert_eq!(ledger.limit(5, hour(1)), 1);
    ledger.opened("b", hour(2));
    ledger.opened("c", hour(2));
    assert_eq!(ledger.limit(5, hour(2)), 3);
}

#[test]
fn the_reserve_is_kept_from_who_is_in_no_hurry_and_never_takes_all_that_was_learned() {
    let mut ledger = SessionLedger::default();
    assert_eq!(
        (ledger.allowed(5, 1, hour(0)), ledger.allowed(5, 0, hour(0)), ledger.allowed(1, 1, hour(0))),
        (4, 5, 0)
    );
    ledger.opened("a", hour(0));
    ledger.refused(5, None, HOUR * 6, hour(1));
    assert_eq!(ledger.allowed(5, 1, hour(1)), 1, "the schedule does not stand still over a limit that was guessed");
}
