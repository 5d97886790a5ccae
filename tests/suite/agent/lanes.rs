//! What may be under way at a time, and what never waits for it.

use std::collections::BTreeMap;

use super::world::{HOUR, House, MINUTE, Op, SECOND};
use edm_agent::ground::moment::Moment;
use edm_agent::ports::clock::Clock;

#[tokio::test(start_paused = true)]
async fn a_saturated_store_delays_no_renewal() {
    let house = House::with(|settings| settings.upload.concurrency = 3);
    house.store.takes(MINUTE * 25);
    for store in ["Letters", "Numbers"] {
        house.send(store, 60).await;
    }
    for number in 0..50 {
        house.track(&format!("s{number}"), 100).await;
    }
    let mut planned = BTreeMap::<String, Vec<Moment>>::new();
    let end = house.clock.now().moment + HOUR * 6;
    while house.clock.now().moment < end {
        house.pass(SECOND * 10).await;
        assert_eq!(house.store.in_flight().0, 3, "the lane is full all the time");
        let now = house.clock.now().moment;
        for view in house.picture().await.uploads {
            let at = now + std::time::Duration::from_secs_f64(view.renew_in.unwrap());
            let moments = planned.entry(view.session.unwrap()).or_default();
            let is_known = moments.last().is_some_and(|&last| last.until(at) < SECOND && at.until(last) < SECOND);
            if !is_known {
                moments.push(at);
            }
        }
    }

    assert_eq!(house.service.lapsed(), 0);
    let calls = house.service.take();
    let mut worst = std::time::Duration::ZERO;
    for (session, moments) in &planned {
        for &moment in moments.iter().filter(|&&moment| moment < end) {
            let renewals = calls.iter().filter(|call| call.op == Op::Renew && call.about == *session);
            // The picture rounds to a tenth of a second.
            let late = renewals.map(|call| (moment - SECOND / 10).until(call.at)).filter(|late| !late.is_zero()).min();
            worst = worst.max(late.expect("what was planned was done"));
        }
    }
    assert!(worst <= SECOND / 5, "the latest renewal was {worst:?} late");
}

#[tokio::test(start_paused = true)]
async fn the_bytes_in_flight_stay_within_the_memory_set_for_them() {
    let house = House::with(|settings| settings.upload.memory = 1_000);
    let (entry, bundle) = house.cargo("letters", "Letters", 30);
    let block = bundle.manifest().blocks[0].length;
    let fit = 1_000 / block;
    assert!((2..8).contains(&fit), "the memory, and not the eight places, is what limits here: {block} bytes");
    let upload = house.begin(entry, Some(bundle)).await.unwrap().upload;

    house.until(&upload, HOUR, |view| view.is_closed()).await;

    assert_eq!(house.store.peak(), (fit as usize, fit * block));
    assert_eq!(house.store.puts().len(), 30);
}

#[tokio::test(start_paused = true)]
async fn a_block_larger_than_the_memory_passes_alone() {
    let house = House::with(|settings| settings.upload.memory = 1);
    let upload = house.send("Letters", 10).await;

    let view = house.until(&upload, HOUR, |view| view.is_closed()).await;

    assert_eq!(view.outcome.as_deref(), Some("completed"));
    assert_eq!(house.store.largest_company(), 0, "never two at a time");
}

#[tokio::test(start_paused = true)]
async fn uploads_share_the_places_there_are() {
    let house = House::with(|settings| settings.upload.concurrency = 4);
    house.store.takes(SECOND);
    let mut uploads = Vec::new();
    for store in ["A", "B", "C"] {
        uploads.push(house.send(store, 20).await);
    }

    for upload in uploads {
        house.until(&upload, HOUR, |view| view.is_closed()).await;
    }

    assert_eq!(house.store.peak().0, 4);
}
