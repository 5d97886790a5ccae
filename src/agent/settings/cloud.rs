//! The clouds, as one table: where each signs in, serves and stores.
//!
//! Sources: Graph documentation, "National cloud deployments"; Entra
//! documentation, "National clouds"; Azure Storage, "Storage account endpoints".
//! Every cell is a default: `auth.authority`, `graph.base_url` and
//! `upload.allowed_hosts` each override theirs.

use serde::Deserialize;

/// A national cloud.
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

/// Where a cloud is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Places {
    /// The authority that signs in, without the tenant.
    pub login: &'static str,
    /// The origin of Graph, for which tokens are asked.
    pub graph: &'static str,
    /// The hosts its storage accounts have, as patterns of `upload.allowed_hosts`.
    pub blobs: &'static [&'static str],
}

impl Cloud {
    /// Returns where the cloud is.
    pub const fn places(self) -> Places {
        match self {
            Self::Global => Places {
                login: "https://login.microsoftonline.com",
                graph: "https://graph.microsoft.com",
                blobs: &["*.blob.core.windows.net", "*.blob.storage.azure.net"],
            },
            Self::GccHigh => Places {
                login: "https://login.microsoftonline.us",
                graph: "https://graph.microsoft.us",
                blobs: &["*.blob.core.usgovcloudapi.net"],
            },
            Self::Dod => Places {
                login: "https://login.microsoftonline.us",
                graph: "https://dod-graph.microsoft.us",
                blobs: &["*.blob.core.usgovcloudapi.net"],
            },
            Self::China => Places {
                login: "https://login.partner.microsoftonline.cn",
                graph: "https://microsoftgraph.chinacloudapi.cn",
                blobs: &["*.blob.core.chinacloudapi.cn"],
            },
        }
    }
}
