//! Uploads of one table or one data store beside each other: what is held, what
//! waits for a session, what has one, and what somebody asks for.

use edm_agent::agent::ask::{Ask, AskRefused, Beginning};
use edm_agent::agent::gates::Wishes;
use edm_agent::agent::intake::Cargo;
use edm_agent::agent::settings::Settings;
use edm_agent::agent::status::UploadView;
use serde_json::json;
use tokio::task::JoinSet;

use super::schedule::{keep, one_table, write_table};
use super::world::{HOUR, House, MINUTE, Op, SECOND};

/// Blocks of a bundle of 12 rows.
const BLOCKS: u32 = 3;

/// A house whose table of 10 rows went live by the schedule.
async fn live(change: impl FnOnce(&mut Settings)) -> (House, JoinSet<()>) {
    let house = House::with(|settings| {
        one_table(settings);
        change(settings);
    });
    write_table(&house, 10);
    let keeping = keep(&house);
    house.pass(MINUTE * 10).await;
    assert_eq!(house.picture().await.closed.len(), 1, "it is live");
    (house, keeping)
}

/// The same with the one session of the day had, and 11 rows that wait.
async fn waiting() -> (House, JoinSet<()>, UploadView) {
    let (house, keeping) = live(|settings| (settings.quota.sessions_per_day, settings.quota.reserved) = (1, 0)).await;
    write_table(&house, 11);
    house.pass(MINUTE).await;
    let waits = only(&house).await;
    assert_eq!((waits.waiting.as_deref(), waits.rows), (Some("quota"), 11));
    (house, keeping, waits)
}

async fn only(house: &House) -> UploadView {
    let uploads = house.picture().await.uploads;
    assert_eq!(uploads.len(), 1, "{uploads:#?}");
    uploads.into_iter().next().unwrap()
}

fn held(house: &House) -> Option<String> {
    house.board.held_of("letters").map(|held| held.upload)
}

/// Hands a bundle of the table over, to be held if there is a reason.
async fn hand_over(house: &House, name: &str, reason: Option<&str>) -> String {
    let (entry, bundle) = house.cargo(name, "Letters", BLOCKS);
    let hold = reason.map(|reason| vec![reason.to_owned()]);
    let beginning = Beginning { bundle: Some(bundle), hold, ..Beginning::of(entry, house.in_force.now()) };
    house.asker.ask(|reply| Ask::Begin(Box::new(beginning), reply)).await.unwrap().unwrap().upload
}

async fn start(house: &House, wishes: Wishes) -> UploadView {
    house.intake().start(Cargo::Table("letters".to_owned()), wishes).await.unwrap()
}

async fn release(house: &House, upload: &str) -> Result<UploadView, AskRefused> {
    house.asker.ask(|reply| Ask::Release(upload.to_owned(), reply)).await.unwrap()
}

#[tokio::test(start_paused = true)]
async fn a_bundle_that_is_live_is_not_undone_by_the_file_of_before_when_the_agent_starts_again() {
    for bad_extract in [false, true] {
        let (house, keeping) = live(|_| ()).await;
        if bad_extract {
            write_table(&house, 1);
            house.pass(MINUTE).await;
            assert!(held(&house).is_some());
        }
        let bundle = hand_over(&house, "bundle", None).await;
        house.pass(HOUR).await;
        assert_eq!((house.service.count(Op::Create), held(&house)), (2, None));
        drop(keeping);

        let house = house.restart();
        let _keeping = keep(&house);
        house.pass(HOUR * 2).await;
        assert_eq!(house.service.count(Op::Create), 2, "the file is no news");
        assert_eq!((house.picture().await.closed[0].upload.clone(), held(&house)), (bundle, None));
        assert_eq!(house.board.views()[0].unchanged, None, "nor was it looked at");

        write_table(&house, 11);
        house.pass(HOUR).await;
        assert_eq!(house.picture().await.closed[0].rows, 11, "another is");
    }
}

#[tokio::test(start_paused = true)]
async fn a_bundle_that_is_held_is_not_replaced_by_the_file_of_before() {
    let (house, keeping) = live(|_| ()).await;
    let bundle = hand_over(&house, "bundle", Some("it is odd")).await;
    drop(keeping);
    let house = house.restart();
    let _keeping = keep(&house);
    house.pass(HOUR).await;
    assert_eq!(held(&house), Some(bundle.clone()));

    let accept = Wishes { accept: true, ..Wishes::default() };
    let view = start(&house, accept).await;
    assert_ne!(view.upload, bundle, "whoever accepts the file does not accept the bundle");
}

#[tokio::test(start_paused = true)]
async fn a_bad_extract_is_held_beside_the_good_one_that_waits() {
    let (house, keeping, good) = waiting().await;
    write_table(&house, 1);
    house.pass(MINUTE).await;
    let bad = held(&house).unwrap();
    assert_eq!(house.view(&good.upload).await.waiting.as_deref(), Some("quota"));
    assert!(good.bundle.unwrap().exists());
    drop(keeping);

    let house = house.restart();
    let _keeping = keep(&house);
    house.pass(HOUR * 25).await;
    let picture = house.picture().await;
    assert_eq!((picture.closed[0].rows, picture.closed[0].outcome.as_deref()), (11, Some("completed")));
    assert_eq!(held(&house), Some(bad), "it is still the same one");
    assert_eq!(only(&house).await.phase, "held");
}

#[tokio::test(start_paused = true)]
async fn a_good_one_that_follows_takes_the_place_of_both() {
    let (house, _keeping, _) = waiting().await;
    for rows in [1, 12] {
        write_table(&house, rows);
        house.pass(MINUTE).await;
    }
    assert_eq!((only(&house).await.rows, held(&house)), (12, None));
}

#[tokio::test(start_paused = true)]
async fn what_is_released_takes_the_place_of_what_waits() {
    let (house, _keeping, good) = waiting().await;
    write_table(&house, 1);
    house.pass(MINUTE).await;
    let bad = held(&house).unwrap();

    release(&house, &bad).await.unwrap();
    house.pass(MINUTE).await;
    let view = only(&house).await;
    assert_eq!((&view.upload, view.waiting.as_deref(), held(&house)), (&bad, Some("quota"), None));
    assert_eq!(house.view(&good.upload).await.reason.as_deref(), Some("replaced by newer content"));
    assert_eq!(house.service.count(Op::Create), 1);
    house.pass(HOUR * 25).await;
    assert_eq!((house.picture().await.closed[0].rows, house.service.count(Op::Create)), (1, 2));
}

#[tokio::test(start_paused = true)]
async fn what_is_held_is_not_released_while_another_has_a_session_of_its_data_store() {
    let house = House::new();
    house.store.takes(MINUTE * 2);
    let first = house.send("Letters", 4).await;
    let second = hand_over(&house, "second", Some("it is odd")).await;
    house.until(&first, MINUTE, |view| view.session.is_some()).await;

    let refused = release(&house, &second).await.unwrap_err();
    let reason = format!("upload {first} of this data store is not finished: cancel it, or wait");
    assert_eq!(refused, AskRefused::Conflict(reason));
    assert_eq!(house.view(&second).await.phase, "held");

    house.until(&first, HOUR, UploadView::is_closed).await;
    release(&house, &second).await.unwrap();
    let view = house.until(&second, HOUR, UploadView::is_closed).await;
    assert_eq!(view.outcome.as_deref(), Some("completed"));
}

#[tokio::test(start_paused = true)]
async fn content_that_went_back_to_what_is_live_is_not_followed_by_what_waited() {
    let (house, _keeping, between) = waiting().await;
    write_table(&house, 10);
    house.pass(MINUTE).await;
    assert_eq!(house.picture().await.uploads.len(), 0);
    assert_eq!(house.view(&between.upload).await.outcome.as_deref(), Some("cancelled"));
    house.pass(HOUR * 25).await;
    assert_eq!(house.service.count(Op::Create), 1, "what is live is what the file holds");
    assert!(house.board.views()[0].unchanged.is_some());
}

#[tokio::test(start_paused = true)]
async fn a_table_is_not_unchanged_while_other_content_of_it_has_a_session() {
    let house = House::new();
    house.store.takes(MINUTE * 2);
    let (mut entry, bundle) = house.cargo("letters", "Letters", 4);
    entry.source = Some(json!("newer"));
    let upload = house.begin(entry, Some(bundle)).await.unwrap().upload;
    house.until(&upload, MINUTE, |view| view.session.is_some()).await;
    let unchanged = |reply| Ask::Unchanged("letters".to_owned(), Some(json!("older")), reply);
    let refused = house.asker.ask(unchanged).await.unwrap().unwrap_err();
    assert_eq!(refused, AskRefused::Conflict(format!("upload {upload} of table letters is not finished")));
}

#[tokio::test(start_paused = true)]
async fn a_file_that_is_held_is_not_hashed_again_at_every_time_of_its_table() {
    let (house, _keeping) = {
        let house = House::with(|settings| {
            one_table(settings);
            settings.table[0].when = "0 * * * *".to_owned();
        });
        write_table(&house, 10);
        let keeping = keep(&house);
        (house, keeping)
    };
    house.pass(MINUTE * 90).await;
    write_table(&house, 1);
    house.pass(HOUR).await;
    let first = house.board.held_of("letters").unwrap();
    let looked = house.service.count(Op::Stores);
    house.pass(HOUR * 5).await;
    assert_eq!(house.board.held_of("letters"), Some(first), "its id and its age stay");
    assert_eq!(house.service.count(Op::Stores), looked);
    let next = house.board.views()[0].next_run;
    assert_eq!(next, Some("2026-01-01T08:00:00Z".parse().unwrap()), "its times are dealt with");
}

#[tokio::test(start_paused = true)]
async fn a_table_whose_data_store_another_upload_has_waits_without_being_hashed() {
    let house = House::with(one_table);
    house.store.takes(MINUTE * 2);
    let (mut entry, bundle) = house.cargo("other", "Letters", 4);
    entry.plan.table = "other".to_owned();
    let other = house.begin(entry, Some(bundle)).await.unwrap().upload;
    house.until(&other, MINUTE, |view| view.session.is_some()).await;
    write_table(&house, 10);
    let _keeping = keep(&house);
    house.pass(SECOND * 90).await;
    assert_eq!(only(&house).await.upload, other);
    let view = &house.board.views()[0];
    assert_eq!(view.why.as_deref(), Some(&*format!("upload {other} of its data store is not finished")));
    assert_eq!((view.doing.as_str(), view.rows), ("waiting", 0), "no row of it was hashed");
    assert_eq!(house.service.count(Op::Stores), 1, "nor is the service asked again and again");

    house.pass(HOUR).await;
    assert_eq!((house.picture().await.closed[0].rows, house.service.count(Op::Create)), (10, 2));
}

/// A house whose schedule has had its sessions of the day; one is kept for people.
async fn reserved() -> (House, JoinSet<()>, UploadView) {
    let (house, keeping) = live(|settings| (settings.quota.sessions_per_day, settings.quota.reserved) = (2, 1)).await;
    write_table(&house, 11);
    house.pass(HOUR).await;
    let waits = only(&house).await;
    assert_eq!((waits.waiting.as_deref(), house.service.count(Op::Create)), (Some("quota"), 1));
    (house, keeping, waits)
}

#[tokio::test(start_paused = true)]
async fn whoever_asks_for_what_waits_gives_it_the_session_that_is_kept_for_people() {
    let (house, _keeping, waits) = reserved().await;
    assert_eq!(start(&house, Wishes::default()).await.upload, waits.upload);
    let kept = house.journal.memory().accounts.into_iter().find(|account| account.entry.plan.id.0 == waits.upload);
    assert!(kept.unwrap().entry.urgent, "it is durable");
    let view = house.until(&waits.upload, HOUR, UploadView::is_closed).await;
    assert_eq!((view.outcome.as_deref(), house.service.count(Op::Create)), (Some("completed"), 2));
}

#[tokio::test(start_paused = true)]
async fn whoever_asks_gets_the_file_of_now_and_not_what_waits() {
    let (house, keeping, waits) = reserved().await;
    drop(keeping);
    write_table(&house, 12);
    let view = start(&house, Wishes::default()).await;
    assert_ne!(view.upload, waits.upload);
    house.pass(HOUR).await;
    let view = house.view(&view.upload).await;
    assert_eq!((view.outcome.as_deref(), view.rows), (Some("completed"), 12), "and the session kept for people");
    assert_eq!(house.view(&waits.upload).await.reason.as_deref(), Some("replaced by newer content"));
}

#[tokio::test(start_paused = true)]
async fn whoever_forces_what_is_live_or_accepts_what_is_held_is_not_given_what_waits() {
    let (house, keeping, _) = reserved().await;
    drop(keeping);
    write_table(&house, 10);
    let view = start(&house, Wishes { force: true, ..Wishes::default() }).await;
    house.pass(HOUR).await;
    let view = house.view(&view.upload).await;
    assert_eq!((view.outcome.as_deref(), view.rows), (Some("completed"), 10));

    let (house, _keeping, _) = reserved().await;
    write_table(&house, 1);
    house.pass(MINUTE).await;
    let bad = held(&house).unwrap();
    assert_eq!(start(&house, Wishes { accept: true, ..Wishes::default() }).await.upload, bad);
    let view = house.until(&bad, HOUR, UploadView::is_closed).await;
    assert_eq!((view.outcome.as_deref(), view.rows), (Some("completed"), 1), "by the session kept for people");
}

#[tokio::test(start_paused = true)]
async fn what_takes_the_place_of_what_waits_says_why_it_waits() {
    let (house, _keeping, first) = waiting().await;
    assert!(first.trouble.as_ref().unwrap().contains("the next slot is at"), "{first:#?}");
    write_table(&house, 12);
    for _ in 0..600 {
        house.pass(SECOND / 10).await;
        let view = only(&house).await;
        if view.upload != first.upload {
            assert_eq!((view.rows, view.waiting.as_deref(), view.trouble), (12, Some("quota"), first.trouble));
            return;
        }
    }
    panic!("it was not replaced");
}
