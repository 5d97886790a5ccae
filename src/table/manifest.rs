//! The manifest of a bundle: everything about it but its bytes and its salt.
//!
//! `docs/BUNDLE.md` describes it. A property this build does not know is
//! passed over; a version it does not know is refused.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use super::block::{EdmBlock1, Encoding};
use super::digest::CellDigest;
use super::layout::{BLOCK_LIMIT, Layout};
use super::normalise::NORMALISATION;
use super::schema::Field;

/// The name and version of the bundle's format.
pub const FORMAT: &str = "edm-bundle/1";

/// What a bundle holds, and of what it was made.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Manifest {
    /// [`FORMAT`].
    pub format: String,
    /// The encoding of its blocks.
    pub encoding: String,
    /// The number of the normalisation rule.
    pub normalisation: u32,
    /// The name of the digest.
    pub digest: String,
    /// The table it was made of, by its name in the settings.
    pub table: String,
    /// The data store it is for, as the schema names it.
    pub data_store: String,
    /// The names of the columns, in the order their digests stand in a row.
    pub fields: Vec<String>,
    /// The columns, in the same order.
    pub columns: Vec<Field>,
    /// Whether whoever hashed it allowed those to be others than the data store's.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub allow_drift: bool,
    /// Rows in all blocks.
    pub rows: u64,
    /// Rows of the table that could not be taken.
    pub rejected_rows: u64,
    /// Blank values in each column, in the same order: those of which nothing
    /// is left once they are normalised. Bundles of earlier builds do not say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub blank: Option<Vec<u64>>,
    /// The content digest, if the host that made it has a key: see
    /// [`super::content`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub content: Option<String>,
    /// Rows in each block but the last.
    pub rows_per_block: u32,
    /// Bytes in all blocks.
    pub bytes: u64,
    /// SHA-256 of `blocks.bin` in lower-case hex: the session's checksum.
    pub sha256: String,
    /// SHA-256 of the salt's 64 characters in lower-case hex, so that a signature
    /// of the manifest holds for the salt too; older bundles have none. It tells
    /// nothing: there are 36^64 salts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub salt_sha256: Option<String>,
    /// The blocks, in order.
    pub blocks: Vec<BlockEntry>,
    /// The table it was made of, as a file.
    pub source: Source,
    /// When it was made.
    pub created: DateTime<Utc>,
}

/// One block of a bundle.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BlockEntry {
    /// Rows in it.
    pub rows: u32,
    /// Its bytes, header included.
    pub length: u64,
    /// CRC-64/NVME of its bytes, 16 hex digits.
    #[serde(with = "hex64")]
    pub crc64nvme: u64,
    /// SHA-256 of its bytes in lower-case hex.
    pub sha256: String,
}

/// The file a bundle was made of.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Source {
    /// Its name, without the folder.
    pub name: String,
    /// Which file, and which state of it.
    #[serde(flatten)]
    pub identity: SourceIdentity,
}

/// Tells one state of a file from any other, without reading it. Two equal
/// identities mean the same bytes, unless someone turned the clock back.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct SourceIdentity {
    /// The device it is on.
    pub device: u64,
    /// Its number there.
    pub inode: u64,
    /// Its length.
    pub bytes: u64,
    /// When its content last changed, in nanoseconds since 1970.
    pub modified_ns: i64,
    /// When anything about it last changed, in nanoseconds since 1970.
    pub changed_ns: i64,
}

/// Why a manifest is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct ManifestError(String);

impl Manifest {
    /// Checks that this build can read the bundle and that the counts agree.
    ///
    /// # Errors
    ///
    /// Says what this build cannot read, or which counts disagree.
    pub fn check(&self) -> Result<(), ManifestError> {
        let (encoding, normalisation) = (EdmBlock1.name(), NORMALISATION.to_string());
        for (what, found, known) in [
            ("format", &self.format, FORMAT),
            ("encoding", &self.encoding, encoding),
            ("normalisation", &self.normalisation.to_string(), normalisation.as_str()),
        ] {
            if found != known {
                return Err(ManifestError(format!("its {what} is `{found}` and this build reads `{known}`")));
            }
        }
        if CellDigest::named(&self.digest).is_none() {
            return Err(ManifestError(format!("its digest is `{}`, which this build does not know", self.digest)));
        }
        if !self.fields.iter().eq(self.columns.iter().map(|column| &column.name)) {
            return Err(ManifestError("its fields and columns are not the same".to_owned()));
        }
        if self.blank.as_ref().is_some_and(|blank| blank.len() != self.columns.len()) {
            return Err(ManifestError("its counts of blank values are not one for each column".to_owned()));
        }
        if !(1..=super::schema::COLUMN_LIMIT).contains(&self.fields.len()) {
            return Err(ManifestError(format!("it has {} columns", self.fields.len())));
        }
        let layout =
            Layout::new(self.fields.len(), self.rows_per_block).map_err(|error| ManifestError(error.to_string()))?;
        self.check_blocks(layout)
    }

    fn check_blocks(&self, layout: Layout) -> Result<(), ManifestError> {
        let count = self.blocks.len() as u64;
        if count == 0
            || count > BLOCK_LIMIT
            || count != layout.blocks(self.rows)
            || self.bytes != layout.bytes(self.rows)
        {
            return Err(ManifestError(format!(
                "{} rows, {} bytes and {count} blocks do not agree",
                self.rows, self.bytes
            )));
        }
        let mut left = self.rows;
        for (index, block) in self.blocks.iter().enumerate() {
            let rows = u64::from(layout.rows_per_block()).min(left);
            if u64::from(block.rows) != rows || block.length != layout.block_bytes(block.rows) as u64 {
                return Err(ManifestError(format!("the rows and length of its block {index} do not agree")));
            }
            left -= rows;
        }
        Ok(())
    }
}

/// A 64-bit number as 16 hex digits: JSON numbers stop at 53 bits in many readers.
mod hex64 {
    use serde::{Deserialize, Deserializer, Serializer};

    pub(super) fn serialize<S: Serializer>(value: &u64, output: S) -> Result<S::Ok, S::Error> {
        output.collect_str(&format_args!("{value:016x}"))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(input: D) -> Result<u64, D::Error> {
        let text = String::deserialize(input)?;
        match u64::from_str_radix(&text, 16) {
            Ok(value) if text.len() == 16 => Ok(value),
            Ok(_) | Err(_) => Err(serde::de::Error::custom("16 hex digits are expected")),
        }
    }
}
