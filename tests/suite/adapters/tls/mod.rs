//! Whom the clients trust, and which way they go.
//!
//! The key beside this file is that of a server which lives for one test on
//! loopback; it protects nothing.

use std::io::{Read, Write};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use edm_agent::adapters::blob::{BlobClient, BlobSettings};
use edm_agent::adapters::graph::settings::ContractSettings;
use edm_agent::adapters::graph::{GraphService, GraphSettings};
use edm_agent::adapters::http::HttpSettings;
use edm_agent::ground::secret::Secret;
use edm_agent::ports::Task;
use edm_agent::ports::blobs::BlobStore;
use edm_agent::ports::service::{ServiceError, SessionService};
use edm_agent::ports::tokens::{NoToken, SignIn, TokenProvider};
use edm_agent::upload::fault::Fault;
use edm_agent::upload::uri::UploadUri;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

use crate::support::clock::TokioClock;
use crate::support::mock::{Mock, Reply};

struct Canary;

impl TokenProvider for Canary {
    fn token(&self) -> Task<'_, Result<Secret, NoToken>> {
        Box::pin(async { Ok(Secret::new("canary".to_owned())) })
    }

    fn refused(&self, _: &Secret, _: Option<&str>) {}

    fn sign_in(&self) -> SignIn {
        SignIn::default()
    }
}

fn beside(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/suite/adapters/tls").join(name)
}

/// Serves one connection as `localhost`, with an empty list; returns the port,
/// and in the end the request that came through.
fn serve_one() -> (u16, std::thread::JoinHandle<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let chain = vec![CertificateDer::from_pem_file(beside("localhost.pem")).unwrap()];
    let key = PrivateKeyDer::from_pem_file(beside("localhost.key.pem")).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    let config = Arc::new(config.with_no_client_auth().with_single_cert(chain, key).unwrap());
    let serving = std::thread::spawn(move || {
        let (stream, _) = listener.accept().unwrap();
        let mut stream = rustls::StreamOwned::new(rustls::ServerConnection::new(config).unwrap(), stream);
        let mut heard = Vec::new();
        let mut byte = [0];
        while !heard.ends_with(b"\r\n\r\n") && stream.read(&mut byte).is_ok_and(|read| read == 1) {
            heard.push(byte[0]);
        }
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 12\r\n\r\n{\"value\":[]}");
        let _ = stream.flush();
        String::from_utf8(heard).unwrap()
    });
    (port, serving)
}

async fn ask(base_url: String, http: HttpSettings) -> Result<(), ServiceError> {
    let settings = GraphSettings { base_url, http, ..GraphSettings::default() };
    let service = GraphService::new(settings, Arc::new(Canary), Arc::new(TokioClock::start())).unwrap();
    service.stores().await.map(drop)
}

fn trusting() -> HttpSettings {
    HttpSettings { ca_file: Some(beside("ca.pem")), ..HttpSettings::default() }
}

#[tokio::test]
async fn an_authority_of_the_ca_file_is_trusted() {
    let (port, serving) = serve_one();
    ask(format!("https://localhost:{port}/beta"), trusting()).await.unwrap();
    assert!(serving.join().unwrap().contains("canary"), "the token went through");
}

#[tokio::test]
async fn a_client_of_plain_http_trusts_no_tls_server_at_all() {
    let http = HttpSettings { plain_only: true, ..trusting() };
    let settings = BlobSettings::new(http, &ContractSettings::default());
    let store = BlobClient::new(settings, Arc::new(TokioClock::start())).unwrap();
    let (port, serving) = serve_one();
    let uri = UploadUri::parse(&format!("https://localhost:{port}/c?sr=c&si=upload&sig=x"), &["localhost".to_owned()])
        .unwrap();
    let error = store.stored(uri, Duration::from_secs(5)).await.unwrap_err();
    assert!(error.detail.contains("UnknownIssuer"), "{error}");
    assert_eq!(serving.join().unwrap(), "");
}

#[tokio::test]
async fn an_unknown_authority_or_another_name_gets_no_byte_of_the_request() {
    for (host, http, reason) in
        [("localhost", HttpSettings::default(), "UnknownIssuer"), ("127.0.0.1", trusting(), "not valid for name")]
    {
        let (port, serving) = serve_one();
        let error = ask(format!("https://{host}:{port}/beta"), http).await.unwrap_err();
        assert_eq!(error.fault, Fault::Transient { retry_after: None });
        assert!(error.detail.starts_with("no connection: ") && error.detail.contains(reason), "{error}");
        assert_eq!(serving.join().unwrap(), "");
    }
}

#[tokio::test]
async fn a_proxy_sees_only_the_host_and_its_password_is_not_shown() {
    let proxy = Mock::start().await;
    proxy.then(Reply::status(407));
    let address = proxy.url().replace("http://", "http://user:canary@");
    let http = HttpSettings { proxy: Some(Secret::new(address)), ..HttpSettings::default() };

    let error = ask("https://graph.example.test/beta".to_owned(), http.clone()).await.unwrap_err();

    assert!(error.detail.contains("proxy"), "{error}");
    assert!(!format!("{error:?}").contains("canary"), "{error}");
    let request = proxy.take_one();
    assert_eq!(format!("{} {}", request.method, request.target), "CONNECT graph.example.test:443");
    assert_eq!(request.header("authorization"), None, "the token is not for the proxy");

    let here = Mock::start().await;
    here.then(Reply::json(200, "{}"));
    ask(format!("{}/beta", here.url()), http).await.unwrap();
    assert!(proxy.take().is_empty(), "this host is not reached through a proxy");
}
