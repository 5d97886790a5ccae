//! The contract on the store of our own sandbox.
//!
//! What other tests show against the sandbox holds for Azure only as far as the
//! sandbox keeps the same contract as Azurite does.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use edm_agent::adapters::clock::SystemClock;
use edm_agent::adapters::graph::settings::Integrity;
use edm_agent::ports::Task;
use edm_agent::ports::clock::Clock;
use edm_agent::sandbox::quirks::UriForm;
use edm_agent::sandbox::{Quirks, Sandbox, SandboxSettings, StoreSpec};
use edm_agent::upload::uri::{UploadUri, UriKind};
use tokio::sync::Mutex;

use super::contract::{Holds, SuiteTarget, blob_contract};
use super::{client, uri};

const STORE: &str = "7b1f0a52-0000-4000-8000-00000000000b";

/// A sandbox in which each container is the place of a session.
struct Target {
    sandbox: Sandbox,
    client: reqwest::Client,
    knows_crc64: bool,
    /// The session of each container.
    sessions: Mutex<HashMap<String, String>>,
}

impl Target {
    async fn start(knows_crc64: bool) -> Self {
        let settings = SandboxSettings {
            session_ttl: Duration::from_secs(3_600),
            sessions_per_day: 1_000,
            quirks: Quirks { uri: UriForm::Container, no_crc64: !knows_crc64, ..Quirks::default() },
            stores: vec![StoreSpec { id: STORE.to_owned(), ..StoreSpec::named("Patients") }],
            ..SandboxSettings::default()
        };
        // The client wants a TLS provider to be there even for plain http; a
        // second test finds it installed.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let client = reqwest::Client::builder().no_proxy().build().unwrap();
        let sandbox = Sandbox::start(settings, Arc::new(SystemClock)).await.unwrap();
        Self { sandbox, client, knows_crc64, sessions: Mutex::default() }
    }

    /// Opens a session as any client would, and returns its id.
    async fn open(&self) -> String {
        let url = format!("{}/beta/dataClassification/exactMatchDataStores/{STORE}/sessions", self.sandbox.origin());
        let request = self.client.post(url).bearer_auth(self.sandbox.bearer()).header("client-request-id", "suite");
        let answer = request.header("content-type", "application/json").body("{}").send().await.unwrap();
        assert_eq!(answer.status(), 201);
        let session: serde_json::Value = serde_json::from_slice(&answer.bytes().await.unwrap()).unwrap();
        session["id"].as_str().unwrap().to_owned()
    }

    async fn session(&self, container: &str) -> String {
        if container.starts_with("missing") {
            return container.to_owned();
        }
        let mut sessions = self.sessions.lock().await;
        if !sessions.contains_key(container) {
            sessions.insert(container.to_owned(), self.open().await);
        }
        sessions[container].clone()
    }

    async fn signed(&self, container: &str, blob: Option<&str>, rights: &str, holds: Holds) -> String {
        let away = if holds == Holds::Ended { -60 } else { 3_600 };
        let ends = SystemClock.now().wall + chrono::TimeDelta::seconds(away);
        let signed = self.sandbox.sign_uri(&self.session(container).await, blob, rights, ends);
        if holds == Holds::Forged { signed.replace("sig=", "sig=x") } else { signed }
    }
}

impl SuiteTarget for Target {
    fn mint<'a>(&'a self, container: &'a str, kind: UriKind, rights: &'a str, holds: Holds) -> Task<'a, UploadUri> {
        Box::pin(async move {
            let blob = (kind == UriKind::Blob).then_some("blob");
            uri(&self.signed(container, blob, rights, holds).await)
        })
    }

    fn read<'a>(&'a self, container: &'a str, blob: &'a str) -> Task<'a, Option<Vec<u8>>> {
        Box::pin(async move {
            let signed = self.signed(container, Some(blob), "r", Holds::Now).await;
            let answer = self.client.get(signed).send().await.unwrap();
            match answer.status().as_u16() {
                200 => Some(answer.bytes().await.unwrap().to_vec()),
                404 => None,
                status => panic!("read {container}/{blob}: {status}"),
            }
        })
    }

    fn knows_crc64(&self) -> bool {
        self.knows_crc64
    }
}

async fn keeps_the_contract(target: &Target) {
    let [auto, md5, crc64] = [Integrity::Auto, Integrity::Md5, Integrity::Crc64].map(client);
    blob_contract(target, &auto, &md5, &crc64).await;
}

#[tokio::test]
async fn the_sandbox_keeps_the_blob_contract() {
    keeps_the_contract(&Target::start(true).await).await;
}

#[tokio::test]
async fn the_sandbox_keeps_the_blob_contract_also_without_crc64_as_azurite_is() {
    keeps_the_contract(&Target::start(false).await).await;
}
