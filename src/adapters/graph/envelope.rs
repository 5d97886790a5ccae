//! What is inside an answer: one object, bare or wrapped, or a page of them.
//!
//! Some of the reference pages wrap a single object in `{"value": {…}}`; the
//! schema says it comes bare. Both are read, always. What is read here holds
//! secrets (the upload URI, the salt), so no error repeats any of it.

use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

/// A page of a listing.
pub(super) struct Page {
    /// What is on it.
    pub(super) items: Vec<Value>,
    /// Where the next one is.
    pub(super) next: Option<String>,
}

/// Reads a body as JSON; an empty one is null.
pub(super) fn json(body: &[u8], content_type: &str) -> Result<Value, String> {
    let body = without_mark(body);
    if body.trim_ascii().is_empty() {
        return Ok(Value::Null);
    }
    serde_json::from_slice(body).map_err(|error| {
        let ending = if error.is_eof() { ", it ends too early" } else { "" };
        format!("the answer is not JSON ({content_type}{ending})")
    })
}

/// Returns the body without a byte order mark.
pub(super) fn without_mark(body: &[u8]) -> &[u8] {
    body.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(body)
}

/// Takes the one object out of an answer; null is none.
pub(super) fn single(answer: Value) -> Result<Option<Map<String, Value>>, String> {
    match answer {
        Value::Null => Ok(None),
        Value::Object(mut object) if !object.contains_key("id") && object.contains_key("value") => {
            match object.remove("value") {
                Some(Value::Object(inner)) => Ok(Some(inner)),
                Some(Value::Null) | None => Ok(None),
                Some(other) => Err(format!("the answer holds {} where an object belongs", kind(&other))),
            }
        }
        Value::Object(object) => Ok(Some(object)),
        other @ (Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_)) => {
            Err(format!("the answer is {}, not an object", kind(&other)))
        }
    }
}

/// Takes the items of a page out of an answer. An object that is no page is
/// one item: some single-valued links are documented as lists and others not.
pub(super) fn page(answer: Value) -> Result<Page, String> {
    match answer {
        Value::Null => Ok(Page { items: Vec::new(), next: None }),
        Value::Array(items) => Ok(Page { items, next: None }),
        Value::Object(mut object) => {
            let next = object.get("@odata.nextLink").and_then(Value::as_str).map(str::to_owned);
            let items = match object.remove("value") {
                Some(Value::Array(items)) => items,
                Some(Value::Null) => Vec::new(),
                Some(Value::Object(item)) => vec![Value::Object(item)],
                Some(other) => return Err(format!("the answer holds {} where a list belongs", kind(&other))),
                None if object.contains_key("id") => vec![Value::Object(object)],
                None => Vec::new(),
            };
            Ok(Page { items, next })
        }
        other @ (Value::Bool(_) | Value::Number(_) | Value::String(_)) => {
            Err(format!("the answer is {}, not a list", kind(&other)))
        }
    }
}

/// Reads one of the service's objects. The message names the type only: what
/// a property holds may be a secret.
pub(super) fn object<T: DeserializeOwned>(value: Value, what: &str) -> Result<T, String> {
    serde_json::from_value(one_spelling(value))
        .map_err(|_| format!("the answer is not a {what}: a property is of another type than the service documents"))
}

/// Brings the names that are spelled in two ways to one. An object with both
/// would otherwise be refused for holding a property twice.
fn one_spelling(value: Value) -> Value {
    let Value::Object(object) = value else { return value };
    let mut tidy = Map::new();
    for (name, value) in object {
        let name = match name.to_ascii_lowercase().as_str() {
            "datastoreid" => "dataStoreId".to_owned(),
            "datauploaduri" => "dataUploadURI".to_owned(),
            _ => name,
        };
        let empty = value.is_null() || value.as_str() == Some("");
        if !empty || !tidy.contains_key(&name) {
            tidy.insert(name, value);
        }
    }
    Value::Object(tidy)
}

const fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "true or false",
        Value::Number(_) => "a number",
        Value::String(_) => "a text",
        Value::Array(_) => "a list",
        Value::Object(_) => "an object",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ports::contract::Session;

    fn read(text: &str) -> Result<Option<Map<String, Value>>, String> {
        single(json(text.as_bytes(), "application/json")?)
    }

    #[test]
    fn a_single_object_is_found_bare_and_wrapped() {
        for text in
            [r#"{"id":"1"}"#, r#"{"value":{"id":"1"}}"#, "\u{feff}{\"@odata.context\":\"x\",\"value\":{\"id\":\"1\"}}"]
        {
            assert_eq!(read(text).unwrap().unwrap()["id"], "1", "{text}");
        }
        for text in ["", "null", " \r\n", r#"{"value":null}"#] {
            assert!(read(text).unwrap().is_none(), "{text}");
        }
        for text in [r#"{"value":"canary"}"#, r#"{"value":["canary"]}"#, "[1]", "\"canary\"", "{\"canary\""] {
            let refused = read(text).unwrap_err();
            assert!(!refused.contains("canary"), "{refused}");
        }
    }

    #[test]
    fn a_property_of_the_wrong_type_is_refused_without_repeating_it() {
        let refused = object::<Session>(serde_json::json!({"salt": ["canary"]}), "session").err().unwrap();
        assert!(refused.contains("session") && !refused.contains("canary"), "{refused}");
    }

    #[test]
    fn both_spellings_at_once_are_one_property() {
        let value = serde_json::json!({"dataStoreId": "a", "datastoreId": null, "DataStoreID": "a"});
        assert_eq!(object::<Session>(value, "session").unwrap().data_store_id, "a");
    }
}
