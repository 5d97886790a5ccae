//! The upload URI as untrusted input: what is read of it, and what is said when
//! it is refused.

use edm_agent::upload::uri::{Flaw, UploadUri, UriKind, UriRefused};

const SIGNED: &str = "sv=2024-11-04&sr=b&sp=rw&se=2026-01-01T10:00:00Z&sig=canary";

fn refused(text: &str, allowed: &[&str]) -> UriRefused {
    let allowed: Vec<String> = allowed.iter().map(|&host| host.to_owned()).collect();
    UploadUri::parse(text, &allowed).expect_err(text)
}

#[test]
fn the_marks_of_a_signature_are_read() {
    let text = format!("https://acct.blob.core.windows.net/c/blob?{SIGNED}&st=2026-01-01&ske=2026-01-01T09:00Z");
    let uri = UploadUri::parse(&text, &["*.blob.core.windows.net".to_owned()]).unwrap();
    assert_eq!((uri.kind(), uri.version(), uri.may_read()), (UriKind::Blob, Some("2024-11-04"), true));
    assert_eq!(uri.expires().unwrap().to_rfc3339(), "2026-01-01T09:00:00+00:00", "the earlier end counts");
    assert_eq!(uri.starts().unwrap().to_rfc3339(), "2026-01-01T00:00:00+00:00");
    assert_eq!(uri.place().as_str(), "https://acct.blob.core.windows.net/c/blob");
    assert_eq!(uri.expose(), text);
}

/// The host named is the one a request would go to, however it is disguised.
#[test]
fn a_refusal_says_which_rule_was_broken_and_names_the_true_host() {
    let azure = ["*.blob.core.windows.net", "127.0.0.1:10000"];
    let evil = "evil.test".to_owned();
    let loopback = "127.0.0.1".to_owned();
    for (text, expected) in [
        ("https://acct.blob.core.windows.net@evil.test/c?", UriRefused::Decorated(evil.clone())),
        ("https://evil.test/.blob.core.windows.net?", UriRefused::HostNotAllowed(evil.clone())),
        ("https://ev%69l.test/c?", UriRefused::Disguised(evil.clone())),
        ("http://evil.test/c?", UriRefused::NotEncrypted(evil)),
        ("https://10.0.0.1/c?", UriRefused::Address("10.0.0.1".to_owned())),
        ("https://2130706433/c?", UriRefused::Disguised(loopback.clone())),
        ("http://127.0.0.2:10000/c?", UriRefused::HostNotAllowed("127.0.0.2".to_owned())),
        ("http://127.0.0.1:10001/c?", UriRefused::PortNotAllowed { host: loopback.clone(), port: 10_001 }),
        ("http://127.0.0.1:10000/c/../d?", UriRefused::Winding(loopback)),
        ("http://127.0.0.1:10000/a c?", UriRefused::Unreadable),
    ] {
        assert_eq!(refused(&format!("{text}{SIGNED}"), &azure), expected, "{text}");
    }
}

#[test]
fn a_signature_that_is_not_whole_is_refused_before_anything_is_sent_under_it() {
    let text = "https://store.example.org/c?sr=b&sp=rl&se=2026-01-01&sig=canary";
    let refused = refused(text, &["store.example.org"]);
    assert_eq!(refused, UriRefused::Signature { host: "store.example.org".to_owned(), flaw: Flaw::Rights });
    assert_eq!(
        refused.to_string(),
        "the upload URI of store.example.org is not signed as it must be: its mark sp gives neither the right w nor c; \
         ask whoever runs the service"
    );
}

#[test]
fn a_pattern_that_is_none_allows_nothing() {
    for pattern in ["*", "*.test", "https://evil.test", "evil.test/", ""] {
        let refused = refused("https://evil.test/c", &[pattern]);
        assert_eq!(refused, UriRefused::HostNotAllowed("evil.test".to_owned()), "{pattern}");
    }
}

#[test]
fn a_longer_uri_than_any_is_refused() {
    let of = |length: usize| format!("https://store.example.org/{}", "a".repeat(length - 26));
    assert_eq!(refused(&of(8_193), &["store.example.org"]), UriRefused::Unreadable);
    assert!(UploadUri::parse(&of(8_192), &["store.example.org".to_owned()]).is_ok());
}
