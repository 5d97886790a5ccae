//! Tables with times, when the agent, the clock or an upload is in the way.

use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use edm_agent::adapters::lookout::Inotify;
use edm_agent::agent::intake::Intake;
use edm_agent::agent::schedule::times::Times;
use edm_agent::agent::schedule::timetable::Timetable;
use edm_agent::agent::settings::{CatchUp, TableSettings};

use super::schedule::{keep, keep_by, one_table, trouble, write_table};
use super::world::{HOUR, House, MINUTE, Op, SECOND};
use crate::support::clock::SetClock;

const DAY: Duration = Duration::from_secs(86_400);

/// A house whose table has a time; it is midnight.
fn house(when: &str, change: impl FnOnce(&mut TableSettings)) -> House {
    let house = House::with(|settings| {
        one_table(settings);
        settings.quota.sessions_per_day = 100;
        settings.table[0].when = when.to_owned();
        // What is uploaded is the same each time, and counted.
        settings.table[0].skip_unchanged = false;
        change(&mut settings.table[0]);
    });
    write_table(&house, 10);
    house
}

fn next(house: &House) -> Option<DateTime<Utc>> {
    house.board.views()[0].next_run
}

fn date(text: &str) -> Option<DateTime<Utc>> {
    Some(text.parse().unwrap())
}

/// Takes up the schedule with another date in a test's hand.
fn by_clock(house: &House, clock: &SetClock) -> Intake {
    Intake { clock: Arc::new(clock.clone()), ..house.intake() }
}

#[tokio::test(start_paused = true)]
async fn times_that_passed_while_no_agent_was_at_work_are_made_up_for_by_one_run() {
    let house = house("30 2 * * *", |_| ());
    let keeping = keep(&house);
    house.pass(HOUR * 2).await;
    drop(keeping);
    house.pass(HOUR * 70).await;

    let house = house.restart();
    let keeping = keep(&house);
    house.pass(MINUTE * 5).await;
    assert_eq!(house.service.count(Op::Create), 1, "three were missed");
    assert_eq!(next(&house), date("2026-01-04T02:30:00Z"));
    drop(keeping);

    let house = house.restart();
    let _keeping = keep(&house);
    house.pass(HOUR).await;
    assert_eq!(house.service.count(Op::Create), 1, "made up for, also for the agent after");
    house.pass(HOUR * 3).await;
    assert_eq!(house.service.count(Op::Create), 2);
}

#[tokio::test(start_paused = true)]
async fn times_that_passed_may_be_let_go() {
    let house = house("30 2 * * *", |table| table.catch_up = CatchUp::None);
    let keeping = keep(&house);
    house.pass(HOUR).await;
    drop(keeping);
    house.pass(HOUR * 30).await;

    let house = house.restart();
    let _keeping = keep(&house);
    house.pass(HOUR * 12).await;
    assert_eq!(house.service.count(Op::Create), 0);
    house.pass(HOUR * 8).await;
    assert_eq!(house.service.count(Op::Create), 1);
}

#[tokio::test(start_paused = true)]
async fn the_first_agent_and_another_expression_make_up_for_nothing() {
    let house = house("30 2 * * *", |_| ());
    house.pass(HOUR * 12).await;
    let keeping = keep(&house);
    house.pass(HOUR).await;
    assert_eq!(house.service.count(Op::Create), 0);
    drop(keeping);

    let mut house = house;
    Arc::make_mut(&mut house.settings).table[0].when = "0 12 * * *".to_owned();
    let house = house.restart();
    house.pass(DAY * 2).await;
    let _keeping = keep(&house);
    house.pass(HOUR).await;
    assert_eq!(house.service.count(Op::Create), 0);
    assert_eq!(next(&house), date("2026-01-04T12:00:00Z"));
}

#[tokio::test(start_paused = true)]
async fn a_clock_that_jumps_ahead_makes_one_run_and_one_that_is_put_back_none_again() {
    let house = house("30 2 * * *", |_| ());
    let clock = SetClock::of(house.clock);
    let _keeping = keep_by(by_clock(&house, &clock), Box::new(Inotify::new()));
    house.pass(HOUR).await;

    clock.set(TimeDelta::days(3));
    house.pass(MINUTE * 2).await;
    assert_eq!(house.service.count(Op::Create), 1, "three times have come");
    house.pass(HOUR).await;
    clock.set(TimeDelta::hours(-20));
    house.pass(HOUR * 19).await;
    assert_eq!(house.service.count(Op::Create), 1, "02:30 came again");
    house.pass(HOUR * 6).await;
    assert_eq!(house.service.count(Op::Create), 2, "02:30 of the day after");
}

#[tokio::test(start_paused = true)]
async fn a_clock_that_was_years_ahead_is_not_waited_for() {
    let house = house("30 2 * * *", |_| ());
    let clock = SetClock::of(house.clock);
    clock.set(TimeDelta::days(2_000));
    let _keeping = keep_by(by_clock(&house, &clock), Box::new(Inotify::new()));
    house.pass(HOUR * 3).await;
    assert_eq!(house.service.count(Op::Create), 1);

    clock.set(TimeDelta::days(-2_000));
    house.pass(HOUR).await;
    assert_eq!(next(&house), date("2026-01-02T02:30:00Z"));
    house.pass(DAY).await;
    assert_eq!(house.service.count(Op::Create), 2);
}

#[tokio::test(start_paused = true)]
async fn a_run_is_delayed_by_the_same_draw_whoever_starts_again_and_shown_with_it() {
    let house = house("30 2 * * *", |table| table.jitter = HOUR * 2);
    let keeping = keep(&house);
    house.pass(MINUTE).await;
    let shown = next(&house).unwrap();
    let delay = shown - date("2026-01-01T02:30:00Z").unwrap();
    assert!(delay >= TimeDelta::zero() && delay < TimeDelta::hours(2), "{delay}");
    drop(keeping);

    let house = house.restart();
    let _keeping = keep(&house);
    house.pass(MINUTE).await;
    assert_eq!(next(&house), Some(shown));
    let until = (shown - date("2026-01-01T00:02:00Z").unwrap()).to_std().unwrap();
    house.pass(until - SECOND).await;
    assert_eq!(house.service.count(Op::Create), 0);
    house.pass(SECOND * 5).await;
    assert_eq!(house.service.count(Op::Create), 1);

    let mut delays = std::collections::BTreeSet::new();
    house.pass(HOUR * 8).await;
    for day in 2..9 {
        let shown = next(&house).unwrap();
        let delay = shown - date(&format!("2026-01-{day:02}T02:30:00Z")).unwrap();
        assert!(delay >= TimeDelta::zero() && delay < TimeDelta::hours(2), "{delay}");
        delays.insert(delay);
        // It is noon or so.
        house.pass(DAY).await;
    }
    assert!(delays.len() > 3, "each time has a draw of its own: {delays:?}");
    assert_eq!(house.service.count(Op::Create), 8);
}

#[test]
fn a_delay_ends_before_the_time_after_it_and_no_run_is_left_out() {
    let timetable = Timetable::parse("*/10 * * * *", chrono_tz::UTC).unwrap();
    let midnight = date("2026-01-01T00:00:00Z").unwrap();
    for seed in 0..20 {
        let mut times = Times::new(timetable.clone(), HOUR * 24, seed, midnight);
        for ten in 1..100_i32 {
            let at = times.next().unwrap();
            let since = at - midnight;
            assert!(since >= TimeDelta::minutes(10) * ten && since < TimeDelta::minutes(10) * (ten + 1), "{since}");
            assert_eq!(
                Times::new(timetable.clone(), HOUR * 24, seed, times.dealt_with(at - TimeDelta::milliseconds(1)))
                    .next(),
                Some(at)
            );
            times.ran(times.dealt_with(at));
        }
    }
}

#[test]
fn a_run_deals_with_all_times_but_one_that_is_still_delayed() {
    let timetable = Timetable::parse("0 * * * *", chrono_tz::UTC).unwrap();
    let midnight = date("2026-01-01T00:00:00Z").unwrap();
    for seed in 0..50 {
        let mut times = Times::new(timetable.clone(), HOUR, seed, midnight);
        let now = date("2026-01-05T12:30:00Z").unwrap();
        times.ran(times.dealt_with(now));
        let next = times.next().unwrap();
        assert!(next > now, "{next}");
        let noon = date("2026-01-05T12:00:00Z").unwrap();
        let first = Times::new(timetable.clone(), HOUR, seed, noon - TimeDelta::seconds(1)).next().unwrap();
        assert_eq!(next < noon + TimeDelta::hours(1), first > now, "what was due at noon runs unless it has: {first}");
    }
}

#[tokio::test(start_paused = true)]
async fn times_that_come_during_an_upload_make_one_run_after_it() {
    let house = house("*/10 * * * *", |_| ());
    house.store.takes(MINUTE * 40);
    let _keeping = keep(&house);
    house.pass(MINUTE * 45).await;
    let picture = house.picture().await;
    assert_eq!((picture.uploads.len(), house.service.count(Op::Create)), (1, 1), "three times came meanwhile");
    let view = house.board.views().remove(0);
    assert_eq!(view.doing, "waiting");
    assert!(view.why.unwrap().contains(&picture.uploads[0].upload));

    house.store.takes(SECOND);
    let begun = picture.uploads[0].upload.clone();
    house.until(&begun, HOUR, |view| view.is_closed()).await;
    house.pass(MINUTE).await;
    assert_eq!(house.service.count(Op::Create), 2);
    assert_eq!(next(&house), date("2026-01-01T01:00:00Z"));
}

#[tokio::test(start_paused = true)]
async fn a_time_waits_for_its_file_and_says_so() {
    let house = house("30 2 * * *", |_| ());
    std::fs::remove_file(&house.settings.table[0].path).unwrap();
    let _keeping = keep(&house);
    house.pass(HOUR * 5).await;
    let view = house.board.views().remove(0);
    assert_eq!(view.doing, "waiting");
    assert!(trouble(&house).contains("letters.csv: No such file"), "{}", trouble(&house));

    write_table(&house, 10);
    house.pass(MINUTE).await;
    assert_eq!((house.service.count(Op::Create), trouble(&house)), (1, String::new()));
    assert_eq!(next(&house), date("2026-01-02T02:30:00Z"));
}

#[tokio::test(start_paused = true)]
async fn the_next_run_is_shown_by_the_clock_of_the_zone() {
    let house = house("30 2 * * *", |table| table.timezone = "America/New_York".to_owned());
    let _keeping = keep(&house);
    house.pass(SECOND).await;
    let view = house.board.views().remove(0);
    assert_eq!(view.next_run, date("2026-01-01T07:30:00Z"));
    assert_eq!(view.next_run_local.as_deref(), Some("2026-01-01T02:30:00-05:00"));
    house.pass(HOUR * 7).await;
    assert_eq!(house.service.count(Op::Create), 0);
    house.pass(HOUR).await;
    assert_eq!(house.service.count(Op::Create), 1);
}
