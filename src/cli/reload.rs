//! `reload`: has the running service read its configuration again.

use serde_json::Value;

use super::caller::Caller;
use super::output::{say, say_json};
use crate::agent::exit::{Exit, Trouble};

/// The agent is asked however bad the configuration is that was found here: the
/// refusal is the agent's, which says it wherever people look.
pub(crate) async fn reload(caller: Caller, json: bool) -> Result<Exit, Trouble> {
    let (client, account) = caller.client()?;
    let answer = client.post("v1/reload", None).await.map_err(account)?;
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
