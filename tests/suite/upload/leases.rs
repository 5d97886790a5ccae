//! The lease of a session: renewed in time, at little cost, whatever the
//! clocks do.

use std::time::Duration;

use chrono::TimeDelta;
use edm_agent::upload::event::Event;
use edm_agent::upload::fault::Fault;
use edm_agent::upload::outcome::{Failure, Outcome};
use edm_agent::upload::plan::Sender;
use edm_agent::upload::policy::Policy;

use super::world::fate::{Mishap, always, outage};
use super::world::service::Style;
use super::world::{HOUR, MINUTE, SECOND, START, World, plan};

/// A tracked session whose uploader takes for ever: nothing but its lease happens.
fn tracked(session_ttl: Duration, seed: u64) -> World {
    let policy = Policy { session_ttl, ..Policy::default() };
    let mut world = World::new(plan(100, Sender::Tracked { session: None }, seed), policy);
    world.service.style = Style::Plain;
    world
}

/// Fails if any renewal came later than the session's end.
fn assert_never_lapsed(world: &World) {
    let remote = &world.service.sessions[0];
    assert!(!world.service.is_gone(remote, world.time), "the session is gone at {:?}", world.time);
    assert_eq!(world.service.sessions.len(), 1);
    let late = world.service.renewals.windows(2).find(|pair| pair[0].until(pair[1]) > world.service.session_ttl);
    assert_eq!(late, None, "a renewal after the end");
}

fn half_life(ttl: Duration) -> std::ops::RangeInclusive<Duration> {
    ttl.mul_f64(0.34)..=ttl.mul_f64(0.61)
}

#[test]
fn a_virtual_week_of_renewals_never_lapses_and_asks_little() {
    let mut world = tracked(HOUR, 1);
    world.run_on(HOUR * 24 * 7);

    assert_never_lapsed(&world);
    let renewals = world.count("renew");
    assert!((280..=480).contains(&renewals), "{renewals} renewals in 168 hours");
    assert_eq!(world.count("fetch"), 0, "a renewal tells everything");
    let gaps = world.service.renewals.windows(2).map(|pair| pair[0].until(pair[1]));
    assert!(gaps.skip(1).all(|gap| half_life(HOUR).contains(&gap)), "each in its window");
}

#[test]
fn a_tracked_session_lives_through_a_day_at_any_ttl() {
    for ttl in [SECOND * 10, MINUTE, MINUTE * 15, HOUR * 3] {
        let mut world = tracked(ttl, 2);
        world.budget.renew = 40;
        world.run_on(HOUR * 24);
        assert_never_lapsed(&world);
    }
}

#[test]
fn the_first_renewal_comes_within_five_minutes() {
    for seed in 0..50 {
        let mut world = tracked(HOUR * 24, seed);
        world.run_on(MINUTE * 5 + SECOND);
        assert_eq!(world.count("renew"), 1, "seed {seed}");
    }
}

/// FAULTS 20.
#[test]
fn an_outage_of_45_percent_of_the_ttl_is_survived_with_few_requests() {
    let mut survived = 0;
    let seeds = 200;
    for seed in 0..seeds {
        let ttl = HOUR;
        let mut world = tracked(ttl, seed);
        // The outage begins as the second renewal falls due, the worst moment.
        world.run_until(HOUR, |world| world.service.renewals.len() == 1);
        let due = world.upload.lease().expect("it was renewed").renew_at();
        let from = due.since_boot() - SECOND * 100;
        let before = world.count("renew");
        world.fate = always("any", from, from + ttl.mul_f64(0.45), outage());
        world.run_on(ttl.mul_f64(0.45) + ttl.mul_f64(0.6));
        let asked = world.count("renew") - before;
        assert!(asked <= 40, "{asked} renewals, seed {seed}");
        let remote = &world.service.sessions[0];
        survived += u32::from(!world.service.is_gone(remote, world.time));
    }
    // Windows end at 60 %: an outage from there on leaves one that begins at
    // the very end of it too little.
    assert!(survived * 10 >= seeds as u32 * 7, "{survived} of {seeds} survived");
}

#[test]
fn an_outage_of_45_percent_that_begins_at_any_time_is_mostly_survived() {
    let seeds = 200u32;
    let survived = (0..seeds).filter(|&seed| {
        let mut world = tracked(HOUR, u64::from(seed));
        let from = HOUR * 2 + MINUTE * (seed % 60);
        world.fate = always("any", from, from + HOUR.mul_f64(0.45), outage());
        world.run_on(HOUR * 5);
        !world.service.is_gone(&world.service.sessions[0], world.time)
    });
    let survived = survived.count();
    assert!(survived as u32 * 10 >= seeds * 9, "{survived} of {seeds}");
}

/// FAULTS 20, 28: however long the outage, few ask, and after it nobody storms.
#[test]
fn an_outage_without_end_costs_forty_renewals_until_the_lease_ends_and_one_a_minute_after() {
    let mut world = tracked(HOUR, 3);
    world.run_until(HOUR, |world| world.service.renewals.len() == 1);
    let from = world.time.since_boot() - SECOND * 100;
    world.fate = always("any", from, HOUR * 12, outage());
    world.run_on(HOUR);
    let until_end = world.count("renew") - 1;
    world.run_on(HOUR * 10);

    assert!(until_end <= 40, "{until_end} renewals while the lease lasted");
    let after = world.count("renew") + world.count("fetch") - 1 - until_end;
    assert!(after <= 60 * 10, "{after} requests in the ten hours after it");
    world.run_on(HOUR * 2);
    assert_eq!(world.outcome(), Some(&Outcome::Failed(Failure::SessionGone)));
    assert!(world.upload.is_quiet());
}

/// FAULTS 1, 2.
#[test]
fn a_step_of_the_wall_clock_loses_no_lease_and_renews_nothing_early() {
    for hours in [-24, -2, -1, 1, 2, 24] {
        for uri_ttl in [None, Some(MINUTE * 20)] {
            let mut still = tracked(HOUR, 4);
            let mut stepped = tracked(HOUR, 4);
            for world in [&mut still, &mut stepped] {
                world.service.style = Style::Blob;
                world.service.uri_ttl = uri_ttl;
            }
            stepped.set_wall(MINUTE * 30, TimeDelta::hours(hours));
            still.run_on(HOUR * 6);
            stepped.run_on(HOUR * 6);

            assert_never_lapsed(&stepped);
            assert_eq!(stepped.times("renew"), still.times("renew"), "{hours} hours");
        }
    }
}

/// FAULTS 2, 66: the journal's dates are the service's, so a step of the wall
/// clock while the agent is away is no matter either.
#[test]
fn a_step_of_the_wall_clock_while_the_agent_is_away_deceives_nobody() {
    for hours in [-2, -1, 1, 2] {
        for reboot in [false, true] {
            let mut world = World::new(plan(40, Sender::Owned, 5), Policy::default());
            world.policy.window = 1;
            world.block_time = MINUTE * 3;
            world.crash(MINUTE * 40, MINUTE * 10, 0, reboot, true);
            world.set_wall(MINUTE * 45, TimeDelta::hours(hours));
            world.run(HOUR * 8);
            assert_eq!(world.outcome(), Some(&Outcome::Completed), "{hours} hours, reboot: {reboot}");
            assert_eq!(world.service.sessions.len(), 1);
        }
    }
}

#[test]
fn the_date_of_a_renewal_is_the_services_and_not_this_hosts() {
    let mut world = tracked(HOUR, 5);
    world.set_wall(SECOND, TimeDelta::days(1));
    world.run_until(HOUR, |world| world.upload.standing().held.as_ref().is_some_and(|held| held.renewals == 1));
    let held = world.upload.standing().held.clone().expect("it was renewed");
    let apart = (held.extended - super::world::service::date(world.time)).abs();
    assert!(apart < TimeDelta::seconds(3), "{apart} apart");
}

/// FAULTS 3, 4.
#[test]
fn after_a_suspension_the_session_is_read_then_renewed_once_each_at_once() {
    let mut world = tracked(HOUR * 2, 6);
    world.run_until(HOUR, |world| world.service.renewals.len() == 1);
    let asks = world.asks.len();
    world.suspend(MINUTE, HOUR * 3);
    world.run_on(HOUR * 3 + MINUTE + SECOND * 2);

    let kinds: Vec<_> = world.asks[asks..].iter().map(|(_, command)| super::world::fate::kind(command)).collect();
    assert_eq!(kinds, ["fetch"], "the session is looked for before anything else");
    assert!(world.service.lost(world.time) == 1, "and it is gone: its life was two hours");

    let mut world = tracked(HOUR * 2, 6);
    world.service.session_ttl = HOUR * 24;
    world.run_until(HOUR, |world| world.service.renewals.len() == 1);
    let asks = world.asks.len();
    world.suspend(MINUTE, HOUR * 3);
    world.run_on(HOUR * 3 + MINUTE + SECOND * 2);
    let kinds: Vec<_> = world.asks[asks..].iter().map(|(_, command)| super::world::fate::kind(command)).collect();
    assert_eq!(kinds, ["fetch", "renew"]);
}

/// FAULTS 24.
#[test]
fn the_time_a_service_asks_for_is_waited_out() {
    let mut world = tracked(HOUR, 7);
    let asked = MINUTE * 4;
    let fault = Mishap::Fault(Fault::Transient { retry_after: Some(asked) });
    world.fate = always("renew", HOUR, HOUR + MINUTE * 20, fault);
    world.run_on(HOUR * 3);

    assert_never_lapsed(&world);
    let times = world.times("renew");
    let refused: Vec<_> = times.windows(2).filter(|pair| pair[0] >= HOUR && pair[0] < HOUR + MINUTE * 20).collect();
    assert!(!refused.is_empty());
    assert!(refused.iter().all(|pair| pair[1] - pair[0] >= asked), "{refused:?}");
}

/// FAULTS 27.
#[test]
fn a_year_that_a_service_asks_for_is_an_hour() {
    let mut world = tracked(HOUR * 6, 8);
    let fault = Mishap::Fault(Fault::Transient { retry_after: Some(HOUR * 24 * 365) });
    world.fate = always("renew", MINUTE, HOUR, fault);
    world.run_on(HOUR * 4);
    assert_never_lapsed(&world);
    assert!(!world.service.renewals.is_empty(), "it was renewed in the end");
}

/// FAULTS 17.
#[test]
fn a_service_that_keeps_the_same_upload_uri_is_not_asked_again_and_again() {
    let mut world = World::new(plan(10, Sender::Owned, 9), Policy::default());
    world.service.uri_ttl = Some(MINUTE * 5);
    world.service.keeps_uri = true;
    world.block_time = MINUTE * 4;
    world.run_on(HOUR * 2);
    let renewals = world.count("renew");
    assert!(renewals <= 120, "{renewals} renewals in two hours");

    world.service.keeps_uri = false;
    world.run(HOUR * 2);
    assert_eq!(world.outcome(), Some(&Outcome::Completed));
}

#[test]
fn a_restart_keeps_the_slot_of_the_renewal() {
    for seed in 0..20 {
        let mut steady = tracked(HOUR, seed);
        let mut restarted = tracked(HOUR, seed);
        steady.run_until(HOUR, |world| world.service.renewals.len() == 1);
        restarted.run_until(HOUR, |world| world.service.renewals.len() == 1);
        restarted.crash(MINUTE * 5, MINUTE, 0, false, true);
        steady.run_on(HOUR);
        restarted.run_on(HOUR);

        let (kept, found) = (steady.times("renew")[1], restarted.times("renew")[1]);
        let apart = kept.abs_diff(found);
        assert!(apart <= SECOND * 4, "{apart:?} apart, seed {seed}");
        assert_eq!(restarted.count("fetch"), 1, "it was read once on the way");
    }
}

#[test]
fn ten_thousand_leases_born_together_drift_apart() {
    let ttl = MINUTE * 15;
    let mut per_second = vec![0u32; 3_600];
    for seed in 0..10_000 {
        let mut world = tracked(ttl, 0x1EA5E ^ (seed * 7_919));
        world.run_on(ttl * 2);
        for time in world.times("renew").into_iter().filter(|&time| time > ttl.mul_f64(0.75)) {
            per_second[time.as_secs() as usize] += 1;
        }
    }
    let peak = per_second.iter().max().copied().unwrap_or(0);
    assert!(peak <= 70, "{peak} renewals in one second");
}

#[test]
fn a_renewal_that_somebody_asks_for_comes_at_once_and_only_once() {
    let mut world = tracked(HOUR, 10);
    world.run_until(HOUR, |world| world.service.renewals.len() == 1);
    world.run_on(MINUTE);
    for _ in 0..50 {
        world.tell(Event::RenewRequested);
    }
    world.run_on(MINUTE);
    assert_eq!(world.count("renew"), 2);
}

#[test]
fn a_renewal_asked_for_is_not_forgotten_because_the_session_is_read_first() {
    let mut world = World::new(plan(100, Sender::Owned, 11), Policy::default());
    world.block_time = MINUTE * 20;
    world.run_until(HOUR, |world| world.service.renewals.len() == 1);
    world.crash(MINUTE, SECOND, 0, false, false);
    world.run_until(HOUR, |world| world.count("fetch") == 1);
    world.tell(Event::RenewRequested);
    world.run_on(SECOND * 10);
    assert_eq!(world.count("renew"), 2);
}

/// A session taken over may be at the end of its life.
#[test]
fn a_session_taken_over_is_read_and_renewed_before_anything_is_said_under_it() {
    let policy = Policy::default();
    let mut world = World::new(plan(10, Sender::Tracked { session: Some("session-0".to_owned()) }, 12), policy);
    let now = world.time;
    world.service.create("theirs", now);
    world.run_on(MINUTE);
    let kinds: Vec<_> = world.asks.iter().map(|(_, command)| super::world::fate::kind(command)).collect();
    assert_eq!(kinds, ["fetch", "renew", "report"]);
}

/// FAULTS 19.
#[test]
fn a_service_that_gives_no_upload_uri_is_asked_for_it_patiently() {
    let mut world = World::new(plan(10, Sender::Owned, 13), Policy::default());
    world.service.uriless = 10_000;
    world.run_on(HOUR);
    let reads = world.count("fetch");
    assert!(reads <= 90, "{reads} reads in an hour");
    assert_eq!(world.store.puts, 0);
    assert_eq!(world.service.commits, 0);

    world.service.uriless = 0;
    world.run(HOUR);
    assert_eq!(world.outcome(), Some(&Outcome::Completed));
}

#[test]
fn every_block_is_there_but_nothing_is_final_while_the_upload_uri_is_missing() {
    let mut world = World::new(plan(4, Sender::Owned, 14), Policy::default());
    world.fate = always("list", START, MINUTE * 20, outage());
    world.run_on(MINUTE * 2);
    assert_eq!(world.upload.progress().stored, 4);
    world.service.uriless = 10_000;
    world.tell(Event::RenewRequested);
    world.run_on(MINUTE * 30);
    assert_eq!(world.service.commits, 0);
    assert!(!world.service.sessions[0].reported.contains(&0), "0 is said of a blob only");

    world.service.uriless = 0;
    world.run(HOUR);
    assert_eq!(world.outcome(), Some(&Outcome::Completed));
}
