//! The upload URI of a session: where the blocks go, and until when.
//!
//! It is untrusted input and a secret at once. Untrusted, because whoever can
//! alter an answer of the service could point the agent elsewhere; a secret,
//! because its signature is a password. So it is parsed in one place, which
//! asks three things in this order, and has no way to print its query:
//!
//! - is it written as it is read, so that every program sees the same host
//!   (`written`)?
//! - may data go to that host and port (`hosts`, `upload.allowed_hosts`)?
//! - is its signature whole, if it has any (`marks`)?

mod hosts;
mod marks;
mod refused;
mod written;

use std::fmt;

use chrono::{DateTime, Utc};
use url::{Host, Url};

use self::marks::Marks;
use crate::ground::secret::Secret;

pub use self::hosts::{HostPattern, PatternRefused};
pub use self::refused::{Flaw, UriRefused};
pub use self::written::is_loopback_url as is_loopback;

/// What an upload URI points at, by its `sr` mark.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum UriKind {
    /// One blob (`sr=b`, `bs`, `bv`, or the signature of an account).
    Blob,
    /// A container or a directory in one (`sr=c`, `sr=d`).
    Container,
    /// No signature marks: an address that takes a plain PUT.
    Plain,
}

/// Where an upload URI leads, without its query: scheme, host, port and path.
///
/// Two URIs of one place differ only in their signature, so what was stored
/// under the first is there under the second.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Place(String);

impl Place {
    /// Returns the place as text, free of secrets.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Place {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&self.0)
    }
}

/// An upload URI that may be used.
#[derive(Clone)]
pub struct UploadUri {
    text: Secret,
    place: Place,
    marks: Marks,
}

impl UploadUri {
    /// Reads an upload URI and checks it against the allowed hosts, which are
    /// patterns; one that is none allows nothing.
    ///
    /// # Errors
    ///
    /// Says what is wrong without repeating any of the query.
    pub fn parse(text: &str, allowed_hosts: &[String]) -> Result<Self, UriRefused> {
        let url = written::read(text)?;
        let host = url.host_str().unwrap_or_default().to_owned();
        admit(&url, &host, allowed_hosts)?;
        let marks =
            Marks::read(url.query().unwrap_or_default()).map_err(|flaw| UriRefused::Signature { host, flaw })?;
        Ok(Self {
            place: Place(format!("{}{}", url.origin().ascii_serialization(), url.path())),
            marks,
            text: Secret::new(text.to_owned()),
        })
    }

    /// Returns the URI with its signature, for the request itself.
    pub fn expose(&self) -> &str {
        self.text.expose()
    }

    /// Returns where it leads.
    pub const fn place(&self) -> &Place {
        &self.place
    }

    /// Returns what it points at.
    pub const fn kind(&self) -> UriKind {
        self.marks.kind
    }

    /// Returns the date its signature begins to hold, by the store's clock. A
    /// date still to come is no error: the store refuses until then.
    pub const fn starts(&self) -> Option<DateTime<Utc>> {
        self.marks.starts
    }

    /// Returns the date its signature ends, by the store's clock.
    pub const fn expires(&self) -> Option<DateTime<Utc>> {
        self.marks.expires
    }

    /// Returns whether it allows to ask the store what it holds.
    pub const fn may_read(&self) -> bool {
        self.marks.may_read
    }

    /// Returns the storage version the signature was made for (`sv`).
    pub fn version(&self) -> Option<&str> {
        self.marks.version.as_deref()
    }
}

impl PartialEq for UploadUri {
    fn eq(&self, other: &Self) -> bool {
        self.expose() == other.expose()
    }
}

impl fmt::Debug for UploadUri {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "UploadUri({}?<redacted>)", self.place)
    }
}

/// Refuses a host that data must not go to.
fn admit(url: &Url, host: &str, allowed_hosts: &[String]) -> Result<(), UriRefused> {
    let is_this_host = is_loopback(url);
    if url.scheme() != "https" && !is_this_host {
        return Err(UriRefused::NotEncrypted(host.to_owned()));
    }
    if !is_this_host && !matches!(url.host(), Some(Host::Domain(_))) {
        return Err(UriRefused::Address(host.to_owned()));
    }
    let patterns = allowed_hosts.iter().filter_map(|text| HostPattern::parse(text).ok());
    let covering: Vec<HostPattern> = patterns.filter(|pattern| pattern.covers(host)).collect();
    if covering.is_empty() {
        return Err(UriRefused::HostNotAllowed(host.to_owned()));
    }
    let port = url.port_or_known_default().unwrap_or_default();
    match covering.iter().any(|pattern| pattern.covers_port(port)) {
        true => Ok(()),
        false => Err(UriRefused::PortNotAllowed { host: host.to_owned(), port }),
    }
}
