//! What the user decides: every key of the configuration file but the ones an
//! adapter owns. `config/agent.toml` documents each.

mod classes;
mod cloud;
mod host;
mod in_force;
mod service;
mod table;
mod upload;

use std::path::PathBuf;

use serde::Deserialize;

use crate::adapters::graph::settings::ContractSettings;
use crate::upload::policy::{Policy, Strategy};

pub use classes::{Changes, Class, classes};
pub use cloud::{Cloud, Places};
pub use host::{ControlSettings, HttpSettings, LogFormat, LogSettings};
pub use in_force::InForce;
pub use service::{AgentSettings, AuthKind, AuthSettings, GraphSettings};
pub use table::{Canary, CatchUp, TableSettings};
pub use upload::{
    BundleSettings, JournalSettings, LeaseSettings, OnSessionLost, ProcessingSettings, ProgressSettings, QuotaSettings,
    StrategySetting, UploadSettings,
};

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

impl Settings {
    /// Returns where bundles are kept.
    pub fn bundle_dir(&self) -> PathBuf {
        match self.bundles.dir.as_os_str().is_empty() {
            true => self.state_dir.join("bundles"),
            false => self.bundles.dir.clone(),
        }
    }

    /// Returns the hosts an upload URI may name, as patterns.
    pub fn allowed_hosts(&self) -> Vec<String> {
        match self.upload.allowed_hosts.is_empty() {
            true => self.graph.cloud.places().blobs.iter().map(|&host| host.to_owned()).collect(),
            false => self.upload.allowed_hosts.clone(),
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
