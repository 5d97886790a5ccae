//! `[control]`, `[http]`, `[log]`: how this host sees the agent.

use std::path::PathBuf;

use serde::Deserialize;

/// `[control]`: the local API.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ControlSettings {
    /// The unix socket.
    pub socket: PathBuf,
}

impl Default for ControlSettings {
    fn default() -> Self {
        Self { socket: PathBuf::from("/run/edm-agent/agent.sock") }
    }
}

/// `[http]`: the read-only listener for probes, metrics and the status page.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct HttpSettings {
    /// Where it listens; empty: nowhere.
    pub listen: String,
    /// Whether the metrics show the lease of each session.
    pub session_metrics: bool,
}

impl Default for HttpSettings {
    fn default() -> Self {
        Self { listen: "127.0.0.1:9464".to_owned(), session_metrics: false }
    }
}

/// `[log]`: what is logged, and how.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct LogSettings {
    /// The least level: `error`, `warn`, `info`, `debug` or `trace`.
    pub level: String,
    /// The form.
    pub format: LogFormat,
    /// Where the journal of systemd takes events.
    pub journal_socket: PathBuf,
}

impl Default for LogSettings {
    fn default() -> Self {
        let journal_socket = PathBuf::from("/run/systemd/journal/socket");
        Self { level: "info".to_owned(), format: LogFormat::Auto, journal_socket }
    }
}

/// The form of the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum LogFormat {
    /// Text on a terminal, events of the journal under systemd, else JSON.
    Auto,
    /// Text.
    Text,
    /// One JSON object a line.
    Json,
    /// Events of the journal of systemd, with their fields.
    Journald,
}
