//! `docs/openapi.yaml` as a judge of answers: stricter than a client should be,
//! because what an answer holds and the page does not say is a mistake of ours.

use std::collections::{BTreeMap, BTreeSet};

use chrono::DateTime;
use serde_json::{Map, Value, json};

use super::yaml;

/// Where it lies.
pub(crate) const PAGE: &str = "docs/openapi.yaml";

/// The page.
pub(crate) struct Page(Value);

impl Page {
    /// Reads it.
    pub(crate) fn read() -> Self {
        Self(yaml::documents(PAGE).remove(0))
    }

    /// Every method and path, and the statuses each may answer with.
    pub(crate) fn operations(&self) -> BTreeMap<(String, String), BTreeSet<u16>> {
        let mut operations = BTreeMap::new();
        for (path, item) in self.0["paths"].as_object().unwrap() {
            for (method, operation) in item.as_object().unwrap().iter().filter(|(name, _)| *name != "parameters") {
                let statuses = operation["responses"].as_object().unwrap().keys();
                let statuses = statuses.map(|status| {
                    status
                        .parse()
                        .unwrap_or_else(|_| panic!("{PAGE}: {path} answers with {status:?}, which is no status"))
                });
                operations.insert((method.to_uppercase(), path.clone()), statuses.collect());
            }
        }
        operations
    }

    /// A schema by its name.
    pub(crate) fn schema(&self, name: &str) -> &Value {
        &self.0["components"]["schemas"][name]
    }

    /// What of a request's body is not as described.
    pub(crate) fn wrong_request(&self, method: &str, path: &str, body: &Value) -> Vec<String> {
        let operation = &self.0["paths"][path][method.to_lowercase()];
        let schema = &operation["requestBody"]["content"]["application/json"]["schema"];
        if schema.is_null() {
            return if body.is_null() { Vec::new() } else { vec!["it takes no body".to_owned()] };
        }
        self.wrong(schema, body, "the request")
    }

    /// What of an answer is not as described.
    pub(crate) fn wrong_answer(&self, method: &str, path: &str, status: u16, kind: &str, body: &Value) -> Vec<String> {
        let at = format!("paths: {path}: {}: responses:", method.to_lowercase());
        let operation = &self.0["paths"][path][method.to_lowercase()];
        let response = self.followed(&operation["responses"][status.to_string()]);
        if response.is_null() {
            return vec![format!("write into {PAGE} at `{at}` what the answer {status} is: {body}")];
        }
        let content = &response["content"][kind];
        if content.is_null() {
            return vec![format!("write into {PAGE} at `{at} \"{status}\": content:` that it is {kind}")];
        }
        self.wrong(&content["schema"], body, "the answer")
    }

    /// What of a value is not as its schema says, each with where it is.
    pub(crate) fn wrong(&self, schema: &Value, value: &Value, place: &str) -> Vec<String> {
        let mut found = Vec::new();
        self.judge(schema, value, place, &mut found);
        found
    }

    fn followed<'p>(&'p self, node: &'p Value) -> &'p Value {
        match node["$ref"].as_str() {
            Some(to) => self.0.pointer(&to[1..]).unwrap_or_else(|| panic!("{PAGE}: nothing is at {to}")),
            None => node,
        }
    }

    /// Makes one schema of several that all hold, so that no property of one is
    /// strange to another.
    fn merged(&self, schema: &Value) -> Value {
        let Some(parts) = schema["allOf"].as_array() else { return schema.clone() };
        let parts: Vec<&Value> = parts.iter().map(|part| self.followed(part)).collect();
        let required = parts.iter().flat_map(|part| part["required"].as_array().into_iter().flatten());
        let properties = parts.iter().flat_map(|part| part["properties"].as_object().into_iter().flatten());
        let properties: Map<_, _> = properties.map(|(name, schema)| (name.clone(), schema.clone())).collect();
        json!({ "type": "object", "required": required.collect::<Vec<_>>(), "properties": properties })
    }

    fn judge(&self, schema: &Value, value: &Value, place: &str, found: &mut Vec<String>) {
        let named = schema["$ref"].as_str().and_then(|to| to.rsplit('/').next()).unwrap_or_default();
        let schema = &self.merged(self.followed(schema));
        let Some(rules) = schema.as_object() else { return found.push(format!("{place}: {PAGE} has no schema of it")) };
        if value.is_null() && rules.get("nullable") == Some(&Value::Bool(true)) {
            return;
        }
        for (rule, wanted) in rules {
            let holds = match rule.as_str() {
                "type" => is_of(wanted.as_str().unwrap(), value),
                "enum" => wanted.as_array().unwrap().contains(value),
                "minimum" => value.as_f64() >= wanted.as_f64(),
                "maximum" => value.as_f64() <= wanted.as_f64(),
                "minItems" => value.as_array().is_none_or(|items| items.len() as u64 >= wanted.as_u64().unwrap()),
                "maxItems" => value.as_array().is_none_or(|items| items.len() as u64 <= wanted.as_u64().unwrap()),
                "format" => {
                    assert_eq!(wanted, "date-time", "{PAGE}: this test knows no other format");
                    value.as_str().is_some_and(|text| DateTime::parse_from_rfc3339(text).is_ok())
                }
                "items" => {
                    for (number, item) in value.as_array().into_iter().flatten().enumerate() {
                        self.judge(wanted, item, &format!("{place}[{number}]"), found);
                    }
                    true
                }
                "required" => {
                    let names = wanted.as_array().unwrap().iter().map(|name| name.as_str().unwrap());
                    let missing = names.filter(|name| value.get(name).is_none());
                    found.extend(missing.map(|name| format!("{place}: `{name}` is not there, and {PAGE} requires it")));
                    true
                }
                "properties" => {
                    for (name, value) in value.as_object().into_iter().flatten() {
                        match wanted.get(name) {
                            Some(schema) => self.judge(schema, value, &format!("{place}.{name}"), found),
                            None => found.push(format!(
                                "{place}: `{name}` is not described: write it into {PAGE}, at \
                                 `components: schemas: {named}: properties:` and `required:`"
                            )),
                        }
                    }
                    true
                }
                "oneOf" => return self.judge_one_of(wanted.as_array().unwrap(), value, place, found),
                "nullable" | "description" => true,
                other => panic!("{PAGE}: teach tests/suite/support/openapi.rs what `{other}` means"),
            };
            if !holds {
                found.push(format!("{place}: {value} is not as {PAGE} says: {rule}: {wanted}"));
            }
        }
    }

    fn judge_one_of(&self, schemas: &[Value], value: &Value, place: &str, found: &mut Vec<String>) {
        let fitting = schemas.iter().filter(|schema| self.wrong(schema, value, place).is_empty()).count();
        if fitting == 1 {
            return;
        }
        // Of events, the kind says which was meant.
        let is_meant = |schema: &&Value| {
            let kinds = self.followed(schema)["properties"]["event"]["enum"].as_array();
            kinds.is_some_and(|kinds| kinds.contains(&value["event"]))
        };
        match schemas.iter().find(is_meant) {
            Some(schema) => self.judge(schema, value, place, found),
            None => found.push(format!("{place}: {fitting} of the kinds that {PAGE} describes fit {value}, not one")),
        }
    }
}

fn is_of(kind: &str, value: &Value) -> bool {
    match kind {
        "object" => value.is_object(),
        "array" => value.is_array(),
        "string" => value.is_string(),
        "integer" => value.is_i64() || value.is_u64(),
        "number" => value.is_number(),
        "boolean" => value.is_boolean(),
        other => panic!("{PAGE}: {other} is no type"),
    }
}
