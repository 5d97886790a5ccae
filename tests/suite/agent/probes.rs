//! What a probe is told.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use edm_agent::agent::ask::Ask;
use edm_agent::agent::control;
use edm_agent::agent::dispatcher::{Dispatcher, Doors, Parts, Volume, inbox};
use edm_agent::agent::overview::Lookout;
use edm_agent::agent::perform::Performer;
use edm_agent::agent::probes::Probes;
use edm_agent::agent::serve::serve;
use edm_agent::ports::clock::Clock;
use edm_agent::ports::journal::Memory;
use serde_json::Value;
use tokio::runtime::Handle;
use tokio::task::JoinSet;

use super::world::socket::ask;
use super::world::{House, SECOND};
use crate::support::tokens::Fixed;

/// Answers probes on a socket for as long as it is held.
async fn answer(house: &House, lookout: Lookout) -> (PathBuf, JoinSet<()>) {
    let socket = house.dir.path().join("probes.sock");
    let probes = Probes::new(lookout);
    let listener = control::bind(&socket).await.unwrap();
    let mut serving = JoinSet::new();
    serving.spawn(serve(listener, Arc::new(house.clock), move |request| probes.clone().handle(request)));
    (socket, serving)
}

pub(super) fn probes(house: &House) -> Lookout {
    house.lookout(Fixed::token("token"))
}

/// Makes a dispatcher that is there and does not turn.
pub(super) fn never_turning(house: &House) -> (Dispatcher, Doors) {
    let performer = Performer {
        service: house.service.clone(),
        blobs: house.store.clone(),
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
        metrics: house.metrics.clone(),
    };
    Dispatcher::new(parts, Memory::default(), inbox())
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
async fn an_agent_whose_dispatcher_has_ended_because_it_stops_is_alive_to_its_end() {
    let mut house = House::new();
    let lookout = probes(&house);
    let (socket, _serving) = answer(&house, lookout.clone()).await;
    lookout.stopping.store(true, Ordering::Relaxed);
    house.asker.tell(Ask::Stop(SECOND)).await.unwrap();
    house.dispatcher.join_next().await.unwrap().unwrap();
    for path in ["/livez", "/livez?verbose", "/startupz"] {
        assert_eq!(
            ask(&socket, "GET", path, "").await.status,
            200,
            "{path}: killed now, it could not close its journal"
        );
    }
    let ready = ask(&socket, "GET", "/readyz", "").await;
    assert_eq!((ready.status, ready.body.trim()), (503, "stopping"));
    let scraped = ask(&socket, "GET", "/metrics", "").await;
    assert!(
        scraped.body.contains("\nedm_agent_live 1\n") && scraped.body.contains("\nedm_agent_ready 0\n"),
        "{scraped:?}"
    );
}

#[tokio::test(start_paused = true)]
async fn a_verbose_probe_shows_each_check_and_hides_what_looks_like_a_secret() {
    let house = House::new();
    let (socket, _serving) = answer(&house, probes(&house)).await;
    let good = ask(&socket, "GET", "/readyz?verbose", "").await;
    let names = |got: &Value| got["checks"].as_array().unwrap().iter().map(|check| check["name"].clone()).collect();
    let checks: Vec<Value> = names(&good.json());
    assert_eq!((good.status, checks), (200, ["running", "journal", "sign-in", "dispatcher"].map(Value::from).to_vec()));
    assert_eq!(names(&ask(&socket, "GET", "/livez?verbose", "").await.json()), [Value::from("dispatcher")]);

    let house = House::new();
    let locked_out =
        house.lookout(Fixed::none("the authority said client_secret=Zx8Q~abcdefghijklmnopqrstuvwxyz012345"));
    let (socket, _serving) = answer(&house, locked_out).await;
    let bad = ask(&socket, "GET", "/readyz?verbose=1&x", "").await;
    let checks = bad.json()["checks"].clone();
    assert_eq!((bad.status, &checks[2]["ok"], &checks[3]["ok"]), (503, &false.into(), &true.into()), "{checks}");
    assert!(bad.body.contains("the authority said") && !bad.body.contains("Zx8Q~"), "{bad:?}");
}

#[tokio::test(start_paused = true)]
async fn a_dispatcher_that_is_gone_or_does_not_turn_is_not_alive_even_with_its_inbox_full() {
    let mut house = House::new();
    let (_never_turns, doors) = never_turning(&house);
    let stuck = Lookout { beat: doors.beat.clone(), asker: doors.asker.clone(), ..probes(&house) };
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
    let locked_out = house.lookout(Fixed::none("the client secret has expired"));
    let (socket, _serving) = answer(&house, locked_out).await;

    let ready = ask(&socket, "GET", "/readyz", "").await;
    assert_eq!(ready.status, 503);
    assert!(ready.body.contains("the client secret has expired"), "{ready:?}");
    for path in ["/livez", "/startupz"] {
        assert_eq!(ask(&socket, "GET", path, "").await.status, 200, "{path}");
    }
}
