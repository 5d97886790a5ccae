//! The blob store's client: against a scripted store, and through a contract
//! that every store we speak with must pass, a real one first.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use edm_agent::adapters::blob::{BlobClient, BlobSettings};
use edm_agent::adapters::graph::settings::{ContractSettings, Integrity};
use edm_agent::adapters::http::HttpSettings;
use edm_agent::ports::blobs::{BlockPut, BlockTarget};
use edm_agent::upload::uri::UploadUri;

use crate::support::clock::TokioClock;

mod azurite;
pub(crate) mod contract;
mod faults;
mod requests;
mod sandbox;
pub(crate) mod sas;

const PATIENCE: Duration = Duration::from_secs(10);

/// A client that has its blocks checked in some way.
pub(crate) fn client(integrity: Integrity) -> BlobClient {
    client_with(&ContractSettings { integrity, ..ContractSettings::default() })
}

pub(crate) fn client_with(contract: &ContractSettings) -> BlobClient {
    let http = HttpSettings { plain_only: true, ..HttpSettings::default() };
    BlobClient::new(BlobSettings::new(http, contract), Arc::new(TokioClock::start())).unwrap()
}

/// Reads an upload URI on loopback.
pub(crate) fn uri(text: &str) -> UploadUri {
    UploadUri::parse(text, &["127.0.0.1".to_owned()]).unwrap()
}

/// A block with its true CRC-64.
fn block(target: BlockTarget, body: impl Into<Bytes>) -> BlockPut {
    let body = body.into();
    let mut crc64 = crc64fast_nvme::Digest::new();
    crc64.write(&body);
    BlockPut { target, crc64: crc64.sum64(), body, patience: PATIENCE }
}

fn of_list(id: &str) -> BlockTarget {
    BlockTarget::Block { id: id.to_owned() }
}

fn of_container(name: &str) -> BlockTarget {
    BlockTarget::Blob { name: name.to_owned() }
}
