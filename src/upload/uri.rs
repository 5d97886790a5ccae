//! The upload URI of a session: where the blocks go, and until when.
//!
//! It is untrusted input and a secret at once. Untrusted, because whoever can
//! alter an answer of the service could point the agent elsewhere; a secret,
//! because its signature is a password. So it is parsed in one place, checked
//! against the hosts the user allowed, and has no way to print its query.
//!
//! The query is that of a shared access signature (Azure Storage, "Create a
//! service SAS"): `sr` the kind of resource, `sp` the rights, `se` and `ske`
//! the ends of the signature and of its key.

use std::fmt;

use chrono::{DateTime, Utc};
use url::{Host, Url};

use crate::ground::secret::Secret;

/// The longest upload URI accepted, in bytes; real ones stay under 1,000.
const LONGEST: usize = 8_192;

/// What an upload URI points at, by its `sr` mark.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum UriKind {
    /// One blob (`sr=b`).
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

/// Why an upload URI is not used. The messages name the host at most.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum UriRefused {
    /// It is not an absolute URI, or far too long.
    #[error("the upload URI of the session cannot be read")]
    Unreadable,
    /// It is neither https nor plain http to an allowed loopback host.
    #[error("the upload URI names {0} without TLS: only loopback hosts in upload.allowed_hosts may do so")]
    NotEncrypted(String),
    /// Its host is not in `upload.allowed_hosts`.
    #[error("the upload URI names the host {0}: add it to upload.allowed_hosts if it is yours")]
    HostNotAllowed(String),
    /// It carries a user name, a password or a fragment.
    #[error("the upload URI of {0} carries a user name or a fragment, which none should")]
    Decorated(String),
}

/// An upload URI that may be used.
#[derive(Clone)]
pub struct UploadUri {
    text: Secret,
    place: Place,
    kind: UriKind,
    expires: Option<DateTime<Utc>>,
    may_read: bool,
    version: Option<String>,
}

impl UploadUri {
    /// Reads an upload URI and checks it against the allowed hosts.
    ///
    /// An allowed host is a name (`store.example.org`), a suffix with a star
    /// (`*.blob.core.windows.net`), or a loopback address, optionally with a
    /// port.
    ///
    /// # Errors
    ///
    /// Says what is wrong without repeating any of the query.
    pub fn parse(text: &str, allowed_hosts: &[String]) -> Result<Self, UriRefused> {
        if text.len() > LONGEST || !text.is_ascii() {
            return Err(UriRefused::Unreadable);
        }
        if text.bytes().any(|byte| byte.is_ascii_whitespace() || byte.is_ascii_control()) {
            return Err(UriRefused::Unreadable);
        }
        let url = Url::parse(text).map_err(|_| UriRefused::Unreadable)?;
        let host = url.host_str().ok_or(UriRefused::Unreadable)?.to_owned();
        if !url.username().is_empty() || url.password().is_some() || url.fragment().is_some() {
            return Err(UriRefused::Decorated(host));
        }
        if !allowed_hosts.iter().any(|pattern| allows(pattern, &url)) {
            return Err(UriRefused::HostNotAllowed(host));
        }
        match url.scheme() {
            "https" => (),
            "http" if is_loopback(&url) => (),
            _ => return Err(UriRefused::NotEncrypted(host)),
        }
        let mark = |name: &str| url.query_pairs().find(|(key, _)| key == name).map(|(_, value)| value.into_owned());
        let kind = match mark("sr").as_deref() {
            Some("b" | "bs" | "bv") => UriKind::Blob,
            Some("c" | "d") => UriKind::Container,
            _ if mark("sig").is_some() => UriKind::Blob,
            _ => UriKind::Plain,
        };
        let ends = [mark("se"), mark("ske")].into_iter().flatten().filter_map(|date| read_date(&date));
        Ok(Self {
            place: Place(format!("{}{}", url.origin().ascii_serialization(), url.path())),
            kind,
            expires: ends.min(),
            may_read: mark("sp").is_some_and(|rights| rights.contains('r')),
            version: mark("sv"),
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
        self.kind
    }

    /// Returns the date its signature ends, by the store's clock.
    pub const fn expires(&self) -> Option<DateTime<Utc>> {
        self.expires
    }

    /// Returns whether it allows to ask the store what it holds.
    pub const fn may_read(&self) -> bool {
        self.may_read
    }

    /// Returns the storage version the signature was made for (`sv`).
    pub fn version(&self) -> Option<&str> {
        self.version.as_deref()
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

/// Returns whether a pattern of `upload.allowed_hosts` covers the URI's host.
fn allows(pattern: &str, url: &Url) -> bool {
    let Some(host) = url.host_str() else { return false };
    if let Some(suffix) = pattern.strip_prefix("*.") {
        let labels = host.strip_suffix(suffix).and_then(|rest| rest.strip_suffix('.'));
        return labels.is_some_and(|label| !label.is_empty()) && matches!(url.host(), Some(Host::Domain(_)));
    }
    let with_port = url.port_or_known_default().map(|port| format!("{host}:{port}"));
    pattern.eq_ignore_ascii_case(host) || with_port.is_some_and(|named| pattern.eq_ignore_ascii_case(&named))
}

/// Returns whether the URI stays on this host.
pub fn is_loopback(url: &Url) -> bool {
    match url.host() {
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        Some(Host::Domain(name)) => name.eq_ignore_ascii_case("localhost"),
        None => false,
    }
}

/// Reads the date forms a signature may carry: a full date and time with a
/// zone, the same without seconds, or a bare date (midnight UTC).
fn read_date(text: &str) -> Option<DateTime<Utc>> {
    if let Ok(date) = DateTime::parse_from_rfc3339(text) {
        return Some(date.to_utc());
    }
    let minutes = text.strip_suffix('Z').map(|start| format!("{start}:00Z"));
    if let Some(Ok(date)) = minutes.map(|full| DateTime::parse_from_rfc3339(&full)) {
        return Some(date.to_utc());
    }
    DateTime::parse_from_rfc3339(&format!("{text}T00:00:00Z")).ok().map(|date| date.to_utc())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn azure() -> Vec<String> {
        vec!["*.blob.core.windows.net".to_owned()]
    }

    #[test]
    fn the_marks_of_a_signature_are_read() {
        let text = "https://acct.blob.core.windows.net/c/blob?sv=2024-11-04&sr=b&sp=rw&se=2026-01-01T10:00:00Z&ske=2026-01-01T09:00Z&sig=abc";
        let uri = UploadUri::parse(text, &azure()).unwrap();
        assert_eq!(uri.kind(), UriKind::Blob);
        assert_eq!(uri.expires().unwrap().to_rfc3339(), "2026-01-01T09:00:00+00:00", "the earlier end counts");
        assert!(uri.may_read());
        assert_eq!(uri.place().as_str(), "https://acct.blob.core.windows.net/c/blob");
        assert_eq!(uri.version(), Some("2024-11-04"));
    }

    #[test]
    fn nothing_that_prints_shows_the_signature() {
        let uri = UploadUri::parse("https://a.blob.core.windows.net/c?sr=c&sig=canary", &azure()).unwrap();
        assert!(!format!("{uri:?} {}", uri.place()).contains("canary"));
        let refused = UploadUri::parse("https://evil.test/c?sig=canary", &azure()).unwrap_err();
        assert!(!format!("{refused:?} {refused}").contains("canary"));
    }

    #[test]
    fn a_host_that_only_looks_allowed_is_refused() {
        for text in [
            "https://a.blob.core.windows.net@evil.test/c?sig=x",
            "https://evil.test/.blob.core.windows.net?sig=x",
            "https://ablob.core.windows.net/c?sig=x",
            "https://a.blob.core.windows.net.evil.test/c?sig=x",
            "https://.blob.core.windows.net/c?sig=x",
            "http://a.blob.core.windows.net/c?sig=x",
            "https://a.blob.core.windows.net/c?sig=x#y",
            "https://a.blob.core.windows.net/\tc?sig=x",
            "/c?sig=x",
            "ftp://a.blob.core.windows.net/c",
        ] {
            assert!(UploadUri::parse(text, &azure()).is_err(), "{text}");
        }
    }

    #[test]
    fn plain_http_needs_an_allowed_loopback_host() {
        let text = "http://127.0.0.1:10000/acct/c?sr=c&sig=x";
        assert!(UploadUri::parse(text, &azure()).is_err());
        for pattern in ["127.0.0.1", "127.0.0.1:10000"] {
            assert!(UploadUri::parse(text, &[pattern.to_owned()]).is_ok(), "{pattern}");
        }
        assert!(UploadUri::parse("http://10.0.0.1/c", &["10.0.0.1".to_owned()]).is_err());
    }
}
