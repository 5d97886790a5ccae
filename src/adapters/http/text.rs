//! Texts from outside, made fit to be shown: no address with its query, no
//! token, no control character, no end without a limit.

use std::borrow::Cow;
use std::error::Error as _;
use std::fmt::Write as _;

use crate::ground::redact::{REDACTED, redact};

/// The longest text of another program that is passed on, in characters.
const LONGEST: usize = 600;

/// Returns what an HTTP error and all its causes say, without any address.
pub fn describe(error: reqwest::Error) -> String {
    let error = error.without_url();
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let said = error.to_string();
        if !text.contains(&said) {
            text.push_str(": ");
            text.push_str(&said);
        }
        cause = error.source();
    }
    scrub(&text, &[])
}

/// Returns the text without the given secrets, and without whatever else looks
/// like one, the queries of addresses among it.
pub fn scrub(text: &str, secrets: &[&str]) -> String {
    let mut text: String = text.chars().map(|character| if character.is_control() { ' ' } else { character }).collect();
    for secret in secrets.iter().filter(|secret| !secret.is_empty()) {
        text = text.replace(secret, REDACTED);
    }
    // A whole session quoted in an error is cut where its secrets may begin.
    let lower = text.to_ascii_lowercase();
    if let Some(at) = ["\"salt", "\\\"salt", "datauploaduri"].iter().filter_map(|mark| lower.find(mark)).min() {
        text.truncate(at);
        text.push_str(REDACTED);
    }
    let words: Vec<Cow<'_, str>> = text.split(' ').map(without_query).collect();
    let mut text = redact(&words.join(" ")).into_owned();
    if let Some((end, _)) = text.char_indices().nth(LONGEST) {
        text.truncate(end);
        text.push('…');
    }
    text
}

/// Percent-encodes all but the unreserved characters of RFC 3986.
pub fn encode(text: &str) -> String {
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => encoded.push(char::from(byte)),
            _ => write!(encoded, "%{byte:02X}").expect("a String takes whatever is written to it"),
        }
    }
    encoded
}

/// Returns a word that is an address without its query.
fn without_query(word: &str) -> Cow<'_, str> {
    match word.find('?') {
        Some(query) if word.contains("://") => Cow::Owned(format!("{}?{REDACTED}", &word[..query])),
        _ => Cow::Borrowed(word),
    }
}

#[cfg(test)]
mod tests {
    use super::scrub;

    #[test]
    fn what_looks_like_a_secret_is_taken_out() {
        for text in [
            "see https://host/path?se=1&sig=canary for more",
            "query se=1&sig=canary",
            "sig%3Dcanary",
            "Authorization: Bearer canary",
            "token eyJ0eXAiOiJKV1QiLCJhbGciOiJSUzI1NiIsIng1dCI6canary",
            r#"body was {"id":"1","salt":"canary"}"#,
            r#"{\"dataUploadURI\":\"https://h/canary"#,
            "the salt my canary is odd",
        ] {
            let shown = scrub(text, &["my canary"]);
            assert!(!shown.contains("canary"), "{shown}");
        }
    }

    proptest::proptest! {
        #[test]
        fn a_secret_stays_in_whatever_surrounds_it(before in ".{0,80}", after in ".{0,80}") {
            let shown = scrub(&format!("{before}canary{after}"), &["canary"]);
            proptest::prop_assert!(!shown.contains("canary") && !shown.contains(char::is_control));
        }
    }

    #[test]
    fn plain_words_stay_and_nothing_steers_a_terminal() {
        assert_eq!(scrub("Session is gone? Yes.", &[""]), "Session is gone? Yes.");
        assert_eq!(scrub("a\x1b[31mb\nc", &[]), "a [31mb c");
        assert_eq!(scrub(&"ä".repeat(1_000), &[]).chars().count(), 601);
    }
}
