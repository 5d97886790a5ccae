//! What waits for the journal, and what never does.

use edm_agent::agent::dispatcher::Volume;
use edm_agent::agent::exit::Exit;
use edm_agent::agent::intake::Cargo;
use edm_agent::ports::clock::Clock;
use tokio::task::JoinSet;

use super::world::{HOUR, House, MINUTE, Op, SECOND};

#[tokio::test(start_paused = true)]
async fn a_session_is_asked_for_only_once_that_is_durable() {
    let house = House::new();
    house.journal.hold();
    let upload = house.send("Letters", 4).await;
    house.pass(HOUR).await;
    assert_eq!(house.service.take(), [], "nothing is asked of the service on an account that is not kept");

    house.journal.free();
    house.until(&upload, HOUR, |view| view.is_closed()).await;
    assert_eq!(house.service.count(Op::Create), 1);
}

#[tokio::test(start_paused = true)]
async fn over_three_leases_of_a_full_volume_blocks_and_renewals_go_on_and_all_resumes_by_itself() {
    let house = House::new();
    house.store.takes(SECOND * 30);
    house.track("tracked", 5).await;
    let upload = house.send("Letters", 60).await;
    house.until(&upload, MINUTE, |view| view.session.is_some()).await;
    house.pass(SECOND * 15).await;
    house.journal.stall("the volume is full: make room");
    house.pass(SECOND).await;
    house.service.take();
    let (begun, sent) = (house.clock.now().moment, house.store.puts().len());

    house.pass(MINUTE * 15 * 3).await;

    assert!(sent < 60 && house.store.puts().len() == 60, "every block left meanwhile");
    let calls = house.service.take();
    let renewed = |session: &str| calls.iter().filter(|call| call.op == Op::Renew && call.about == session).count();
    assert!(renewed("tracked") >= 4 && renewed("opened-1") >= 4, "{calls:?}");
    for op in [Op::Create, Op::Update, Op::Commit] {
        assert_eq!(calls.iter().filter(|call| call.op == op).count(), 0, "{op:?} waits for the journal");
    }
    assert_eq!(house.store.lists(), 0, "the block list waits for the journal");
    assert_eq!(house.service.lapsed(), 0);
    assert_eq!(house.picture().await.journal.as_deref(), Some("the volume is full: make room"));
    assert!(house.since(begun) >= MINUTE * 45);

    house.journal.free();
    let view = house.until(&upload, HOUR, |view| view.is_closed()).await;

    assert_eq!(view.outcome.as_deref(), Some("completed"));
    assert_eq!(*house.volume.borrow(), Volume::Sound);
    assert_eq!(house.picture().await.journal, None);
    assert_eq!((house.store.puts().len(), house.store.lists()), (60, 1));
}

#[tokio::test(start_paused = true)]
async fn a_report_does_not_wait_for_records_written_after_it() {
    let house = House::new();
    house.store.takes(SECOND / 50);
    let upload = house.send("Letters", 4_000).await;
    house.until(&upload, MINUTE, |view| view.stored_blocks > 0).await;
    house.journal.hold();
    house.service.take();
    // Blocks are stored faster than the disk syncs: there is always a record more.
    let (journal, clock) = (house.journal.clone(), house.clock);
    let mut disk = JoinSet::new();
    disk.spawn(async move {
        loop {
            clock.sleep_until(clock.now().moment + SECOND / 33).await;
            journal.free_but_newest();
        }
    });

    house.until(&upload, MINUTE, |view| view.stored_blocks > 3_000).await;

    let reports = house.service.count(Op::Update);
    assert!(reports >= 2, "{reports} reports while blocks went on");
    let counts: Vec<_> = house.service.take().into_iter().filter_map(|call| call.remaining).collect();
    assert!(counts.is_sorted_by(|one, next| one > next), "{counts:?}");
}

#[tokio::test(start_paused = true)]
async fn while_the_volume_is_full_no_table_is_hashed_and_none_begins() {
    let house = House::with(super::schedule::one_table);
    super::schedule::write_table(&house, 10);
    house.journal.stall("the volume is full: make room");
    house.volume.clone().wait_for(|volume| *volume != Volume::Sound).await.unwrap();
    let intake = house.intake();
    let mut begins = JoinSet::new();
    let begin = intake.clone();
    begins.spawn(async move { begin.begin(&Cargo::Table("letters".to_owned()), true).await });

    house.pass(HOUR).await;

    assert!(begins.try_join_next().is_none(), "it waits");
    assert_eq!(house.service.take(), []);
    assert!(!house.settings.bundle_dir().exists(), "nothing was hashed");

    house.journal.free();
    let begun = begins.join_next().await.unwrap().unwrap().unwrap();
    let view = house.until(&begun.upload, HOUR, |view| view.is_closed()).await;
    assert_eq!(view.outcome.as_deref(), Some("completed"));
}

#[tokio::test(start_paused = true)]
async fn a_volume_that_failed_stays_failed_and_nothing_begins_on_it() {
    let house = House::with(super::schedule::one_table);
    super::schedule::write_table(&house, 10);
    house.track("tracked", 5).await;
    house.pass(SECOND).await;
    house.journal.fail("an fsync failed: start again");
    house.volume.clone().wait_for(|volume| *volume != Volume::Sound).await.unwrap();
    house.journal.free();
    house.service.take();

    let refused = house.intake().begin(&Cargo::Table("letters".to_owned()), true).await.unwrap_err();
    house.pass(HOUR).await;

    assert_eq!((refused.exit, refused.message.as_str()), (Exit::LocalIo, "an fsync failed: start again"));
    assert_eq!(*house.volume.borrow(), Volume::Failed("an fsync failed: start again".to_owned()));
    assert_eq!(house.service.lapsed(), 0, "what is open is kept alive to the last");
    assert!(house.service.count(Op::Renew) >= 6);
}
