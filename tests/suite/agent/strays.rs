//! Answers that lead astray: another host, another session, an upload URI that
//! is over. Not one byte of the table follows them.

use edm_agent::agent::status::UploadView;

use super::world::{Altered, Fate, HOUR, House, MINUTE, Op, SECOND};

/// Alters every answer to an operation from now on.
fn alter(house: &House, op: Op, how: Altered) {
    house.service.script(move |call| if call.op == op { Fate::Altered(how) } else { Fate::Done });
}

/// Asserts that an upload failed for a reason, told the service, and stopped.
async fn assert_refused(house: &House, upload: &str, reason: &str, case: &str) {
    let view = house.until(upload, MINUTE * 20, UploadView::is_closed).await;
    assert_eq!((view.outcome.as_deref(), view.exit), (Some("failed"), Some(1)), "{case}");
    assert!(view.reason.as_deref().is_some_and(|text| text.contains(reason)), "{case}: {:?}", view.reason);
    let sent = house.store.puts().len();
    house.pass(HOUR).await;
    assert_eq!(house.store.puts().len(), sent, "{case}");
    assert!(house.service.sessions_now()["opened-0"].is_gone, "{case}: the session was cancelled");
}

#[tokio::test(start_paused = true)]
async fn an_upload_uri_that_leads_elsewhere_ends_the_upload_before_a_byte_is_sent() {
    for (origin, reason) in [
        ("https://evil.test", "names the host evil.test"),
        ("http://blobs.test", "names blobs.test without TLS"),
        ("https://169.254.169.254", "names the address 169.254.169.254"),
        ("https://blobs.test@evil.test", "of evil.test carries a user name"),
        ("https://blobs.test:8443", "names port 8443 of blobs.test"),
        ("https://blobs%2etest", "writes blobs.test in another form"),
    ] {
        let house = House::new();
        alter(&house, Op::Create, Altered::Origin(origin));

        let upload = house.send("Letters", 4).await;

        assert_refused(&house, &upload, reason, origin).await;
        assert_eq!((house.store.puts().len(), house.store.lists()), (0, 0), "{origin}");
        assert_eq!(house.service.count(Op::Cancel), 1, "{origin}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_renewal_or_a_look_that_brings_another_host_ends_the_upload_too() {
    for op in [Op::Renew, Op::Get] {
        let house = House::new();
        house.store.takes(SECOND * 10);
        let upload = house.send("Letters", 2_000).await;
        house.until(&upload, HOUR, |view| view.stored_blocks > 10).await;
        alter(&house, op, Altered::Origin("https://evil.test"));

        // After a start the session is read first.
        let house = if op == Op::Get { house.restart() } else { house };

        assert_refused(&house, &upload, "names the host evil.test", &format!("{op:?}")).await;
        assert!(house.store.puts().len() < 2_000, "{op:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_session_of_another_id_store_or_file_is_not_taken_and_gets_no_block() {
    for how in [Altered::Session, Altered::Store, Altered::File] {
        // Each creation whose answer is not its own spends a session.
        let house = House::with(|settings| settings.quota.sessions_per_day = 1_000);
        house.service.script(move |call| match call.op {
            // What is created has no id that could be wrong: it is over when it comes.
            Op::Create if how == Altered::Session => Fate::Altered(Altered::Ended),
            Op::Create | Op::Renew | Op::Get | Op::Sessions => Fate::Altered(how),
            _ => Fate::Done,
        });

        let upload = house.send("Letters", 4).await;
        house.pass(MINUTE * 10).await;

        let view = house.view(&upload).await;
        assert_eq!((view.outcome, house.store.puts().len()), (None, 0), "{how:?}");

        house.service.script(|_| Fate::Done);
        house.until(&upload, HOUR, UploadView::is_closed).await;
        assert!(!house.store.puts().is_empty(), "{how:?}: it goes on once the answers are its own");
    }
}

#[tokio::test(start_paused = true)]
async fn an_upload_uri_that_is_over_when_it_comes_gets_no_block_and_is_renewed_without_a_storm() {
    let house = House::new();
    house.service.script(|call| match call.op {
        Op::Create | Op::Renew | Op::Get => Fate::Altered(Altered::Ended),
        _ => Fate::Done,
    });

    let upload = house.send("Letters", 4).await;
    house.pass(HOUR).await;

    assert_eq!(house.store.puts().len(), 0);
    let renewals = house.service.count(Op::Renew);
    assert!((4..=240).contains(&renewals), "{renewals} renewals in an hour");
    house.service.script(|_| Fate::Done);
    let view = house.until(&upload, HOUR, UploadView::is_closed).await;
    assert_eq!(view.outcome.as_deref(), Some("completed"));
}
