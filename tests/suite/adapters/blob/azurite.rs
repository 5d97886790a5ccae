//! The contract on a real store: Azurite, Microsoft's storage emulator.
//!
//! It is found by `AZURITE_BLOB`, on the path, or where `npm install --prefix
//! target/azurite azurite` puts it. Without it the test says that it was
//! skipped.

use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use edm_agent::adapters::clock::SystemClock;
use edm_agent::adapters::graph::settings::Integrity;
use edm_agent::ports::Task;
use edm_agent::ports::clock::Clock;
use edm_agent::upload::uri::{UploadUri, UriKind};

use super::contract::{Holds, SuiteTarget, blob_contract};
use super::sas::{self, ACCOUNT};
use super::{client, uri};
use crate::support::skip::{Need, skip};

/// How long Azurite may take to listen.
const START: Duration = Duration::from_secs(30);

/// The version that began to verify CRC-64 (major and minor).
const WITH_CRC64: (u32, u32) = (3, 37);

/// A running Azurite, killed when dropped.
struct Azurite {
    process: Child,
    knows_crc64: bool,
    root: String,
    client: reqwest::Client,
    _directory: tempfile::TempDir,
}

impl Azurite {
    async fn start(program: PathBuf) -> Self {
        // The port is free again between here and Azurite's start; nobody else asks for it meanwhile.
        let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let directory = tempfile::tempdir().unwrap();
        let knows_crc64 = version(&program) >= WITH_CRC64;
        let process = Command::new(program)
            .args(["--inMemoryPersistence", "--silent", "--disableTelemetry", "--blobHost", "127.0.0.1"])
            .args(["--blobPort", &address.port().to_string()])
            .current_dir(directory.path())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let client = reqwest::Client::builder().no_proxy().build().unwrap();
        let root = format!("http://{address}/{ACCOUNT}");
        let azurite = Self { process, knows_crc64, root, client, _directory: directory };
        listening(address).await;
        azurite
    }

    /// Returns an address below the account, under an all-powerful signature.
    fn address(&self, path: &str, query: &str) -> String {
        format!("{}/{path}?{query}{}", self.root, sas::account(&expiry(Holds::Now)))
    }
}

impl Drop for Azurite {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

impl SuiteTarget for Azurite {
    fn mint<'a>(&'a self, container: &'a str, kind: UriKind, rights: &'a str, holds: Holds) -> Task<'a, UploadUri> {
        Box::pin(async move {
            if !container.starts_with("missing") {
                let made =
                    self.client.put(self.address(container, "restype=container&")).body("").send().await.unwrap();
                assert!(matches!(made.status().as_u16(), 201 | 409), "{made:?}");
            }
            let blob = (kind == UriKind::Blob).then_some("blob");
            let mut query = sas::service(container, blob, rights, &expiry(holds));
            if holds == Holds::Forged {
                let at = query.find("sig=").unwrap() + 4;
                query.replace_range(at..=at, if query[at..].starts_with('A') { "B" } else { "A" });
            }
            let path = blob.map_or_else(|| container.to_owned(), |blob| format!("{container}/{blob}"));
            uri(&format!("{}/{path}?{query}", self.root))
        })
    }

    fn read<'a>(&'a self, container: &'a str, blob: &'a str) -> Task<'a, Option<Vec<u8>>> {
        Box::pin(async move {
            let answer = self.client.get(self.address(&format!("{container}/{blob}"), "")).send().await.unwrap();
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

fn expiry(holds: Holds) -> String {
    let away = if holds == Holds::Ended { -60 } else { 3_600 };
    let date = SystemClock.now().wall + chrono::TimeDelta::seconds(away);
    date.format("%Y-%m-%dT%H:%M:%SZ").to_string()
}

async fn listening(address: SocketAddr) {
    let give_up = SystemClock.now().moment + START;
    while TcpStream::connect(address).is_err() {
        let now = SystemClock.now().moment;
        assert!(now < give_up, "Azurite did not listen within {START:?}");
        SystemClock.sleep_until(now + Duration::from_millis(50)).await;
    }
}

fn installed() -> Option<PathBuf> {
    if let Some(named) = std::env::var_os("AZURITE_BLOB") {
        return Some(named.into());
    }
    let path = std::env::var_os("PATH").unwrap_or_default();
    let own = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("target/azurite/node_modules/.bin");
    let mut places = std::env::split_paths(&path).chain([own]);
    places.find_map(|place| Some(place.join("azurite-blob")).filter(|program| program.is_file()))
}

/// Reads which version a program is of, from the package it lies in.
fn version(program: &Path) -> (u32, u32) {
    let program = program.canonicalize().unwrap();
    let package = program.ancestors().map(|folder| folder.join("package.json")).find(|file| file.is_file());
    let package = std::fs::read(package.expect("azurite lies in its package")).unwrap();
    let package: serde_json::Value = serde_json::from_slice(&package).unwrap();
    let mut numbers = package["version"].as_str().unwrap().split('.').map(|number| number.parse().unwrap());
    (numbers.next().unwrap(), numbers.next().unwrap())
}

#[tokio::test]
async fn azurite_keeps_the_blob_contract() {
    let Some(program) = installed() else {
        skip(Need::Azurite, "azurite is not installed (npm install --prefix target/azurite azurite)");
        return;
    };
    let [auto, md5, crc64] = [Integrity::Auto, Integrity::Md5, Integrity::Crc64].map(client);
    let azurite = Azurite::start(program).await;
    blob_contract(&azurite, &auto, &md5, &crc64).await;
}
