//! The proxy: what it learns, and what is said when it is the trouble.

use std::net::TcpListener;
use std::sync::Arc;
use std::time::Duration;

use edm_agent::adapters::http::HttpSettings;
use edm_agent::adapters::http::proxy::Proxies;
use edm_agent::adapters::http::resolve::Reach;
use edm_agent::upload::fault::BlobFault;

use super::{NAME, UNSETTLED, ask, graph, list, trusting};
use crate::support::authority::Authority;
use crate::support::mock::{Mock, Reply};
use crate::support::secure::Secure;
use crate::support::tunnel::Tunnel;

fn through(address: &str) -> HttpSettings {
    let connect_timeout = Duration::from_secs(2);
    HttpSettings { proxy: Some(Proxies::all(address).unwrap()), connect_timeout, ..HttpSettings::default() }
}

fn with_login(address: &str) -> String {
    address.replace("http://", "http://user:canary@")
}

#[tokio::test]
async fn a_proxy_learns_the_host_and_the_login_and_nothing_of_the_request() {
    let authority = Authority::new();
    let server = Secure::start(authority.certify(NAME).server(&["h2", "http/1.1"])).await;
    let proxy = Tunnel::to(server.port()).await;
    let address = format!("http://user:pass@proxy.test:{}", proxy.port());
    let http = HttpSettings { proxy: Some(Proxies::all(&address).unwrap()), ..trusting(&authority) };

    ask(&graph(&format!("https://{NAME}"), http.clone())).await.unwrap();
    list(&format!("https://{NAME}"), http).await.unwrap_err();

    for head in proxy.heads() {
        assert!(head.starts_with(&format!("CONNECT {NAME}:443 HTTP/1.1\r\n")), "{head}");
        assert!(head.contains("dXNlcjpwYXNz") && !head.contains("canary"), "user:pass and no token: {head}");
    }
    assert_eq!(server.requests(), [(0, "h2"), (1, "http/1.1")], "the service's versions go through as well");
}

#[tokio::test]
async fn trouble_with_the_proxy_names_it_and_never_looks_like_the_service_said_no() {
    let gone = {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        format!("http://{}", listener.local_addr().unwrap())
    };
    let mock = Mock::start().await;
    let html = Reply::content(403, "text/html", "<h1>canary</h1>");
    for (reply, address, said) in [
        (Some(Reply::status(407)), mock.url(), "graph.proxy_credentials_file"),
        (Some(html), mock.url(), "the proxy refused to connect there"),
        (Some(Reply::status(502)), mock.url(), "the proxy refused to connect there"),
        (Some(Reply::lost()), mock.url(), "unexpected end of file"),
        (Some(Reply::held()), mock.url(), "in time"),
        (None, gone, "refused"),
    ] {
        let place = address.trim_start_matches("http://").to_owned();
        let http = through(&with_login(&address));
        if let Some(reply) = reply {
            mock.then(reply.clone()).then(reply);
        }
        let error = ask(&graph("https://graph.example.test", http.clone())).await.unwrap_err();
        let store = list("https://store.test", http).await.unwrap_err();
        assert_eq!((&error.fault, &store.fault), (&UNSETTLED, &BlobFault::Transient { retry_after: None }));
        for text in [&error.detail, &store.detail] {
            assert!(text.contains(&format!("through the proxy {place}: ")) && text.contains(said), "{said}: {text}");
        }
        assert!(!format!("{error:?}{store:?}").contains("canary"), "{error}; {store}");
        for request in mock.take() {
            assert_eq!(request.header("authorization"), None, "the token is not for the proxy");
        }
    }
}

#[tokio::test]
async fn this_host_and_what_is_excepted_are_reached_directly() {
    let proxy = Mock::start().await;
    let here = Mock::start().await;
    here.then(Reply::json(200, "{}"));
    ask(&graph(&here.url(), through(&proxy.url()))).await.unwrap();

    let authority = Authority::new();
    let server = Secure::start(authority.certify(NAME).server(&[])).await;
    let address = proxy.url();
    let variables = |name: &str| match name {
        "HTTPS_PROXY" => Some(address.clone().into()),
        "NO_PROXY" => Some(".test".into()),
        _ => None,
    };
    let http = HttpSettings { proxy: Proxies::read("env", None, &variables).unwrap(), ..trusting(&authority) };
    ask(&graph(&format!("https://{NAME}:{}", server.port()), http)).await.unwrap();
    assert_eq!(proxy.connections(), 0);
}

#[tokio::test]
async fn a_proxy_on_a_private_address_is_reached_by_a_client_that_must_stay_outside() {
    let authority = Authority::new();
    let server = Secure::start(authority.certify(NAME).server(&[])).await;
    let proxy = Tunnel::to(server.port()).await;
    let address = format!("http://proxy.test:{}", proxy.port());
    let http = HttpSettings {
        proxy: Some(Proxies::all(&address).unwrap()),
        reach: Reach::Public { this_host: Vec::new() },
        ..trusting(&authority)
    };
    let error = list(&format!("https://{NAME}"), http).await.unwrap_err();
    assert!(error.detail.contains("block list"), "an answer came through: {error}");
    assert_eq!(server.requests().len(), 1);
}

#[tokio::test]
async fn a_proxy_that_cannot_be_found_is_named() {
    let http = HttpSettings { lookup: Arc::new(super::Names::here(&[])), ..through("http://proxy.test:3128") };
    let error = ask(&graph("https://graph.example.test", http)).await.unwrap_err();
    assert!(error.detail.contains("through the proxy proxy.test:3128: "), "{error}");
    assert!(error.detail.contains("the name proxy.test is unknown"), "{error}");
}
