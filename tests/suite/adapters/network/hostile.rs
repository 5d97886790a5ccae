//! Servers that would lead the clients elsewhere, or have them say too much.

use std::sync::Arc;

use edm_agent::adapters::http::exchange::exchange;
use edm_agent::adapters::http::{HttpSettings, Pool, Versions};
use edm_agent::upload::fault::{BlobFault, Fault};

use super::{NAME, ask, graph, list, trusting};
use crate::support::authority::Authority;
use crate::support::clock::TokioClock;
use crate::support::mock::{Mock, Reply};
use crate::support::secure::{Act, Secure};

#[tokio::test]
async fn no_client_follows_a_redirect_wherever_it_leads_and_the_target_hears_nothing() {
    let (origin, evil) = (Mock::start().await, Mock::start().await);
    let http = HttpSettings::default();
    let pool = Pool::new(http.clone(), Versions::Any, Arc::new(TokioClock::start())).unwrap();
    let places = [
        format!("{}/?canary=1", evil.url()),
        evil.url().replace("http:", "https:"),
        evil.url().replace("http:", ""),
        format!("{}/elsewhere?canary=1", origin.url()),
        "/beta/canary".to_owned(),
        "http://[canary".to_owned(),
    ];
    for status in [301, 302, 303, 307, 308] {
        for place in &places {
            let reply = Reply::status(status).header("Location", place);
            origin.then(reply.clone()).then(reply.clone()).then(reply);
            let error = ask(&graph(&origin.url(), http.clone())).await.unwrap_err();
            assert_eq!(error.fault, Fault::Refused { status });
            let store = list(&origin.url(), http.clone()).await.unwrap_err();
            assert_eq!(store.fault, BlobFault::Refused { status });
            for text in [error.to_string(), store.to_string()] {
                assert!(text.contains("redirect") && !text.contains("canary"), "{place}: {text}");
            }
            let pooled = pool.current();
            let reply = exchange(pooled.client.post(origin.url()).body("canary"), 100).await;
            assert_eq!(reply.map_err(|no| no.detail).unwrap().status.as_u16(), status);
            assert_eq!(origin.take().len(), 3, "each asked once: {status} to {place}");
        }
    }
    assert_eq!(evil.connections(), 0);
}

#[tokio::test]
async fn a_redirect_from_tls_to_plain_http_is_not_followed() {
    let evil = Mock::start().await;
    let authority = Authority::new();
    let server = Secure::start(authority.certify(NAME).server(&["h2"])).await;
    let port = evil.url().rsplit_once(':').unwrap().1.parse().unwrap();
    server.then(Act::Redirect(port));
    let error = ask(&graph(&format!("https://{NAME}:{}", server.port()), trusting(&authority))).await.unwrap_err();
    assert_eq!(error.fault, Fault::Refused { status: 307 }, "{error}");
    assert_eq!((server.requests().len(), evil.connections()), (1, 0));
}

#[tokio::test]
async fn what_a_store_repeats_of_the_signature_comes_out_nowhere() {
    let mock = Mock::start().await;
    let signed = "https://h/c/b?sr=b&si=policy&sig=canary";
    let body = |text: &str| format!("<Error><Code>{text}</Code><Message>{signed}</Message></Error>");
    for reply in [
        Reply::content(403, "application/xml", body("canary")),
        Reply::content(403, "text/canary", signed),
        Reply::status(403).header("x-ms-error-code", "canary").header("x-ms-request-id", "canary"),
        Reply::status(400).header("x-ms-request-id", signed).header("Retry-After", "canary"),
        Reply::status(503).header("Date", "canary").header("x-ms-version", "canary"),
        Reply::status(307).header("Location", "https://canary.test/?sig=canary"),
        Reply::content(200, "application/xml", body("x")).header("Content-Encoding", "canary"),
        Reply::content(200, "application/xml", "<BlockList>canary"),
        Reply::content(200, "text/html", signed),
        Reply::status(200).header("canary\0", "canary"),
    ] {
        mock.then(reply.clone());
        let Err(error) = list(&mock.url(), HttpSettings::default()).await else { panic!("{reply:?}") };
        assert!(!format!("{error} {error:?}").contains("canary"), "{reply:?}: {error:?}");
    }
}

#[tokio::test]
async fn what_the_service_repeats_of_the_token_comes_out_nowhere() {
    let mock = Mock::start().await;
    for reply in [
        Reply::json(400, r#"{"error":{"code":"canary","message":"Authorization: Bearer canary"}}"#),
        Reply::status(403).header("request-id", "canary").header("WWW-Authenticate", "Bearer canary"),
        Reply::status(302).header("Location", "https://canary/?canary"),
        Reply::content(500, "text/canary", "Bearer canary"),
        Reply::json(200, "canary"),
        Reply::json(200, "{}").header("Content-Encoding", "canary"),
        Reply::status(200).header("canary\0", "Bearer canary"),
    ] {
        mock.then(reply.clone()).then(reply.clone());
        let error = ask(&graph(&mock.url(), HttpSettings::default())).await.unwrap_err();
        assert!(!format!("{error} {error:?}").contains("canary"), "{reply:?}: {error:?}");
    }
}
