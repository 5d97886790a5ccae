//! An upload URI as it is written, and as it would be requested: it is used
//! only where the two are the same.
//!
//! Programs read the same odd URI in different ways, and an attacker lives in
//! the gap. So whatever has to be repaired, decoded or put in another form
//! before a request could be made of it is refused, and not repaired.

use url::Url;

use super::hosts::{is_loopback, is_name, split_port};
use super::refused::UriRefused;

/// The longest upload URI accepted, in bytes; real ones stay under 1,000.
const LONGEST: usize = 8_192;

/// Reads a URI with a host that is written as it is read.
pub(super) fn read(text: &str) -> Result<Url, UriRefused> {
    let is_plain = |byte: u8| byte.is_ascii_graphic() && byte != b'\\';
    if text.len() > LONGEST || !text.bytes().all(is_plain) {
        return Err(UriRefused::Unreadable);
    }
    let url = Url::parse(text).map_err(|_| UriRefused::Unreadable)?;
    let host = url.host_str().filter(|host| !host.is_empty()).ok_or(UriRefused::Unreadable)?;
    let (scheme, rest) = text.split_once("://").ok_or(UriRefused::Unreadable)?;
    if !scheme.eq_ignore_ascii_case(url.scheme()) {
        return Err(UriRefused::Unreadable);
    }
    if !["https", "http"].contains(&url.scheme()) {
        return Err(UriRefused::NotEncrypted(host.to_owned()));
    }
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    if authority.contains('@') || text.contains('#') {
        return Err(UriRefused::Decorated(host.to_owned()));
    }
    if !is_as_read(authority, host, &url) {
        return Err(UriRefused::Disguised(host.to_owned()));
    }
    let path = rest.split('?').next().unwrap_or_default();
    if path.split('/').skip(1).any(leads_elsewhere) {
        return Err(UriRefused::Winding(host.to_owned()));
    }
    Ok(url)
}

/// Returns whether host and port are written as they were read, but for the
/// case of letters.
fn is_as_read(authority: &str, host: &str, url: &Url) -> bool {
    let Some((name, port)) = split_port(authority) else { return false };
    let known = if url.scheme() == "https" { 443 } else { 80 };
    let is_usual = is_name(host) || matches!(url.host(), Some(url::Host::Ipv4(_) | url::Host::Ipv6(_)));
    name.eq_ignore_ascii_case(host) && is_usual && url.port_or_known_default() == Some(port.unwrap_or(known))
}

/// Returns whether a segment of a path stands for another than itself.
fn leads_elsewhere(segment: &str) -> bool {
    matches!(segment.to_ascii_lowercase().replace("%2e", ".").as_str(), "." | "..")
}

/// Returns whether a URI stays on this host.
pub fn is_loopback_url(url: &Url) -> bool {
    url.host_str().is_some_and(|host| is_loopback(&host.to_ascii_lowercase()))
}
