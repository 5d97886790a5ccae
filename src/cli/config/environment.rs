//! The environment as a layer: `EDM_AGENT__SECTION__KEY`.

use config::ValueKind;
use serde::Deserialize;

use super::{file, known, refused, shown};
use crate::agent::exit::Trouble;

/// What the name of each variable begins with.
const PREFIX: &str = "EDM_AGENT__";

/// A variable that sets a key.
pub(super) struct Variable {
    pub(super) name: String,
    /// The key it sets, dotted.
    pub(super) key: String,
    pub(super) value: config::Value,
}

/// Returns the process's variables that are meant for the agent. Those whose
/// name is not UTF-8 are not; a value that is not keeps its marks, and is
/// refused when read.
pub fn variables() -> Vec<(String, String)> {
    let ours = std::env::vars_os().filter_map(|(name, value)| {
        let name = name.into_string().ok().filter(|name| name.starts_with(PREFIX))?;
        Some((name, value.to_string_lossy().into_owned()))
    });
    ours.collect()
}

/// Reads the variables meant for the agent, strictly, and ignores all others.
pub(super) fn read(env: impl IntoIterator<Item = (String, String)>) -> Result<Vec<Variable>, Trouble> {
    let ours = env.into_iter().filter(|(name, _)| name.starts_with(PREFIX));
    ours.map(|(name, text)| variable(name, &text)).collect()
}

/// Reads the variables that can be read.
pub(super) fn lenient(env: impl IntoIterator<Item = (String, String)>) -> Vec<Variable> {
    let ours = env.into_iter().filter(|(name, _)| name.starts_with(PREFIX));
    ours.filter_map(|(name, text)| variable(name, &text).ok()).collect()
}

fn variable(name: String, text: &str) -> Result<Variable, Trouble> {
    let key = name[PREFIX.len()..].to_lowercase().replace("__", ".");
    if key == "table" || key.starts_with("table.") {
        return Err(refused(format!(
            "unknown variable {}: tables are written in the configuration file only",
            shown(&name)
        )));
    }
    if !known::keys().contains(&key) {
        let meant = |key: &str| format!("{PREFIX}{}", key.to_uppercase().replace('.', "__"));
        return Err(refused(file::unknown(&key, &format!("variable {}", shown(&name)), meant)));
    }
    match value(&key, text) {
        Some(value) => Ok(Variable { name, key, value }),
        None => Err(refused(format!("wrong value in {name}: write {}", takes(&key)))),
    }
}

/// Reads a value as TOML, or as plain text where its key takes that.
fn value(key: &str, text: &str) -> Option<config::Value> {
    if text.contains(char::REPLACEMENT_CHARACTER) {
        return None;
    }
    let typed = text.parse::<toml::Value>().ok().filter(|value| !value.is_table());
    let plain = toml::Value::String(text.to_owned());
    let fits = |value: &toml::Value| known::refusal(key, value.clone()).is_none();
    let value = typed.into_iter().chain([plain]).find(fits)?;
    config::Value::deserialize(value).ok().filter(|value| !matches!(value.kind, ValueKind::Nil))
}

/// Says what may be written, without the quotes a shell would take away.
fn takes(key: &str) -> String {
    known::takes(key).replace("a text in quotes", "a text in UTF-8")
}
