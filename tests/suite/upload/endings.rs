//! Opening, handing over, following, stopping and ending.

use edm_agent::upload::event::Event;
use edm_agent::upload::fault::Fault;
use edm_agent::upload::outcome::{Failure, Outcome};
use edm_agent::upload::plan::Sender;
use edm_agent::upload::policy::Policy;
use edm_agent::upload::record::Phase;

use super::world::fate::{Mishap, always, outage};
use super::world::{HOUR, MINUTE, SECOND, START, World, plan};

fn world() -> World {
    World::new(plan(8, Sender::Owned, 31), Policy::default())
}

fn failure(world: &World) -> &Failure {
    match world.outcome() {
        Some(Outcome::Failed(failure)) => failure,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_creation_that_reaches_the_service_after_its_sender_died_is_found() {
    let mut world = world();
    world.fate = Box::new(|ask| {
        let is_first = super::world::fate::kind(ask.command) == "create" && ask.nth == 1;
        if is_first { Mishap::Slow(SECOND * 15) } else { Mishap::None }
    });
    world.crash(SECOND, SECOND, 0, false, false);
    world.run(HOUR);
    assert_eq!(world.outcome(), Some(&Outcome::Completed));
    assert_eq!(world.service.sessions.len(), 1);
}

#[test]
fn a_quota_that_is_used_up_is_waited_out_however_soon_the_service_says() {
    for (named, least, most) in [(None, 3, 5), (Some(START), 15, 1_500), (Some(HOUR * 24 * 365), 1, 2)] {
        let mut world = world();
        world.fate = always("create", START, HOUR * 24, Mishap::Fault(Fault::Quota { retry_after: named }));
        world.run_on(HOUR * 24);
        let asked = world.count("create");
        assert!((least..=most).contains(&asked), "{asked} creations in a day, {named:?}");
        world.run(HOUR * 25);
        assert_eq!(world.outcome(), Some(&Outcome::Completed));
    }
}

#[test]
fn a_session_that_may_not_be_opened_is_asked_for_slowly_until_it_may() {
    for fault in [Fault::NotPermitted, Fault::Unauthorised] {
        let mut world = world();
        world.fate = always("create", START, HOUR * 10, Mishap::Fault(fault));
        world.run_on(HOUR * 10);
        assert!(world.count("create") <= 250, "{} in ten hours", world.count("create"));
        world.run(HOUR);
        assert_eq!(world.outcome(), Some(&Outcome::Completed));
    }
}

/// FAULTS 21.
#[test]
fn a_session_that_is_gone_is_replaced_once_and_again_only_if_it_got_somewhere() {
    let mut world = World::new(plan(400, Sender::Owned, 32), Policy::default());
    world.block_time = SECOND * 10;
    for minute in [1, 2, 3] {
        let after = MINUTE * minute;
        world.change(after, |service, _, _| {
            if let Some(remote) = service.sessions.last_mut() {
                remote.deleted = true;
            }
        });
    }
    world.run(HOUR);
    assert_eq!(world.outcome(), Some(&Outcome::Completed), "each stored blocks before it was lost");
    assert_eq!(world.service.sessions.len(), 4);

    let mut world = world_without_store();
    for second in 1..600 {
        world.change(SECOND * second, |service, _, _| {
            if let Some(remote) = service.sessions.last_mut() {
                remote.deleted = true;
            }
        });
    }
    world.run(HOUR);
    assert_eq!(failure(&world), &Failure::SessionGone);
    assert_eq!(world.service.sessions.len(), 2, "the quota of the day is left alone");
}

fn world_without_store() -> World {
    let mut world = world();
    world.fate = always("send", START, HOUR * 100, outage());
    world
}

#[test]
fn a_session_said_to_be_gone_that_is_still_listed_is_kept() {
    let mut world = World::new(plan(60, Sender::Owned, 33), Policy::default());
    world.block_time = MINUTE * 3;
    world.run_on(MINUTE * 8);
    let said = *world.service.sessions[0].reported.last().expect("it reported by now");
    assert!(said < 60);
    world.tell(Event::RenewRequested);
    let is_word_of_it =
        |ask: &super::world::fate::Ask<'_>| matches!(super::world::fate::kind(ask.command), "fetch" | "renew");
    let start = world.time;
    world.fate = Box::new(move |ask| {
        let hits = ask.time.since(start) < MINUTE * 4 && is_word_of_it(ask);
        if hits { Mishap::Fault(Fault::Gone) } else { Mishap::None }
    });
    world.run(HOUR * 3);
    assert_eq!(world.outcome(), Some(&Outcome::Completed));
    assert!(world.count("find") > 0, "the list was asked");
    assert_eq!((world.service.sessions.len(), world.upload.standing().epoch), (1, 0));
    assert_eq!(world.service.sessions[0].reported.last(), Some(&0));
}

/// FAULTS 36: the intent is durable, and what became of it is read.
#[test]
fn a_commit_in_doubt_is_read_and_never_repeated_blindly() {
    for crashes in [false, true] {
        let mut world = world();
        world.fate = Box::new(|ask| {
            let is_first = super::world::fate::kind(ask.command) == "commit" && ask.nth == 1;
            if is_first { Mishap::Lost } else { Mishap::None }
        });
        if crashes {
            world.run_until(HOUR, |world| world.service.commits == 1);
            world.crash(SECOND, MINUTE, 0, true, true);
        }
        world.run(HOUR);
        assert_eq!(world.outcome(), Some(&Outcome::Completed));
        assert_eq!(world.count("commit"), 1, "asked once, then read");
    }
}

/// FAULTS 22, 23.
#[test]
fn a_commit_that_is_refused_is_repeated_thrice_with_a_look_in_between() {
    let mut world = world();
    world.fate = always("commit", START, HOUR * 100, Mishap::Fault(Fault::Conflict));
    world.run(HOUR);
    assert_eq!(failure(&world), &Failure::CommitRefused);
    assert_eq!((world.count("commit"), world.count("fetch")), (3, 2));
    assert_eq!(world.service.cancels, 1, "the session is not left behind");
}

#[test]
fn a_session_that_is_gone_after_the_commit_intent_is_never_replaced() {
    let mut world = world();
    world.fate = always("commit", START, HOUR * 100, outage());
    world.run_until(HOUR, |world| world.count("commit") == 1);
    world.service.sessions[0].deleted = true;
    world.run(HOUR);
    assert_eq!(failure(&world), &Failure::CommitUnconfirmed);
    assert_eq!(world.service.sessions.len(), 1);
}

/// The place changes between the intent and the commit.
#[test]
fn a_commit_never_goes_to_a_place_that_holds_nothing() {
    let mut world = world();
    world.fate = always("commit", START, MINUTE * 30, outage());
    world.change(MINUTE, |service, _, _| service.moves = true);
    world.run(HOUR * 2);
    assert_eq!(world.outcome(), Some(&Outcome::Completed));
    assert_eq!(world.service.sessions[0].place, 1);
    assert_eq!(world.store.puts, 16, "every block was sent to the new place");
    assert_eq!(world.service.sessions[0].reported.iter().filter(|&&count| count == 0).count(), 1, "0 is said once");
}

/// FAULTS 30.
#[test]
fn a_state_nobody_knows_never_ends_an_upload() {
    for word in ["", "Frobnicating", "uploadinprogress", "COMPLETEDISH", "Failedish"] {
        let mut world = world();
        world.service.word = word.to_owned();
        world.block_time = MINUTE * 10;
        world.run(HOUR * 2);
        assert_eq!(world.outcome(), Some(&Outcome::Completed), "{word}");
    }
}

/// FAULTS 37.
#[test]
fn processing_that_never_ends_is_given_up_at_the_deadline_on_a_last_look() {
    let mut world = world();
    world.service.processing_time = HOUR * 1_000;
    world.run(HOUR * 26);
    assert!(matches!(failure(&world), Failure::ProcessingDeadline { .. }));
    assert_eq!((world.count("commit"), world.service.cancels), (1, 0), "nothing is repeated or undone");
    assert!(world.count("fetch") <= 300, "{} looks", world.count("fetch"));

    let mut away = self::world();
    away.service.processing_time = HOUR;
    away.run_until(HOUR, |world| world.service.commits == 1);
    away.crash(SECOND, HOUR * 48, 0, false, true);
    away.run(HOUR * 50);
    assert_eq!(away.outcome(), Some(&Outcome::Completed), "it was done while the agent was away");
}

/// FAULTS 34.
#[test]
fn a_service_that_counts_other_blocks_gets_none() {
    let mut world = world();
    world.service.total = 9;
    world.run(HOUR);
    assert_eq!(failure(&world), &Failure::CountsDisagree { ours: 8, theirs: 9 });
    assert_eq!((world.store.puts, world.service.cancels), (0, 1));
}

/// FAULTS 38.
#[test]
fn a_session_of_another_agent_is_left_alone() {
    let mut world = world();
    world.policy.upload_agent = Some("mine".to_owned());
    world.upload.set_policy(world.policy.clone());
    world.service.agent = Some("theirs".to_owned());
    world.run(HOUR);
    assert!(matches!(failure(&world), Failure::ForeignSession { .. }));
    assert_eq!((world.store.puts, world.service.cancels), (0, 0));
}

/// FAULTS 33: the service believes it is done, and the store knows better.
#[test]
fn a_session_that_somebody_else_handed_over_too_early_is_not_called_done() {
    let mut world = World::new(plan(50, Sender::Owned, 34), Policy::default());
    world.block_time = MINUTE;
    world.change(MINUTE * 2, |service, _, now| service.sessions[0].committed = Some(now));
    world.run(HOUR * 2);
    assert!(matches!(failure(&world), Failure::SessionEnded { .. }));
}

#[test]
fn an_agent_that_stops_starts_nothing_and_keeps_the_session_alive() {
    for after in [SECOND / 100, SECOND, SECOND * 2, SECOND * 5, MINUTE * 2] {
        let mut world = World::new(plan(30, Sender::Owned, 35), Policy::default());
        world.lane_wait = SECOND * 2;
        world.say(after, Event::StopRequested);
        world.run_on(after + MINUTE * 3);
        let sent = world.count("send");
        world.run_on(HOUR * 5);
        assert_eq!(world.count("send"), sent, "no block leaves any more");
        if let Some(remote) = world.service.sessions.first()
            && world.upload.standing().phase == Phase::Uploading
        {
            assert!(!world.service.is_gone(remote, world.time), "the lease is kept");
        }
        world.crash(SECOND, SECOND, 0, false, true);
        world.run(HOUR);
        assert_eq!(world.outcome(), Some(&Outcome::Completed), "it goes on where it stood");
        assert_eq!(world.service.sessions.len(), 1);
    }
}

#[test]
fn a_cancelled_upload_leaves_no_session_behind_or_goes_live_if_it_was_committed() {
    let mut live = 0;
    for millis in (0..9_000).step_by(37) {
        for loses in [false, true] {
            let mut world = world();
            world.travel = SECOND;
            if loses {
                world.fate = always("create", START, HOUR, Mishap::Lost);
            }
            world.say(std::time::Duration::from_millis(millis), Event::CancelRequested);
            world.run(HOUR);
            assert!(world.outcome().is_some(), "at {millis} ms");
            assert!(world.upload.is_quiet(), "at {millis} ms");
            let open = world.service.open_session(&world.plan.file_name, world.time);
            assert!(open.is_none_or(|remote| remote.committed.is_some()), "left behind at {millis} ms, {loses}");
            let is_live = world.service.sessions.iter().any(|remote| remote.committed.is_some());
            let outcome = if is_live { Outcome::Completed } else { Outcome::Cancelled };
            assert_eq!(world.outcome(), Some(&outcome), "cancelled at {millis} ms, {loses}");
            live += u32::from(is_live);
        }
    }
    assert!(live > 0, "none was committed before it was cancelled");
}

#[test]
fn a_cancelled_upload_ends_cancelled_whatever_fails_meanwhile() {
    let mut world = World::new(plan(30, Sender::Owned, 36), Policy::default());
    world.block_time = MINUTE;
    let refused = edm_agent::upload::fault::BlobFault::Bundle;
    world.fate = always("send", START, HOUR, Mishap::BlobFault(refused));
    world.say(SECOND * 20, Event::CancelRequested);
    world.run(HOUR);
    assert_eq!(world.outcome(), Some(&Outcome::Cancelled));
    assert_eq!(world.service.cancels, 1);
}

#[test]
fn a_service_that_cannot_be_told_of_the_end_is_asked_thrice() {
    let mut world = world();
    world.block_time = HOUR;
    world.fate = always("abort", START, HOUR * 9, outage());
    world.say(MINUTE, Event::CancelRequested);
    world.run(HOUR * 2);
    assert_eq!((world.outcome(), world.count("abort")), (Some(&Outcome::Cancelled), 3));
}

#[test]
fn a_store_without_sessions_is_missing_even_if_it_vanished_in_doubt() {
    let mut world = world();
    world.fate = Box::new(|ask| match super::world::fate::kind(ask.command) {
        "create" if ask.nth == 1 => outage(),
        "create" | "find" => Mishap::Fault(Fault::Gone),
        _ => Mishap::None,
    });
    world.run(HOUR);
    assert_eq!(failure(&world), &Failure::StoreMissing);
}

/// The URI goes missing, and the place changes behind it.
#[test]
fn a_commit_waits_a_little_for_a_missing_upload_uri_but_not_for_ever() {
    for (missing, place) in [(4, 1), (100_000, 0)] {
        let mut world = world();
        world.fate = always("commit", START, MINUTE * 10, outage());
        world.change(MINUTE, move |service, _, _| {
            service.uriless = missing;
            service.moves = place > 0;
        });
        world.run(HOUR * 2);
        assert_eq!(world.outcome(), Some(&Outcome::Completed), "{missing} answers without");
        assert_eq!(world.service.sessions[0].place, place);
    }
}
