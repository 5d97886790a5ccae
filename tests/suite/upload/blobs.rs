//! Blocks, the blob they become, and upload URIs that are refused.

use std::cell::Cell;
use std::rc::Rc;

use edm_agent::upload::event::Event;
use edm_agent::upload::fault::BlobFault;
use edm_agent::upload::outcome::{Failure, Outcome};
use edm_agent::upload::plan::Sender;
use edm_agent::upload::policy::Policy;

use super::world::fate::{Fate, Mishap, always, kind};
use super::world::service::Style;
use super::world::{HOUR, MINUTE, SECOND, START, World, plan};

fn world(blocks: u32) -> World {
    World::new(plan(blocks, Sender::Owned, 41), Policy::default())
}

fn failure(world: &World) -> Option<&Failure> {
    match world.outcome() {
        Some(Outcome::Failed(failure)) => Some(failure),
        Some(Outcome::Completed | Outcome::Cancelled | Outcome::Replaced) | None => None,
    }
}

/// Refuses everything sent under the first so many upload URIs.
fn refuse_uris(world: &mut World, many: usize) {
    let renewals = Rc::new(Cell::new(0));
    let fate: Fate = Box::new(move |ask| {
        renewals.set(renewals.get() + usize::from(kind(ask.command) == "renew"));
        let hits = kind(ask.command) == "send" && renewals.get() < many;
        if hits { Mishap::BlobFault(BlobFault::Forbidden) } else { Mishap::None }
    });
    world.fate = fate;
}

/// FAULTS 42.
#[test]
fn two_upload_uris_refused_in_a_row_are_no_failure() {
    let mut world = world(20);
    refuse_uris(&mut world, 2);
    world.run(HOUR);
    assert_eq!(world.outcome(), Some(&Outcome::Completed));
    assert_eq!(world.count("renew"), 2, "one renewal for each");
    assert!(world.count("send") <= 20 + 2 * 8, "only what was under way was refused");
}

/// FAULTS 43.
#[test]
fn three_upload_uris_refused_in_a_row_are() {
    let mut world = world(20);
    refuse_uris(&mut world, 3);
    world.run(HOUR);
    assert_eq!(failure(&world), Some(&Failure::UploadRefused));
    assert_eq!(world.count("renew"), 2);
    assert_eq!(world.service.cancels, 1);
}

#[test]
fn a_refused_upload_uri_is_renewed_although_the_session_is_read_meanwhile() {
    let mut world = world(100);
    world.block_time = MINUTE * 2;
    world.run_until(HOUR, |world| world.service.renewals.len() == 1);
    let remote = world.service.sessions[0].clone();
    let uri = world.service.uri(&remote).expose().to_owned();
    world.store.hates.insert(uri);
    world.crash(SECOND, SECOND, 0, false, false);
    let start = world.time;
    world.run(HOUR * 3);
    assert_eq!(world.outcome(), Some(&Outcome::Completed));
    let renewed = world.service.renewals[1].since(start);
    assert!(renewed < MINUTE * 5, "it waited {renewed:?} for another URI");
}

#[test]
fn a_block_taken_under_an_older_uri_does_not_vouch_for_the_newer_ones() {
    let mut world = world(40);
    world.fate = Box::new(|ask| match kind(ask.command) {
        "send" if ask.nth < 8 => Mishap::Slow(SECOND / 3 * ask.nth as u32),
        "send" => Mishap::BlobFault(BlobFault::Forbidden),
        _ => Mishap::None,
    });
    world.run(HOUR);
    assert_eq!(failure(&world), Some(&Failure::UploadRefused));
    assert_eq!(world.count("renew"), 2);
}

/// FAULTS 44.
#[test]
fn a_container_that_is_not_there_is_like_a_refused_uri() {
    let mut world = world(20);
    world.fate = always("send", START, HOUR, Mishap::BlobFault(BlobFault::NotFound));
    world.run(HOUR);
    assert_eq!(failure(&world), Some(&Failure::UploadRefused));
}

#[test]
fn a_blob_that_is_not_there_yet_holds_nothing() {
    let mut world = world(20);
    world.block_time = MINUTE;
    world.fate = always("inventory", START, HOUR, Mishap::BlobFault(BlobFault::NotFound));
    world.policy.verify_before_commit = false;
    world.crash(SECOND * 5, SECOND, 0, false, false);
    world.run(HOUR * 2);
    assert_eq!(world.outcome(), Some(&Outcome::Completed));
}

/// FAULTS 18: ten signatures roll under one upload, each while blocks are under way.
#[test]
fn a_new_upload_uri_is_used_for_the_next_block_and_the_old_ones_finish() {
    let mut world = world(300);
    world.service.uri_ttl = Some(MINUTE * 4);
    world.block_time = MINUTE;
    world.run(HOUR * 5);
    assert_eq!(world.outcome(), Some(&Outcome::Completed));
    assert!(world.service.renewals.len() >= 10, "{} renewals", world.service.renewals.len());
    assert_eq!((world.store.puts, world.store.forbidden), (300, 0), "none was sent twice");
}

/// FAULTS 50.
#[test]
fn a_block_that_takes_longer_than_the_lease_does_not_starve_the_renewals() {
    let policy = Policy { session_ttl: MINUTE * 10, window: 1, ..Policy::default() };
    let mut world = World::new(plan(3, Sender::Owned, 42), policy);
    world.block_time = MINUTE * 45;
    world.run(HOUR * 5);
    assert_eq!(world.outcome(), Some(&Outcome::Completed));
    assert_eq!(world.service.sessions.len(), 1);
}

/// FAULTS 45, 47: taken, but not as it was sent.
#[test]
fn a_block_that_fails_is_sent_again_and_no_other() {
    let mut world = world(20);
    world.fate = Box::new(|ask| {
        let hits = kind(ask.command) == "send" && ask.nth == 5;
        if hits { Mishap::BlobFault(BlobFault::Transient { retry_after: None }) } else { Mishap::None }
    });
    world.run(HOUR);
    assert_eq!(world.outcome(), Some(&Outcome::Completed));
    assert_eq!((world.count("send"), world.store.puts), (21, 20));
}

#[test]
fn a_store_that_asks_to_be_left_alone_is_although_other_blocks_succeed() {
    let mut world = world(40);
    world.block_time = SECOND * 2;
    world.fate = Box::new(|ask| {
        let hits = kind(ask.command) == "send" && ask.nth == 9;
        let retry_after = Some(MINUTE);
        if hits { Mishap::BlobFault(BlobFault::Transient { retry_after }) } else { Mishap::None }
    });
    world.run(HOUR);
    let times = world.times("send");
    let longest = times.windows(2).map(|pair| pair[1] - pair[0]).max();
    assert!(longest.is_some_and(|longest| longest >= SECOND * 58), "{longest:?}");
    assert_eq!(world.outcome(), Some(&Outcome::Completed));
}

#[test]
fn blocks_refused_together_count_as_one_refusal() {
    let mut world = world(8);
    world.fate = Box::new(|ask| {
        let hits = kind(ask.command) == "send" && ask.nth <= 8;
        if hits { Mishap::BlobFault(BlobFault::Refused { status: 400 }) } else { Mishap::None }
    });
    world.run(HOUR);
    assert_eq!(world.outcome(), Some(&Outcome::Completed));

    let mut world = self::world(8);
    world.fate = always("send", START, HOUR, Mishap::BlobFault(BlobFault::Refused { status: 400 }));
    world.run(HOUR);
    assert_eq!(failure(&world), Some(&Failure::BlockRefused { status: 400 }));
    assert!(world.count("send") <= 8 * 6, "{} sent", world.count("send"));
}

/// FAULTS 48, 49.
#[test]
fn a_store_that_does_not_know_the_blocks_of_the_list_gets_them_again() {
    for (style, again) in [(Style::Blob, 10), (Style::BlindBlob, 20)] {
        let mut world = world(20);
        world.service.style = style;
        world.change(SECOND * 3, |_, store, _| store.lose_blocks());
        world.fate = always("list", START, SECOND * 4, super::world::fate::outage());
        world.run(HOUR);
        assert_eq!(world.outcome(), Some(&Outcome::Completed), "{style:?}");
        assert!((1..=again).contains(&(world.store.puts - 20)), "{style:?}: {} sent again", world.store.puts - 20);
    }
}

#[test]
fn a_store_that_never_knows_them_is_given_up_after_three_times() {
    let mut world = world(20);
    world.fate = always("list", START, HOUR, Mishap::BlobFault(BlobFault::BlocksLost));
    world.run(HOUR);
    assert_eq!(failure(&world), Some(&Failure::BlocksLost));
    assert_eq!(world.count("list"), 3);
}

/// CONTRACT: another path, another blob.
#[test]
fn a_renewal_that_names_another_place_sends_every_block_there() {
    let mut world = world(20);
    world.block_time = MINUTE;
    world.change(MINUTE, |service, _, _| service.moves = true);
    world.say(MINUTE, Event::RenewRequested);
    world.run(HOUR * 2);
    assert_eq!(world.outcome(), Some(&Outcome::Completed));
    assert_eq!(world.service.sessions[0].place, 1);
    assert!(world.store.puts > 20, "what the old place holds is not counted");
}

#[test]
fn a_bundle_that_cannot_be_read_ends_the_upload_and_its_session() {
    let mut world = world(20);
    world.fate = always("send", START, HOUR, Mishap::BlobFault(BlobFault::Bundle));
    world.run(HOUR);
    assert_eq!(failure(&world), Some(&Failure::BundleDamaged));
    assert_eq!(world.service.cancels, 1);
}

#[test]
fn a_bundle_that_gives_no_checksum_ends_the_upload_before_a_session_is_opened() {
    let mut world = world(20);
    world.fate = always("create", START, HOUR, Mishap::Undrafted);
    world.run(HOUR);
    assert_eq!(failure(&world), Some(&Failure::BundleDamaged));
    assert_eq!((world.count("create"), world.service.sessions.len()), (1, 0));
}
