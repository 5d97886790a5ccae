//! Uploads that the gates hold, and those that are not needed.

use std::path::PathBuf;

use edm_agent::agent::ask::{Ask, AskRefused};
use edm_agent::agent::board::TableView;
use edm_agent::agent::gates::Wishes;
use edm_agent::agent::housekeeping;
use edm_agent::agent::intake::Cargo;
use edm_agent::agent::page::page;
use edm_agent::agent::status::UploadView;
use edm_agent::upload::fault::Fault;

use super::schedule::{keep, one_table, write_table};
use super::world::{Fate, HOUR, House, MINUTE, Op, SECOND};
use crate::support::tokens::Fixed;

/// Asks for an upload of the table as a person does, and waits until it is
/// over or held.
async fn upload(house: &House, wishes: Wishes) -> UploadView {
    let intake = house.intake();
    let begun = intake.start(Cargo::Table("letters".to_owned()), wishes).await.unwrap();
    for _ in 0..10_000 {
        let view = match house.board.intake(&begun.upload) {
            Some(view) => Ok(view),
            None => house.asker.ask(|reply| Ask::View(begun.upload.clone(), reply)).await.unwrap(),
        };
        if let Ok(view) = view
            && (view.is_closed() || view.held.is_some())
        {
            // What is read of the store right after it is live.
            house.pass(SECOND * 5).await;
            return view;
        }
        house.pass(SECOND).await;
    }
    panic!("upload {} neither ends nor is held", begun.upload)
}

/// A house whose table of so many rows is live.
async fn live(rows: u32) -> House {
    let house = House::with(one_table);
    write_table(&house, rows);
    let view = upload(&house, Wishes::default()).await;
    assert_eq!(view.outcome.as_deref(), Some("completed"), "{view:#?}");
    house.service.take();
    house
}

/// A house whose table of 1,000 rows is live, and an upload of 3 rows that is held.
async fn holding() -> (House, UploadView) {
    let house = live(1_000).await;
    write_table(&house, 3);
    let view = upload(&house, Wishes::default()).await;
    assert_eq!(view.phase, "held", "{view:#?}");
    (house, view)
}

fn table(house: &House) -> TableView {
    house.board.views().remove(0)
}

fn bundles(house: &House) -> Vec<PathBuf> {
    let entries = house.settings.bundle_dir().read_dir().unwrap();
    entries.map(|entry| entry.unwrap().path()).filter(|path| path.is_dir()).collect()
}

async fn release(house: &House, upload: &str) -> Result<UploadView, AskRefused> {
    house.asker.ask(|reply| Ask::Release(upload.to_owned(), reply)).await.unwrap()
}

#[tokio::test(start_paused = true)]
async fn a_collapsed_extract_is_held_over_a_restart_and_goes_on_once_it_is_released() {
    let (house, view) = holding().await;
    let held = view.held.unwrap();
    assert_eq!(held.reasons, ["it has 3 rows, 0.3 % of the 1000 of the last good upload; min_rows_percent is 80"]);
    assert!(view.trouble.unwrap().contains(&format!("edm-agent sessions release {}", view.upload)));
    assert_eq!(table(&house).held.unwrap(), held);
    let good_before = table(&house).last_good;
    let overview = house.lookout(Fixed::token("token")).look().await;
    let shown = page(&overview);
    assert_eq!(shown.matches("edm-agent sessions release").count(), 1, "it is said once: {shown}");
    assert!(house.metrics.exposition(&overview).contains("edm_agent_sessions{state=\"held\"} 1\n"));

    let house = house.restart();
    house.pass(HOUR * 24).await;

    assert_eq!(house.service.count(Op::Create), 0, "no session was spent on it");
    assert_eq!(house.view(&view.upload).await.held.as_ref(), Some(&held));
    assert_eq!(table(&house).held.unwrap(), held);
    assert_eq!(table(&house).last_good, good_before);
    let mut notices = house.notices.listen();
    release(&house, &view.upload).await.unwrap();
    let view = house.until(&view.upload, HOUR, UploadView::is_closed).await;
    assert_eq!(view.outcome.as_deref(), Some("completed"));
    assert_eq!(notices.try_recv().unwrap().event, "released");
    assert_eq!((table(&house).held, house.service.count(Op::Create)), (None, 1));
    assert!(table(&house).last_good > good_before);
    assert_eq!(
        release(&house, &view.upload).await.unwrap_err(),
        AskRefused::Conflict(format!("upload {} is over", view.upload))
    );

    write_table(&house, 4);
    assert_eq!(
        upload(&house, Wishes::default()).await.outcome.as_deref(),
        Some("completed"),
        "3 rows are the measure now"
    );
}

#[tokio::test(start_paused = true)]
async fn the_schedule_holds_a_collapsed_extract_and_uploads_the_next_good_one_in_its_place() {
    let house = live(1_000).await;
    let mut notices = house.notices.listen();
    let _keeping = keep(&house);
    write_table(&house, 3);
    house.pass(HOUR).await;
    let held = table(&house).held.unwrap();
    assert_eq!((house.service.count(Op::Create), bundles(&house).len()), (0, 1));
    let told = notices.try_recv().unwrap();
    assert_eq!((told.event.as_str(), told.detail["reasons"][0].as_str()), ("held", Some(held.reasons[0].as_str())));

    write_table(&house, 990);
    house.pass(HOUR).await;

    assert_eq!((table(&house).held, house.service.count(Op::Create)), (None, 1));
    assert_eq!(house.view(&held.upload).await.outcome.as_deref(), Some("cancelled"));
    assert_eq!(table(&house).last_outcome.as_deref(), Some("completed"));
    assert_eq!(bundles(&house), Vec::<PathBuf>::new(), "nobody has a use for either bundle");
}

#[tokio::test(start_paused = true)]
async fn a_held_upload_is_not_hashed_again_after_a_restart() {
    let (house, view) = holding().await;
    let house = house.restart();
    let _keeping = keep(&house);
    house.pass(HOUR).await;
    assert_eq!(table(&house).held.unwrap().upload, view.upload, "it is still the same one");
}

#[tokio::test(start_paused = true)]
async fn a_held_upload_that_is_cancelled_or_that_nobody_releases_is_dropped_with_its_bundle() {
    let (house, view) = holding().await;
    assert_eq!(bundles(&house), [view.bundle.clone().unwrap()]);
    house.asker.ask(|reply| Ask::Cancel(view.upload.clone(), reply)).await.unwrap().unwrap();
    house.pass(SECOND * 5).await;
    assert_eq!((table(&house).held, bundles(&house).len()), (None, 0));

    let view = upload(&house, Wishes::default()).await;
    house.pass(HOUR * 71).await;
    housekeeping::sweep(&house.intake()).await;
    assert_eq!(house.view(&view.upload).await.phase, "held", "it is kept for bundles.retain_failed");
    house.pass(HOUR * 2).await;
    housekeeping::sweep(&house.intake()).await;
    house.pass(SECOND * 5).await;
    assert_eq!((table(&house).held, bundles(&house).len()), (None, 0));
    assert_eq!(house.service.count(Op::Create), 0);
}

#[tokio::test(start_paused = true)]
async fn whoever_accepts_it_lets_it_pass_at_once() {
    let (house, view) = holding().await;
    let accept = Wishes { accept: true, ..Wishes::default() };
    let passed = upload(&house, accept).await;
    assert_eq!((&passed.upload, passed.outcome.as_deref()), (&view.upload, Some("completed")), "the one that was held");

    write_table(&house, 400);
    let passed = upload(&house, accept).await;
    assert_eq!((passed.rows, passed.outcome.as_deref()), (400, Some("completed")), "and one that never was");
}

#[tokio::test(start_paused = true)]
async fn content_that_is_live_costs_no_session_until_somebody_else_changes_the_store() {
    let house = live(10).await;
    let seen = table(&house).data_updated;
    assert!(seen.is_some());
    write_table(&house, 10);

    let view = upload(&house, Wishes::default()).await;

    assert_eq!((view.outcome.as_deref(), view.exit, view.rows), (Some("unchanged"), Some(0), 10), "{view:#?}");
    assert!(table(&house).unchanged.is_some());
    assert_eq!((house.service.count(Op::Create), bundles(&house).len()), (0, 0));

    house.service.touch_stores();
    write_table(&house, 10);
    let view = upload(&house, Wishes::default()).await;
    assert_eq!(view.outcome.as_deref(), Some("completed"), "another host uploaded since");
    assert_eq!((house.service.count(Op::Create), table(&house).unchanged), (1, None));

    let force = Wishes { force: true, ..Wishes::default() };
    assert_eq!(upload(&house, force).await.outcome.as_deref(), Some("completed"));
    assert_eq!(house.service.count(Op::Create), 2);

    let house = house.restart();
    assert_eq!(upload(&house, Wishes::default()).await.outcome.as_deref(), Some("unchanged"), "it is durable");
}

#[tokio::test(start_paused = true)]
async fn a_touched_file_is_looked_at_once_and_not_again_after_a_restart() {
    let house = live(10).await;
    let keeping = keep(&house);
    write_table(&house, 10);
    house.pass(HOUR).await;
    let unchanged = table(&house).unchanged;
    assert!(unchanged.is_some());
    drop(keeping);

    let house = house.restart();
    let _keeping = keep(&house);
    house.pass(HOUR).await;
    assert_eq!(table(&house).unchanged, unchanged, "the file is known");
    assert_eq!(house.service.count(Op::Create), 0);
}

#[tokio::test(start_paused = true)]
async fn after_an_upload_that_did_not_end_well_nothing_counts_as_unchanged() {
    let house = live(10).await;
    house.service.script(|call| match call.op {
        Op::Create => Fate::Failed(Fault::Refused { status: 400 }),
        _ => Fate::Done,
    });
    write_table(&house, 11);
    assert_eq!(upload(&house, Wishes::default()).await.outcome.as_deref(), Some("failed"));
    house.service.script(|_| Fate::Done);

    write_table(&house, 10);
    assert_eq!(upload(&house, Wishes::default()).await.outcome.as_deref(), Some("completed"));
}

#[tokio::test(start_paused = true)]
async fn a_store_that_could_not_be_read_when_it_went_live_is_uploaded_to_again() {
    let house = House::with(one_table);
    write_table(&house, 10);
    let mut is_committed = false;
    house.service.script(move |call| match call.op {
        Op::Commit => {
            is_committed = true;
            Fate::Done
        }
        Op::Stores if is_committed => Fate::Failed(Fault::Transient { retry_after: None }),
        _ => Fate::Done,
    });
    assert_eq!(upload(&house, Wishes::default()).await.outcome.as_deref(), Some("completed"));
    house.pass(MINUTE).await;
    house.service.script(|_| Fate::Done);
    assert_eq!(table(&house).data_updated, None);
    assert_eq!(upload(&house, Wishes::default()).await.outcome.as_deref(), Some("completed"));
}

#[tokio::test(start_paused = true)]
async fn a_blank_column_is_held_the_first_time_and_an_empty_table_is_taken_only_where_it_may_be() {
    let house = House::with(one_table);
    let path = house.settings.table[0].path.clone();
    std::fs::write(&path, "A,B\na1,\na2, \na3,b3\n").unwrap();
    let view = upload(&house, Wishes::default()).await;
    assert_eq!(view.held.unwrap().reasons, ["column B is blank in 2 of 3 rows, 66.7 %; max_blank_percent is 50"]);

    std::fs::write(&path, "A,B\n").unwrap();
    let view = upload(&house, Wishes::default()).await;
    assert!(view.reason.unwrap().contains("set allow_empty = true"));
    assert_eq!(house.service.count(Op::Create), 0);

    let house = House::with(|settings| {
        one_table(settings);
        settings.table[0].allow_empty = true;
    });
    std::fs::write(&house.settings.table[0].path, "A,B\n").unwrap();
    let view = upload(&house, Wishes::default()).await;
    assert_eq!((view.outcome.as_deref(), view.rows, view.total_blocks), (Some("completed"), 0, 1), "{view:#?}");
}
