//! Whom the clients trust.

use std::io::{Read, Write};
use std::net::TcpListener;

use edm_agent::adapters::http::HttpSettings;

use super::{NAME, UNSETTLED, ask, graph, list, trusting};
use crate::support::authority::Authority;
use crate::support::secure::Secure;

#[tokio::test]
async fn an_authority_of_the_ca_file_is_trusted_besides_the_systems() {
    let authority = Authority::new();
    let server = Secure::start(authority.certify(NAME).server(&[])).await;
    ask(&graph(&format!("https://{NAME}:{}", server.port()), trusting(&authority))).await.unwrap();
    assert_eq!(server.requests().len(), 1);
}

#[tokio::test]
async fn an_unknown_authority_an_ended_certificate_or_another_name_gets_no_byte_of_the_request() {
    let (authority, other) = (Authority::new(), Authority::new());
    for (identity, reasons) in [
        (other.certify(NAME), ["UnknownIssuer", "graph.ca_file"]),
        (authority.certify_past(NAME), ["xpired", NAME]),
        (authority.certify("other.test"), ["not valid for name", "other.test"]),
    ] {
        let server = Secure::start(identity.server(&["h2", "http/1.1"])).await;
        let root = format!("https://{NAME}:{}", server.port());
        let error = ask(&graph(&root, trusting(&authority))).await.unwrap_err();
        assert_eq!(error.fault, UNSETTLED);
        assert!(error.detail.starts_with(&format!("no connection: {NAME}:{}: ", server.port())), "{error}");
        let store = list(&root, trusting(&authority)).await.unwrap_err();
        for reason in reasons {
            assert!(error.detail.contains(reason) && store.detail.contains(reason), "{reason}: {error}; {store}");
        }
        assert!(!format!("{error:?}{store:?}").contains("canary"));
        assert_eq!((server.connections(), server.heard()), (2, 0));
    }
}

#[tokio::test]
async fn a_server_that_speaks_only_old_tls_is_refused_and_never_met_half_way() {
    // A record of TLS 1.1, version 3.2: a hello that picks it, and an alert
    // that nothing newer is known.
    let hello = [&[22, 3, 2, 0, 42, 2, 0, 0, 38, 3, 2][..], &[7; 32], &[0, 0, 0x2F, 0]].concat();
    let alert = vec![21, 3, 2, 0, 2, 2, 70];
    let authority = Authority::new();
    for answer in [hello, alert] {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let serving = std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let mut heard = vec![0; 16 << 10];
            let length = stream.read(&mut heard).unwrap();
            heard.truncate(length);
            stream.write_all(&answer).unwrap();
            let _ = stream.read_to_end(&mut heard);
            heard
        });
        let error = ask(&graph(&format!("https://{NAME}:{port}"), trusting(&authority))).await.unwrap_err();
        assert_eq!(error.fault, UNSETTLED);
        assert!(error.detail.starts_with(&format!("no connection: {NAME}:{port}: ")), "{error}");
        assert!(!serving.join().unwrap().windows(6).any(|window| window == b"canary"));
    }
}

#[tokio::test]
async fn a_client_of_plain_http_trusts_no_tls_server_at_all() {
    let authority = Authority::new();
    let server = Secure::start(authority.certify("localhost").server(&[])).await;
    let http = HttpSettings { plain_only: true, ..trusting(&authority) };
    let error = list(&format!("https://localhost:{}", server.port()), http).await.unwrap_err();
    assert!(error.detail.contains("UnknownIssuer"), "{error}");
    assert_eq!(server.heard(), 0);
}
