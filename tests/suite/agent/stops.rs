//! Stopping: what finishes, what never starts, and how long that takes.

use super::world::{HOUR, House, MINUTE, Put, SECOND};
use edm_agent::agent::ask::{Ask, AskRefused};
use edm_agent::ports::clock::Clock;

#[tokio::test(start_paused = true)]
async fn a_stop_lets_blocks_in_flight_finish_and_starts_none() {
    let mut house = House::new();
    house.store.takes(SECOND * 5);
    let upload = house.send("Letters", 60).await;
    house.until(&upload, HOUR, |view| view.blocks_in_flight == 8 && view.stored_blocks > 0).await;
    let (asked, sent) = (house.clock.now().moment, house.store.puts().len());

    house.asker.tell(Ask::Stop(SECOND * 30)).await.unwrap();
    house.dispatcher.join_next().await.unwrap().unwrap();

    assert!(house.since(asked) <= SECOND * 6, "it took {:?}", house.since(asked));
    assert_eq!(house.store.puts().len(), sent, "none was started");
    let house = house.restart();
    let kept = house.view(&upload).await.stored_blocks;
    assert_eq!(kept as usize, sent, "every block in flight finished, and is durable");
    assert!(house.service.sessions_now().values().all(|session| !session.is_gone), "the session lives on");
}

#[tokio::test(start_paused = true)]
async fn a_request_that_hangs_holds_a_stop_no_longer_than_its_grace() {
    let mut house = House::new();
    house.store.script(|_| Put::Hung);
    let upload = house.send("Letters", 60).await;
    house.until(&upload, HOUR, |view| view.blocks_in_flight == 8).await;
    house.pass(MINUTE).await;
    let asked = house.clock.now().moment;

    house.asker.tell(Ask::Stop(SECOND * 10)).await.unwrap();
    house.dispatcher.join_next().await.unwrap().unwrap();

    let took = house.since(asked);
    assert!(took >= SECOND * 10 && took <= SECOND * 11, "it took {took:?}");
    house.pass(SECOND).await;
    assert_eq!(house.store.in_flight().0, 0, "what hung was cut off");
}

#[tokio::test(start_paused = true)]
async fn an_idle_agent_stops_at_once_and_one_that_stops_begins_nothing() {
    let mut house = House::new();
    house.track("theirs", 5).await;
    house.store.takes(SECOND * 5);
    let upload = house.send("Letters", 8).await;
    house.until(&upload, HOUR, |view| view.blocks_in_flight == 8).await;
    let (entry, bundle) = house.cargo("more", "More", 1);
    house.asker.tell(Ask::Stop(SECOND * 30)).await.unwrap();
    assert_eq!(house.begin(entry, Some(bundle)).await.unwrap_err(), AskRefused::Stopping);
    house.dispatcher.join_next().await.unwrap().unwrap();

    let mut house = house.restart();
    house.until(&upload, HOUR, |view| view.is_closed()).await;
    house.pass(SECOND).await;
    let asked = house.clock.now().moment;
    house.asker.tell(Ask::Stop(SECOND * 30)).await.unwrap();
    house.dispatcher.join_next().await.unwrap().unwrap();
    assert!(house.since(asked) <= SECOND, "it took {:?}", house.since(asked));
}

#[test]
fn a_stop_right_after_the_end_waits_until_the_bundle_of_a_live_table_is_removed() {
    let mut builder = tokio::runtime::Builder::new_current_thread();
    // One thread for everything that blocks, so that it can be kept busy.
    let runtime = builder.enable_all().start_paused(true).max_blocking_threads(1).build().unwrap();
    runtime.block_on(async {
        let mut house = House::new();
        let upload = house.send("Letters", 4).await;
        house.until(&upload, HOUR, |view| view.phase == "processing").await;
        house.journal.hold();
        house.until(&upload, HOUR, |view| view.is_closed()).await;
        let (free, wait) = std::sync::mpsc::channel::<()>();
        let busy = tokio::task::spawn_blocking(move || wait.recv());
        house.asker.tell(Ask::Stop(SECOND * 30)).await.unwrap();
        house.journal.free();
        for _ in 0..100 {
            tokio::task::yield_now().await;
        }
        assert!(house.dispatcher.try_join_next().is_none(), "it waits for the removal");
        assert!(house.dir.path().join("bundle-Letters").exists());

        free.send(()).unwrap();
        busy.await.unwrap().unwrap();
        house.dispatcher.join_next().await.unwrap().unwrap();

        assert!(!house.dir.path().join("bundle-Letters").exists());
    });
}
