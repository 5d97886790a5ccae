//! The store behind an upload URI: Azure Blob Storage by its REST interface,
//! or any address that takes a PUT.
//!
//! The upload URI is the only credential: no `Authorization` header is ever
//! sent here, and the client that speaks to the service is not this one.
//!
//! # Invariants
//!
//! - The URI's query goes out as it came in, with `comp` appended.
//! - One call is one attempt; the one exception is a block sent anew at once,
//!   by MD5, to a store that does not know CRC-64.
//! - A block is stored only if the store's own digest, where it names one,
//!   agrees.

use std::sync::Arc;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use md5::{Digest, Md5};
use reqwest::header::{CONTENT_LENGTH, CONTENT_TYPE};
use reqwest::{Body, Method, RequestBuilder};

use self::address::Address;
use self::checks::{Check, Checks};
use self::stream::FileStream;
use self::verdict::Failed;
use crate::adapters::graph::settings::{ContractSettings, Integrity};
use crate::adapters::http::exchange::{ANSWER_LIMIT, NoAnswer, Reply};
use crate::adapters::http::guid::guid;
use crate::adapters::http::{HttpRefused, HttpSettings, Pool, Versions};
use crate::ports::Task;
use crate::ports::blobs::{BlobError, BlobStore, BlockPut, BlockTarget, StoredBlock, WholePut, WholeTarget};
use crate::ports::clock::Clock;
use crate::upload::uri::UploadUri;

mod address;
mod checks;
mod list;
mod stream;
mod verdict;

/// The newest storage version asked for by itself. Newer signatures (`sv`) are
/// honoured under an older `x-ms-version`, while a server refuses a version
/// newer than itself; everything used here exists since 2019-12-12.
pub const NEWEST_VERSION: &str = "2025-11-05";

/// The storage version for an address whose signature names none.
pub const PLAIN_VERSION: &str = "2021-12-02";

/// The largest block list read: 150,000 blocks with ids of 64 bytes.
const LIST_LIMIT: usize = 32 << 20;

/// How the store is spoken to.
#[derive(Clone)]
pub struct BlobSettings {
    /// How requests are sent.
    pub http: HttpSettings,
    /// The storage version to name; empty takes the signature's.
    pub ms_version: String,
    /// How the store is asked to verify a block.
    pub integrity: Integrity,
}

impl BlobSettings {
    /// Takes what the `[contract]` table says of the store.
    pub fn new(http: HttpSettings, contract: &ContractSettings) -> Self {
        Self { http, ms_version: contract.ms_version.clone(), integrity: contract.integrity }
    }
}

/// The store behind an upload URI.
pub struct BlobClient {
    pool: Pool,
    ms_version: String,
    checks: Checks,
    clock: Arc<dyn Clock>,
}

/// One request to be made.
struct Call {
    step: &'static str,
    method: Method,
    address: Address,
    uri: UploadUri,
}

impl BlobClient {
    /// Prepares to speak with stores; nothing is sent yet.
    ///
    /// # Errors
    ///
    /// Says which setting to correct.
    pub fn new(settings: BlobSettings, clock: Arc<dyn Clock>) -> Result<Self, HttpRefused> {
        let pool = Pool::new(settings.http, Versions::Http1, Arc::clone(&clock))?;
        Ok(Self { pool, ms_version: settings.ms_version, checks: Checks::new(settings.integrity), clock })
    }

    /// Returns the storage version to name to the store of a URI.
    fn version<'a>(&'a self, uri: &'a UploadUri) -> &'a str {
        match uri.version() {
            _ if !self.ms_version.is_empty() => &self.ms_version,
            // Versions are dates, so they sort as text.
            Some(version) if version.bytes().all(|byte| byte.is_ascii_digit() || byte == b'-') => {
                version.min(NEWEST_VERSION)
            }
            Some(_) | None => PLAIN_VERSION,
        }
    }

    /// Sends a request with the headers every request to a blob store has.
    async fn send(
        &self,
        call: &Call,
        limit: usize,
        patience: Duration,
        fill: impl FnOnce(RequestBuilder) -> RequestBuilder + Send,
    ) -> Result<Reply, Failed> {
        let request_id = guid();
        let version = self.version(&call.uri);
        self.exchange(call, limit, patience, |request| {
            fill(request.header("x-ms-version", version).header("x-ms-client-request-id", request_id))
        })
        .await
    }

    /// Sends a request as it is.
    async fn exchange(
        &self,
        call: &Call,
        limit: usize,
        patience: Duration,
        fill: impl FnOnce(RequestBuilder) -> RequestBuilder + Send,
    ) -> Result<Reply, Failed> {
        let begun = self.clock.now();
        let pooled = self.pool.current();
        let request = pooled.client.request(call.method.clone(), call.address.as_str()).timeout(patience);
        let answer = pooled.exchange(fill(request), limit).await;
        let elapsed = begun.moment.until(self.clock.now().moment);
        let place = call.uri.place();
        match answer {
            Ok(reply) => {
                let status = reply.status.as_u16();
                let request_id = verdict::shown(reply.header("x-ms-request-id").unwrap_or_default(), &call.uri);
                tracing::debug!(step = call.step, %place, status, request_id, ?elapsed, "asked the store");
                if matches!(status, 503 | 504) {
                    self.pool.replace(&pooled);
                }
                if reply.status.is_success() {
                    return Ok(reply);
                }
                let cap = self.pool.settings().retry_after_cap;
                Err(verdict::judge(call.step, &call.uri, &reply, begun.wall, cap))
            }
            Err(NoAnswer { detail, connected, inside }) => {
                tracing::debug!(step = call.step, %place, ?elapsed, detail, "asked the store in vain");
                if connected {
                    self.pool.replace(&pooled);
                }
                let detail = format!("{detail}, from {place}");
                Err(if inside { verdict::forbidden(call.step, detail) } else { verdict::unclear(call.step, detail) })
            }
        }
    }

    /// Stores one block under the check given.
    async fn put_checked(&self, call: &Call, put: &BlockPut, check: Check) -> Result<(), Failed> {
        let reply = self
            .send(call, ANSWER_LIMIT, put.patience, |request| {
                let request = match &put.target {
                    BlockTarget::Block { .. } => request,
                    BlockTarget::Blob { .. } => request.header("x-ms-blob-type", "BlockBlob"),
                };
                let request =
                    check.header().into_iter().fold(request, |request, (name, value)| request.header(name, value));
                request.header(CONTENT_LENGTH, put.body.len()).body(put.body.clone())
            })
            .await?;
        check.confirm(&reply).map_err(|detail| verdict::unclear(call.step, detail))
    }

    async fn put_block(&self, uri: UploadUri, put: BlockPut) -> Result<(), Failed> {
        let address = match &put.target {
            BlockTarget::Block { id } => Address::of(&uri).query(&[("comp", "block"), ("blockid", id)]),
            BlockTarget::Blob { name } => Address::of(&uri).below(name),
        };
        let call = Call { step: "store a block", method: Method::PUT, address, uri };
        let integrity = self.checks.of(call.uri.place());
        let refused = match self.put_checked(&call, &put, check(integrity, &put).await).await {
            Err(refused) if self.checks.fall_back(call.uri.place(), &refused.code) => refused,
            answer => return answer,
        };
        tracing::info!(place = %call.uri.place(), said = %refused.error, "the store does not verify CRC-64: MD5 from now on");
        self.put_checked(&call, &put, check(Integrity::Md5, &put).await).await
    }

    async fn put_file(&self, uri: UploadUri, put: WholePut) -> Result<(), Failed> {
        let call = Call { step: "store the bundle", method: Method::PUT, address: Address::of(&uri), uri };
        let (stream, watch) = FileStream::open(put.file, put.length);
        // The whole may take any time as long as it moves, so only idleness ends it.
        let forever = Duration::from_secs(u64::from(u32::MAX));
        let fill = |request: RequestBuilder| request.header(CONTENT_LENGTH, put.length).body(Body::wrap(stream));
        let sending = async {
            match put.target {
                WholeTarget::Blob => {
                    let headed = |request: RequestBuilder| fill(request.header("x-ms-blob-type", "BlockBlob"));
                    self.send(&call, ANSWER_LIMIT, forever, headed).await
                }
                WholeTarget::Plain => self.exchange(&call, ANSWER_LIMIT, forever, fill).await,
            }
        };
        let answer = tokio::select! {
            answer = sending => answer,
            () = watch.idle(&*self.clock, put.patience) => {
                Err(verdict::unclear(call.step, format!("no byte moved for {} s", put.patience.as_secs())))
            }
        };
        match watch.broken() {
            Some(detail) => Err(verdict::bundle(call.step, detail)),
            None => answer.map(drop),
        }
    }

    async fn list(&self, uri: UploadUri, patience: Duration) -> Result<Vec<StoredBlock>, Failed> {
        let address = Address::of(&uri).query(&[("comp", "blocklist"), ("blocklisttype", "all")]);
        let call = Call { step: "list the stored blocks", method: Method::GET, address, uri };
        match self.send(&call, LIST_LIMIT, patience, |request| request).await {
            Ok(reply) => {
                let body = reply.body.map_err(|broken| verdict::unclear(call.step, broken))?;
                list::read(&body).map_err(|detail| verdict::unclear(call.step, detail))
            }
            Err(failed) if failed.code == verdict::NO_BLOB => Ok(Vec::new()),
            Err(failed) => Err(failed),
        }
    }

    async fn commit(&self, uri: UploadUri, ids: Vec<String>, patience: Duration) -> Result<(), Failed> {
        let address = Address::of(&uri).query(&[("comp", "blocklist")]);
        let call = Call { step: "store the block list", method: Method::PUT, address, uri };
        let body = list::write(&ids);
        let fill = |request: RequestBuilder| {
            request.header(CONTENT_TYPE, "application/xml").header(CONTENT_LENGTH, body.len()).body(body)
        };
        self.send(&call, ANSWER_LIMIT, patience, fill).await.map(drop)
    }
}

/// Returns the check a block is sent with. MD5 takes long enough on a large
/// block to hold up everything else on this thread, so it is made on another.
async fn check(integrity: Integrity, put: &BlockPut) -> Check {
    match integrity {
        Integrity::Auto | Integrity::Crc64 => Check::Crc64(STANDARD.encode(put.crc64.to_le_bytes())),
        Integrity::Md5 => {
            let body: Bytes = put.body.clone();
            let digest = tokio::task::spawn_blocking(move || STANDARD.encode(Md5::digest(&body))).await;
            digest.map_or(Check::None, Check::Md5)
        }
        Integrity::None => Check::None,
    }
}

impl BlobStore for BlobClient {
    fn put(&self, uri: UploadUri, put: BlockPut) -> Task<'_, Result<(), BlobError>> {
        Box::pin(async move { Ok(self.put_block(uri, put).await?) })
    }

    fn put_whole(&self, uri: UploadUri, put: WholePut) -> Task<'_, Result<(), BlobError>> {
        Box::pin(async move { Ok(self.put_file(uri, put).await?) })
    }

    fn stored(&self, uri: UploadUri, patience: Duration) -> Task<'_, Result<Vec<StoredBlock>, BlobError>> {
        Box::pin(async move { Ok(self.list(uri, patience).await?) })
    }

    fn put_list(&self, uri: UploadUri, ids: Vec<String>, patience: Duration) -> Task<'_, Result<(), BlobError>> {
        Box::pin(async move { Ok(self.commit(uri, ids, patience).await?) })
    }
}
