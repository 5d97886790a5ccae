//! Dying and starting again.

use super::world::{HOUR, House, MINUTE, Op, SECOND};
use edm_agent::upload::record::Record;
use serde_json::Value;

#[tokio::test(start_paused = true)]
async fn an_upload_goes_on_where_the_dead_agent_stood() {
    let mut house = House::with(|settings| settings.upload.concurrency = 4);
    house.store.takes(SECOND);
    let upload = house.send("Letters", 60).await;
    for stored in [10, 25, 40] {
        house.until(&upload, HOUR, |view| view.stored_blocks >= stored).await;
        house = house.restart();
    }

    let view = house.until(&upload, HOUR, |view| view.is_closed()).await;

    assert_eq!(view.outcome.as_deref(), Some("completed"));
    let sent = house.store.puts().len();
    assert!(sent <= 60 + 3 * 4, "{sent} blocks sent: at most those in flight at each death again");
    let calls = house.service.take();
    let count = |op: Op| calls.iter().filter(|call| call.op == op).count();
    assert_eq!((count(Op::Create), count(Op::Commit)), (1, 1));
    let counts: Vec<_> = calls.iter().filter(|call| call.op == Op::Update).filter_map(|call| call.remaining).collect();
    assert!(counts.is_sorted_by(|one, next| one >= next) && counts.last() == Some(&0), "{counts:?}");
}

#[tokio::test(start_paused = true)]
async fn an_upload_whose_bundle_is_gone_fails_and_says_what_to_do() {
    let house = House::new();
    house.store.takes(SECOND);
    let upload = house.send("Letters", 60).await;
    house.until(&upload, HOUR, |view| view.stored_blocks >= 10).await;
    std::fs::remove_dir_all(house.dir.path().join("bundle-Letters")).unwrap();

    let house = house.restart();
    let view = house.until(&upload, MINUTE, |view| view.is_closed()).await;

    assert_eq!(view.outcome.as_deref(), Some("failed"));
    assert!(view.reason.unwrap().contains("hash the table again"));
    assert_eq!(house.service.count(Op::Cancel), 1, "the session is given back");
}

#[tokio::test(start_paused = true)]
async fn an_upload_past_its_commit_is_followed_without_its_bundle() {
    let house = House::new();
    let upload = house.send("Letters", 4).await;
    house.until(&upload, HOUR, |view| view.phase == "processing").await;
    std::fs::remove_dir_all(house.dir.path().join("bundle-Letters")).unwrap();

    let house = house.restart();
    let view = house.until(&upload, HOUR, |view| view.is_closed()).await;

    assert_eq!(view.outcome.as_deref(), Some("completed"));
    assert_eq!(house.service.count(Op::Commit), 1);
}

#[tokio::test(start_paused = true)]
async fn a_closed_upload_leaves_and_its_bundle_goes_and_how_the_table_fared_is_remembered() {
    let house = House::new();
    let upload = house.send("Letters", 4).await;
    house.until(&upload, HOUR, |view| view.is_closed()).await;
    house.pass(SECOND).await;

    let picture = house.picture().await;
    assert!(picture.uploads.is_empty(), "{:?}", picture.uploads);
    assert_eq!(picture.closed[0].upload, upload);
    assert!(!house.dir.path().join("bundle-Letters").exists());
    let fact = house.journal.fact("table/letters").unwrap();
    assert_eq!(fact["outcome"]["result"], "completed");
    let good = fact["last_good"].clone();
    assert!(good.is_string());

    let (entry, bundle) = house.cargo("next", "Letters", 4);
    house.service.script(|call| match call.op {
        Op::Create => super::world::Fate::Failed(edm_agent::upload::fault::Fault::Refused { status: 400 }),
        _ => super::world::Fate::Done,
    });
    let next = house.begin(entry, Some(bundle)).await.unwrap().upload;
    house.until(&next, HOUR, |view| view.is_closed()).await;
    house.pass(SECOND).await;

    let fact = house.journal.fact("table/letters").unwrap();
    assert_eq!((&fact["outcome"]["result"], &fact["last_good"]), (&Value::from("failed"), &good));
    assert!(house.dir.path().join("bundle-next").exists(), "a failed one is kept for a while");
}

#[tokio::test(start_paused = true)]
async fn a_bundle_that_outlived_its_agent_is_removed_by_the_next() {
    let house = House::new();
    let (entry, _) = house.cargo("shown", "Letters", 4);
    let (older, _) = house.cargo("older", "Letters", 4);
    let mut memory = house.journal.memory();
    let closed = Record::Closed { outcome: edm_agent::upload::outcome::Outcome::Completed, at: entry.plan.begun };
    for number in 0..50 {
        let mut entry = entry.clone();
        entry.plan.id.0 = format!("upload-{number:02}");
        entry.owns_bundle = number == 0;
        memory.accounts.push(edm_agent::ports::journal::Account { entry, records: vec![closed.clone()] });
    }
    // What is not shown any more may have left something too.
    memory.spare_bundles.extend(older.bundle);
    let is_there = |house: &House, name: &str| house.dir.path().join(name).exists();
    assert!(is_there(&house, "bundle-shown") && is_there(&house, "bundle-older"));
    // That agent died while it removed it.
    std::fs::remove_file(house.dir.path().join("bundle-shown/salt")).unwrap();

    let house = house.restart_with(memory);
    house.pass(SECOND).await;

    assert!(!is_there(&house, "bundle-shown") && !is_there(&house, "bundle-older"));
    let closed: Vec<String> = house.picture().await.closed.into_iter().map(|view| view.upload).collect();
    assert_eq!(closed, (0..50).rev().map(|number| format!("upload-{number:02}")).collect::<Vec<_>>());
}

#[tokio::test(start_paused = true)]
async fn a_folder_that_an_open_upload_names_stays_whoever_had_it_before() {
    let house = House::new();
    let (entry, _) = house.cargo("letters", "Letters", 4);
    let closed = Record::Closed { outcome: edm_agent::upload::outcome::Outcome::Completed, at: entry.plan.begun };
    let mut memory = house.journal.memory();
    let account = |id: &str, records| {
        let mut entry = entry.clone();
        entry.plan.id.0 = id.to_owned();
        edm_agent::ports::journal::Account { entry, records }
    };
    memory.accounts = vec![account("first", vec![closed]), account("second", Vec::new())];

    let house = house.restart_with(memory);
    house.pass(SECOND).await;
    let memory = house.journal.memory();
    assert!(house.dir.path().join("bundle-letters").exists());
    let house = house.restart_with(memory);

    let view = house.until("second", HOUR, |view| view.is_closed()).await;
    assert_eq!(view.outcome.as_deref(), Some("completed"), "{view:#?}");
}

#[tokio::test(start_paused = true)]
async fn an_answer_about_another_session_is_not_taken() {
    let house = House::new();
    house.track("theirs", 5).await;
    house.pass(SECOND).await;
    let before = house.view("theirs").await.lease_left.unwrap();
    house.service.script(|call| match call.op {
        Op::Renew => super::world::Fate::Altered(super::world::Altered::Session),
        _ => super::world::Fate::Done,
    });

    house.pass(MINUTE * 10).await;

    let view = house.view("theirs").await;
    assert!(view.trouble.unwrap().contains("it is of another session"));
    assert!(view.lease_left.unwrap() <= before - 599.0, "its lease is no longer for it");
}

#[test]
fn a_bundle_on_a_disk_that_hangs_delays_no_renewal_and_is_sent_once_it_opens() {
    let mut builder = tokio::runtime::Builder::new_current_thread();
    // One thread for everything that blocks, so that it can be kept busy.
    let runtime = builder.enable_all().start_paused(true).max_blocking_threads(1).build().unwrap();
    runtime.block_on(async {
        let house = House::new();
        house.store.takes(SECOND * 10);
        house.track("beside", 5).await;
        let upload = house.send("Letters", 60).await;
        house.until(&upload, HOUR, |view| view.stored_blocks >= 10).await;
        let (free, wait) = std::sync::mpsc::channel::<()>();
        let busy = tokio::task::spawn_blocking(move || wait.recv());
        let house = house.restart();
        let sent = house.store.puts().len();
        house.service.take();

        // While something blocks, time stands still unless it is pushed.
        for _ in 0..45 * 60 {
            tokio::time::advance(SECOND).await;
        }

        let calls = house.service.take();
        for session in ["beside", "opened-1"] {
            let renewals = calls.iter().filter(|call| call.op == Op::Renew && call.about == session).count();
            assert!(renewals >= 4, "{renewals} renewals of {session}");
        }
        assert_eq!((house.service.lapsed(), house.store.puts().len()), (0, sent));
        free.send(()).unwrap();
        busy.await.unwrap().unwrap();
        let view = house.until(&upload, HOUR, |view| view.is_closed()).await;
        assert_eq!(view.outcome.as_deref(), Some("completed"));
    });
}
