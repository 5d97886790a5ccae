//! Bundles that no upload took: they hold their salt, and are not left behind.

use edm_agent::agent::ask::Ask;
use edm_agent::agent::exit::Exit;
use edm_agent::agent::intake::Cargo;
use edm_agent::upload::fault::Fault;
use tokio::task::JoinSet;

use super::schedule::{keep, one_table, trouble, write_table};
use super::world::{Fate, HOUR, House, MINUTE, Op, SECOND};

/// How many bundles there are in the agent's own folder.
fn bundles(house: &House) -> usize {
    house.settings.bundle_dir().read_dir().map_or(0, Iterator::count)
}

/// A house with a table, and a session of it that is open and that its journal
/// does not know. Every second look at that session comes to this.
async fn orphaned(second: Fate) -> House {
    let house = House::with(one_table);
    write_table(&house, 10);
    house.asker.tell(Ask::Registered("us".to_owned())).await.unwrap();
    house.service.seed("open", "Letters", 3);
    house.service.change("open", |remote| {
        remote.file_name = "letters-20260101T000000-0123abcd.EdmHash".to_owned();
        remote.agent = "us".to_owned();
        remote.checksum = Some("other".to_owned());
    });
    let mut looks = 0;
    house.service.script(move |call| match call.op {
        Op::Get => {
            looks += 1;
            if looks % 2 == 0 { second.clone() } else { Fate::Done }
        }
        _ => Fate::Done,
    });
    house
}

#[tokio::test(start_paused = true)]
async fn a_table_that_is_hashed_and_not_taken_leaves_no_bundle() {
    let house = House::with(one_table);
    house.store.takes(MINUTE);
    write_table(&house, 10);
    let (mut entry, bundle) = house.cargo("others", "Letters", 4);
    entry.plan.table = "others".to_owned();
    house.begin(entry, Some(bundle)).await.unwrap();

    let refused = house.intake().begin(&Cargo::Table("letters".to_owned()), true).await.unwrap_err();

    assert_eq!(refused.exit, Exit::TryLater);
    assert!(refused.message.contains("of this data store is not finished"), "{refused}");
    assert_eq!(bundles(&house), 0);
}

#[tokio::test(start_paused = true)]
async fn a_session_that_cannot_be_taken_over_leaves_no_bundle_however_often_it_is_tried() {
    let house = orphaned(Fate::Failed(Fault::Transient { retry_after: None })).await;
    let _keeping = keep(&house);
    // The session lives for a quarter of an hour.
    house.pass(MINUTE * 14).await;
    assert!(house.service.count(Op::Get) >= 4, "it is tried again");
    assert_eq!((bundles(&house), house.service.count(Op::Create)), (0, 0), "{}", trouble(&house));
}

#[tokio::test(start_paused = true)]
async fn a_session_that_somebody_keeps_is_found_before_the_table_is_hashed() {
    let house = orphaned(Fate::Done).await;
    let _keeping = keep(&house);
    let mut told = String::new();
    for second in 0..600 {
        house.service.change("open", |remote| remote.remaining = 1_000 - second);
        house.pass(SECOND).await;
        told.push_str(&trouble(&house));
    }
    assert!(told.contains("another agent keeps it"), "{told}");
    assert!(!house.settings.bundle_dir().exists(), "nothing was hashed");
}

#[tokio::test(start_paused = true)]
async fn an_upload_that_is_cut_short_before_it_begins_leaves_no_bundle() {
    let house = orphaned(Fate::Hung).await;
    let intake = house.intake();
    let mut begins = JoinSet::new();
    begins.spawn(async move { intake.begin(&Cargo::Table("letters".to_owned()), false).await });
    house.pass(HOUR).await;
    assert_eq!((bundles(&house), house.service.count(Op::Get)), (1, 2), "it waits for an answer");

    begins.shutdown().await;

    for _ in 0..100 {
        house.pass(SECOND).await;
        if bundles(&house) == 0 {
            return;
        }
    }
    panic!("the bundle is still there");
}
