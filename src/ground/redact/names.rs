//! The names that secrets go by, and what stands between a name and its value.

use super::signs::{ESCAPE, Sign, Signs};

/// How many signs may stand between a name and its value.
const BETWEEN: usize = 32;

/// A name of a secret.
pub(super) struct Name {
    /// The name, or its end, in lower case.
    pub(super) word: &'static str,
    /// Whether it is a header, whose value goes to the end of the line.
    pub(super) is_header: bool,
    /// Whether a bare colon can announce a value: behind a word of prose it does not.
    is_technical: bool,
}

const fn word(word: &'static str) -> Name {
    Name { word, is_header: false, is_technical: false }
}

const fn technical(word: &'static str) -> Name {
    Name { word, is_header: false, is_technical: true }
}

const fn header(word: &'static str) -> Name {
    Name { word, is_header: true, is_technical: true }
}

const NAMES: [Name; 29] = [
    word("sig"),
    word("signature"),
    word("salt"),
    word("secret"),
    word("assertion"),
    word("password"),
    word("passphrase"),
    word("bearer"),
    technical("client_secret"),
    technical("client-secret"),
    technical("clientsecret"),
    technical("client_assertion"),
    technical("access_token"),
    technical("access-token"),
    technical("accesstoken"),
    technical("refresh_token"),
    technical("refreshtoken"),
    technical("id_token"),
    technical("idtoken"),
    technical("accountkey"),
    technical("account_key"),
    technical("sharedaccesskey"),
    technical("sharedaccesssignature"),
    technical("api_key"),
    technical("api-key"),
    technical("apikey"),
    header("x-identity-header"),
    header("authorization"),
    header("cookie"),
];

/// Returns the names that begin with a byte.
pub(super) fn beginning(byte: u8) -> impl Iterator<Item = &'static Name> {
    NAMES.iter().filter(move |name| name.word.as_bytes()[0] == byte)
}

/// A name and its value, told apart.
pub(super) struct Separated {
    /// Where the value begins.
    pub(super) start: usize,
    /// The sign that separates them.
    pub(super) mark: Sign,
    /// The quote the value begins with, if it is quoted.
    pub(super) quote: Option<Sign>,
    /// Whether nothing but a colon separates them, as in a header and in prose.
    pub(super) is_bare: bool,
}

/// Looks for what separates a name from a value: `=`, `":"`, `%3D`, `("`. A colon
/// alone counts only behind technical names: elsewhere it is prose.
pub(super) fn separated(signs: &Signs<'_>, name: &Name, after: usize) -> Option<Separated> {
    let (mut equals, mut colon, mut bracket) = (None, None, None);
    let (mut quoted, mut opening) = (false, None);
    let mut start = after;
    for _ in 0..BETWEEN {
        let Some(sign) = signs.at(start) else { break };
        let told = equals.or(colon);
        let mut end = sign.end;
        match sign.byte {
            b'=' => equals = Some(sign),
            b':' if told.is_none() => colon = Some(sign),
            b'>' if start == after || equals.is_some() => equals = Some(sign),
            b'(' if told.is_none() => bracket = Some(sign),
            b'"' | b'\'' if told.or(bracket).is_some() => opening = Some(sign),
            b'"' | b'\'' => quoted = true,
            b'[' if told.is_some() => (),
            ESCAPE => (),
            blank if blank.is_ascii_whitespace() => (),
            b's' | b'S' if told.is_some() => match signs.word(start, "some(") {
                Some(inside) => end = inside,
                None => break,
            },
            _ => break,
        }
        start = end;
        if opening.is_some() {
            break;
        }
    }
    let colon_counts = quoted || opening.is_some() || name.is_technical;
    let mark = equals.or(colon.filter(|_| colon_counts)).or(bracket.filter(|_| opening.is_some()))?;
    let is_bare = equals.is_none() && opening.is_none() && !quoted;
    Some(Separated { start, mark, quote: opening, is_bare })
}
