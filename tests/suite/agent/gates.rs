//! A service that wants to be left alone.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use super::world::{Fate, HOUR, House, MINUTE, Op, SECOND};
use edm_agent::agent::ask::Ask;
use edm_agent::ports::clock::Clock;
use edm_agent::upload::fault::Fault;

/// Has the service turn the next report away and name a time.
fn turn_away(house: &House, span: Duration) {
    let is_done = Arc::new(AtomicBool::new(false));
    house.service.script(move |call| match call.op {
        Op::Update if !is_done.swap(true, Ordering::Relaxed) => {
            Fate::Failed(Fault::Transient { retry_after: Some(span) })
        }
        _ => Fate::Done,
    });
}

#[tokio::test(start_paused = true)]
async fn a_named_wait_holds_everything_but_the_blocks_and_ends_with_the_renewals() {
    let house = House::new();
    house.store.takes(SECOND);
    house.send("Letters", 3_000).await;
    for number in 0..20 {
        house.track(&format!("s{number}"), 100).await;
    }
    house.pass(MINUTE).await;
    turn_away(&house, MINUTE * 2);
    while house.picture().await.throttled_for.is_none() {
        house.pass(SECOND / 10).await;
    }
    let closed = house.clock.now().moment;
    house.service.take();
    for number in 0..20 {
        house.asker.ask(|reply| Ask::Renew(format!("s{number}"), reply)).await.unwrap().unwrap();
    }

    house.pass(MINUTE * 3).await;

    let calls = house.service.take();
    let first = calls.first().unwrap().at;
    let wait = closed.until(first);
    assert!(wait >= SECOND * 119 && wait <= SECOND * 121, "the service was left alone for {wait:?}");
    let puts = house.store.puts();
    let meanwhile = puts.iter().filter(|&&at| at > closed && at < first).count();
    assert!(meanwhile >= 8 * 115, "{meanwhile} blocks left while the gate was closed");
    let leading = calls.iter().take_while(|call| call.op == Op::Renew).count();
    assert!(leading >= 20, "all renewals that waited go first: {:?}", &calls[..20]);
    assert_eq!(house.service.lapsed(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_wait_of_a_year_is_capped_and_leases_that_lapse_over_it_are_shown_and_replaced() {
    let house = House::new();
    house.store.takes(SECOND * 5);
    let mut notices = house.notices.listen();
    let upload = house.send("Letters", 400).await;
    house.pass(MINUTE).await;
    turn_away(&house, HOUR * 24 * 365);
    while house.picture().await.throttled_for.is_none() {
        house.pass(SECOND / 10).await;
    }
    let closed = house.clock.now().moment;
    house.service.take();

    let view = house.view(&upload).await;
    assert_eq!(view.waiting.as_deref(), Some("throttled"));
    assert!(view.trouble.unwrap().contains("the lease ends before the service wants to hear from this host"));
    let mut told = None;
    while let Ok(notice) = notices.try_recv() {
        told = told.or((notice.event == "throttled").then(|| notice.detail.clone()));
    }
    assert_eq!(told.unwrap(), serde_json::json!({ "seconds": 3_600, "leases_ending": 1 }));

    let view = house.until(&upload, HOUR * 3, |view| view.is_closed()).await;

    let first = house.service.take().first().unwrap().at;
    let wait = closed.until(first);
    assert!(wait >= MINUTE * 59 && wait <= MINUTE * 61, "the service was left alone for {wait:?}");
    assert_eq!(view.outcome.as_deref(), Some("completed"));
    assert_eq!(view.sessions_lost, 1, "the session lapsed meanwhile, and another took its place");
}
