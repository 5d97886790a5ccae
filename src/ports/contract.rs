//! The service's own objects: what the remote API says, read tolerantly.
//!
//! Names and shapes follow the Graph beta resource types `exactMatchDataStore`,
//! `exactMatchSession` and `exactMatchUploadAgent`. Every property may be
//! missing or null; unknown ones are kept.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::{Map, Value};

use crate::ground::secret::Secret;

/// A column of a data store (`exactDataMatchStoreColumn`).
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Column {
    /// Its name, as in the table's header.
    #[serde(deserialize_with = "or_default")]
    pub name: String,
    /// Whether content is searched for its values.
    #[serde(deserialize_with = "or_default")]
    pub is_searchable: bool,
    /// Whether case is ignored.
    #[serde(deserialize_with = "or_default")]
    pub is_case_insensitive: bool,
    /// Characters left out before values are compared.
    #[serde(deserialize_with = "or_default")]
    pub ignored_delimiters: Vec<String>,
}

/// A data store (`exactMatchDataStore`).
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct DataStore {
    /// The service's id.
    #[serde(deserialize_with = "or_default")]
    pub id: String,
    /// The name people use.
    #[serde(deserialize_with = "or_default")]
    pub display_name: String,
    /// What it is for.
    #[serde(deserialize_with = "or_default")]
    pub description: String,
    /// When its live table was last replaced.
    #[serde(deserialize_with = "date")]
    pub data_last_updated_date_time: Option<DateTime<Utc>>,
    /// Its columns.
    #[serde(deserialize_with = "or_default")]
    pub columns: Vec<Column>,
    /// Properties this version does not know.
    #[serde(flatten)]
    pub other: Map<String, Value>,
}

/// An upload agent registered with the service (`exactMatchUploadAgent`).
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct UploadAgent {
    /// The service's id.
    #[serde(deserialize_with = "or_default")]
    pub id: String,
    /// What was said when it was registered.
    #[serde(deserialize_with = "or_default")]
    pub description: String,
    /// When it was registered.
    #[serde(deserialize_with = "date")]
    pub creation_date_time: Option<DateTime<Utc>>,
}

/// A session (`exactMatchSession`).
///
/// The upload URI and the salt are secrets: they are taken out on reading and
/// are not part of what serialises.
#[derive(Clone, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Session {
    /// The service's id.
    #[serde(deserialize_with = "or_default")]
    pub id: String,
    /// The data store it belongs to; both historical spellings are read.
    #[serde(alias = "datastoreId", deserialize_with = "or_default")]
    pub data_store_id: String,
    /// The upload agent that opened it.
    #[serde(deserialize_with = "or_default")]
    pub upload_agent_id: String,
    /// The name of the hashed file.
    #[serde(deserialize_with = "or_default")]
    pub file_name: String,
    /// The checksum of the hashed file.
    #[serde(deserialize_with = "or_default")]
    pub checksum: String,
    /// The columns, in the order of the hashed file.
    #[serde(deserialize_with = "or_default")]
    pub fields: Vec<String>,
    /// The service's word for where the session stands; a free text.
    #[serde(deserialize_with = "or_default")]
    pub state: String,
    /// Blocks of this upload.
    #[serde(deserialize_with = "count")]
    pub total_block_count: Option<u32>,
    /// Blocks still to be uploaded.
    #[serde(deserialize_with = "count")]
    pub remaining_block_count: Option<u32>,
    /// Rows in each block but the last.
    #[serde(deserialize_with = "count")]
    pub rows_per_block: Option<u32>,
    /// Processing jobs at the service.
    #[serde(deserialize_with = "count")]
    pub total_job_count: Option<u32>,
    /// Processing jobs left.
    #[serde(deserialize_with = "count")]
    pub remaining_job_count: Option<u32>,
    /// When it was created.
    #[serde(deserialize_with = "date")]
    pub creation_date_time: Option<DateTime<Utc>>,
    /// When the upload started.
    #[serde(deserialize_with = "date")]
    pub start_date_time: Option<DateTime<Utc>>,
    /// When it last changed.
    #[serde(deserialize_with = "date")]
    pub last_updated_date_time: Option<DateTime<Utc>>,
    /// When the blocks were all there.
    #[serde(deserialize_with = "date")]
    pub upload_completion_date_time: Option<DateTime<Utc>>,
    /// When the table was live.
    #[serde(deserialize_with = "date")]
    pub processing_completion_date_time: Option<DateTime<Utc>>,
    /// When it ended, well or badly.
    #[serde(deserialize_with = "date")]
    pub completion_date_time: Option<DateTime<Utc>>,
    /// What went wrong, whole, as the service said it (`classificationError`).
    pub error: Option<Value>,
    /// The entity tag, where the service gives one.
    #[serde(rename = "@odata.etag", skip_serializing_if = "Option::is_none")]
    pub etag: Option<String>,
    /// Where the blocks go, with its signature.
    #[serde(rename = "dataUploadURI", alias = "dataUploadUri", skip_serializing, deserialize_with = "secret")]
    pub data_upload_uri: Option<Secret>,
    /// The salt, should the service return it: wanted only to go on with a
    /// session whose bundle is lost.
    #[serde(skip_serializing, deserialize_with = "secret")]
    pub salt: Option<Secret>,
    /// Properties this version does not know.
    #[serde(flatten)]
    pub other: Map<String, Value>,
}

/// What a client may say when it creates a session. Only properties that are
/// set are sent, and of those only the ones `contract.create_properties` names.
#[derive(Clone, Default)]
pub struct SessionDraft {
    /// The name of the hashed file, unique to this upload.
    pub file_name: String,
    /// The columns, in the order of the hashed file.
    pub fields: Vec<String>,
    /// The checksum of the hashed file, in the form the contract settings ask.
    pub checksum: Option<String>,
    /// Rows in each block but the last.
    pub rows_per_block: Option<u32>,
    /// Blocks of this upload.
    pub total_block_count: u32,
    /// Blocks still to be uploaded.
    pub remaining_block_count: u32,
    /// The salt the values were hashed under.
    pub salt: Option<Secret>,
    /// The registered upload agent, if there is one.
    pub upload_agent_id: Option<String>,
}

/// What a progress report changes. Only properties that are set are sent.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SessionChanges {
    /// Blocks still to be uploaded.
    pub remaining_block_count: Option<u32>,
    /// Blocks of this upload.
    pub total_block_count: Option<u32>,
    /// The word for where the session stands.
    pub state: Option<String>,
    /// The entity tag to send as `If-Match`, where one was seen.
    pub if_match: Option<String>,
}

/// Reads a value that may be null or missing.
fn or_default<'de, D: Deserializer<'de>, T: Deserialize<'de> + Default>(input: D) -> Result<T, D::Error> {
    Ok(Option::deserialize(input)?.unwrap_or_default())
}

/// Reads a secret text that may be null or missing.
fn secret<'de, D: Deserializer<'de>>(input: D) -> Result<Option<Secret>, D::Error> {
    let text: Option<String> = Option::deserialize(input)?;
    Ok(text.filter(|text| !text.is_empty()).map(Secret::new))
}

/// Reads a count. One that is negative, fractional, too large or not a number
/// is no count: it must never be acted on.
fn count<'de, D: Deserializer<'de>>(input: D) -> Result<Option<u32>, D::Error> {
    let value = Value::deserialize(input)?;
    Ok(value.as_u64().and_then(|number| i32::try_from(number).ok()).map(i32::cast_unsigned))
}

/// Reads a date with 1 to 12 fractional digits and any offset. A date that
/// cannot be read is no date: none of them decides anything alone.
fn date<'de, D: Deserializer<'de>>(input: D) -> Result<Option<DateTime<Utc>>, D::Error> {
    let value = Value::deserialize(input)?;
    Ok(value.as_str().and_then(|text| DateTime::parse_from_rfc3339(text).ok()).map(|date| date.to_utc()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(json: &str) -> Session {
        serde_json::from_str(json).unwrap()
    }

    #[test]
    fn dates_with_up_to_twelve_digits_and_any_offset_are_read() {
        for (text, expected) in [
            ("2017-01-01T00:00:59.0982804+03:00", "2016-12-31T21:00:59.098280400+00:00"),
            ("2017-01-01T00:00:59.123456789012Z", "2017-01-01T00:00:59.123456789+00:00"),
            ("2017-01-01T00:00:59.1-11:30", "2017-01-01T11:30:59.100+00:00"),
        ] {
            let session = read(&format!(r#"{{"creationDateTime":"{text}"}}"#));
            assert_eq!(session.creation_date_time.unwrap().to_rfc3339(), expected);
        }
    }

    #[test]
    fn either_spelling_of_the_store_is_read() {
        assert_eq!(read(r#"{"dataStoreId":"a"}"#).data_store_id, "a");
        assert_eq!(read(r#"{"datastoreId":"a"}"#).data_store_id, "a");
    }

    #[test]
    fn counts_that_make_no_sense_are_no_counts() {
        for rubbish in ["-1", "null", "2147483648", "1.5", "\"3\"", "{}"] {
            assert_eq!(read(&format!(r#"{{"totalBlockCount":{rubbish}}}"#)).total_block_count, None, "{rubbish}");
        }
        assert_eq!(read(r#"{"totalBlockCount":2147483647}"#).total_block_count, Some(2_147_483_647));
    }

    #[test]
    fn unknown_properties_are_kept_and_secrets_are_not_shown() {
        let session = read(r#"{"id":"1","novel":{"a":1},"dataUploadURI":"https://canary","salt":"canary"}"#);
        let shown = serde_json::to_string(&session).unwrap();
        assert!(shown.contains("novel"));
        assert!(!shown.contains("canary"));
        assert_eq!(session.data_upload_uri.unwrap().expose(), "https://canary");
    }
}
