//! Progress reports: honest, few, and never in the way.

use std::time::Duration;

use edm_agent::upload::event::Command;
use edm_agent::upload::fault::Fault;
use edm_agent::upload::outcome::{Failure, Outcome};
use edm_agent::upload::plan::Sender;
use edm_agent::upload::policy::Policy;
use edm_agent::upload::record::Reports;

use super::world::fate::{Mishap, always, outage};
use super::world::{HOUR, MINUTE, SECOND, START, World, plan};

fn world() -> World {
    World::new(plan(8, Sender::Owned, 21), Policy::default())
}

#[test]
fn a_refused_report_drops_the_state_then_the_counts_and_never_the_upload() {
    let faults = [400, 405, 422].map(|status| Fault::Refused { status });
    for fault in faults.into_iter().chain([Fault::NotPermitted]) {
        let mut stateless = world();
        stateless.service.refuses_state = Some(fault.clone());
        stateless.run(HOUR);
        assert_eq!(stateless.outcome(), Some(&Outcome::Completed), "{fault:?}");
        assert_eq!(stateless.upload.standing().reports, Reports::CountsOnly);
        assert_eq!(stateless.service.sessions[0].reported.last(), Some(&0), "counts go on");

        let mut silent = world();
        silent.service.refuses_reports = Some(fault.clone());
        silent.run(HOUR);
        assert_eq!(silent.outcome(), Some(&Outcome::Completed), "{fault:?}");
        assert_eq!(silent.upload.standing().reports, Reports::Off);
        assert_eq!(silent.count("report"), 2, "once with a state and once without");
    }
}

#[test]
fn a_refused_credential_slows_reports_and_never_reduces_them() {
    let mut world = world();
    world.block_time = MINUTE;
    world.policy.window = 1;
    world.upload.set_policy(world.policy.clone());
    world.fate = always("report", START, MINUTE * 4, Mishap::Fault(Fault::Unauthorised));
    world.run_on(MINUTE * 4);
    assert!(world.count("report") <= 6, "{} reports", world.count("report"));

    world.run(HOUR);
    assert_eq!(world.upload.standing().reports, Reports::Full);
    assert_eq!(world.service.sessions[0].reported.last(), Some(&0));
    assert_eq!(world.outcome(), Some(&Outcome::Completed));
}

#[test]
fn reports_that_failed_before_do_not_cost_the_final_one() {
    let mut world = world();
    world.block_time = HOUR / 2;
    world.fate = always("report", START, MINUTE * 20, outage());
    world.run(HOUR * 2);
    assert!(world.count("report") > 6);
    assert_eq!(world.service.sessions[0].reported.last(), Some(&0), "the final report was made");
}

#[test]
fn a_report_that_can_never_be_made_does_not_hold_the_commit_up_for_ever() {
    let mut world = world();
    world.fate = always("report", START, HOUR * 100, outage());
    world.run(HOUR);
    assert_eq!(world.outcome(), Some(&Outcome::Completed));
    assert_eq!(world.upload.standing().reports, Reports::Full);
}

/// FAULTS 22.
#[test]
fn a_report_that_conflicts_makes_the_agent_look_and_then_go_on_without() {
    let mut world = world();
    world.fate = always("report", START, HOUR * 100, Mishap::Fault(Fault::Conflict));
    world.run(HOUR);
    assert_eq!(world.outcome(), Some(&Outcome::Completed));
    assert!(world.count("fetch") >= 1, "it looked why");
}

/// A service that knows no such operation.
#[test]
fn a_report_that_is_not_found_although_the_session_is_there_is_given_up() {
    let mut world = world();
    world.block_time = MINUTE * 10;
    world.fate = always("report", START, HOUR * 100, Mishap::Fault(Fault::Gone));
    world.run(HOUR * 3);
    assert_eq!(world.outcome(), Some(&Outcome::Completed));
    assert_eq!((world.service.sessions.len(), world.upload.standing().reports), (1, Reports::Off));
}

/// FAULTS 22, 39.
#[test]
fn a_session_that_somebody_cancelled_ends_the_upload_at_the_next_word_of_it() {
    let mut world = World::new(plan(100, Sender::Owned, 22), Policy::default());
    world.block_time = SECOND * 20;
    world.change(MINUTE, |service, _, _| service.sessions[0].ended = Some("Cancelled".to_owned()));
    world.run(MINUTE * 2);
    let Some(Outcome::Failed(Failure::SessionEnded { state, .. })) = world.outcome() else {
        panic!("{:?}", world.outcome())
    };
    assert_eq!(state, "Cancelled");
}

#[test]
fn reports_keep_their_distance_but_for_the_final_one() {
    let mut world = World::new(plan(200, Sender::Owned, 23), Policy::default());
    world.run(HOUR);
    let times = world.times("report");
    let apart = times.windows(2).map(|pair| pair[1] - pair[0]);
    let close = apart.filter(|&apart| apart < Duration::from_secs(2)).count();
    assert!(close <= 1, "{close} reports came early");
    assert!(times.len() <= 20, "{} reports", times.len());
}

/// FAULTS 32, 48: the store loses blocks after they were counted.
#[test]
fn blocks_that_the_store_lost_are_sent_again_and_never_counted_up() {
    let mut world = World::new(plan(20, Sender::Owned, 24), Policy::default());
    world.fate = always("list", START, MINUTE * 3, outage());
    world.change(MINUTE * 2, |_, store, _| store.lose_blocks());
    world.run(HOUR);
    assert_eq!(world.outcome(), Some(&Outcome::Completed));
    assert_eq!(world.store.puts, 30, "the ten that were lost, once more");
    let counts = &world.service.sessions[0].reported;
    assert!(counts.is_sorted_by(|earlier, later| earlier >= later), "{counts:?}");
}

#[test]
fn a_report_that_waited_out_a_stalled_journal_is_still_true_when_it_leaves() {
    let mut world = World::new(plan(20, Sender::Owned, 25), Policy::default());
    let (from, to) = (world.time + SECOND, world.time + MINUTE * 20);
    world.journal.stalls.push((from, to));
    world.run_on(MINUTE * 19);
    assert_eq!(world.store.puts, 20, "blocks wait for no journal");
    assert!(world.count("renew") >= 1, "nor do renewals");
    assert_eq!(world.count("list") + world.count("commit"), 0, "but these do");
    assert!(world.asks.iter().all(|(_, command)| !matches!(command, Command::Report(report) if report.remaining < 20)));
    world.run(HOUR);
    assert_eq!(world.outcome(), Some(&Outcome::Completed));
}
