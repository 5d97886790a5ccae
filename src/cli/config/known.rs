//! What may be written: the settings are asked themselves.
//!
//! A section is asked for a key that cannot be, and its refusal names the keys
//! it has; a key is given a word that cannot be right, and its refusal says what
//! would be. So there is no second list of keys, types or words to keep true.

use std::sync::LazyLock;

use serde::Deserialize;
use toml::Value;

use crate::agent::settings::Settings;

/// What no key is called and no setting accepts, unless it takes any text.
const IMPOSSIBLE: &str = "?";

/// The longest name that is compared with known ones, in bytes: comparing takes
/// memory by the length, and a name this long is like none.
const LONGEST_NAME: usize = 64;

/// Every key; asking for them takes a while.
static KEYS: LazyLock<Vec<String>> = LazyLock::new(|| {
    let mut keys = Vec::new();
    collect("", &mut keys);
    keys
});

/// Returns every key, dotted, such as `lease.guard` or `table.name`.
pub fn keys() -> &'static [String] {
    &KEYS
}

fn collect(section: &str, keys: &mut Vec<String>) {
    for name in fields(section) {
        let key = join(section, &name);
        match fields(&key).is_empty() {
            true => keys.push(key),
            false => collect(&key, keys),
        }
    }
}

/// Returns the names of what a section has; none if the key is not a section.
pub(super) fn fields(section: &str) -> Vec<String> {
    let asked = Value::Table([(IMPOSSIBLE.to_owned(), Value::Integer(0))].into_iter().collect());
    let refusal = refusal(section, asked).unwrap_or_default();
    let Some(names) = refusal.strip_prefix("unknown field `?`, expected ") else { return Vec::new() };
    names.split('`').skip(1).step_by(2).map(str::to_owned).collect()
}

/// Says what may be written for a key, to follow "write".
pub(super) fn takes(key: &str) -> String {
    let Some(expected) = expected(key, word()) else { return "a text in quotes".to_owned() };
    match expected.as_str() {
        "a sequence" => match expected_in_list(key).as_deref() {
            None => "a list of texts, such as [\"a\", \"b\"]".to_owned(),
            Some(item) if item.starts_with("struct ") => format!("sections, such as [[{key}]]"),
            Some("f64") => "a list of two numbers, such as [0.35, 0.60]".to_owned(),
            Some(words) => format!("a list of {}", words.replacen("one of ", "", 1)),
        },
        "u32" => format!("a whole number from 0 to {}", u32::MAX),
        "f64" => "a number".to_owned(),
        "a boolean" => "true or false".to_owned(),
        section if section.starts_with("struct ") => format!("a section, such as [{key}]"),
        words => words.to_owned(),
    }
}

/// Returns whether a key or section is known.
pub(super) fn is_known(key: &str) -> bool {
    keys().iter().any(|known| known == key) || !fields(key).is_empty()
}

/// Returns the known key or section nearest to an unknown one, if any is near:
/// one of the same section with a name much like it, or one of another section
/// with this very name.
pub(super) fn nearest(unknown: &str) -> Option<String> {
    let (section, name) = split(unknown);
    if name.len() > LONGEST_NAME {
        return None;
    }
    let distance = |other: &String| strsim::damerau_levenshtein(name, other);
    let sibling = fields(section).into_iter().min_by_key(distance);
    match sibling.filter(|sibling| distance(sibling) <= name.chars().count() / 3) {
        Some(sibling) => Some(join(section, &sibling)),
        None => keys().iter().find(|key| !key.starts_with("table.") && split(key).1 == name).cloned(),
    }
}

/// Splits a dotted key into its section and its last name.
pub(super) fn split(key: &str) -> (&str, &str) {
    key.rsplit_once('.').unwrap_or(("", key))
}

/// Puts a name after a section.
pub(super) fn join(section: &str, name: &str) -> String {
    if section.is_empty() { name.to_owned() } else { format!("{section}.{name}") }
}

/// Returns why a value cannot stand at a key, if it cannot.
pub(super) fn refusal(key: &str, value: Value) -> Option<String> {
    let names: Vec<&str> = key.split('.').filter(|name| !name.is_empty()).collect();
    let whole = names.iter().enumerate().rev().fold(value, |value, (depth, name)| {
        let is_in_list = depth == 0 && *name == "table" && value.is_table();
        let value = if is_in_list { Value::Array(vec![value]) } else { value };
        Value::Table([((*name).to_owned(), value)].into_iter().collect())
    });
    // A table of one key lacks others, which says nothing about that key.
    let refusal = Settings::deserialize(whole).err()?.message().to_owned();
    (!refusal.starts_with("missing field")).then_some(refusal)
}

fn expected_in_list(key: &str) -> Option<String> {
    expected(key, Value::Array(vec![word()]))
}

fn expected(key: &str, value: Value) -> Option<String> {
    let refusal = refusal(key, value)?;
    let (_, expected) = refusal.split_once(": write ").or_else(|| refusal.rsplit_once(", expected "))?;
    Some(expected.replace('`', "\""))
}

fn word() -> Value {
    Value::String(IMPOSSIBLE.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_section_and_key_is_known_without_a_list() {
        let keys = keys();
        for key in ["state_dir", "agent.description", "quota.backoff", "contract.integrity", "table.canary.column"] {
            assert!(keys.iter().any(|known| known == key), "{key} in {keys:?}");
        }
        assert!(!keys.iter().any(|key| key == "upload"), "a section is not a key");
    }

    #[test]
    fn every_kind_of_value_is_described() {
        let described = [
            ("state_dir", "a text in quotes"),
            ("table.name", "a text in quotes"),
            ("upload.concurrency", "a whole number from 0 to 4294967295"),
            ("upload.resume_session", "true or false"),
            ("table.allowed_bad_lines_percent", "a number"),
            ("lease.guard", "a number and a unit, such as 500ms, 30s, 15m, 24h or 90d"),
            ("upload.memory", "a number and a unit, such as 512KiB, 64MiB or 1GiB"),
            ("upload.on_session_lost", "\"reopen\" or \"fail\""),
            ("contract.bodiless_content_type", "\"\" or \"application/json\""),
            ("upload.allowed_hosts", "a list of texts, such as [\"a\", \"b\"]"),
            ("lease.renew_window", "a list of two numbers, such as [0.35, 0.60]"),
            ("upload", "a section, such as [upload]"),
            ("table", "sections, such as [[table]]"),
        ];
        for (key, takes_this) in described {
            assert_eq!(takes(key), takes_this, "{key}");
        }
        assert!(takes("contract.create_properties").starts_with("a list of \"fileName\", "));
        for key in keys() {
            let text = takes(key);
            assert!(!text.contains("struct") && !text.contains('`') && text.len() > 5, "{key}: {text}");
        }
    }

    #[test]
    fn the_nearest_key_is_found_in_its_section_first() {
        assert_eq!(nearest("upload.concurency").as_deref(), Some("upload.concurrency"));
        assert_eq!(nearest("upload.session_ttl").as_deref(), Some("lease.session_ttl"));
        assert_eq!(nearest("uplaod").as_deref(), Some("upload"));
        assert_eq!(nearest("table.nmae").as_deref(), Some("table.name"));
        assert_eq!(nearest("upload.frobnicate"), None);
    }
}
