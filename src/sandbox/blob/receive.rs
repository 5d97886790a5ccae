//! Receives a body: through the pipe, past the digests, onto the disk.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http_body_util::BodyExt;
use hyper::body::Incoming;
use md5::{Digest, Md5};

use super::missing_header;
use crate::sandbox::depot::Part;
use crate::sandbox::operation::Operation as Op;
use crate::sandbox::quirks::Integrity;
use crate::sandbox::reply::Refusal;
use crate::sandbox::service::{Asked, Service};

/// What was received.
pub(super) struct Received {
    pub(super) part: std::sync::Arc<Part>,
    /// The digests to answer with.
    pub(super) echoes: Vec<(&'static str, String)>,
}

/// The largest block taken, in bytes, as in Azure since version 2019-12-12.
const LARGEST_BLOCK: u64 = 4_000 << 20;

/// The largest blob put in one piece, in bytes.
const LARGEST_BLOB: u64 = 5_000 << 20;

/// The digests that are made of a body: those the request announces, and where
/// it announces none the one that the answer names all the same.
struct Checks {
    md5: Option<(Option<String>, Md5)>,
    crc64: Option<(Option<String>, crc64fast_nvme::Digest)>,
}

impl Checks {
    fn asked(service: &Service, asked: &Asked) -> Result<Self, Refusal> {
        let quirks = &service.settings.quirks;
        let (md5, crc64) = (asked.header("content-md5"), asked.header("x-ms-content-crc64"));
        match (quirks.integrity, md5, crc64) {
            (_, Some(_), Some(_)) => {
                let message = "Both x-ms-content-crc64 header and Content-MD5 header are present.";
                return Err(Refusal::breach(400, "BothCrc64AndMd5HeaderPresent", message));
            }
            (_, _, Some(_)) if quirks.no_crc64 => {
                return Err(Refusal::no(500, "FeatureNotSupported", "x-ms-content-crc64 is not supported."));
            }
            (Integrity::Md5, None, _) => return Err(missing_header("Content-MD5")),
            (Integrity::Crc64, _, None) => return Err(missing_header("x-ms-content-crc64")),
            (Integrity::Any | Integrity::Md5 | Integrity::Crc64, ..) => (),
        }
        let none = md5.is_none() && crc64.is_none();
        let named = |header: Option<&str>, always| header.map(|text| Some(text.to_owned())).or(always);
        let md5 = named(md5, (none && asked.route.operation == Op::PutBlob).then_some(None));
        let crc64 = named(crc64, (none && asked.route.operation == Op::PutBlock && !quirks.no_crc64).then_some(None));
        Ok(Self {
            md5: md5.map(|expected| (expected, Md5::new())),
            crc64: crc64.map(|expected| (expected, crc64fast_nvme::Digest::new())),
        })
    }

    fn update(&mut self, bytes: &[u8]) {
        if let Some((_, digest)) = &mut self.md5 {
            digest.update(bytes);
        }
        if let Some((_, digest)) = &mut self.crc64 {
            digest.write(bytes);
        }
    }

    /// Returns the digests to answer with, if they are as announced.
    fn finish(self) -> Result<Vec<(&'static str, String)>, Refusal> {
        let mut echoes = Vec::new();
        if let Some((expected, digest)) = self.md5 {
            let found = STANDARD.encode(digest.finalize());
            if expected.is_some_and(|expected| expected != found) {
                let message =
                    "The MD5 value specified in the request did not match with the MD5 value calculated by the server.";
                return Err(Refusal::breach(400, "Md5Mismatch", message));
            }
            echoes.push(("content-md5", found));
        }
        if let Some((expected, digest)) = self.crc64 {
            let found = STANDARD.encode(digest.sum64().to_le_bytes());
            if expected.is_some_and(|expected| expected != found) {
                let message = "The CRC64 value specified in the request did not match with the CRC64 value calculated by the server.";
                return Err(Refusal::breach(400, "Crc64Mismatch", message));
            }
            echoes.push(("x-ms-content-crc64", found));
        }
        Ok(echoes)
    }
}

/// Returns how long the body says it is.
fn announced(asked: &Asked, most: u64) -> Result<u64, Refusal> {
    let length = asked.header("content-length").and_then(|text| text.parse().ok());
    let length: u64 = length
        .ok_or_else(|| Refusal::breach(411, "MissingContentLengthHeader", "Content-Length HTTP header is missing."))?;
    if length > most {
        return Err(Refusal::breach(
            413,
            "RequestBodyTooLarge",
            "The request body is too large and exceeds the maximum permissible limit.",
        ));
    }
    Ok(length)
}

/// Receives the bytes of a block, of which there must be some, or of a blob.
pub(super) async fn bytes(
    service: &Service,
    asked: &Asked,
    body: &mut Incoming,
    summary: &mut String,
) -> Result<Received, Refusal> {
    let block = asked.route.operation == Op::PutBlock;
    let length = announced(asked, if block { LARGEST_BLOCK } else { LARGEST_BLOB })?;
    if block && length == 0 {
        return Err(Refusal::breach(
            400,
            "InvalidHeaderValue",
            "The value for one of the HTTP headers is not in the correct format: Content-Length.",
        ));
    }
    let mut checks = Checks::asked(service, asked)?;
    let full = |error: std::io::Error| {
        Refusal::no(503, "ServerBusy", format!("The sandbox could not store the bytes: {error}."))
    };
    let mut part = service.depot.begin().map_err(full)?;
    while let Some(piece) = piece(service, body).await? {
        checks.update(&piece);
        // Into the page cache, a few dozen KiB at a time: not worth a thread.
        part.write(&piece).map_err(full)?;
    }
    *summary = format!("{} bytes", part.length());
    let echoes = checks.finish()?;
    Ok(Received { part: part.finish(), echoes })
}

/// Receives a short text.
pub(super) async fn text(service: &Service, asked: &Asked, body: &mut Incoming, most: u64) -> Result<String, Refusal> {
    announced(asked, most)?;
    let mut checks = Checks::asked_of_list(asked);
    let mut bytes = Vec::new();
    while let Some(piece) = piece(service, body).await? {
        checks.update(&piece);
        bytes.extend_from_slice(&piece);
    }
    checks.finish()?;
    String::from_utf8(bytes).map_err(|_| Refusal::breach(400, "InvalidXmlDocument", "XML specified is not UTF-8."))
}

impl Checks {
    /// A block list may announce its MD5; nothing requires it.
    fn asked_of_list(asked: &Asked) -> Self {
        Self { md5: asked.header("content-md5").map(|expected| (Some(expected.to_owned()), Md5::new())), crc64: None }
    }
}

/// Receives the next piece.
async fn piece(service: &Service, body: &mut Incoming) -> Result<Option<Bytes>, Refusal> {
    let Some(frame) = body.frame().await else { return Ok(None) };
    let broken = |_| Refusal::no(400, "IncompleteBody", "The body ended before its announced length.");
    let bytes = frame.map_err(broken)?.into_data().unwrap_or_default();
    if let Some(pipe) = &service.pipe {
        pipe.pass(bytes.len(), &service.clock).await;
    }
    Ok(Some(bytes))
}
