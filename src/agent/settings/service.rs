//! `[agent]`, `[graph]`, `[auth]`: the service, and who this host is to it.

use std::path::PathBuf;
use std::time::Duration;

use serde::Deserialize;

use super::cloud::Cloud;
use crate::ground::units::duration;

/// `[agent]`: how this host is known to the service.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct AgentSettings {
    /// What the registered upload agent is called; empty: the host name.
    pub description: String,
}

/// `[graph]`: where the service is.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct GraphSettings {
    /// The cloud, which gives the root of the service.
    pub cloud: Cloud,
    /// The root with its version segment, instead of the cloud's.
    pub base_url: String,
    /// How long one request may take.
    #[serde(deserialize_with = "duration")]
    pub timeout: Duration,
    /// The longest `Retry-After` that is obeyed.
    #[serde(deserialize_with = "duration")]
    pub retry_after_max: Duration,
    /// A file of certificates to trust besides the system's.
    pub ca_file: String,
    /// The proxy: empty for none, `env`, or a URL.
    pub proxy: String,
    /// The file with the proxy's user name and password.
    pub proxy_credentials_file: PathBuf,
}

impl Default for GraphSettings {
    fn default() -> Self {
        Self {
            cloud: Cloud::default(),
            base_url: String::new(),
            timeout: Duration::from_secs(30),
            retry_after_max: Duration::from_secs(3_600),
            ca_file: String::new(),
            proxy: String::new(),
            proxy_credentials_file: PathBuf::new(),
        }
    }
}

impl GraphSettings {
    /// Returns the root of the service with its version segment.
    pub fn root(&self) -> String {
        match self.base_url.as_str() {
            "" => format!("{}/beta", self.cloud.places().graph),
            base_url => base_url.trim_end_matches('/').to_owned(),
        }
    }
}

/// `[auth]`: who the agent is. Secrets are files, never values.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct AuthSettings {
    /// Which credential.
    pub kind: AuthKind,
    /// The tenant.
    pub tenant_id: String,
    /// The application.
    pub client_id: String,
    /// The sign-in authority, instead of the cloud's.
    pub authority: String,
    /// The scope to ask for, instead of the service's default.
    pub scope: String,
    /// The file of the client secret.
    pub secret_file: PathBuf,
    /// The file of the client certificate.
    pub certificate_file: PathBuf,
    /// The file of the password of `certificate_file`.
    pub certificate_password_file: PathBuf,
    /// The file of a token that somebody else keeps fresh: the bearer token
    /// itself, or another issuer's to exchange.
    pub token_file: PathBuf,
    /// The folder in which Azure Arc leaves its keys.
    pub arc_key_dir: PathBuf,
}

impl Default for AuthSettings {
    fn default() -> Self {
        Self {
            kind: AuthKind::ClientSecret,
            tenant_id: String::new(),
            client_id: String::new(),
            authority: String::new(),
            scope: String::new(),
            secret_file: PathBuf::new(),
            certificate_file: PathBuf::new(),
            certificate_password_file: PathBuf::new(),
            token_file: PathBuf::new(),
            arc_key_dir: PathBuf::from("/var/opt/azcmagent/tokens"),
        }
    }
}

/// A kind of credential.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum AuthKind {
    /// A secret shared with the authority.
    ClientSecret,
    /// A certificate registered with the authority.
    ClientCertificate,
    /// A token of another issuer, exchanged at the authority.
    WorkloadIdentity,
    /// The identity of the machine.
    ManagedIdentity,
    /// A bearer token in a file.
    TokenFile,
}
