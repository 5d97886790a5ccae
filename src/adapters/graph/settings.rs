//! What the service's contract leaves open, as settings: the `[contract]` table.
//!
//! Nothing of this is public knowledge, so nothing of it is hard-coded. The
//! defaults are the best reading; each alternative is one key.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;

use crate::table::digest::{DigestKind, hex};

/// The `[contract]` table.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ContractSettings {
    /// How actions are written in addresses.
    pub action_form: ActionForm,
    /// Whether, and in which spelling, bodies repeat the data store's id.
    pub send_datastore_id: SendDataStoreId,
    /// Whether bodies name their type (`@odata.type`).
    pub send_odata_type: bool,
    /// The properties sent when a session is created.
    pub create_properties: Vec<CreateProperty>,
    /// The form of a session's checksum.
    pub checksum: Checksum,
    /// The content type of a POST without a body.
    pub bodiless_content_type: BodilessContentType,
    /// What a POST without a body carries.
    pub bodiless_body: BodilessBody,
    /// Whether an entity tag that was seen is sent as `If-Match`.
    pub if_match: bool,
    /// How a data store is found by its display name.
    pub store_lookup: StoreLookup,
    /// What is done to a session that is given up.
    pub abort: Abort,
    /// The storage version sent to the blob store; empty takes the signature's.
    pub ms_version: String,
    /// How the blob store is asked to verify a block.
    pub integrity: Integrity,
}

impl Default for ContractSettings {
    fn default() -> Self {
        Self {
            action_form: ActionForm::Short,
            send_datastore_id: SendDataStoreId::None,
            send_odata_type: false,
            create_properties: vec![
                CreateProperty::FileName,
                CreateProperty::Fields,
                CreateProperty::Checksum,
                CreateProperty::RowsPerBlock,
                CreateProperty::TotalBlockCount,
                CreateProperty::RemainingBlockCount,
                CreateProperty::Salt,
                CreateProperty::UploadAgentId,
            ],
            checksum: Checksum::Sha256Hex,
            bodiless_content_type: BodilessContentType::None,
            bodiless_body: BodilessBody::None,
            if_match: true,
            store_lookup: StoreLookup::List,
            abort: Abort::Cancel,
            ms_version: String::new(),
            integrity: Integrity::Auto,
        }
    }
}

/// How actions are written in addresses; both are legal OData.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ActionForm {
    /// `…/renew`
    Short,
    /// `…/microsoft.graph.renew`
    Qualified,
}

/// Whether bodies repeat the data store's id, which the address names already.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
pub enum SendDataStoreId {
    /// Not at all.
    #[serde(rename = "none")]
    None,
    /// As `dataStoreId`, the spelling since 2021.
    #[serde(rename = "dataStoreId")]
    Current,
    /// As `datastoreId`, the spelling of older rings.
    #[serde(rename = "datastoreId")]
    Old,
}

impl SendDataStoreId {
    /// Returns the property's name, if it is sent.
    pub const fn name(self) -> Option<&'static str> {
        match self {
            Self::None => None,
            Self::Current => Some("dataStoreId"),
            Self::Old => Some("datastoreId"),
        }
    }
}

/// A property a client may send when it creates a session. Those the server
/// sets are not among them and can never be sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum CreateProperty {
    /// The name of the hashed file.
    FileName,
    /// The columns.
    Fields,
    /// The checksum of the hashed file.
    Checksum,
    /// Rows in each block but the last.
    RowsPerBlock,
    /// Blocks of this upload.
    TotalBlockCount,
    /// Blocks still to be uploaded.
    RemainingBlockCount,
    /// The salt the values were hashed under.
    Salt,
    /// The registered upload agent.
    UploadAgentId,
}

/// The form of a session's checksum; hex is lower-case.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Checksum {
    /// SHA-256 in hex.
    #[serde(rename = "sha256-hex")]
    Sha256Hex,
    /// SHA-256 in base64.
    #[serde(rename = "sha256-base64")]
    Sha256Base64,
    /// MD5 in hex.
    #[serde(rename = "md5-hex")]
    Md5Hex,
    /// MD5 in base64.
    #[serde(rename = "md5-base64")]
    Md5Base64,
    /// SHA-512 in hex.
    #[serde(rename = "sha512-hex")]
    Sha512Hex,
    /// SHA-512 in base64.
    #[serde(rename = "sha512-base64")]
    Sha512Base64,
    /// None is sent.
    None,
}

impl Checksum {
    /// Returns which digest of the hashed file it is; nothing if none is sent.
    pub const fn digest(self) -> Option<DigestKind> {
        match self {
            Self::Sha256Hex | Self::Sha256Base64 => Some(DigestKind::Sha256),
            Self::Md5Hex | Self::Md5Base64 => Some(DigestKind::Md5),
            Self::Sha512Hex | Self::Sha512Base64 => Some(DigestKind::Sha512),
            Self::None => None,
        }
    }

    /// Writes that digest as it is to be sent.
    pub fn write(self, digest: &[u8]) -> Option<String> {
        match self {
            Self::Sha256Hex | Self::Md5Hex | Self::Sha512Hex => Some(hex(digest)),
            Self::Sha256Base64 | Self::Md5Base64 | Self::Sha512Base64 => Some(STANDARD.encode(digest)),
            Self::None => None,
        }
    }
}

/// The content type of a POST without a body.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
pub enum BodilessContentType {
    /// None, as Microsoft's SDKs do.
    #[serde(rename = "")]
    None,
    /// `application/json`, as the reference pages show.
    #[serde(rename = "application/json")]
    Json,
}

/// What a POST without a body carries.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
pub enum BodilessBody {
    /// Nothing, with `Content-Length: 0`.
    #[serde(rename = "")]
    None,
    /// An empty object, always sent as `application/json`.
    #[serde(rename = "{}")]
    Object,
}

/// How a data store is found by its display name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum StoreLookup {
    /// By listing them all, which always works.
    List,
    /// By `$filter`, which the service may not support.
    Filter,
}

/// What is done to a session that is given up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Abort {
    /// It is cancelled.
    Cancel,
    /// It is deleted.
    Delete,
    /// It is left to expire.
    Leave,
}

/// How the blob store is asked to verify a block.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Integrity {
    /// By CRC-64/NVME, and by MD5 where the store does not know that.
    Auto,
    /// By CRC-64/NVME (`x-ms-content-crc64`).
    Crc64,
    /// By MD5 (`Content-MD5`).
    Md5,
    /// Not at all; TLS still protects the way.
    None,
}

#[cfg(test)]
mod tests {
    use sha2::Digest;

    use super::*;

    fn read(toml: &str) -> Result<ContractSettings, serde_json::Error> {
        serde_json::from_str(toml)
    }

    #[test]
    fn every_alternative_can_be_written() {
        let settings = read(
            r#"{"action_form":"qualified","send_datastore_id":"datastoreId","send_odata_type":true,
            "create_properties":["fileName","remainingBlockCount"],"checksum":"sha256-base64",
            "bodiless_content_type":"application/json","bodiless_body":"{}","if_match":false,
            "store_lookup":"filter","abort":"leave","ms_version":"2021-12-02","integrity":"md5"}"#,
        )
        .unwrap();
        assert_eq!(settings.send_datastore_id.name(), Some("datastoreId"));
        assert_eq!(settings.create_properties, [CreateProperty::FileName, CreateProperty::RemainingBlockCount]);
        assert_eq!(settings.abort, Abort::Leave);
    }

    #[test]
    fn unknown_keys_and_properties_only_the_server_sets_are_refused() {
        assert!(read(r#"{"acton_form":"short"}"#).unwrap_err().to_string().contains("acton_form"));
        let refused = read(r#"{"create_properties":["creationDateTime"]}"#).unwrap_err().to_string();
        assert!(refused.contains("uploadAgentId"), "it names what is possible: {refused}");
    }

    #[test]
    fn a_checksum_takes_the_form_asked_for() {
        let forms = [
            ("md5-hex", DigestKind::Md5, "900150983cd24fb0d6963f7d28e17f72"),
            ("md5-base64", DigestKind::Md5, "kAFQmDzST7DWlj99KOF/cg=="),
            ("sha256-hex", DigestKind::Sha256, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"),
            ("sha256-base64", DigestKind::Sha256, "ungWv48Bz+pBQUDeXa4iI7ADYaOWF3qctBD/YfIAFa0="),
            (
                "sha512-hex",
                DigestKind::Sha512,
                "ddaf35a193617abacc417349ae20413112e6fa4e89a97ea20a9eeee64b55d39a\
                 2192992a274fc1a836ba3c23a3feebbd454d4423643ce80e2a9ac94fa54ca49f",
            ),
            (
                "sha512-base64",
                DigestKind::Sha512,
                "3a81oZNherrMQXNJriBBMRLm+k6JqX6iCp7u5ktV05ohkpkqJ0/BqDa6PCOj/uu9RU1EI2Q86A4qmslPpUyknw==",
            ),
        ];
        for (word, kind, written) in forms {
            let checksum = read(&format!(r#"{{"checksum":"{word}"}}"#)).unwrap().checksum;
            assert_eq!(checksum.digest(), Some(kind), "{word}");
            let digest = match kind {
                DigestKind::Md5 => md5::Md5::digest("abc").to_vec(),
                DigestKind::Sha256 => sha2::Sha256::digest("abc").to_vec(),
                DigestKind::Sha512 => sha2::Sha512::digest("abc").to_vec(),
            };
            assert_eq!(checksum.write(&digest).as_deref(), Some(written), "{word}: published for abc");
        }
        assert_eq!((Checksum::None.digest(), Checksum::None.write(b"")), (None, None));
    }
}
