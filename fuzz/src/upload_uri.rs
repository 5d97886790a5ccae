//! Upload URIs: whatever is accepted goes where the allow list says by a second,
//! far simpler reading of both, and nothing that prints holds any of the query.

use chrono::{DateTime, Utc};
use edm_agent::ground::moment::{Moment, Now};
use edm_agent::upload::uri::UploadUri;
use url::Url;

/// The allow list of the check; [`is_covered`] says the same in its own words.
pub const ALLOWED: [&str; 6] = [
    "*.blob.core.windows.net",
    "store.example.org",
    "store.example.org:8443",
    "127.0.0.1",
    "[::1]:10000",
    "localhost:10000",
];

/// What is looked for in everything that prints.
const CANARY: &str = "Canary4f1c9e";

/// Takes the bytes as an upload URI.
pub fn check(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let allowed = ALLOWED.map(str::to_owned);
    if let Ok(uri) = UploadUri::parse(text, &allowed) {
        assert_eq!(uri.expose(), text, "the query is signed, byte for byte");
        let requested = Url::parse(text).expect("what was accepted can be requested");
        assert!(is_covered(&requested), "{text} goes to {:?}", requested.host_str());
        assert!(is_written(text, &requested), "{text} goes to {:?}", requested.host_str());
        // Its end, wherever it is, becomes a moment.
        let wall: DateTime<Utc> = DateTime::from_timestamp(1_800_000_000, 0).expect("a date");
        let now = Now { moment: Moment::default(), wall };
        let _ = uri.expires().map(|end| now.moment_of(end, wall));
    }
    let joint = if text.contains('?') { '&' } else { '?' };
    let canary = format!("{text}{joint}x={CANARY}");
    let shown = match UploadUri::parse(&canary, &allowed) {
        Ok(uri) => format!("{uri:?} {:?} {}", uri.place(), uri.place()),
        Err(refused) => format!("{refused:?} {refused}"),
    };
    assert!(text.contains(CANARY) || !shown.contains(CANARY), "{shown}");
}

/// Returns whether a request goes to one of the hosts above.
fn is_covered(url: &Url) -> bool {
    let is_tls = url.scheme() == "https";
    let is_http = is_tls || url.scheme() == "http";
    match (url.host_str().unwrap_or_default(), url.port_or_known_default().unwrap_or_default()) {
        ("store.example.org", 443 | 8_443) => is_tls,
        ("127.0.0.1", _) | ("[::1]" | "localhost", 10_000) => is_http,
        (host, 443) => is_tls && is_azure(host),
        _ => false,
    }
}

fn is_azure(host: &str) -> bool {
    let labels: Vec<&str> = host.split('.').collect();
    let (account, zone) = match labels[..] {
        [account, "blob", "core", "windows", "net"] => (account, "z1"),
        [account, zone, "blob", "core", "windows", "net"] => (account, zone),
        _ => return false,
    };
    let is_number = |text: &str| text.chars().all(|character| character.is_ascii_digit());
    account.len() >= 3
        && account.len() <= 24
        && account.chars().all(|character| character.is_ascii_lowercase() || character.is_ascii_digit())
        && (zone.len() == 2 || zone.len() == 3)
        && zone.starts_with('z')
        && is_number(&zone[1..])
}

/// Returns whether a person would read the same host and port in the text.
fn is_written(text: &str, url: &Url) -> bool {
    let (scheme, rest) = text.split_once("://").unwrap_or_default();
    let end = rest.find(|character| {
        !(character == '['
            || character == ']'
            || character == '-'
            || character == '.'
            || character == ':'
            || char::is_ascii_alphanumeric(&character))
    });
    let (authority, after) = rest.split_at(end.unwrap_or(rest.len()));
    let host = url.host_str().unwrap_or_default();
    let port = url.port_or_known_default().unwrap_or_default();
    let authority = authority.to_ascii_lowercase();
    scheme.to_ascii_lowercase() == url.scheme()
        && (after.is_empty() || after.starts_with(['/', '?']))
        && (authority == format!("{host}:{port}") || (authority == host && (port == 443 || port == 80)))
}
