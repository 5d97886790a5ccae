//! Answers that come late, or not as hoped: they change nothing they should
//! not, and leave every place in every lane free.

use std::time::Duration;

use edm_agent::agent::ask::Ask;
use edm_agent::ground::chance::draw;
use edm_agent::upload::fault::{BlobFault, Fault};

use super::world::{Altered, Fate, HOUR, House, MINUTE, Op, Put, SECOND};

/// One of the fates a request may have, but for hanging for ever: that the
/// adapters bound.
fn fate(seed: u64, number: u64) -> Fate {
    let transient = |retry_after| Fate::Failed(Fault::Transient { retry_after });
    match (draw(seed, number) * 20.0) as u32 {
        0 => transient(None),
        1 => transient(Some(SECOND * 3)),
        2 => Fate::Failed(Fault::Gone),
        3 => Fate::Failed(Fault::Unauthorised),
        4 => Fate::Failed(Fault::NotPermitted),
        5 => Fate::Failed(Fault::Conflict),
        6 => Fate::Failed(Fault::Quota { retry_after: Some(SECOND) }),
        7 => Fate::Failed(Fault::Refused { status: 400 }),
        8 => Fate::Lost,
        9 => Fate::Altered([Altered::Session, Altered::Store][number as usize % 2]),
        10 => Fate::Slow(MINUTE * 3),
        11 | 12 => Fate::Slow(SECOND * 5),
        _ => Fate::Done,
    }
}

fn put(seed: u64, number: u64) -> Put {
    match (draw(seed, number) * 12.0) as u32 {
        0 => Put::Failed(BlobFault::Transient { retry_after: None }),
        1 => Put::Failed(BlobFault::Forbidden),
        2 => Put::Failed(BlobFault::NotFound),
        _ => Put::Done,
    }
}

#[tokio::test(start_paused = true)]
async fn a_thousand_outcomes_of_any_kind_leave_every_place_in_every_lane_free() {
    for seed in 1..=4 {
        let house = House::with(|settings| settings.quota.sessions_per_day = 10_000);
        let mut numbers = 0..;
        house.service.script(move |_| fate(seed, numbers.next().unwrap()));
        let mut numbers = 0..;
        house.store.script(move |_| put(seed + 100, numbers.next().unwrap()));
        house.store.takes(SECOND * 2);
        let mut round = 0;
        let mut outcomes = 0;
        while outcomes < 1_000 {
            for store in ["A", "B", "C"] {
                let (entry, bundle) = house.cargo(&format!("{store}-{round}"), store, 150);
                // The last of this data store may not be over yet.
                let _ = house.begin(entry, Some(bundle)).await;
            }
            house.track(&format!("theirs-{round}"), 5).await;
            house.pass(SECOND * 5).await;
            // What is over stays for a while, and sessions go while their blocks wait.
            house.journal.hold();
            for view in house.picture().await.uploads.iter().skip(round as usize % 2).step_by(2) {
                if let Some(session) = &view.session {
                    house.service.lose(session);
                }
                let asked = house.asker.ask(|reply| Ask::Renew(view.upload.clone(), reply)).await;
                drop(asked.unwrap());
            }
            house.pass(MINUTE).await;
            house.journal.free();
            house.pass(MINUTE * 6).await;
            for view in house.picture().await.uploads.iter().step_by(2) {
                let asked = house.asker.ask(|reply| Ask::Cancel(view.upload.clone(), reply)).await;
                drop(asked.unwrap());
            }
            house.pass(MINUTE).await;
            round += 1;
            outcomes += house.service.take().len();
            assert!(round < 200, "only {outcomes} outcomes");
        }

        house.service.script(|_| Fate::Done);
        house.store.script(|_| Put::Done);
        for view in house.picture().await.uploads {
            let asked = house.asker.ask(|reply| Ask::Cancel(view.upload.clone(), reply)).await;
            drop(asked.unwrap());
        }
        house.pass(HOUR).await;
        assert!(house.picture().await.uploads.is_empty(), "seed {seed}");
        the_lanes_are_free(&house).await;
    }
}

/// Fills every lane to its limit, which a place that leaked would not allow.
async fn the_lanes_are_free(house: &House) {
    let before = house.store.peak().0;
    assert!(before <= 8);
    house.store.takes(MINUTE);
    house.send("Free", 30).await;
    house.pass(SECOND * 5).await;
    assert_eq!(house.store.in_flight().0, 8, "all places for blocks are free");

    for number in 0..40 {
        house.track(&format!("free-{number}"), 100).await;
    }
    house.pass(SECOND * 5).await;
    house.service.take();
    house.service.script(|_| Fate::Slow(SECOND * 2));
    for number in 0..40 {
        house.asker.ask(|reply| Ask::Renew(format!("free-{number}"), reply)).await.unwrap().unwrap();
    }
    house.pass(SECOND).await;
    let renewals = house.service.take().iter().filter(|call| call.op == Op::Renew).count();
    assert_eq!(renewals, 32, "all places for renewals are free");
    house.pass(SECOND * 10).await;

    house.service.script(|call| match call.op {
        Op::Get => Fate::Slow(SECOND * 2),
        _ => Fate::Done,
    });
    house.service.take();
    for number in 0..12 {
        house.track(&format!("read-{number}"), 100).await;
    }
    house.pass(SECOND).await;
    let reads = house.service.take().iter().filter(|call| call.op == Op::Get).count();
    assert_eq!(reads, 8, "all places for other requests are free");
}

#[tokio::test(start_paused = true)]
async fn an_answer_of_a_lost_session_changes_nothing_of_the_next() {
    let house = House::new();
    house.store.takes(SECOND * 40);
    let upload = house.send("Letters", 8).await;
    house.until(&upload, MINUTE, |view| view.blocks_in_flight == 8).await;
    house.service.lose("opened-0");
    house.asker.ask(|reply| Ask::Renew(upload.clone(), reply)).await.unwrap().unwrap();
    let view = house.until(&upload, MINUTE, |view| view.session.as_deref() == Some("opened-1")).await;
    assert_eq!(view.stored_blocks, 0);

    // The first eight are answered now, well, in the place of a session that is gone.
    house.pass(Duration::from_secs(42)).await;

    let view = house.view(&upload).await;
    assert_eq!((view.stored_blocks, view.sessions_lost), (0, 1));
    let view = house.until(&upload, HOUR, |view| view.is_closed()).await;
    assert_eq!(view.outcome.as_deref(), Some("completed"));
    assert_eq!(house.store.puts().len(), 16, "each block once for each session");
}
