//! HTTP/2 to the service, and what goes wrong in it alone.

use std::sync::Arc;
use std::time::Duration;

use edm_agent::adapters::graph::GraphService;
use edm_agent::adapters::http::HttpSettings;
use edm_agent::ports::clock::Clock;

use super::{NAME, UNSETTLED, ask, graph, list, trusting};
use crate::support::authority::Authority;
use crate::support::clock::TokioClock;
use crate::support::secure::{Act, Secure};

async fn server() -> (Secure, GraphService) {
    let authority = Authority::new();
    let server = Secure::start(authority.certify(NAME).server(&["h2", "http/1.1"])).await;
    let http = HttpSettings { timeout: Duration::from_secs(30), ..trusting(&authority) };
    let service = graph(&format!("https://{NAME}:{}", server.port()), http);
    (server, service)
}

#[tokio::test]
async fn the_service_is_spoken_to_in_its_newest_version_over_one_connection_and_stores_are_not() {
    let authority = Authority::new();
    let server = Secure::start(authority.certify(NAME).server(&["h2", "http/1.1"])).await;
    let root = format!("https://{NAME}:{}", server.port());
    let service = Arc::new(graph(&root, trusting(&authority)));
    ask(&service).await.unwrap();
    ask(&service).await.unwrap();
    list(&root, trusting(&authority)).await.unwrap_err();
    assert_eq!(server.requests(), [(0, "h2"), (0, "h2"), (1, "http/1.1")]);

    let old = Secure::start(authority.certify(NAME).server(&["http/1.1"])).await;
    ask(&graph(&format!("https://{NAME}:{}", old.port()), trusting(&authority))).await.unwrap();
    assert_eq!(old.requests(), [(0, "http/1.1")]);
}

#[tokio::test]
async fn a_request_that_was_not_served_settles_nothing_is_sent_once_and_comes_again_over_a_new_connection() {
    for act in [Act::Refuse, Act::Reset, Act::GoAway, Act::Bloat] {
        let (server, service) = server().await;
        ask(&service).await.unwrap();
        server.then(act);
        let error = ask(&service).await.unwrap_err();
        assert_eq!(error.fault, UNSETTLED, "{act:?}: {error}");
        assert!(error.detail.starts_with("no answer: "), "{act:?}: {error}");
        ask(&service).await.unwrap();
        let connections: Vec<_> = server.requests().iter().map(|request| request.0).collect();
        assert_eq!(connections, [0, 0, 1], "{act:?}");
    }
}

#[tokio::test]
async fn a_connection_that_died_silently_is_noticed_within_the_patience_of_a_renewal() {
    let (server, service) = server().await;
    ask(&service).await.unwrap();
    server.then(Act::Silence);
    // Nothing more is heard, so only timers run.
    tokio::time::pause();
    let clock = TokioClock::start();
    let asked = clock.now().moment;
    let error = ask(&service).await.unwrap_err();
    let waited = asked.until(clock.now().moment);
    tokio::time::resume();
    assert_eq!(error.fault, UNSETTLED);
    assert!(waited > Duration::from_secs(8) && waited < Duration::from_secs(10), "{waited:?}: {error}");
    ask(&service).await.unwrap();
    assert_eq!(server.connections(), 2);
}
