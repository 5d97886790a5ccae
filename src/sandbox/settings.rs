//! What a sandbox is started with.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use super::faults::Fault;
use super::people;
use super::quirks::Quirks;

/// One searchable or plain column of a data store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ColumnSpec {
    /// Its name.
    pub name: String,
    /// Whether content is searched for its values.
    pub searchable: bool,
    /// Whether case is ignored.
    pub case_insensitive: bool,
    /// Characters left out before values are compared.
    pub ignored_delimiters: Vec<String>,
}

/// A data store that exists from the start.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoreSpec {
    /// Its id; a fresh GUID if empty.
    pub id: String,
    /// The name people use.
    pub display_name: String,
    /// What it is for.
    pub description: String,
    /// Its columns; a session may bring others unless the quirks say no.
    pub columns: Vec<ColumnSpec>,
}

impl StoreSpec {
    /// Returns a data store of this name without columns, which takes any table.
    pub fn named(display_name: &str) -> Self {
        Self {
            id: String::new(),
            display_name: display_name.to_owned(),
            description: String::new(),
            columns: Vec::new(),
        }
    }
}

/// How a sandbox behaves. The defaults are those of the `sandbox` command.
#[derive(Debug, Clone)]
pub struct SandboxSettings {
    /// Where it listens; port 0 picks a free one.
    pub listen: SocketAddr,
    /// How long a session lives without being renewed.
    pub session_ttl: Duration,
    /// How long an upload URI is good for; its `se` is rounded up to a second.
    pub upload_uri_ttl: Duration,
    /// How long a committed table takes to go live.
    pub processing_time: Duration,
    /// Jobs that processing is said to consist of.
    pub processing_jobs: u32,
    /// Sessions a data store may open in any 24 hours.
    pub sessions_per_day: u32,
    /// How long a token of the token endpoint is good for.
    pub token_ttl: Duration,
    /// Where the draws of faults by probability come from.
    pub seed: u64,
    /// What goes wrong, and when.
    pub faults: Vec<Fault>,
    /// How it differs from what a client expects of it.
    pub quirks: Quirks,
    /// Bytes per second of the blob endpoint, for all connections together.
    pub bandwidth: Option<u64>,
    /// The data stores that exist from the start.
    pub stores: Vec<StoreSpec>,
    /// Whether it speaks TLS, under an authority of its own that is thrown away
    /// at the end.
    pub tls: bool,
    /// Names by which clients know it, besides `localhost` and its addresses.
    pub names: Vec<String>,
    /// Where the certificate of its authority is written, to be removed at the
    /// end; a file in its own directory if none.
    pub ca_file: Option<PathBuf>,
    /// Where the keys of Arc challenges are written, to be removed at the end; a
    /// folder in its own directory if none.
    pub arc_key_dir: Option<PathBuf>,
    /// Where blocks are kept, below a directory of its own that is removed at
    /// the end. The system's temporary directory if none.
    pub directory: Option<PathBuf>,
}

impl Default for SandboxSettings {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 0)),
            session_ttl: Duration::from_secs(60),
            upload_uri_ttl: Duration::from_secs(30),
            processing_time: Duration::from_secs(2),
            processing_jobs: 5,
            sessions_per_day: 5,
            token_ttl: Duration::from_secs(3_599),
            seed: 0,
            faults: Vec::new(),
            quirks: Quirks::default(),
            bandwidth: None,
            stores: vec![people::store()],
            tls: false,
            names: Vec::new(),
            ca_file: None,
            arc_key_dir: None,
            directory: None,
        }
    }
}

impl SandboxSettings {
    /// Returns how long a token is good for.
    pub(super) fn token_life(&self) -> Duration {
        self.quirks.token_ttl.unwrap_or(self.token_ttl)
    }

    /// Returns the sessions a data store may open in 24 hours, the script's
    /// word before the setting's.
    pub(super) fn quota(&self) -> u32 {
        self.quirks.sessions_per_day.unwrap_or(self.sessions_per_day)
    }
}
