//! The way to the outside: whom the clients trust, which way they go, how long
//! they wait, and what they never do, whoever is at the other end.

use std::sync::Arc;
use std::time::Duration;

use edm_agent::adapters::blob::{BlobClient, BlobSettings};
use edm_agent::adapters::graph::settings::ContractSettings;
use edm_agent::adapters::graph::{GraphService, GraphSettings};
use edm_agent::adapters::http::HttpSettings;
use edm_agent::ports::blobs::{BlobError, BlobStore};
use edm_agent::ports::service::{ServiceError, SessionService};
use edm_agent::upload::fault::Fault;
use edm_agent::upload::uri::UploadUri;

use crate::support::authority::Authority;
use crate::support::clock::TokioClock;
use crate::support::names::Names;
use crate::support::tokens::Fixed;

mod h2;
mod hostile;
mod names;
mod proxy;
mod roots;
mod slow;
mod suspended;
mod trust;

/// What the machine makes of an attempt that settles nothing.
const UNSETTLED: Fault = Fault::Transient { retry_after: None };

/// The name that the tests' servers are certified for, beside this host's own.
const NAME: &str = "graph.test";

/// A client of the service at an address.
fn graph(root: &str, http: HttpSettings) -> GraphService {
    let settings = GraphSettings { base_url: format!("{root}/beta"), http, ..GraphSettings::default() };
    GraphService::new(settings, Fixed::token("canary"), Arc::new(TokioClock::start())).unwrap()
}

/// Asks the service for something.
async fn ask(service: &GraphService) -> Result<(), ServiceError> {
    service.stores().await.map(drop)
}

/// Asks a store for something.
async fn list(address: &str, http: HttpSettings) -> Result<(), BlobError> {
    let store = BlobClient::new(BlobSettings::new(http, &ContractSettings::default()), Arc::new(TokioClock::start()));
    // Exactly this one, with its port.
    let hosts = [address.split_once("://").unwrap().1.to_owned()];
    let uri = UploadUri::parse(&format!("{address}/c/b?sr=b&si=policy&sig=canary"), &hosts).unwrap();
    store.unwrap().stored(uri, Duration::from_secs(10)).await.map(drop)
}

/// Trusts an authority, and finds the servers of the tests by name.
fn trusting(authority: &Authority) -> HttpSettings {
    HttpSettings {
        ca_file: Some(authority.file()),
        lookup: Arc::new(Names::here(&[NAME, "localhost", "proxy.test"])),
        timeout: Duration::from_secs(10),
        ..HttpSettings::default()
    }
}
