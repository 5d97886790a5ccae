//! What a probe is told.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use edm_agent::agent::ask::Ask;
use edm_agent::agent::control;
use edm_agent::agent::dispatcher::{Dispatcher, Parts, Volume, inbox};
use edm_agent::agent::perform::Performer;
use edm_agent::agent::probes::Probes;
use edm_agent::agent::serve::serve;
use edm_agent::ports::clock::Clock;
use edm_agent::ports::journal::Memory;
use tokio::runtime::Handle;
use tokio::task::JoinSet;

use super::world::socket::ask;
use super::world::{House, SECOND};
use crate::support::tokens::Fixed;

/// Answers probes on a socket for as long as it is held.
async fn answer(house: &House, probes: Probes) -> (PathBuf, JoinSet<()>) {
    let socket = house.dir.path().join("probes.sock");
    let listener = control::bind(&socket).await.unwrap();
    let mut serving = JoinSet::new();
    serving.spawn(serve(listener, Arc::new(house.clock), move |request| probes.clone().handle(request)));
    (socket, serving)
}

pub(super) fn probes(house: &House) -> Probes {
    Probes {
        clock: Arc::new(house.clock),
        beat: house.beat.clone(),
        volume: house.volume.clone(),
        asker: house.asker.clone(),
        tokens: Fixed::token("token"),
        stopping: Arc::new(AtomicBool::new(false)),
    }
}

#[tokio::test(start_paused = true)]
async fn a_living_agent_is_live_and_ready_and_nothing_else_is_there() {
    let house = House::new();
    let (socket, _serving) = answer(&house, probes(&house)).await;
    for path in ["/livez", "/readyz", "/startupz"] {
        assert_eq!(ask(&socket, "GET", path, "").await.status, 200, "{path}");
    }
    assert_eq!(ask(&socket, "GET", "/v1/status", "").await.status, 404);
    assert_eq!(ask(&socket, "POST", "/livez", "").await.status, 405);
}

#[tokio::test(start_paused = true)]
async fn an_agent_is_not_ready_while_its_volume_is_full_or_it_is_stopping_but_alive_all_the_same() {
    let house = House::new();
    let probes = probes(&house);
    let (socket, _serving) = answer(&house, probes.clone()).await;
    house.journal.stall("the volume is full: make room");
    house.volume.clone().wait_for(|volume| *volume != Volume::Sound).await.unwrap();
    let got = ask(&socket, "GET", "/readyz", "").await;
    assert_eq!((got.status, got.body.trim()), (503, "the volume is full: make room"));
    assert_eq!(ask(&socket, "GET", "/livez", "").await.status, 200);

    house.journal.free();
    house.track("theirs", 1).await;
    house.pass(SECOND).await;
    assert_eq!(ask(&socket, "GET", "/readyz", "").await.status, 200);

    probes.stopping.store(true, Ordering::Relaxed);
    assert_eq!(ask(&socket, "GET", "/readyz", "").await.status, 503);
    assert_eq!(ask(&socket, "GET", "/livez", "").await.status, 200);
}

#[tokio::test(start_paused = true)]
async fn a_dispatcher_that_is_gone_or_does_not_turn_is_not_alive_even_with_its_inbox_full() {
    let mut house = House::new();
    let performer = Performer {
        service: house.service.clone(),
        blobs: house.store.clone(),
        settings: house.settings.clone(),
        pool: edm_agent::adapters::bundle::BufferPool::new(1),
    };
    let parts = Parts {
        clock: Arc::new(house.clock),
        performer: Arc::new(performer),
        journal: house.journal.clone(),
        settings: house.settings.clone(),
        blocks: Handle::current(),
        notices: house.notices.clone(),
        board: house.board.clone(),
    };
    let (_never_turns, doors) = Dispatcher::new(parts, Memory::default(), inbox());
    let stuck = Probes { beat: doors.beat.clone(), asker: doors.asker.clone(), ..probes(&house) };
    house.pass(SECOND).await;
    let (socket, serving) = answer(&house, stuck).await;
    for is_full in [false, true] {
        while is_full && doors.news.capacity() > 0 {
            doors.asker.tell(Ask::Wake).await.unwrap();
        }
        let asked = house.clock.now().moment;
        let got = ask(&socket, "GET", "/livez", "").await;
        assert_eq!((got.status, got.body.trim()), (503, "the dispatcher does not turn"));
        assert!(house.since(asked) >= SECOND * 10 && house.since(asked) <= SECOND * 11);
    }
    drop(serving);

    let gone = probes(&house);
    house.dispatcher.abort_all();
    house.dispatcher.join_next().await.unwrap().unwrap_err();
    let (socket, _serving) = answer(&house, gone).await;
    assert_eq!(ask(&socket, "GET", "/livez", "").await.body.trim(), "the dispatcher is gone");
}

#[tokio::test(start_paused = true)]
async fn an_agent_that_is_not_signed_in_is_alive_and_not_ready_and_says_why() {
    let house = House::new();
    let locked_out = Probes { tokens: Fixed::none("the client secret has expired"), ..probes(&house) };
    let (socket, _serving) = answer(&house, locked_out).await;

    let ready = ask(&socket, "GET", "/readyz", "").await;
    assert_eq!(ready.status, 503);
    assert!(ready.body.contains("the client secret has expired"), "{ready:?}");
    for path in ["/livez", "/startupz"] {
        assert_eq!(ask(&socket, "GET", path, "").await.status, 200, "{path}");
    }
}
