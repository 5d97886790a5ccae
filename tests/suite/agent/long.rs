//! Many sessions for a long time.

use std::collections::BTreeMap;
use std::time::Duration;

use super::world::{HOUR, House, MINUTE, Op, SECOND};
use edm_agent::ports::clock::Clock;

#[tokio::test(start_paused = true)]
async fn fifty_sessions_live_a_day_within_their_budget() {
    keep(50, HOUR * 24).await;
}

#[tokio::test(start_paused = true)]
async fn a_thousand_sessions_live_within_their_budget_and_leave_nothing_behind() {
    keep(1_000, HOUR * 2).await;
}

#[cfg_attr(debug_assertions, ignore = "200,000 renewals take minutes unless optimised: run it with --release")]
#[tokio::test(start_paused = true)]
async fn a_thousand_sessions_live_a_day_within_their_budget() {
    keep(1_000, HOUR * 24).await;
}

/// Tracks so many sessions for so long and judges what that cost.
async fn keep(sessions: u32, span: Duration) {
    let house = House::new();
    for number in 0..sessions {
        house.track(&format!("s{number}"), 100).await;
    }
    house.pass(MINUTE * 20).await;
    house.service.take();
    let (rows, batches) = (house.journal.rows(), house.journal.batches());

    house.pass(span).await;

    assert_eq!(house.service.lapsed(), 0);
    let calls = house.service.take();
    assert!(calls.iter().all(|call| call.op == Op::Renew), "an idle session costs renewals and nothing else");
    let mut of_session = BTreeMap::<&str, u64>::new();
    let mut in_second = BTreeMap::<u64, u32>::new();
    for call in &calls {
        *of_session.entry(&call.about).or_default() += 1;
        *in_second.entry(call.at.since_boot().as_secs()).or_default() += 1;
    }
    assert_eq!(of_session.len(), sessions as usize);
    // Each lease of 15 minutes is renewed once, in 35 % to 60 % of its life.
    let (least, most) = (of_session.values().min().unwrap(), of_session.values().max().unwrap());
    let (slowest, fastest) = (span.as_secs() / 541, span.as_secs() / 315 + 1);
    assert!(*least >= slowest && *most <= fastest, "{least} to {most} renewals, not {slowest} to {fastest}");
    let peak = in_second.values().max().unwrap();
    assert!(*peak <= 20, "{peak} renewals in one second, where 2.4 would be even");
    assert_eq!(house.journal.rows(), rows, "the journal keeps the newest of each slot");
    let turns = house.journal.batches() - batches;
    assert!(turns <= calls.len() as u64 + 25, "{turns} batches for {} renewals", calls.len());
}

#[tokio::test(start_paused = true)]
async fn an_agent_with_nothing_to_do_sleeps() {
    let house = House::new();
    house.pass(SECOND).await;
    let mut beat = house.beat.clone();
    let mut turns = 0;
    let end = house.clock.now().moment + HOUR * 24;
    loop {
        tokio::select! {
            changed = beat.changed() => {
                changed.unwrap();
                turns += 1;
            }
            () = house.clock.sleep_until(end) => break,
        }
    }
    assert!(turns <= 24 + 2 * 24, "{turns} turns in a day: once an hour it keeps house, and the journal answers");
}

#[tokio::test(start_paused = true)]
async fn a_thousand_sessions_of_ten_seconds_never_lapse() {
    let house = House::with(|settings| settings.lease.session_ttl = SECOND * 10);
    house.service.lives(SECOND * 10, SECOND * 10);
    for number in 0..1_000 {
        house.track(&format!("s{number}"), 100).await;
    }
    house.pass(SECOND * 20).await;
    let rows = house.journal.rows();
    house.service.take();

    house.pass(SECOND * 40).await;

    assert_eq!(house.service.lapsed(), 0);
    let a_second = house.service.count(Op::Renew) / 40;
    assert!((160..=300).contains(&a_second), "{a_second} renewals a second");
    assert_eq!(house.journal.rows(), rows);
}
