//! What an answer of the store that is no success means.
//!
//! The store's code is taken from its header, and from the XML body where
//! there is none. Nothing else of the body is passed on: it can repeat the
//! very text that was signed.

use std::time::Duration;

use chrono::{DateTime, Utc};
use quick_xml::Reader;
use quick_xml::events::Event;
use reqwest::Url;

use crate::adapters::http::exchange::Reply;
use crate::adapters::http::headers;
use crate::adapters::http::text::scrub;
use crate::ports::blobs::BlobError;
use crate::upload::fault::BlobFault;
use crate::upload::uri::UploadUri;

/// The store's code for a blob that is not there, though its container is.
pub(super) const NO_BLOB: &str = "BlobNotFound";

/// The store's code where it gives none.
const NO_CODE: &str = "no code";

/// The shortest text taken for a signature; real ones have 44 characters, and
/// taking out a letter would make nonsense of a message.
const SHORTEST: usize = 4;

/// An attempt that failed, with the store's code for it, if it gave one.
pub(super) struct Failed {
    pub(super) code: String,
    pub(super) error: BlobError,
}

impl From<Failed> for BlobError {
    fn from(failed: Failed) -> Self {
        failed.error
    }
}

/// Returns the failure of an attempt that settles nothing.
pub(super) fn unclear(step: &'static str, detail: impl Into<String>) -> Failed {
    let fault = BlobFault::Transient { retry_after: None };
    Failed { code: NO_CODE.to_owned(), error: BlobError { step, detail: detail.into(), fault } }
}

/// Returns the failure of an upload URI that leads where none may. Another one
/// may lead elsewhere, as the name may another day; so blocks wait for the next,
/// and after a few the upload ends.
pub(super) fn forbidden(step: &'static str, detail: String) -> Failed {
    Failed { code: NO_CODE.to_owned(), error: BlobError { step, detail, fault: BlobFault::Forbidden } }
}

/// Returns the failure to read what was to be sent.
pub(super) fn bundle(step: &'static str, detail: String) -> Failed {
    Failed { code: NO_CODE.to_owned(), error: BlobError { step, detail, fault: BlobFault::Bundle } }
}

/// Judges an answer whose status is no success.
pub(super) fn judge(step: &'static str, uri: &UploadUri, reply: &Reply, wall: DateTime<Utc>, cap: Duration) -> Failed {
    let status = reply.status.as_u16();
    let server_time = headers::server_date(&reply.headers, wall).unwrap_or(wall);
    let code = code(reply);
    let retry_after = headers::retry_after(&reply.headers, server_time, cap);
    let (fault, advice) = match (status, code.as_str()) {
        (300..=399, _) => {
            let host = reply.redirect_host();
            let advice = format!("a redirect to {host}, and redirects are never followed");
            (BlobFault::Refused { status }, shown(&advice, uri))
        }
        (400, "InvalidBlockList") => (BlobFault::BlocksLost, "a block of the list is not there any more".to_owned()),
        // The bytes arrived otherwise than they left; sending them again is all there is to do.
        (400, "Md5Mismatch" | "Crc64Mismatch") => {
            (BlobFault::Transient { retry_after }, "the block changed on the way".to_owned())
        }
        // A definite no, though it comes as a fault of the server.
        (_, "FeatureNotSupported" | "UnsupportedHeader" | "NotImplemented") => (
            BlobFault::Refused { status },
            "the store does not know a header it was sent: see contract.integrity".to_owned(),
        ),
        (401 | 403, _) => (BlobFault::Forbidden, ended(uri, server_time)),
        (404, _) => (BlobFault::NotFound, String::new()),
        (408 | 429 | 500..=599, _) => (BlobFault::Transient { retry_after }, String::new()),
        _ => (BlobFault::Refused { status }, String::new()),
    };
    let request_id = shown(reply.header("x-ms-request-id").unwrap_or("none"), uri);
    let said = shown(&code, uri);
    let mut detail = format!("status {status}, {said}, from {} (x-ms-request-id {request_id})", uri.place());
    if !advice.is_empty() {
        detail.push_str("; ");
        detail.push_str(&advice);
    }
    Failed { code, error: BlobError { step, detail, fault } }
}

/// Returns a text of the store's without what it repeats of the signature.
pub(super) fn shown(text: &str, uri: &UploadUri) -> String {
    let Ok(url) = Url::parse(uri.expose()) else { return scrub(text, &[]) };
    let signed = url.query().unwrap_or_default().split('&').filter_map(|pair| pair.strip_prefix("sig="));
    let plain = url.query_pairs().filter(|(name, _)| name == "sig").map(|(_, value)| value.into_owned());
    let secrets: Vec<String> = signed.map(str::to_owned).chain(plain).collect();
    let secrets: Vec<&str> = secrets.iter().map(String::as_str).filter(|text| text.len() >= SHORTEST).collect();
    scrub(text, &secrets)
}

/// Returns what may be behind a refused signature, by the store's own clock.
fn ended(uri: &UploadUri, server_time: DateTime<Utc>) -> String {
    if let Some(start) = uri.starts().filter(|start| *start > server_time) {
        return format!("the upload URI holds only from {}, so the service's clock may be ahead", start.to_rfc3339());
    }
    match uri.expires() {
        Some(end) if end <= server_time => format!("the upload URI ended at {}", end.to_rfc3339()),
        Some(end) => {
            format!("the upload URI would hold until {}, so its signature or rights are wrong", end.to_rfc3339())
        }
        None => "the upload URI names no end".to_owned(),
    }
}

/// Returns the store's code: a plain name, or nothing is believed to be one.
fn code(reply: &Reply) -> String {
    let header = reply.header("x-ms-error-code").map(str::to_owned);
    let code = header.or_else(|| code_in(reply.body.as_deref().ok()?));
    let code = code.filter(|code| code.len() <= 80 && code.bytes().all(|byte| byte.is_ascii_alphanumeric()));
    code.filter(|code| !code.is_empty()).unwrap_or_else(|| NO_CODE.to_owned())
}

fn code_in(body: &[u8]) -> Option<String> {
    let mut reader = Reader::from_str(std::str::from_utf8(body).ok()?);
    let mut inside = false;
    loop {
        match reader.read_event().ok()? {
            Event::Start(tag) => inside = tag.name().as_ref() == "Code",
            Event::Text(text) if inside => return Some(text.xml10_content().trim().to_owned()),
            Event::Eof => return None,
            Event::Text(_)
            | Event::End(_)
            | Event::Empty(_)
            | Event::CData(_)
            | Event::Comment(_)
            | Event::Decl(_)
            | Event::PI(_)
            | Event::DocType(_)
            | Event::GeneralRef(_) => (),
        }
    }
}
