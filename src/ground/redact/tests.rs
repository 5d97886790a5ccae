//! What is taken out, what stays, and how much work it is.

use std::fmt::Write as _;

use proptest::prelude::*;

use super::*;

/// What must not be seen; it is spelled the same however it is encoded.
const CANARY: &str = "C4naryInTheM1ne";

/// Basic credentials with the canary in them.
const BASIC: &str = "dXNlcjpDNG5hcnlJblRoZU0xbmU=";

/// Texts with a secret, which stands for `@`.
const FORMS: [&str; 30] = [
    "sig=@",
    "https://h/c?sp=w&SIG=@%2B%2F&se=1",
    "a signature=@ there",
    "salt: \"@\"",
    "Salt(\"@\")",
    "salt: Some(\"@\")",
    "client_secret=@&x=1",
    "client_secret: @",
    "\"client_secret\":\"@\"",
    "{\"salt\" : \"two words, @\"}",
    "{'password': ['@']}",
    "password='two words, @'",
    "password => @",
    "<Password>@</Password>",
    "client_assertion=@",
    "assertion=a%26@",
    "\"access_token\":\"@\"",
    "refresh_token=@",
    "\"id_token\": \"@\"",
    "AccountKey=@==;Endpoint=x",
    "SharedAccessSignature=sv=1&sig=@",
    "X-IDENTITY-HEADER: @",
    "Authorization: Bearer @",
    "proxy-authorization: Negotiate @",
    "Set-Cookie: a=b; c=@",
    "Bearer @",
    "eyJhbGciOiJub25lIn0.@.",
    "http://user:p@ss@@host/path",
    "https://@@host",
    "-----BEGIN RSA PRIVATE KEY-----\nMIIE\n@\n-----END RSA PRIVATE KEY-----",
];

fn percent(text: &str) -> String {
    text.bytes().fold(String::new(), |mut out, byte| {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => out.push(char::from(byte)),
            _ => write!(out, "%{byte:02X}").unwrap(),
        }
        out
    })
}

fn json(text: &str) -> String {
    serde_json::to_string(text).unwrap().trim_matches('"').to_owned()
}

/// A form with the canary in it, as it is and wrapped.
fn wrapped(form: &str, wrapping: usize) -> String {
    // The last sign of the form that stands for a secret does; an address has one more.
    let text = match form {
        "http://user:p@ss@@host/path" => format!("http://user:p@ss{CANARY}@host/path"),
        "https://@@host" => format!("https://{CANARY}@host"),
        _ => form.replace('@', CANARY),
    };
    match wrapping {
        0 => text,
        1 => percent(&text),
        2 => percent(&percent(&text)),
        3 => json(&text),
        4 => json(&json(&text)),
        _ => json(&percent(&text)),
    }
}

#[test]
fn what_looks_like_a_secret_is_taken_out_in_every_spelling() {
    for form in FORMS {
        for wrapping in 0..6 {
            let text = wrapped(form, wrapping);
            let shown = redact(&text);
            assert!(text.contains(CANARY) && !shown.contains(CANARY) && shown.contains(REDACTED), "{text}: {shown}");
            assert_eq!(redact(&shown), shown, "once is enough");
        }
    }
    for text in [
        "%7B%22salt%22%3A%22canary%22",
        "\u{1b}[3msalt\u{1b}[0m\u{1b}[2m=\u{1b}[0m\"canary\"",
        "{\"uri\":\"https://h?a=1\\u0026sig\\u003dcanary\\u0026se=1\"}",
        "ä sig=canaryä ö",
    ] {
        assert!(!redact(text).contains("canary"), "{}", redact(text));
    }
    assert_eq!(redact("a?sig=x&se=1 salt=y!"), "a?sig=<redacted>&se=1 salt=<redacted>");
    assert_eq!(redact("{\\\"salt\\\":\\\"x\\\",\\\"id\\\":1}"), "{\\\"salt\\\":\\\"<redacted>\\\",\\\"id\\\":1}");
    assert_eq!(redact("proxy http://me:pw@proxy:80/"), "proxy http://<redacted>@proxy:80/");
    assert_eq!(redact(&format!("Basic {BASIC}, next")), "Basic <redacted>, next");
}

#[test]
fn prose_stays_as_it_is() {
    for line in [
        "read the salt: no such file",
        "the Bearer token was refused",
        "Bearer authorization_uri=\"https://login.example/\", error=\"invalid_token\"",
        "Basic Constraints are missing; basic authentication is off",
        "secret_file = /run/credentials/secret",
        "signature mismatch: look at the clock",
        "unknown key `auth.client_secret` at agent.toml:6:1: use `secret_file`",
        "assertion failed: left == right",
        "read auth.client_secret: no such key",
        "sig=",
        "https://host:443/path?a=b@c and someone@example.org",
        "-----BEGIN CERTIFICATE-----",
        "ünïcödé everywhere — fine",
    ] {
        assert!(matches!(redact(line), Cow::Borrowed(same) if same == line), "{}", redact(line));
    }
}

#[test]
fn the_work_grows_with_the_length_alone() {
    const LONG: usize = 1 << 16;
    /// How often a byte may be looked at.
    const LOOKS: usize = 100;
    let pieces = [
        "a",
        "%",
        "%25",
        "\\",
        "\\u00",
        "\u{1b}[",
        "sig",
        "sig=",
        "sig=\"",
        "sig=\\\"'",
        "sig%3D%253D=",
        "salt: Some(",
        "password\" ",
        "eyJ",
        "eyJaaaaaaaaaaaa.",
        "bearer ",
        "bearer +",
        "basic ",
        "basic QQ",
        "://",
        "%3A//a",
        "-",
        "-----begin ",
        "-----BEGIN PRIVATE KEY-----",
        "authorization:",
        "authorization: authorization=",
        "=",
        "\"",
        " ",
        "sig='\"",
        "AccountKey=;",
        "client_secret:client_secret=",
        "idtoken:a",
    ];
    for piece in pieces {
        let text = piece.repeat(LONG / piece.len());
        let mut scan = Scan::new(&text);
        scan.secrets();
        let looks = scan.signs.reads.get();
        assert!(looks <= LOOKS * LONG, "{piece:?}: {} looks for each byte", looks / LONG);
    }
}

/// Pieces of what secrets are found by, to stand around others.
const PIECES: [&str; 24] = [
    "sig=",
    "salt\":\"",
    "Bearer ",
    "Basic ",
    "://",
    "%",
    "%25",
    "\\",
    "\\u00",
    "\u{1b}[",
    "=",
    "\"",
    "'",
    " ",
    "&",
    "authorization: ",
    "-----BEGIN PRIVATE KEY-----",
    "-----END",
    "eyJ",
    "password='",
    "Some(",
    "@",
    "%22",
    "x",
];

fn surrounding() -> impl Strategy<Value = String> {
    let pieces = prop::collection::vec(prop::sample::select(&PIECES[..]), 0..6).prop_map(|pieces| pieces.concat());
    prop_oneof![".{0,60}", pieces]
}

proptest! {
    #[test]
    fn a_secret_stays_in_whatever_surrounds_it(
        before in surrounding(),
        form in prop::sample::select(&FORMS[..]),
        wrapping in 0..6usize,
        after in surrounding(),
    ) {
        let text = format!("{before}{}{after}", wrapped(form, wrapping));
        let shown = redact(&text);
        prop_assert!(!shown.contains(CANARY), "{text:?}: {shown:?}");
    }
}
