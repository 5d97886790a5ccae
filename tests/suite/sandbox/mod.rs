//! The sandbox, seen from outside: over HTTP, with another program's client.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use chrono::{DateTime, Utc};
use edm_agent::ground::moment::{Moment, Now};
use edm_agent::ports::Task;
use edm_agent::ports::clock::Clock;
use edm_agent::sandbox::{Phase, Quirks, Sandbox, SandboxSettings, SessionSnapshot, StoreSpec, parse_script};
use edm_agent::table::block::{EdmBlock1, Encoding};
use reqwest::{Certificate, Client, Method, RequestBuilder, Response};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

mod authority;
mod blobs;
mod claims;
mod faults;
mod life;
mod lists;
mod managed;
mod quirks;
mod script;
mod strict;
mod tls;

/// A clock that moves only when told to, and sleeps by jumping.
struct TestClock(Mutex<Duration>);

impl TestClock {
    fn advance(&self, span: Duration) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) += span;
    }

    fn elapsed(&self) -> Duration {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Clock for TestClock {
    fn now(&self) -> Now {
        let start: DateTime<Utc> = "2026-03-01T12:00:00.5Z".parse().unwrap();
        Now { moment: Moment::from_boot(self.elapsed()), wall: start + self.elapsed() }
    }

    fn sleep_until(&self, moment: Moment) -> Task<'static, ()> {
        let mut now = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        *now = (*now).max(moment.since_boot());
        Box::pin(async {})
    }
}

/// A sandbox with one data store, and a client that keeps the contract.
struct Bench {
    sandbox: Sandbox,
    clock: Arc<TestClock>,
    http: Client,
}

const STORE: &str = "7b1f0a52-0000-4000-8000-00000000000a";

impl Bench {
    async fn new() -> Self {
        Self::with(SandboxSettings::default()).await
    }

    async fn quirky(quirks: Quirks) -> Self {
        Self::with(SandboxSettings { quirks, ..SandboxSettings::default() }).await
    }

    async fn scripted(script: &str) -> Self {
        let (faults, quirks) = parse_script(script).unwrap();
        Self::with(SandboxSettings { faults, quirks, ..SandboxSettings::default() }).await
    }

    async fn with(settings: SandboxSettings) -> Self {
        // The client wants a TLS provider to be there even for plain http; a
        // second test finds it installed.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let stores = vec![StoreSpec { id: STORE.to_owned(), ..StoreSpec::named("Patients") }];
        let clock = Arc::new(TestClock(Mutex::new(Duration::from_secs(1_000))));
        let shared: Arc<dyn Clock> = Arc::clone(&clock) as _;
        let sandbox = Sandbox::start(SandboxSettings { stores, ..settings }, shared).await.unwrap();
        let trusted = sandbox.ca_pem().map(|pem| Certificate::from_pem(pem.as_bytes()).unwrap());
        let http = Client::builder().no_proxy().redirect(reqwest::redirect::Policy::none());
        let http = trusted.into_iter().fold(http, |http, ca| http.tls_certs_only([ca])).build().unwrap();
        Self { sandbox, clock, http }
    }

    fn url(&self, path: &str) -> String {
        format!("{}/beta/dataClassification/{path}", self.sandbox.origin())
    }

    /// A request as the contract wants it, still without a body.
    fn request(&self, method: Method, path: &str) -> RequestBuilder {
        let request = self.http.request(method, self.url(path)).bearer_auth(self.sandbox.bearer());
        request.header("client-request-id", "0f4e8f4c-1111-4222-8333-444444444444")
    }

    async fn call(&self, method: Method, path: &str, body: Option<Value>) -> (u16, Value) {
        let mut request = self.request(method.clone(), path);
        if let Some(body) = body {
            request = request.header("content-type", "application/json").body(body.to_string());
        } else if method == Method::POST {
            request = request.header("content-length", "0");
        }
        answer(request.send().await.unwrap()).await
    }

    async fn get(&self, path: &str) -> (u16, Value) {
        self.call(Method::GET, path, None).await
    }

    /// Asks for an action on a session.
    async fn act(&self, session: &str, action: &str) -> (u16, Value) {
        self.call(Method::POST, &format!("{}/{action}", path_of(session)), None).await
    }

    async fn report(&self, session: &str, body: Value) -> (u16, Value) {
        self.call(Method::PATCH, &path_of(session), Some(body)).await
    }

    /// Opens a session and returns its id and upload URI.
    async fn open(&self, body: Value) -> (String, String) {
        let (status, session) = self.call(Method::POST, &sessions(), Some(body)).await;
        assert_eq!(status, 201, "{session}");
        let text = |name: &str| session[name].as_str().unwrap_or_default().to_owned();
        (text("id"), text("dataUploadURI"))
    }

    async fn put(&self, uri: &str, body: impl Into<reqwest::Body>) -> (u16, String) {
        refusal(self.http.put(uri).body(body).send().await.unwrap())
    }

    async fn put_block(&self, uri: &str, id: &str, body: &[u8]) -> (u16, String) {
        self.put(&block_uri(uri, id), body.to_vec()).await
    }

    async fn put_list(&self, uri: &str, ids: &[&str]) -> (u16, String) {
        let entries: String = ids.iter().map(|id| format!("<Latest>{id}</Latest>")).collect();
        let xml = format!("<?xml version=\"1.0\" encoding=\"utf-8\"?><BlockList>{entries}</BlockList>");
        self.put(&format!("{uri}&comp=blocklist"), xml).await
    }

    /// Uploads a table as one block and commits it; returns the session's id.
    async fn upload(&self, rows: &[[&str; 2]]) -> String {
        let bytes = table(rows);
        let (session, uri) = self.open(draft(&bytes)).await;
        assert_eq!(self.put_block(&uri, "AAAA", &bytes).await.0, 201);
        assert_eq!(self.put_list(&uri, &["AAAA"]).await.0, 201);
        assert_eq!(self.act(&session, "commit").await, (204, Value::Null));
        session
    }

    /// Waits, in virtual time, until the session is no longer processed.
    async fn processed(&self, session: &str) -> SessionSnapshot {
        self.clock.advance(Duration::from_secs(3));
        // The bytes are read by another thread, in real time.
        let examined = async {
            loop {
                let seen = self.sandbox.session(session).unwrap();
                if seen.phase != Phase::Processing {
                    return seen;
                }
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(Duration::from_secs(30), examined).await.expect("the session is still processed")
    }

    /// The reasons why requests were refused as breaches of the contract.
    fn breaches(&self) -> Vec<String> {
        self.sandbox.journal().into_iter().filter(|seen| seen.breach).filter_map(|seen| seen.refused).collect()
    }
}

fn sessions() -> String {
    format!("exactMatchDataStores/{STORE}/sessions")
}

fn path_of(session: &str) -> String {
    format!("{}/{session}", sessions())
}

fn block_uri(uri: &str, id: &str) -> String {
    let id = id.replace('+', "%2B").replace('/', "%2F").replace('=', "%3D");
    format!("{uri}&comp=block&blockid={id}")
}

fn refusal(response: Response) -> (u16, String) {
    let code = response.headers().get("x-ms-error-code").map(|code| code.to_str().unwrap().to_owned());
    (response.status().as_u16(), code.unwrap_or_default())
}

async fn answer(response: Response) -> (u16, Value) {
    let status = response.status().as_u16();
    let text = response.text().await.unwrap();
    (status, serde_json::from_str(&text).unwrap_or(if text.is_empty() { Value::Null } else { Value::String(text) }))
}

fn digest(value: &str) -> [u8; 32] {
    Sha256::new().chain_update("salt").chain_update(value).finalize().into()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// A table of two columns as one block.
fn table(rows: &[[&str; 2]]) -> Vec<u8> {
    let mut bytes = EdmBlock1.header(0, 2, rows.len() as u32);
    bytes.extend(rows.iter().flatten().flat_map(|value| digest(value)));
    bytes
}

/// What a client says when it opens a session for such a table.
fn draft(bytes: &[u8]) -> Value {
    json!({
        "fileName": "patients-1.EdmHash",
        "fields": ["Id", "Name"],
        "checksum": hex(&Sha256::digest(bytes)),
        "rowsPerBlock": 1_000,
        "totalBlockCount": 1,
        "remainingBlockCount": 1,
        "salt": "salt",
    })
}
