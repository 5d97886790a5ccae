//! The last net: takes what looks like a secret out of a line.
//!
//! Secrets have types that cannot be shown; this catches the one that reached a
//! text by another way, such as an answer quoted in an error. It knows names
//! that secrets go by, raw, percent-encoded and escaped, and the look of tokens.

use std::borrow::Cow;

/// What stands where something was taken out.
const REDACTED: &str = "<redacted>";

/// Names after which a value is taken out.
const NAMES: [&str; 9] = [
    "sig",
    "signature",
    "secret",
    "client_assertion",
    "access_token",
    "refresh_token",
    "password",
    "accountkey",
    "salt",
];

/// The shortest run after `Bearer` or `eyJ` that is a token and not a word.
const SHORTEST_TOKEN: usize = 12;

/// Returns the line without what looks like a secret.
pub(super) fn redact(line: &str) -> Cow<'_, str> {
    let lower = line.to_ascii_lowercase();
    let mut shown = String::new();
    let mut from = 0;
    let mut at = 0;
    while at < line.len() {
        match secret_at(&lower, at) {
            Some((start, end)) => {
                shown.push_str(&line[from..start]);
                shown.push_str(REDACTED);
                (from, at) = (end, end);
            }
            None => at += 1,
        }
    }
    if from == 0 {
        return Cow::Borrowed(line);
    }
    shown.push_str(&line[from..]);
    Cow::Owned(shown)
}

/// Returns where the secret begins and ends that is announced at a byte of a
/// line in lower case.
fn secret_at(line: &str, at: usize) -> Option<(usize, usize)> {
    // Everything looked for is ASCII, so other bytes begin nothing.
    let rest = line.get(at..)?;
    match rest.as_bytes().first()? {
        b'e' if rest.starts_with("eyj") => token(line, at),
        b'b' if rest.starts_with("bearer ") => token(line, at + "bearer ".len()),
        b'b' if rest.starts_with("bearer%20") => token(line, at + "bearer%20".len()),
        b's' | b'c' | b'a' | b'r' | b'p' => {
            let name = NAMES.iter().filter(|name| rest.starts_with(**name)).max_by_key(|name| name.len())?;
            let start = at + name.len() + separator(&rest[name.len()..])?;
            let ends = |character: char| character.is_whitespace() || "&\"',;)}]<>\\".contains(character);
            let value = &line[start..];
            let end = value.find(ends).unwrap_or(value.len());
            let end = ["%26", "%22", "\u{1b}"].iter().filter_map(|mark| value[..end].find(mark)).min().unwrap_or(end);
            (end > 0).then_some((start, start + end))
        }
        _ => None,
    }
}

fn token(line: &str, start: usize) -> Option<(usize, usize)> {
    let belongs = |byte: &u8| byte.is_ascii_alphanumeric() || b"-._~+/=".contains(byte);
    let length = line.as_bytes()[start..].iter().take_while(|byte| belongs(byte)).count();
    (length >= SHORTEST_TOKEN).then_some((start, start + length))
}

/// Returns the length of what stands between a name and its value, such as
/// `=`, `":"` or `%3D`. A colon counts only beside a quote: elsewhere it is
/// prose.
fn separator(text: &str) -> Option<usize> {
    let mut length = 0;
    let (mut equals, mut colon, mut quote) = (false, false, false);
    loop {
        let rest = &text[length..];
        let sign = ["%253d", "%3d", "%22", "%3a", "=", ":", "\"", "\\", "'", "\u{1b}[0m", "\u{1b}[2m"];
        let Some(sign) = sign.iter().find(|sign| rest.starts_with(**sign)) else {
            if rest.starts_with(' ') && (equals || colon) {
                length += 1;
                continue;
            }
            break;
        };
        equals |= ["=", "%3d", "%253d"].contains(sign);
        colon |= [":", "%3a"].contains(sign);
        quote |= ["\"", "'", "%22"].contains(sign);
        length += sign.len();
    }
    (equals || colon && quote).then_some(length)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_looks_like_a_secret_is_taken_out_in_every_spelling() {
        for line in [
            "https://h/c?sp=w&SIG=canary%2Bcanary%3D&se=1",
            "redirect=https%3A%2F%2Fh%3Fsig%3Dcanary%26se%3D1",
            "twice%253Fsig%253Dcanary",
            "Authorization: Bearer canary-canary-canary",
            "got eyJcanarycanary.canary.x",
            "client_secret=canary&x=1",
            r#"{"client_secret": "canary"}"#,
            r#"{\"salt\":\"canary\"}"#,
            r#"Session { salt: "canary", x: 1 }"#,
            "%7B%22salt%22%3A%22canary%22",
            "\u{1b}[3msalt\u{1b}[0m\u{1b}[2m=\u{1b}[0m\"canary\"",
            "ä sig=canary ö",
            "AccountKey=canary==;Endpoint=x",
        ] {
            let shown = redact(line);
            assert!(!shown.contains("canary") && shown.contains(REDACTED), "{shown}");
        }
        assert_eq!(redact("a?sig=x&se=1 salt=y!"), "a?sig=<redacted>&se=1 salt=<redacted>");
    }

    #[test]
    fn prose_stays_as_it_is() {
        for line in [
            "read the salt: no such file",
            "the Bearer token was refused",
            "secret_file = /run/credentials/secret",
            "signature mismatch: look at the clock",
            "sig=",
            "ünïcödé everywhere — fine",
        ] {
            assert!(matches!(redact(line), Cow::Borrowed(same) if same == line), "{}", redact(line));
        }
    }
}
