//! The sessions of a day: whose count, what a refusal does, what is left.

use std::sync::Arc;

use super::metrics::table;
use super::world::{Fate, HOUR, House, MINUTE, Op, SECOND, tracked};
use crate::support::tokens::Fixed;
use chrono::TimeDelta;
use edm_agent::agent::quotas;
use edm_agent::agent::status::QuotaView;
use edm_agent::ports::clock::Clock;
use edm_agent::ports::tokens::TokenProvider;
use edm_agent::upload::fault::Fault;
use edm_agent::upload::plan::Sender;

async fn quota(house: &House) -> QuotaView {
    house.picture().await.quota.into_iter().next().unwrap()
}

/// Opens a session as another host would, so many hours ago.
fn foreign(house: &House, id: &str, hours: i64) {
    house.service.seed(id, "Letters", 4);
    let opened = house.clock.now().wall - TimeDelta::hours(hours);
    house.service.change(id, |remote| remote.opened = opened);
}

/// Asks for a session as another uploader of this host does.
async fn want(house: &House, name: &str, urgent: bool) -> String {
    let mut entry = tracked(name, 5, &house.clock);
    entry.plan.sender = Sender::Tracked { session: None };
    entry.urgent = urgent;
    house.begin(entry, None).await.unwrap().upload
}

#[tokio::test(start_paused = true)]
async fn sessions_of_other_hosts_count_and_none_counts_twice() {
    let house = House::new();
    for number in 0..3 {
        foreign(&house, &format!("theirs-{number}"), 20);
    }
    for number in 0..3 {
        want(&house, &format!("w{number}"), true).await;
    }
    house.pass(HOUR).await;

    assert_eq!(house.service.count(Op::Create), 2, "three of five were had by others");
    let view = quota(&house).await;
    assert_eq!((view.allowed, view.learned, view.used, view.left), (5, None, 5, 0));
    assert_eq!(view.known_from, "service");
    let slot = view.next_slot.unwrap() - house.clock.now().wall;
    assert!(slot > TimeDelta::hours(2) && slot < TimeDelta::hours(4), "theirs leave four hours after: {slot}");
    let waiting = house.picture().await.uploads.into_iter().find(|view| view.waiting.is_some()).unwrap();
    assert_eq!(waiting.waiting.as_deref(), Some("quota"));
    assert!(waiting.trouble.unwrap().contains("the next slot is at"));

    house.pass(HOUR * 4).await;
    assert_eq!(house.service.count(Op::Create), 3, "then it is its turn");
}

#[tokio::test(start_paused = true)]
async fn a_list_that_fails_blocks_nobody_and_is_said() {
    let house = House::new();
    foreign(&house, "theirs", 1);
    house.service.script(|call| match call.op {
        Op::Sessions => Fate::Failed(Fault::NotPermitted),
        _ => Fate::Done,
    });
    want(&house, "ours", true).await;
    house.pass(MINUTE).await;

    assert_eq!(house.service.count(Op::Create), 1);
    let view = quota(&house).await;
    assert_eq!((view.used, view.known_from.as_str()), (1, "journal"));
}

#[tokio::test(start_paused = true)]
async fn a_list_is_asked_for_once_for_many_and_not_again_within_minutes() {
    let house = House::new();
    for number in 0..4 {
        want(&house, &format!("w{number}"), true).await;
    }
    house.pass(SECOND * 10).await;
    assert_eq!((house.service.count(Op::Create), house.service.count(Op::Sessions)), (4, 1));
}

#[tokio::test(start_paused = true)]
async fn a_refused_creation_waits_hours_and_a_restart_knows_what_was_learned() {
    let house = House::new();
    house.service.script(|call| match call.op {
        Op::Create => Fate::Failed(Fault::Quota { retry_after: Some(SECOND * 5) }),
        _ => Fate::Done,
    });
    for hours in [20, 3] {
        foreign(&house, &format!("theirs-{hours}"), hours);
    }
    want(&house, "ours", true).await;
    house.pass(HOUR * 3).await;
    assert_eq!(house.service.count(Op::Create), 1, "seconds are no answer");
    let view = quota(&house).await;
    assert_eq!((view.allowed, view.learned, view.left), (5, Some(2), 0));

    let house = house.restart();
    house.pass(MINUTE * 50).await;
    assert_eq!(house.service.count(Op::Create), 1, "the refusal outlives a restart");
    assert_eq!(quota(&house).await.learned, Some(2));
    house.pass(MINUTE * 21).await;
    assert_eq!(house.service.count(Op::Create), 2, "the oldest has left");

    house.service.script(|_| Fate::Done);
    house.pass(HOUR * 20).await;
    assert_eq!(house.service.count(Op::Create), 3);
}

#[tokio::test(start_paused = true)]
async fn sessions_a_journal_of_0_1_0_remembers_count() {
    let house = House::new();
    let mut memory = house.journal.memory();
    let at = house.clock.now().wall - TimeDelta::hours(20);
    memory.facts.push(("opened/Letters".to_owned(), serde_json::json!([at, at, at, at])));
    let house = house.restart_with(memory);
    for number in 0..2 {
        want(&house, &format!("w{number}"), true).await;
    }
    house.pass(HOUR).await;
    assert_eq!((house.service.count(Op::Create), quota(&house).await.used), (1, 5));
    house.pass(HOUR * 4).await;
    assert_eq!(house.service.count(Op::Create), 2);
}

#[tokio::test(start_paused = true)]
async fn throttling_that_is_not_of_the_quota_passes_in_seconds() {
    let house = House::new();
    let mut times = 0;
    house.service.script(move |call| match call.op {
        Op::Create => {
            times += 1;
            match times {
                1 => Fate::Failed(Fault::Transient { retry_after: Some(SECOND * 5) }),
                _ => Fate::Done,
            }
        }
        _ => Fate::Done,
    });
    want(&house, "ours", true).await;
    house.pass(MINUTE * 3).await;
    assert_eq!(house.service.count(Op::Create), 2);
    assert_eq!(quota(&house).await.learned, None);
}

#[tokio::test(start_paused = true)]
async fn a_creation_whose_fate_is_unknown_counts_until_it_is_known() {
    let house = House::with(|settings| settings.quota.sessions_per_day = 1);
    let mut times = 0;
    house.service.script(move |call| match call.op {
        Op::Create => {
            times += 1;
            if times == 1 { Fate::Lost } else { Fate::Done }
        }
        // The list shows it late.
        Op::Sessions if times > 0 => Fate::Slow(SECOND * 20),
        _ => Fate::Done,
    });
    want(&house, "first", true).await;
    house.pass(SECOND).await;
    want(&house, "second", true).await;
    house.pass(HOUR).await;
    assert_eq!(house.service.count(Op::Create), 1, "the one that was lost is the one of the day");
    assert_eq!(house.service.sessions_now().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_configured_store_is_counted_after_a_start_and_every_hour_without_an_upload() {
    let house = House::with(|settings| settings.table = vec![table("letters", "Letters")]);
    foreign(&house, "theirs", 1);
    let mut failing = 1;
    house.service.script(move |call| match call.op {
        Op::Sessions if failing > 0 => {
            failing -= 1;
            Fate::Failed(Fault::Transient { retry_after: None })
        }
        _ => Fate::Done,
    });
    let intake = house.intake();
    let out: Arc<dyn TokenProvider> = Fixed::none("no credential");
    tokio::select! {
        never = quotas::keep(&intake, &out) => match never {},
        () = house.pass(HOUR) => (),
    }
    assert_eq!(house.service.count(Op::Sessions), 0, "nothing is asked before it is signed in");
    let tokens: Arc<dyn TokenProvider> = Fixed::token("token");
    tokio::select! {
        never = quotas::keep(&intake, &tokens) => match never {},
        () = house.pass(MINUTE * 11) => (),
    }
    assert_eq!(house.service.count(Op::Sessions), 2, "what failed is asked for again");
    let view = quota(&house).await;
    assert_eq!((view.used, view.known_from.as_str()), (1, "service"));
    foreign(&house, "theirs-too", 0);
    tokio::select! {
        never = quotas::keep(&intake, &tokens) => match never {},
        () = house.pass(HOUR * 3 + MINUTE) => (),
    }
    assert_eq!((house.service.count(Op::Sessions), quota(&house).await.used), (6, 2));
}

#[tokio::test(start_paused = true)]
async fn what_is_kept_for_people_is_told_of_only_where_a_person_would_have_it() {
    for (had, is_kept) in [(4, true), (5, false)] {
        let house = House::new();
        for number in 0..had {
            foreign(&house, &format!("theirs-{number}"), 20);
        }
        let id = want(&house, "ours", false).await;
        let view = house.until(&id, HOUR, |view| view.waiting.as_deref() == Some("quota")).await;
        let said = view.trouble.unwrap();
        assert_eq!(said.contains("quota.reserved keeps for people"), is_kept, "{had}: {said}");
    }
}
