//! `[[table]]`: one table and where it goes.

use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::ground::units::duration;
use crate::table::digest::CellDigest;
use crate::table::gates::Rules;
use crate::table::reader::Quotes;
use crate::table::reader::encoding::Encoding;

/// `[[table]]`: one table and where it goes.
#[derive(Debug, Clone, PartialEq, Deserialize)]
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
    /// Whether that file may be another schema than the data store's.
    #[serde(default)]
    pub allow_drift: bool,
    /// The least rows it may have, in percent of the last good upload; 0: any.
    #[serde(default = "min_rows_percent")]
    pub min_rows_percent: f64,
    /// The most rows it may have, in percent of the last good upload; 0: any.
    #[serde(default = "max_rows_percent")]
    pub max_rows_percent: f64,
    /// The most blank values in a searchable column, in percent; 100: any.
    #[serde(default = "max_blank_percent")]
    pub max_blank_percent: f64,
    /// Whether it may have no row at all.
    #[serde(default)]
    pub allow_empty: bool,
    /// Whether content that is live already is not uploaded again.
    #[serde(default = "yes")]
    pub skip_unchanged: bool,
    /// What separates the cells; `auto` chooses by the extension.
    #[serde(default = "auto")]
    pub separator: String,
    /// What may wrap a value.
    #[serde(default)]
    pub quote: Quotes,
    /// How the characters are written; `auto` goes by a byte order mark.
    #[serde(default)]
    pub encoding: Encoding,
    /// How a value becomes a cell.
    #[serde(default)]
    pub digest: CellDigest,
    /// Rows in each block; 0: as many as fit `upload.block_size`.
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
    /// The time zone of the cron expression, by its IANA name.
    #[serde(default = "utc")]
    pub timezone: String,
    /// What is done about times of the cron expression that passed while no
    /// agent was at work.
    #[serde(default)]
    pub catch_up: CatchUp,
    /// How much later than its time a run of the cron expression may begin.
    #[serde(default, deserialize_with = "duration")]
    pub jitter: Duration,
    /// How long the file must stay the same before it is taken.
    #[serde(default = "settle", deserialize_with = "duration")]
    pub settle: Duration,
    /// What is added to `path` to name the file that says that the table is
    /// complete; empty: none is waited for.
    #[serde(default)]
    pub done_marker: String,
    /// A synthetic row that must be found once the table is live.
    #[serde(default)]
    pub canary: Option<Canary>,
}

/// What is done about times that passed while no agent was at work.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum CatchUp {
    /// One run makes up for all of them.
    #[default]
    Once,
    /// Nothing.
    None,
}

impl TableSettings {
    /// How long a file must stay the same if nothing else is said: about what
    /// a producer that writes through a buffer pauses between two writes.
    pub const SETTLE: Duration = Duration::from_secs(3);
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

impl TableSettings {
    /// Returns the rules of its gates.
    pub const fn gates(&self) -> Rules {
        Rules {
            min_rows_percent: self.min_rows_percent,
            max_rows_percent: self.max_rows_percent,
            max_blank_percent: self.max_blank_percent,
        }
    }
}

const fn min_rows_percent() -> f64 {
    80.0
}

const fn max_rows_percent() -> f64 {
    200.0
}

const fn max_blank_percent() -> f64 {
    50.0
}

const fn yes() -> bool {
    true
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

fn settle() -> Duration {
    TableSettings::SETTLE
}
