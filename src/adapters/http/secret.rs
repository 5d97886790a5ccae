//! Bodies and headers that hold secrets: each stands in one place while it is
//! ours, and is wiped when the last who needs it lets go.
//!
//! What the libraries below copy on its way to the wire, and what the kernel
//! does, is not in our hands.

use std::io::{self, Write};

use bytes::Bytes;
use reqwest::header::{HeaderValue, InvalidHeaderValue};
use serde_json::Value;
use zeroize::{Zeroize, Zeroizing};

/// Returns a body that is wiped when it is dropped. Nothing is copied.
pub fn secret_body(content: Zeroizing<Vec<u8>>) -> Bytes {
    Bytes::from_owner(content)
}

/// Returns a header's value of these parts that is wiped when it is dropped, and
/// that neither a log nor a table of compression will hold.
///
/// # Errors
///
/// When a part holds what no header may.
pub fn secret_header(parts: &[&str]) -> Result<HeaderValue, InvalidHeaderValue> {
    let mut whole = Zeroizing::new(Vec::with_capacity(parts.iter().map(|part| part.len()).sum()));
    for part in parts {
        whole.extend_from_slice(part.as_bytes());
    }
    let mut value = HeaderValue::from_maybe_shared(secret_body(whole))?;
    value.set_sensitive(true);
    Ok(value)
}

/// Adds to a buffer that may hold a secret. Where it must grow, what it leaves
/// behind is wiped.
pub(super) fn append(buffer: &mut Zeroizing<Vec<u8>>, more: &[u8]) {
    if buffer.capacity() - buffer.len() < more.len() {
        let mut wider = Zeroizing::new(Vec::with_capacity((2 * buffer.capacity()).max(buffer.len() + more.len())));
        wider.extend_from_slice(buffer);
        *buffer = wider;
    }
    buffer.extend_from_slice(more);
}

/// A JSON value that may hold a secret. Its texts are wiped when it is dropped.
pub struct SecretJson(Value);

impl SecretJson {
    /// Takes the value over.
    pub const fn new(value: Value) -> Self {
        Self(value)
    }

    /// Returns the value, for the place that writes it.
    pub const fn expose(&self) -> &Value {
        &self.0
    }

    /// Returns it written as a body that is wiped when it is dropped.
    pub fn body(&self) -> Bytes {
        self.ending_in(b"")
    }

    /// Returns it written as a line, as a body that is wiped when it is dropped.
    pub fn line(&self) -> Bytes {
        self.ending_in(b"\n")
    }

    fn ending_in(&self, ending: &[u8]) -> Bytes {
        let mut length = Length(ending.len());
        let counted = serde_json::to_writer(&mut length, &self.0);
        let mut text = Zeroizing::new(Vec::with_capacity(length.0));
        counted
            .and_then(|()| serde_json::to_writer(&mut *text, &self.0))
            .expect("a JSON value can be written to memory");
        text.extend_from_slice(ending);
        secret_body(text)
    }
}

impl Drop for SecretJson {
    fn drop(&mut self) {
        wipe(&mut self.0);
    }
}

fn wipe(value: &mut Value) {
    match value {
        Value::String(text) => text.zeroize(),
        Value::Array(values) => values.iter_mut().for_each(wipe),
        Value::Object(object) => object.values_mut().for_each(wipe),
        Value::Null | Value::Bool(_) | Value::Number(_) => (),
    }
}

/// Counts what is written, so that the memory for it is taken once.
struct Length(usize);

impl Write for Length {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0 += bytes.len();
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_body_stands_in_memory_of_its_own_size_and_says_what_the_value_says() {
        let json = SecretJson::new(json!({ "salt": "a\"b", "list": [1, null, "é"] }));
        assert_eq!(&json.body()[..], json.expose().to_string().as_bytes());
        let mut length = Length(0);
        serde_json::to_writer(&mut length, json.expose()).unwrap();
        assert_eq!(length.0, json.body().len());
        assert_eq!(json.line().len(), length.0 + 1);
    }

    #[test]
    fn every_text_of_a_value_is_wiped() {
        let mut value = json!({ "salt": "canary", "list": ["canary", { "uri": "canary" }], "count": 1 });
        wipe(&mut value);
        assert_eq!(value, json!({ "salt": "", "list": ["", { "uri": "" }], "count": 1 }));
    }

    #[test]
    fn a_buffer_grows_without_losing_a_byte() {
        let mut buffer = Zeroizing::new(Vec::new());
        for piece in ["a", "", "bcdefgh", "i", &"j".repeat(1_000)] {
            append(&mut buffer, piece.as_bytes());
        }
        assert_eq!(*buffer, format!("abcdefghi{}", "j".repeat(1_000)).into_bytes());
    }

    #[test]
    fn a_header_of_a_secret_is_whole_and_marked_as_one() {
        let value = secret_header(&["Bearer ", "canary"]).unwrap();
        assert_eq!((value.to_str().unwrap(), value.is_sensitive()), ("Bearer canary", true));
        assert!(!format!("{value:?}").contains("canary"));
        assert!(secret_header(&["Bearer ", "a\nb"]).is_err());
    }
}
