//! A world drawn from a seed: what it is like, and everything that goes wrong in it.

use std::time::Duration;

use chrono::TimeDelta;
use edm_agent::ground::moment::Moment;
use edm_agent::upload::event::{Command, Event};
use edm_agent::upload::fault::{BlobFault, Fault};
use edm_agent::upload::ledger::Ledger;
use edm_agent::upload::plan::Sender;
use edm_agent::upload::policy::Policy;

use super::world::fate::{Dice, Mishap, is_blob, outage, suited};
use super::world::service::Style;
use super::world::{HOUR, MINUTE, SECOND, World, plan};

/// How long things go wrong before the weather turns fair.
pub(crate) const STORM: Duration = Duration::from_secs(4 * 3_600);

/// Makes the world of a seed.
pub(crate) fn world(seed: u64) -> World {
    let mut dice = Dice::new(seed);
    let total = 1 + dice.below(24);
    let sender = match dice.below(8) {
        0 => Sender::Tracked { session: None },
        _ => Sender::Owned,
    };
    let mut world = World::new(canaried(plan(total, sender, seed), &mut dice), policy(&mut dice));
    world.service.style = match dice.below(4) {
        0 => Style::BlindBlob,
        1 => Style::Container,
        2 => Style::Plain,
        _ => Style::Blob,
    };
    world.service.uri_ttl = [None, Some(MINUTE * 7), Some(MINUTE * 30)][dice.below(3) as usize];
    world.service.ahead = TimeDelta::seconds(i64::from(dice.below(200_000)) - 100_000);
    world.store.ahead = world.service.ahead;
    world.service.word = ["UploadInProgress", "NotStarted", "Frobnicating", ""][dice.below(4) as usize].to_owned();
    world.service.processing_time = dice.span(MINUTE * 20);
    world.travel = [Duration::from_millis(20), SECOND, SECOND * 8][dice.below(3) as usize];
    world.block_time = [SECOND, SECOND * 20, MINUTE * 6][dice.below(3) as usize];
    world.lane_wait = [Duration::ZERO, SECOND, SECOND * 40][dice.below(3) as usize];
    world.journal.delay = dice.span(SECOND);
    refuse_reports(&mut world, &mut dice);
    break_things(&mut world, &mut dice);
    keep_progress_coming(&mut world);
    world.fate = fate(&mut dice);
    world
}

fn canaried(mut plan: edm_agent::upload::plan::Plan, dice: &mut Dice) -> edm_agent::upload::plan::Plan {
    plan.canary = dice.one_in(3);
    plan
}

fn policy(dice: &mut Dice) -> Policy {
    Policy {
        session_ttl: [MINUTE * 10, HOUR][dice.below(2) as usize],
        window: 1 + dice.below(8),
        verify_before_commit: !dice.one_in(4),
        ..Policy::default()
    }
}

fn refuse_reports(world: &mut World, dice: &mut Dice) {
    let status = [400, 405, 422][dice.below(3) as usize];
    let fault = [Fault::Refused { status }, Fault::NotPermitted][dice.below(2) as usize].clone();
    match dice.below(8) {
        0 => world.service.refuses_state = Some(fault),
        1 => world.service.refuses_reports = Some(fault),
        _ => (),
    }
}

/// Deaths, sleeps, jumps of the wall clock, stalls of the disk, lost blocks,
/// places that change, signatures that are refused early.
fn break_things(world: &mut World, dice: &mut Dice) {
    let after = |dice: &mut Dice| match dice.below(3) {
        0 => dice.span(MINUTE),
        1 => dice.span(MINUTE * 20),
        _ => dice.span(STORM),
    };
    for _ in 0..dice.below(5) {
        let down = [SECOND, MINUTE * 3, MINUTE * 40][dice.below(3) as usize];
        let (lucky, reboot, compacts) = (dice.below(3) as usize, dice.one_in(2), dice.one_in(2));
        world.crash(after(dice), dice.span(down), lucky, reboot, compacts);
    }
    if dice.one_in(3) {
        world.suspend(after(dice), dice.span(HOUR * 2));
    }
    for _ in 0..dice.below(3) {
        let by = TimeDelta::seconds(i64::from(dice.below(7_200)) - 3_600);
        world.set_wall(after(dice), by);
    }
    for _ in 0..dice.below(3) {
        let from = world.time + after(dice);
        world.journal.stalls.push((from, from + dice.span(MINUTE * 30)));
    }
    if !world.plan.is_owned() {
        return;
    }
    if dice.one_in(4) {
        world.change(after(dice), |service, store, _| {
            // Only blocks that no list names vanish; blobs do not.
            if service.style != Style::Container {
                store.lose_blocks();
            }
        });
    }
    if dice.one_in(4) {
        world.change(after(dice), |service, _, _| service.moves = true);
    }
    if dice.one_in(4) {
        world.change(after(dice), |service, _, _| service.uriless = 3);
    }
    if dice.one_in(4) {
        world.change(after(dice), |service, store, _| {
            if let Some(remote) = service.sessions.last() {
                store.hates.insert(service.uri(remote).expose().to_owned());
            }
        });
    }
    if dice.one_in(10) {
        world.change(after(dice), |service, _, _| {
            if let Some(remote) = service.sessions.last_mut()
                && remote.committed.is_none()
            {
                remote.deleted = true;
            }
        });
    }
}

/// The other uploader of a tracked upload goes on, and asks for the commit.
fn keep_progress_coming(world: &mut World) {
    if world.plan.is_owned() {
        return;
    }
    let total = world.plan.total_blocks;
    let steps = 40;
    for step in 1..=steps {
        let stored = total * step / steps;
        let after = STORM * step / steps;
        world.change(after, move |service, store, _| {
            if let Some(remote) = service.sessions.last() {
                store.fill(&remote.id, remote.place, stored);
            }
        });
        world.say(after + SECOND, Event::Progressed(Ledger::first(stored)));
    }
    // Said until the agent is there to hear it.
    for hour in 0..5 {
        world.say(STORM + HOUR * hour + MINUTE, Event::Progressed(Ledger::first(total)));
        world.say(STORM + HOUR * hour + MINUTE * 2, Event::CommitRequested);
    }
}

fn fate(dice: &mut Dice) -> super::world::fate::Fate {
    let often = [0, 40, 10, 4][dice.below(4) as usize];
    let start = Moment::from_boot(SECOND * 100);
    let mut outages = Vec::new();
    for _ in 0..dice.below(4) {
        let from = start + dice.span(STORM);
        outages.push((from, from + dice.span(MINUTE * 25), dice.below(3)));
    }
    let mut dice = dice.clone();
    Box::new(move |ask| {
        if ask.time.since(start) > STORM {
            return Mishap::None;
        }
        let is_out = outages.iter().any(|&(from, to, which)| {
            let hits = match which {
                0 => is_blob(ask.command),
                1 => !is_blob(ask.command),
                _ => true,
            };
            hits && ask.time >= from && ask.time < to
        });
        if is_out {
            return suited(ask.command, outage());
        }
        if often == 0 || !dice.one_in(often) {
            return Mishap::None;
        }
        mishap(ask.command, &mut dice)
    })
}

fn mishap(command: &Command, dice: &mut Dice) -> Mishap {
    let retry_after = dice.one_in(2).then(|| dice.span(MINUTE));
    let any = match dice.below(8) {
        0..=2 => Mishap::Lost,
        3 | 4 => outage(),
        5 => Mishap::Fault(Fault::Transient { retry_after }),
        6 => Mishap::Late(dice.span(SECOND * 25)),
        _ => return odd(command, dice),
    };
    suited(command, any)
}

/// A mishap that only this kind of request knows.
fn odd(command: &Command, dice: &mut Dice) -> Mishap {
    match command {
        Command::Send { .. } | Command::SendWhole { .. } | Command::PutList | Command::Inventory => {
            Mishap::BlobFault(BlobFault::Transient { retry_after: Some(dice.span(MINUTE)) })
        }
        Command::Create => {
            let (quota, denied) = (Fault::Quota { retry_after: Some(dice.span(HOUR)) }, Fault::NotPermitted);
            Mishap::Fault([quota, denied, Fault::Conflict][dice.below(3) as usize].clone())
        }
        Command::Find | Command::Renew { .. } => Mishap::Fault(Fault::NotPermitted),
        Command::Fetch => Mishap::Fault([Fault::Gone, Fault::NotPermitted][dice.below(2) as usize].clone()),
        Command::Report(_) => Mishap::Fault([Fault::Gone, Fault::Conflict][dice.below(2) as usize].clone()),
        Command::Commit => Mishap::Fault(Fault::Conflict),
        Command::Abort | Command::LookUpCanary => outage(),
    }
}
