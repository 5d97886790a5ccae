//! What waits for a session is replaced by newer content of its table.

use std::time::Duration;

use edm_agent::agent::gates::Wishes;
use edm_agent::agent::intake::Cargo;
use edm_agent::agent::settings::Settings;
use edm_agent::agent::status::UploadView;
use edm_agent::upload::fault::Fault;

use super::reload::{Page, reloading};
use super::schedule::{keep, one_table, write_table};
use super::world::{Fate, HOUR, House, MINUTE, Op, SECOND};

/// A table that had the one session of the day, and new content that waits.
async fn waiting(change: impl FnOnce(&mut Settings)) -> (House, tokio::task::JoinSet<()>) {
    let house = House::with(|settings| {
        one_table(settings);
        settings.quota.sessions_per_day = 1;
        settings.quota.reserved = 0;
        // However many rows there are, no gate holds them.
        settings.table[0].max_rows_percent = 0.0;
        change(settings);
    });
    write_table(&house, 10);
    let keeping = keep(&house);
    house.pass(MINUTE * 10).await;
    assert_eq!(house.picture().await.closed.len(), 1, "the first is live");
    write_table(&house, 20);
    house.pass(MINUTE).await;
    (house, keeping)
}

async fn only(house: &House) -> UploadView {
    let uploads = house.picture().await.uploads;
    assert_eq!(uploads.len(), 1, "{uploads:#?}");
    uploads.into_iter().next().unwrap()
}

#[tokio::test(start_paused = true)]
async fn newer_content_takes_the_place_of_what_waits_for_quota_and_the_newest_is_uploaded() {
    let (house, keeping) = waiting(|_| ()).await;
    let first = only(&house).await;
    assert_eq!((first.waiting.as_deref(), first.rows), (Some("quota"), 20));
    let bundle = first.bundle.clone().unwrap();
    assert!(bundle.exists());

    for rows in [30, 40] {
        write_table(&house, rows);
        house.pass(MINUTE).await;
    }
    let last = only(&house).await;
    assert_eq!((last.waiting.as_deref(), last.rows), (Some("quota"), 40));
    let old = house.view(&first.upload).await;
    assert_eq!((old.outcome.as_deref(), old.reason.as_deref()), (Some("cancelled"), Some("replaced by newer content")));
    assert!(!bundle.exists(), "its bundle is of no use");
    drop(keeping);

    let house = house.restart();
    let _keeping = keep(&house);
    house.pass(HOUR).await;
    assert_eq!(only(&house).await.upload, last.upload, "what waits is what is there: nothing is newer");
    house.pass(HOUR * 24).await;
    let closed = house.picture().await.closed;
    assert_eq!((closed[0].upload.as_str(), closed[0].outcome.as_deref()), (&*last.upload, Some("completed")));
    assert_eq!(house.service.count(Op::Create), 2, "one for each that was live");
}

#[tokio::test(start_paused = true)]
async fn what_a_person_asked_for_keeps_its_place_and_the_service_is_asked_no_sooner() {
    let house = House::with(|settings| {
        one_table(settings);
        settings.table[0].when = "manual".to_owned();
    });
    write_table(&house, 10);
    house.service.script(|call| match call.op {
        Op::Create => Fate::Failed(Fault::Quota { retry_after: Some(HOUR * 3) }),
        _ => Fate::Done,
    });
    house.intake().start(Cargo::Table("letters".to_owned()), Wishes::default()).await.unwrap();
    house.pass(MINUTE).await;
    assert_eq!(only(&house).await.waiting.as_deref(), Some("quota"));
    assert_eq!(house.service.count(Op::Create), 1);

    let page = Page::of(&house);
    let (reloader, reloads) = house.reloader(page.load());
    let (_reloading, _keeping) = (reloading(reloader), keep(&house));
    page.write(|settings| settings.table[0].when = "on-change".to_owned());
    reloads.reload().await.unwrap();
    write_table(&house, 20);
    house.pass(HOUR).await;
    assert_eq!(only(&house).await.rows, 20, "it was replaced");
    assert_eq!(house.service.count(Op::Create), 1, "the service named a time");
    let accounts = house.journal.memory().accounts;
    assert!(accounts.iter().all(|account| account.entry.urgent), "a person still waits for it");

    house.service.script(|_| Fate::Done);
    // It named three hours, and the agent waits `quota.backoff`: the first would be too soon for a quota.
    house.pass(HOUR * 6).await;
    assert_eq!(house.picture().await.closed[0].rows, 20);
}

#[tokio::test(start_paused = true)]
async fn content_with_a_session_goes_on_and_of_several_changes_meanwhile_the_last_is_next() {
    let house = House::with(|settings| {
        one_table(settings);
        settings.table[0].min_rows_percent = 0.0;
    });
    house.store.takes(MINUTE * 2);
    write_table(&house, 40);
    let _keeping = keep(&house);
    house.pass(MINUTE).await;
    assert_eq!(only(&house).await.phase, "uploading");
    for rows in [8, 12, 16] {
        write_table(&house, rows);
        house.pass(SECOND * 30).await;
    }

    house.store.takes(Duration::from_millis(10));
    house.pass(HOUR).await;
    let rows: Vec<(u64, Option<String>)> =
        house.picture().await.closed.into_iter().map(|view| (view.rows, view.outcome)).collect();
    let completed = || Some("completed".to_owned());
    assert_eq!(rows, [(16, completed()), (40, completed())]);
}

#[tokio::test(start_paused = true)]
async fn a_newer_version_that_is_refused_leaves_in_place_what_waits() {
    let (house, _keeping) = waiting(|_| ()).await;
    let first = only(&house).await;
    std::fs::write(&house.settings.table[0].path, "A,B\nonly one\n").unwrap();
    house.pass(MINUTE).await;
    assert_eq!(only(&house).await.upload, first.upload);
}

#[tokio::test(start_paused = true)]
async fn a_session_that_is_being_asked_for_is_not_given_up() {
    let house = House::with(one_table);
    write_table(&house, 10);
    house.service.script(|call| match call.op {
        Op::Create => Fate::Slow(MINUTE),
        _ => Fate::Done,
    });
    let _keeping = keep(&house);
    house.pass(SECOND * 20).await;
    let first = only(&house).await;
    assert_eq!((first.phase.as_str(), first.session), ("opening", None));

    write_table(&house, 20);
    house.pass(HOUR).await;
    let closed = house.picture().await.closed;
    assert!(closed.iter().all(|view| view.outcome.as_deref() == Some("completed")), "{closed:#?}");
    assert_eq!((closed.len(), closed[1].upload.as_str()), (2, &*first.upload));
}
