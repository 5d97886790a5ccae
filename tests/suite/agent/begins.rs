//! Which uploads may begin, and when they may open a session.

use std::collections::BTreeMap;

use super::world::{HOUR, House, MINUTE, Op, SECOND, tracked};
use edm_agent::agent::ask::AskRefused;
use edm_agent::ports::journal::Entry;
use edm_agent::upload::plan::Sender;

#[tokio::test(start_paused = true)]
async fn a_data_store_takes_one_upload_at_a_time() {
    let house = House::new();
    let first = house.send("Letters", 4).await;
    let (entry, bundle) = house.cargo("second", "Letters", 4);

    let refused = house.begin(entry.clone(), Some(bundle.clone())).await.unwrap_err();

    let reason = format!("upload {first} of this data store is not finished: cancel it, or wait");
    assert_eq!(refused, AskRefused::Conflict(reason));
    house.until(&first, HOUR, |view| view.is_closed()).await;
    house.begin(entry, Some(bundle)).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_session_is_tracked_once() {
    let house = House::new();
    let first = house.track("theirs", 4).await;
    let again = Entry { plan: tracked("again", 4, &house.clock).plan, ..tracked("theirs", 4, &house.clock) };
    let mut again = again;
    again.plan.sender = Sender::Tracked { session: Some("theirs".to_owned()) };

    let refused = house.begin(again, None).await.unwrap_err();

    assert_eq!(refused, AskRefused::Conflict(format!("the session belongs to upload {first} already")));
}

/// What begins a session that another uploader wants opened.
fn wanted(house: &House, name: &str, urgent: bool) -> Entry {
    let mut entry = tracked(name, 5, &house.clock);
    entry.plan.sender = Sender::Tracked { session: None };
    entry.urgent = urgent;
    entry
}

#[tokio::test(start_paused = true)]
async fn the_sessions_of_a_day_are_not_exceeded_even_by_uploads_that_begin_at_once_or_after_a_restart() {
    let mut house = House::new();
    for number in 0..6 {
        house.begin(wanted(&house, &format!("w{number}"), false), None).await.unwrap();
    }
    house.pass(HOUR).await;
    assert_eq!(house.service.count(Op::Create), 4, "of five a day one is for a person");
    let waiting = house.picture().await.uploads.into_iter().filter(|view| view.waiting.as_deref() == Some("quota"));
    assert_eq!(waiting.count(), 2);
    let quota = house.picture().await.quota;
    assert_eq!((quota.len(), quota[0].used, quota[0].left, quota[0].reserved), (1, 4, 1, 1));

    house = house.restart();
    house.begin(wanted(&house, "person", true), None).await.unwrap();
    house.begin(wanted(&house, "another person", true), None).await.unwrap();
    house.pass(HOUR).await;
    assert_eq!(house.service.count(Op::Create), 5, "the reserved one, and no more");

    house.pass(HOUR * 21).await;
    assert_eq!(house.service.count(Op::Create), 5, "not before a day has passed");
    house.pass(HOUR * 2).await;
    assert_eq!(house.service.count(Op::Create), 8, "then the slots come free");
    assert_eq!(house.service.lapsed(), 0);
}

#[tokio::test(start_paused = true)]
async fn two_sessions_gone_early_lower_what_is_believed_of_the_store_for_what_is_open_and_after_a_restart() {
    let house = House::with(|settings| settings.lease.session_ttl = HOUR);
    house.service.lives(HOUR, HOUR);
    house.store.takes(SECOND * 10);
    house.track("beside", 5).await;
    let upload = house.send("Letters", 400).await;
    let mut deaths = 0;
    for session in ["opened-1", "opened-2"] {
        house.until(&upload, HOUR, |view| view.session.as_deref() == Some(session)).await;
        house.pass(SECOND * 100).await;
        house.service.lose(session);
        deaths += 1;
        house.until(&upload, HOUR, |view| view.sessions_lost == deaths).await;
        if deaths == 1 {
            house.service.take();
            house.pass(MINUTE * 2).await;
            assert!(house.service.count(Op::Renew) <= 4, "one early death may be an accident");
        }
    }
    let ages: Vec<u64> =
        serde_json::from_value(house.journal.fact("life/Letters").unwrap()["gone_at"].clone()).unwrap();
    assert!(ages.len() == 2 && ages.iter().all(|&age| age <= 240), "{ages:?}");
    let believed = ages[1];

    house.service.take();
    house.pass(MINUTE * 20).await;
    let renewals = |house: &House| {
        let mut renewals = BTreeMap::<String, u64>::new();
        for call in house.service.take().iter().filter(|call| call.op == Op::Renew) {
            *renewals.entry(call.about.clone()).or_default() += 1;
        }
        renewals
    };
    let (least, most) = (20 * 60 / believed, 20 * 60 * 100 / (believed * 35) + 3);
    let seen = renewals(&house);
    assert!((least..=most).contains(&seen["beside"]), "{seen:?}, not {least} to {most}");
    assert!((least..=most).contains(&seen["opened-3"]), "{seen:?}, not {least} to {most}");

    let house = house.restart();
    house.pass(SECOND).await;
    house.service.take();
    house.pass(MINUTE * 20).await;
    let seen = renewals(&house);
    assert!((least..=most).contains(&seen["beside"]), "{seen:?}, not {least} to {most}");
}
