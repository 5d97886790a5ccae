//! `events`: what happens, one JSON object a line.

use super::args::EventArguments;
use super::caller::Caller;
use super::output::{say, say_json};
use crate::adapters::http::text::describe;
use crate::agent::exit::{Exit, Trouble};

pub(crate) async fn events(caller: Caller, arguments: &EventArguments) -> Result<Exit, Trouble> {
    let (client, account) = caller.client()?;
    if !arguments.follow {
        say_json(&client.get("v1/status").await.map_err(account)?);
        return Ok(Exit::Done);
    }
    let mut stream = client.stream("v1/events").await.map_err(account)?;
    let mut rest = Vec::new();
    loop {
        let chunk = stream.chunk().await;
        let chunk = chunk
            .map_err(|error| Trouble::new(Exit::Unreachable, format!("follow the events: {}", describe(error))))?;
        let Some(chunk) = chunk else { return Ok(Exit::Done) };
        rest.extend_from_slice(&chunk);
        while let Some(end) = rest.iter().position(|&byte| byte == b'\n') {
            let line: Vec<u8> = rest.drain(..=end).collect();
            say(String::from_utf8_lossy(&line).trim_end());
        }
    }
}
