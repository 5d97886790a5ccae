//! Speaking to the agent of this host over its socket.

use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::Value;

use super::exit::{Exit, Trouble};
use crate::adapters::http::local;
use crate::adapters::http::text::describe;

/// How long the agent may take to answer a question.
const PATIENCE: Duration = Duration::from_secs(30);

/// A client of the local API.
pub struct Client {
    http: reqwest::Client,
    socket: String,
}

impl Client {
    /// Makes a client; nothing is sent yet.
    ///
    /// # Errors
    ///
    /// When there can be no client at all.
    pub fn new(socket: &Path) -> Result<Self, Trouble> {
        let http = local(socket).map_err(|error| Trouble::new(Exit::LocalIo, error.to_string()))?;
        Ok(Self { http, socket: socket.display().to_string() })
    }

    /// Returns the state directory of the agent that answers on the socket, if
    /// one does.
    pub async fn state_dir(&self) -> Option<PathBuf> {
        let status = self.get("v1/status").await.ok()?;
        status.get("state_dir").and_then(Value::as_str).map(PathBuf::from)
    }

    /// Asks something.
    ///
    /// # Errors
    ///
    /// What the agent refused with, or that none answers.
    pub async fn get(&self, path: &str) -> Result<Value, Trouble> {
        self.send(self.http.get(url(path))).await
    }

    /// Wishes something.
    ///
    /// # Errors
    ///
    /// What the agent refused with, or that none answers.
    pub async fn post(&self, path: &str, body: Option<&Value>) -> Result<Value, Trouble> {
        let request = self.http.post(url(path));
        match body {
            Some(body) => self.send(request.header("content-type", "application/json").body(body.to_string())).await,
            None => self.send(request).await,
        }
    }

    /// Opens a stream of lines.
    ///
    /// # Errors
    ///
    /// That none answers.
    pub async fn stream(&self, path: &str) -> Result<reqwest::Response, Trouble> {
        self.http.get(url(path)).send().await.map_err(|error| self.silent(error))
    }

    async fn send(&self, request: reqwest::RequestBuilder) -> Result<Value, Trouble> {
        let answer = request.timeout(PATIENCE).send().await.map_err(|error| self.silent(error))?;
        let status = answer.status();
        let bytes = answer.bytes().await.map_err(|error| self.silent(error))?;
        let value: Value = serde_json::from_slice(&bytes).unwrap_or_default();
        if status.is_success() {
            return Ok(value);
        }
        let message = value.pointer("/error/message").and_then(Value::as_str).unwrap_or("the agent refused");
        let code = value.pointer("/error/exit").and_then(Value::as_u64).and_then(|code| u8::try_from(code).ok());
        let by_status = if status.as_u16() == 400 { Exit::Usage } else { Exit::Failed };
        let exit = code.and_then(Exit::of).unwrap_or(by_status);
        Err(Trouble::new(exit, message))
    }

    fn silent(&self, error: reqwest::Error) -> Trouble {
        let message = format!("reach the agent at {}: {}; is `edm-agent run` running?", self.socket, describe(error));
        Trouble::new(Exit::Unreachable, message)
    }
}

fn url(path: &str) -> String {
    format!("http://localhost/{path}")
}
