//! What happens is told, without secrets, and nobody waits for a slow listener.

use tokio::sync::broadcast::error::{RecvError, TryRecvError};

use super::world::{HOUR, House, MINUTE, SIGNATURE};

#[tokio::test(start_paused = true)]
async fn no_notice_no_picture_and_no_record_carries_a_secret() {
    let house = House::new();
    let mut notices = house.notices.listen();
    let (entry, bundle) = house.cargo("letters", "Letters", 200);
    let salt = bundle.salt().expose_text().to_owned();
    house.store.takes(MINUTE);
    let upload = house.begin(entry, Some(bundle)).await.unwrap().upload;
    let mut shown = String::new();
    for _ in 0..40 {
        house.pass(MINUTE).await;
        shown.push_str(&serde_json::to_string(&house.picture().await).unwrap());
        shown.push_str(&format!("{:?}", house.journal.memory()));
    }
    house.until(&upload, HOUR, |view| view.is_closed()).await;

    let mut events = Vec::new();
    loop {
        match notices.try_recv() {
            Ok(notice) => {
                shown.push_str(&serde_json::to_string(notice.as_ref()).unwrap());
                events.push(notice.event.clone());
            }
            Err(TryRecvError::Empty) => break,
            Err(error) => panic!("{error}"),
        }
    }
    for expected in ["opened", "renewed", "stored", "reported", "listed", "commit", "committed", "closed"] {
        assert!(events.iter().any(|event| event == expected), "{expected} is told: {events:?}");
    }
    for secret in [SIGNATURE, "sig=", salt.as_str()] {
        assert!(!shown.contains(secret), "{secret} is shown");
    }
}

#[tokio::test(start_paused = true)]
async fn a_listener_that_is_slow_is_told_what_it_missed_and_holds_nothing_up() {
    let house = House::new();
    let mut slow = house.notices.listen();
    house.send("Letters", 5_000).await;
    house.pass(HOUR).await;
    assert_eq!(house.picture().await.closed.len(), 1, "the upload did not wait for it");

    let Err(RecvError::Lagged(lost)) = slow.recv().await else { panic!("it lagged") };
    assert!(lost >= 900, "{lost} were lost");
    slow.recv().await.unwrap();
}
