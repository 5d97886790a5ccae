//! `reload`: has the running service read its configuration again.

use serde_json::Value;

use super::output::{say, say_json};
use crate::agent::client::Client;
use crate::agent::exit::{Exit, Trouble};
use crate::agent::settings::Settings;

/// The configuration that was found is read here first, for the socket; so a bad
/// one is refused before the agent is asked.
pub(crate) async fn reload(settings: &Settings, json: bool) -> Result<Exit, Trouble> {
    let answer = Client::new(&settings.control.socket)?.post("v1/reload", None).await?;
    if json {
        say_json(&answer);
        return Ok(Exit::Done);
    }
    let names = answer.get("changed").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    let names: Vec<&str> = names.iter().filter_map(Value::as_str).collect();
    let generation = answer.get("generation").and_then(Value::as_u64).unwrap_or_default();
    say(&match names.is_empty() {
        true => format!("configuration {generation} is in force: nothing changed"),
        false => format!("configuration {generation} is in force: {}", names.join(", ")),
    });
    Ok(Exit::Done)
}
