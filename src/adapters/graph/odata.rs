//! The service's errors (OData), in all the spellings they come in.
//!
//! `innerError` or `innererror`, nested or not, `request-id` or `requestId`,
//! `date` or `Date`, or no JSON at all: whatever is there is reduced to the
//! few words a person needs.

use serde_json::{Map, Value};

/// How deep inner errors are followed; real ones nest two or three times.
const DEEPEST: usize = 8;

/// How many details are passed on.
const MOST_DETAILS: usize = 5;

/// What an error body says.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct ODataError {
    /// The codes, from the outermost, most general one to the most specific.
    pub(super) codes: Vec<String>,
    /// The message, for people.
    pub(super) message: String,
    /// Further errors, as `code: message`.
    pub(super) details: Vec<String>,
    /// The service's name for the exchange.
    pub(super) request_id: Option<String>,
}

impl ODataError {
    /// Reads an error body; what cannot be read is left out.
    pub(super) fn read(body: &[u8]) -> Option<Self> {
        let value: Value = serde_json::from_slice(super::envelope::without_mark(body)).ok()?;
        let error = member(value.as_object()?, &["error"])?.as_object()?;
        let mut found = Self { message: text(error, &["message"]).unwrap_or_default(), ..Self::default() };
        let details = member(error, &["details"]).and_then(Value::as_array);
        for detail in details.into_iter().flatten().filter_map(Value::as_object).take(MOST_DETAILS) {
            let parts = [text(detail, &["code"]), text(detail, &["message"]), text(detail, &["target"])];
            found.details.push(parts.into_iter().flatten().collect::<Vec<_>>().join(": "));
        }
        let mut level = Some(error);
        for _ in 0..DEEPEST {
            let Some(error) = level else { break };
            found.codes.extend(text(error, &["code"]).filter(|code| !found.codes.contains(code)));
            found.request_id = found.request_id.or_else(|| text(error, &["request-id", "requestId"]));
            if found.message.is_empty() {
                found.message = text(error, &["message"]).unwrap_or_default();
            }
            level = member(error, &["innerError"]).and_then(Value::as_object);
        }
        Some(found)
    }

    /// Returns whether any code or message contains the text, in any case.
    pub(super) fn mentions(&self, text: &str) -> bool {
        let said = self.codes.iter().chain(&self.details).chain(std::iter::once(&self.message));
        said.into_iter().any(|said| said.to_ascii_lowercase().contains(text))
    }

    /// Returns the error in one line.
    pub(super) fn line(&self) -> String {
        let codes = self.codes.join("/");
        let parts = [codes, self.message.clone(), self.details.join("; ")];
        parts.into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join(": ")
    }
}

/// Finds a member by any of its names, whatever their case.
fn member<'a>(object: &'a Map<String, Value>, names: &[&str]) -> Option<&'a Value> {
    object.iter().find(|(key, _)| names.iter().any(|name| key.eq_ignore_ascii_case(name))).map(|(_, value)| value)
}

fn text(object: &Map<String, Value>, names: &[&str]) -> Option<String> {
    member(object, names)?.as_str().filter(|text| !text.is_empty()).map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_reads_the_same_in_every_spelling() {
        for (inner, id, date) in [("innerError", "request-id", "date"), ("innererror", "requestId", "Date")] {
            let body = format!(
                r#"{{"error":{{"code":"BadRequest","message":"No such column","details":[{{"code":"D1","message":"col"}}],
                "{inner}":{{"code":"ColumnUnknown","{inner}":{{"code":"Deep"}},"{date}":"2026-01-01","{id}":"r-1"}}}}}}"#
            );
            let error = ODataError::read(body.as_bytes()).unwrap();
            assert_eq!(error.codes, ["BadRequest", "ColumnUnknown", "Deep"]);
            assert_eq!(error.request_id.as_deref(), Some("r-1"));
            assert_eq!(error.line(), "BadRequest/ColumnUnknown/Deep: No such column: D1: col");
            assert!(error.mentions("no such column"));
        }
    }

    #[test]
    fn a_body_that_is_no_error_is_none_and_endless_nesting_ends() {
        for body in ["", "<html>", "[]", "{}", r#"{"error":"text"}"#, r#"{"error":null}"#] {
            assert_eq!(ODataError::read(body.as_bytes()), None, "{body}");
        }
        let deep = format!("{}{}", r#"{"error":{"innerError":"#, "{\"innerError\":".repeat(90));
        let body = format!("{deep}{{}}{}", "}".repeat(92));
        assert!(ODataError::read(body.as_bytes()).is_some());
    }
}
