//! What the user decides: every key of the configuration file but the ones an
//! adapter owns. `config/agent.toml` documents each.

use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Deserializer, Serialize};

use crate::adapters::graph::settings::ContractSettings;
use crate::ground::units::{duration, optional_size, size};
use crate::upload::policy::{Policy, Strategy};

/// The whole configuration.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Settings {
    /// Where the journal, the lock and by default the bundles are kept.
    pub state_dir: PathBuf,
    /// `[agent]`.
    pub agent: AgentSettings,
    /// `[graph]`.
    pub graph: GraphSettings,
    /// `[auth]`.
    pub auth: AuthSettings,
    /// `[lease]`.
    pub lease: LeaseSettings,
    /// `[contract]`.
    pub contract: ContractSettings,
    /// `[upload]`.
    pub upload: UploadSettings,
    /// `[bundles]`.
    pub bundles: BundleSettings,
    /// `[journal]`.
    pub journal: JournalSettings,
    /// `[progress]`.
    pub progress: ProgressSettings,
    /// `[processing]`.
    pub processing: ProcessingSettings,
    /// `[quota]`.
    pub quota: QuotaSettings,
    /// `[control]`.
    pub control: ControlSettings,
    /// `[http]`.
    pub http: HttpSettings,
    /// `[log]`.
    pub log: LogSettings,
    /// Every `[[table]]`.
    pub table: Vec<TableSettings>,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            state_dir: PathBuf::from("/var/lib/edm-agent"),
            agent: AgentSettings::default(),
            graph: GraphSettings::default(),
            auth: AuthSettings::default(),
            lease: LeaseSettings::default(),
            contract: ContractSettings::default(),
            upload: UploadSettings::default(),
            bundles: BundleSettings::default(),
            journal: JournalSettings::default(),
            progress: ProgressSettings::default(),
            processing: ProcessingSettings::default(),
            quota: QuotaSettings::default(),
            control: ControlSettings::default(),
            http: HttpSettings::default(),
            log: LogSettings::default(),
            table: Vec::new(),
        }
    }
}

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
        }
    }
}

impl GraphSettings {
    /// Returns the root of the service with its version segment.
    pub fn root(&self) -> &str {
        if !self.base_url.is_empty() {
            return self.base_url.trim_end_matches('/');
        }
        match self.cloud {
            Cloud::Global => "https://graph.microsoft.com/beta",
            Cloud::GccHigh => "https://graph.microsoft.us/beta",
            Cloud::Dod => "https://dod-graph.microsoft.us/beta",
            Cloud::China => "https://microsoftgraph.chinacloudapi.cn/beta",
        }
    }
}

/// A national cloud (Graph documentation, "National cloud deployments").
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Cloud {
    /// Commercial and GCC.
    #[default]
    Global,
    /// US Government L4.
    GccHigh,
    /// US Government L5.
    Dod,
    /// 21Vianet.
    China,
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
    /// The file of a bearer token that somebody else keeps fresh.
    pub token_file: PathBuf,
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
            token_file: PathBuf::new(),
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

/// `[lease]`: how sessions are kept alive.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct LeaseSettings {
    /// How long a session is believed to live; the service does not say.
    #[serde(deserialize_with = "duration")]
    pub session_ttl: Duration,
    /// The part of a lease's life in which it is renewed.
    #[serde(deserialize_with = "window")]
    pub renew_window: [f64; 2],
    /// How much of a lease must remain for anything to be sent under it.
    #[serde(deserialize_with = "duration")]
    pub guard: Duration,
}

impl Default for LeaseSettings {
    fn default() -> Self {
        Self { session_ttl: Duration::from_secs(3_600), renew_window: [0.35, 0.60], guard: Duration::from_secs(30) }
    }
}

/// `[upload]`: how blocks travel.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct UploadSettings {
    /// How blocks travel; `auto` chooses by the upload URI.
    pub strategy: StrategySetting,
    /// What to do about a session that is gone.
    pub on_session_lost: OnSessionLost,
    /// Hosts an upload URI may name.
    pub allowed_hosts: Vec<String>,
    /// The most memory blocks in flight may take, all uploads together.
    #[serde(deserialize_with = "size")]
    pub memory: u64,
    /// Blocks in flight at a time, all uploads together.
    pub concurrency: u32,
    /// How long one block may take.
    #[serde(deserialize_with = "duration")]
    pub block_timeout: Duration,
    /// How long a foreground command goes without progress before it gives up.
    #[serde(deserialize_with = "duration")]
    pub give_up_after: Duration,
    /// Whether a session of ours that is still open is used again after a restart.
    pub resume_session: bool,
    /// Whether the store is asked what it holds before the commit, where it may be.
    pub verify_before_commit: bool,
}

impl Default for UploadSettings {
    fn default() -> Self {
        let hosts = ["*.blob.core.windows.net", "*.blob.core.usgovcloudapi.net", "*.blob.core.chinacloudapi.cn"];
        Self {
            strategy: StrategySetting::Auto,
            on_session_lost: OnSessionLost::Reopen,
            allowed_hosts: hosts.map(str::to_owned).to_vec(),
            memory: 256 << 20,
            concurrency: 8,
            block_timeout: Duration::from_secs(300),
            give_up_after: Duration::from_secs(1_800),
            resume_session: true,
            verify_before_commit: true,
        }
    }
}

/// How blocks travel, as the file says it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum StrategySetting {
    /// By the upload URI.
    Auto,
    /// Blocks of one blob and a block list.
    PutBlockList,
    /// Each block a blob.
    BlobPerBlock,
    /// One Put Blob.
    PutBlob,
    /// One PUT.
    PlainPut,
}

/// What to do about a session that is gone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum OnSessionLost {
    /// Open another, within the quota.
    Reopen,
    /// Fail the upload.
    Fail,
}

/// `[bundles]`: hashed tables on this host.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct BundleSettings {
    /// Where they are kept; empty: below `state_dir`.
    pub dir: PathBuf,
    /// The most a bundle may take; none: only the volume limits it.
    #[serde(deserialize_with = "optional_size")]
    pub max_bytes: Option<u64>,
    /// What must stay free on the volume.
    #[serde(deserialize_with = "size")]
    pub min_free: u64,
    /// How long the bundle of a failed upload is kept.
    #[serde(deserialize_with = "duration")]
    pub retain_failed: Duration,
}

impl Default for BundleSettings {
    fn default() -> Self {
        Self { dir: PathBuf::new(), max_bytes: None, min_free: 1 << 30, retain_failed: Duration::from_secs(72 * 3_600) }
    }
}

/// `[journal]`: the account of every upload.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct JournalSettings {
    /// How long a closed upload is remembered.
    #[serde(deserialize_with = "duration")]
    pub retain: Duration,
}

impl Default for JournalSettings {
    fn default() -> Self {
        Self { retain: Duration::from_secs(90 * 86_400) }
    }
}

/// `[progress]`: what is reported to the service.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ProgressSettings {
    /// Whether progress is reported at all.
    pub report: bool,
    /// The shortest time between two reports.
    #[serde(deserialize_with = "duration")]
    pub min_interval: Duration,
    /// The word for a session whose blocks are on their way; empty: not sent.
    pub uploading_state: String,
    /// The word for a session whose blocks are all there; empty: not sent.
    pub uploaded_state: String,
}

impl Default for ProgressSettings {
    fn default() -> Self {
        Self {
            report: true,
            min_interval: Duration::from_secs(2),
            uploading_state: "UploadInProgress".to_owned(),
            uploaded_state: "UploadCompleted".to_owned(),
        }
    }
}

/// `[processing]`: how the service's work is followed.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ProcessingSettings {
    /// The first wait between two looks.
    #[serde(deserialize_with = "duration")]
    pub poll_min: Duration,
    /// The longest wait between two looks.
    #[serde(deserialize_with = "duration")]
    pub poll_max: Duration,
    /// How long it may take.
    #[serde(deserialize_with = "duration")]
    pub deadline: Duration,
    /// Words for a table that is live; case does not matter.
    pub success: Vec<String>,
    /// Words for a session that ended badly; case does not matter.
    pub failure: Vec<String>,
}

impl Default for ProcessingSettings {
    fn default() -> Self {
        let words = |words: &[&str]| words.iter().map(|&word| word.to_owned()).collect();
        Self {
            poll_min: Duration::from_secs(60),
            poll_max: Duration::from_secs(300),
            deadline: Duration::from_secs(86_400),
            success: words(&["Completed"]),
            failure: words(&["Failed", "Cancelled", "Canceled", "Expired", "Error"]),
        }
    }
}

/// `[quota]`: how many sessions a data store may have a day.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct QuotaSettings {
    /// The service's limit over a rolling day.
    pub sessions_per_day: u32,
    /// Sessions of it that only a person may use.
    pub reserved: u32,
    /// How long a throttled creation waits when the service names no time.
    #[serde(deserialize_with = "duration")]
    pub backoff: Duration,
}

impl Default for QuotaSettings {
    fn default() -> Self {
        Self { sessions_per_day: 5, reserved: 1, backoff: Duration::from_secs(6 * 3_600) }
    }
}

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

/// `[http]`: the read-only listener for probes.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct HttpSettings {
    /// Where it listens; empty: nowhere.
    pub listen: String,
}

impl Default for HttpSettings {
    fn default() -> Self {
        Self { listen: "127.0.0.1:9464".to_owned() }
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
}

impl Default for LogSettings {
    fn default() -> Self {
        Self { level: "info".to_owned(), format: LogFormat::Auto }
    }
}

/// The form of the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum LogFormat {
    /// Text on a terminal, under systemd as journald likes it, else JSON.
    Auto,
    /// Text.
    Text,
    /// One JSON object a line.
    Json,
    /// Text with the priority prefixes journald reads, without times.
    Journald,
}

/// `[[table]]`: one table and where it goes.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TableSettings {
    /// What people call it; also part of the session's file name.
    pub name: String,
    /// The data store, by id or display name.
    pub data_store: String,
    /// The source file.
    pub path: PathBuf,
    /// The EdmSchema file, or `service` for the columns of the data store.
    pub schema: String,
    /// What separates the cells; `auto` chooses by the extension.
    #[serde(default = "auto")]
    pub separator: String,
    /// Rows in each block; 0 chooses blocks of about 8 MiB.
    #[serde(default)]
    pub rows_per_block: u32,
    /// Bad rows that are tolerated, in percent of all.
    #[serde(default)]
    pub allowed_bad_lines_percent: f64,
    /// A file with the salt to use instead of a fresh one.
    #[serde(default)]
    pub salt_file: PathBuf,
    /// When it is uploaded: `on-change`, `manual`, or a cron expression.
    #[serde(default = "on_change")]
    pub when: String,
    /// The time zone of the cron expression; only `UTC` so far.
    #[serde(default = "utc")]
    pub timezone: String,
    /// A synthetic row that must be found once the table is live.
    #[serde(default)]
    pub canary: Option<Canary>,
}

/// A synthetic row to look up once the table is live.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Canary {
    /// The column its value is in.
    pub column: String,
    /// Its value, which is of nobody.
    pub value: String,
}

/// Reads exactly two numbers; left to itself, a third would be ignored.
fn window<'de, D: Deserializer<'de>>(input: D) -> Result<[f64; 2], D::Error> {
    let numbers = Vec::<f64>::deserialize(input)?;
    let length = numbers.len();
    numbers.try_into().map_err(|_| serde::de::Error::invalid_length(length, &"two numbers"))
}

fn auto() -> String {
    "auto".to_owned()
}

fn on_change() -> String {
    "on-change".to_owned()
}

fn utc() -> String {
    "UTC".to_owned()
}

impl Settings {
    /// Returns where bundles are kept.
    pub fn bundle_dir(&self) -> PathBuf {
        match self.bundles.dir.as_os_str().is_empty() {
            true => self.state_dir.join("bundles"),
            false => self.bundles.dir.clone(),
        }
    }

    /// Returns the table of a name.
    pub fn find_table(&self, name: &str) -> Option<&TableSettings> {
        self.table.iter().find(|table| table.name == name)
    }

    /// Returns the rules of an upload.
    pub fn policy(&self, upload_agent: Option<String>) -> Policy {
        let lower = |words: &[String]| words.iter().map(|word| word.to_lowercase()).collect();
        Policy {
            session_ttl: self.lease.session_ttl,
            renew_window: self.lease.renew_window,
            guard: self.lease.guard,
            strategy: match self.upload.strategy {
                StrategySetting::Auto => None,
                StrategySetting::PutBlockList => Some(Strategy::BlockList),
                StrategySetting::BlobPerBlock => Some(Strategy::BlobPerBlock),
                StrategySetting::PutBlob => Some(Strategy::PutBlob),
                StrategySetting::PlainPut => Some(Strategy::PlainPut),
            },
            window: self.upload.concurrency.max(1),
            reopen: self.upload.on_session_lost == OnSessionLost::Reopen,
            verify_before_commit: self.upload.verify_before_commit,
            resume_session: self.upload.resume_session,
            report: self.progress.report,
            report_interval: self.progress.min_interval,
            uploading_state: self.progress.uploading_state.clone(),
            uploaded_state: self.progress.uploaded_state.clone(),
            success: lower(&self.processing.success),
            failure: lower(&self.processing.failure),
            poll_min: self.processing.poll_min,
            poll_max: self.processing.poll_max,
            processing_deadline: self.processing.deadline,
            quota_backoff: self.quota.backoff,
            upload_agent,
        }
    }
}
