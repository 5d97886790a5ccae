//! When a cron expression comes round where clocks are set, against a model
//! that knows only what the wall clock shows.

use chrono::{DateTime, NaiveDateTime, TimeDelta, Timelike, Utc};
use chrono_tz::Tz;
use edm_agent::agent::schedule::timetable::{Timetable, zone};
use proptest::prelude::*;
use proptest::sample::select;

/// Zones that put their clocks forward and back at night, at midnight, by half
/// an hour, by two hours, in the southern half of the world, or never.
const ZONES: [&str; 8] = [
    "Europe/Berlin",
    "America/New_York",
    "Australia/Lord_Howe",
    "America/Santiago",
    "Africa/Cairo",
    "Antarctica/Troll",
    "Pacific/Chatham",
    "UTC",
];

/// How often the model looks at the wall clock; every time here is on it.
const STEP: TimeDelta = TimeDelta::minutes(15);

fn date(text: &str) -> DateTime<Utc> {
    text.parse().unwrap()
}

fn runs(expression: &str, zone: Tz, from: DateTime<Utc>, to: DateTime<Utc>) -> Vec<DateTime<Utc>> {
    let timetable = Timetable::parse(expression, zone).unwrap();
    let mut runs = Vec::new();
    let mut at = from;
    loop {
        at = timetable.next(at).unwrap();
        if at > to {
            return runs;
        }
        runs.push(at);
    }
}

/// Looks at the wall clock all the time. What is meant once for each time it
/// shows runs when it shows that time or a later one for the first time; what
/// goes by elapsed time runs whenever it shows a time.
fn model(
    zone: Tz,
    from: DateTime<Utc>,
    to: DateTime<Utc>,
    hourly: bool,
    is_time: impl Fn(NaiveDateTime) -> bool,
) -> Vec<DateTime<Utc>> {
    let mut runs = Vec::new();
    let mut latest = from.with_timezone(&zone).naive_local();
    let mut at = from;
    while at < to {
        at += STEP;
        let shown = at.with_timezone(&zone).naive_local();
        let mut is_run = hourly && is_time(shown);
        while !hourly && latest < shown {
            latest += STEP;
            is_run |= is_time(latest);
        }
        if is_run {
            runs.push(at);
        }
    }
    runs
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_daily_time_runs_once_a_day_wherever_clocks_are_set(
        name in select(&ZONES[..]),
        hour in 0..24_u32,
        quarter in 0..4_u32,
    ) {
        let (zone, minute) = (zone(name).unwrap(), quarter * 15);
        let (from, to) = (date("2026-01-01T12:00:00Z"), date("2029-01-01T12:00:00Z"));

        let ours = runs(&format!("{minute} {hour} * * *"), zone, from, to);

        let theirs = model(zone, from, to, false, |shown| (shown.hour(), shown.minute()) == (hour, minute));
        prop_assert_eq!(&ours, &theirs, "{} {}:{}", name, hour, minute);
        let mut days: Vec<_> = ours.iter().map(|run| run.with_timezone(&zone).date_naive()).collect();
        days.dedup();
        prop_assert_eq!(days.len(), ours.len(), "no day twice");
        prop_assert!((1_095..=1_096).contains(&ours.len()), "no day is left out: {}", ours.len());
    }

    #[test]
    fn any_hours_and_minutes_run_as_the_wall_clock_says(
        name in select(&ZONES[..]),
        hours in prop::collection::btree_set(0..24_u32, 1..=24),
        minutes in prop::collection::btree_set(select(vec![0_u32, 15, 30, 45]), 1..=4),
        month in 1..=12_u32,
    ) {
        let zone = zone(name).unwrap();
        let from = date(&format!("2026-{month:02}-01T00:00:00Z"));
        let to = from + TimeDelta::days(60);
        let list = |numbers: &std::collections::BTreeSet<u32>| {
            numbers.iter().map(u32::to_string).collect::<Vec<_>>().join(",")
        };

        let ours = runs(&format!("{} {} * * *", list(&minutes), list(&hours)), zone, from, to);

        let is_time = |shown: NaiveDateTime| hours.contains(&shown.hour()) && minutes.contains(&shown.minute());
        prop_assert_eq!(ours, model(zone, from, to, hours.len() == 24, is_time), "{} {:?} {:?}", name, hours, minutes);
    }
}

/// Shows runs by the wall clock of their zone.
fn shown(expression: &str, name: &str, from: &str, to: &str) -> Vec<String> {
    let zone = zone(name).unwrap();
    let runs = runs(expression, zone, date(from), date(to));
    runs.into_iter().map(|run| run.with_timezone(&zone).format("%H:%M%:z").to_string()).collect()
}

#[test]
fn a_time_in_the_gap_runs_when_it_ends_and_several_run_together() {
    let night = |expression| shown(expression, "Europe/Berlin", "2026-03-28T23:30:00Z", "2026-03-29T02:30:00Z");
    assert_eq!(night("30 2 * * *"), ["03:00+02:00"]);
    assert_eq!(night("*/15 2 * * *"), ["03:00+02:00"], "four times, one run");
    assert_eq!(night("0,30 2,3 * * *"), ["03:00+02:00", "03:30+02:00"], "with the one that is there");
    assert_eq!(night("30 1,4 * * *"), ["01:30+01:00", "04:30+02:00"]);
    assert_eq!(night("30 * * * *"), ["01:30+01:00", "03:30+02:00", "04:30+02:00"], "an hour apart");
    let half = |expression| shown(expression, "Australia/Lord_Howe", "2026-10-03T14:40:00Z", "2026-10-03T16:31:00Z");
    assert_eq!(half("10 2 * * *"), ["02:30+11:00"]);
    assert_eq!(half("40 2 * * *"), ["02:40+11:00"]);
    assert_eq!(half("*/20 * * * *"), ["01:20+10:30", "01:40+10:30", "02:40+11:00", "03:00+11:00", "03:20+11:00"]);
    let midnight = shown("0 0 * * *", "America/Santiago", "2026-09-05T12:00:00Z", "2026-09-06T12:00:00Z");
    assert_eq!(midnight, ["01:00-03:00"]);
}

#[test]
fn a_time_that_is_shown_twice_runs_the_first_time_unless_it_goes_by_the_hour() {
    let night = |expression| shown(expression, "Europe/Berlin", "2026-10-24T22:30:00Z", "2026-10-25T02:30:00Z");
    assert_eq!(night("30 2 * * *"), ["02:30+02:00"]);
    assert_eq!(night("*/30 2 * * *"), ["02:00+02:00", "02:30+02:00"]);
    assert_eq!(night("0 */2 * * *"), ["02:00+02:00"]);
    assert_eq!(night("0 * * * *"), ["01:00+02:00", "02:00+02:00", "02:00+01:00", "03:00+01:00"]);
    let half = |expression| shown(expression, "Australia/Lord_Howe", "2026-04-04T14:20:00Z", "2026-04-04T16:31:00Z");
    assert_eq!(half("45 1 * * *"), ["01:45+11:00"]);
    assert_eq!(half("45 * * * *"), ["01:45+11:00", "01:45+10:30", "02:45+10:30"]);
    let new_york = shown("30 1 * * 0", "America/New_York", "2026-10-30T00:00:00Z", "2026-11-09T00:00:00Z");
    assert_eq!(new_york, ["01:30-04:00", "01:30-05:00"], "the second is of the week after");
}

#[test]
fn a_zone_is_found_by_its_name_and_a_slip_gets_a_hint() {
    assert_eq!(zone("Europe/Berlin"), Ok(chrono_tz::Europe::Berlin));
    let said = |name| zone(name).unwrap_err();
    assert!(said("europe/berlin").ends_with("; Europe/Berlin is one"), "{}", said("europe/berlin"));
    assert!(said("America/NewYork").ends_with("; America/New_York is one"), "{}", said("America/NewYork"));
    assert!(said("Somewhere/Else/Entirely").ends_with("such as Europe/Berlin"));
}
