//! A request may take effect although its answer never comes.

use std::cell::Cell;
use std::rc::Rc;

use edm_agent::upload::event::Reply;
use edm_agent::upload::outcome::Outcome;
use edm_agent::upload::plan::Sender;
use edm_agent::upload::policy::Policy;

use super::world::fate::Mishap;
use super::world::service::Style;
use super::world::{HOUR, World, plan};

const BLOCKS: u32 = 6;
const STYLES: [Style; 4] = [Style::Blob, Style::BlindBlob, Style::Container, Style::Plain];

fn world(style: Style) -> World {
    let mut world = World::new(plan(BLOCKS, Sender::Owned, 7), Policy::default());
    world.service.style = style;
    world
}

fn assert_done(world: &World, what: &str) {
    assert_eq!(world.outcome(), Some(&Outcome::Completed), "{what}");
    assert!(world.upload.is_quiet(), "{what}");
    assert_eq!(world.service.sessions.len(), 1, "one session, {what}");
    assert_eq!(world.service.commits, 1, "one commit, {what}");
    let remote = &world.service.sessions[0];
    assert!(world.store.is_complete(&remote.id, remote.place, world.service.style), "every block is there, {what}");
    assert_eq!(remote.reported.last(), Some(&0), "the counts end at 0, {what}");
}

/// Runs an upload whose request of this index is befallen by a mishap, and
/// returns whether it came to that request.
fn mishap_at(index: usize, style: Style, mishap: &Mishap) -> bool {
    let mut world = world(style);
    let hit = Rc::new(Cell::new(false));
    let (seen, mishap) = (Rc::clone(&hit), mishap.clone());
    world.fate = Box::new(move |ask| {
        if ask.index != index {
            return Mishap::None;
        }
        seen.set(true);
        mishap.clone()
    });
    world.run(HOUR * 2);
    assert_done(&world, &format!("{style:?}, request {index}"));
    hit.get()
}

#[test]
fn a_plain_upload_ends_completed_with_one_session_and_one_commit() {
    for style in STYLES {
        let mut world = world(style);
        world.run(HOUR);
        assert_done(&world, &format!("{style:?}"));
        let blocks = if style == Style::Plain { 1 } else { BLOCKS };
        assert_eq!(world.store.puts, blocks, "each block once");
        assert_eq!(world.count("create") + world.count("commit"), 2);
        assert_eq!(world.count("find"), 0, "nothing was in doubt");
    }
}

#[test]
fn a_lost_reply_at_any_request_changes_nothing_in_the_outcome() {
    for style in STYLES {
        let hits = (0..60).take_while(|&index| mishap_at(index, style, &Mishap::Lost)).count();
        assert!((8..60).contains(&hits), "{hits} requests");
    }
}

/// FAULTS 28, 45, 46: as above, without the effect.
#[test]
fn a_request_that_never_arrives_changes_nothing_in_the_outcome() {
    for style in STYLES {
        let hits = (0..60).take_while(|&index| {
            let is_hit = Rc::new(Cell::new(false));
            let seen = Rc::clone(&is_hit);
            let mut world = world(style);
            world.fate = Box::new(move |ask| {
                if ask.index != index {
                    return Mishap::None;
                }
                seen.set(true);
                super::world::fate::suited(ask.command, super::world::fate::outage())
            });
            world.run(HOUR * 2);
            assert_done(&world, &format!("{style:?}, request {index}"));
            is_hit.get()
        });
        assert!(hits.count() >= 8);
    }
}

/// FAULTS 66, 67: death at every request, before and after its effect, with
/// and without the records that were under way, on the same boot or a new one.
#[test]
fn a_death_at_any_request_changes_nothing_in_the_outcome() {
    for style in STYLES {
        for lucky in [0, 1, 100] {
            let mut index = 0;
            loop {
                let mut world = world(style);
                world.run_while_fewer(index, HOUR);
                if world.outcome().is_some() || index > 60 {
                    break;
                }
                let after = [3, 30, 700][index % 3];
                let reboot = index % 2 == 0;
                world.crash(std::time::Duration::from_millis(after), HOUR / 60, lucky, reboot, index % 3 == 0);
                world.run(HOUR * 2);
                assert_done(&world, &format!("{style:?}, died at request {index}, {lucky} lucky"));
                assert!(world.store.puts <= BLOCKS * 2, "blocks sent at most once more");
                index += 1;
            }
            assert!(index >= 8);
        }
    }
}

#[test]
fn an_answer_from_an_earlier_epoch_changes_nothing() {
    let mut world = world(Style::Blob);
    world.block_time = HOUR / 2;
    world.run_until(HOUR, |world| world.upload.in_flight() == BLOCKS as usize);
    world.service.sessions[0].deleted = true;

    world.run_until(HOUR, |world| world.upload.standing().epoch == 1);
    let before = world.upload.standing().clone();
    let late = Reply::Sent { block: 0, uri: 99, result: Ok(()) };
    world.tell(edm_agent::upload::event::Event::Answered { epoch: 0, reply: late });

    assert_eq!(world.upload.standing(), &before);
    world.run(HOUR * 5);
    assert_eq!(world.outcome(), Some(&Outcome::Completed));
    assert_eq!((world.service.sessions.len(), world.service.commits), (2, 1));
}
