//! How the store is made to verify what it got, and which check it knows.

use std::collections::HashSet;
use std::sync::{Mutex, PoisonError};

use crate::adapters::graph::settings::Integrity;
use crate::adapters::http::exchange::Reply;
use crate::upload::uri::Place;

const CRC64: &str = "x-ms-content-crc64";
const MD5: &str = "Content-MD5";

/// How many stores are remembered for not knowing CRC-64. An agent sees one or
/// two; forgetting one costs a block sent twice.
const MOST_STORES: usize = 64;

/// The digest a block is sent with, in base64.
pub(super) enum Check {
    Crc64(String),
    Md5(String),
    None,
}

impl Check {
    /// Returns the header it is sent in.
    pub(super) fn header(&self) -> Option<(&'static str, &str)> {
        match self {
            Self::Crc64(digest) => Some((CRC64, digest)),
            Self::Md5(digest) => Some((MD5, digest)),
            Self::None => None,
        }
    }

    /// Compares it with the digest the store names, if it names that kind.
    pub(super) fn confirm(&self, reply: &Reply) -> Result<(), String> {
        let Some((name, sent)) = self.header() else { return Ok(()) };
        match reply.header(name) {
            Some(found) if found.trim() != sent => Err(format!("the store names another {name} than was sent")),
            Some(_) | None => Ok(()),
        }
    }
}

/// Which check each store is sent.
pub(super) struct Checks {
    wanted: Integrity,
    without_crc64: Mutex<HashSet<String>>,
}

impl Checks {
    pub(super) fn new(wanted: Integrity) -> Self {
        Self { wanted, without_crc64: Mutex::new(HashSet::new()) }
    }

    /// Returns the check for a place.
    pub(super) fn of(&self, place: &Place) -> Integrity {
        let known = self.without_crc64.lock().unwrap_or_else(PoisonError::into_inner);
        if self.wanted == Integrity::Auto && known.contains(store(place)) { Integrity::Md5 } else { self.wanted }
    }

    /// Returns whether a refusal with this code was of CRC-64 itself and another check is to
    /// be tried; remembers that for the store.
    pub(super) fn fall_back(&self, place: &Place, code: &str) -> bool {
        let unknown = ["FeatureNotSupported", "UnsupportedHeader", "NotImplemented"];
        if self.wanted != Integrity::Auto || !unknown.contains(&code) {
            return false;
        }
        let mut known = self.without_crc64.lock().unwrap_or_else(PoisonError::into_inner);
        if known.len() >= MOST_STORES {
            known.clear();
        }
        // Blocks in flight beside the first refused one come here too.
        known.insert(store(place).to_owned());
        true
    }
}

/// Returns the scheme, host and port of a place: what a store knows does not
/// differ from one of its blobs to the next.
fn store(place: &Place) -> &str {
    let text = place.as_str();
    let host = text.find("://").map_or(0, |at| at + 3);
    text[host..].find('/').map_or(text, |path| &text[..host + path])
}
