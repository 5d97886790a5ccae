//! Bundles on disk: [`hash`] makes one of a table, [`Bundle`] reads it.
//!
//! A bundle is a folder of three files, `blocks.bin`, `manifest.json` and
//! `salt`; `docs/BUNDLE.md` describes them byte by byte. Nothing in it is clear
//! text, but with its salt short values can be guessed, so it is private to
//! its owner.
//!
//! # Invariants
//!
//! - A bundle is there whole or not at all: it is made under another name, made
//!   durable, and renamed.
//! - The same table, schema and salt give the same `blocks.bin`, whatever the
//!   number of threads.
//! - Memory does not grow with the table.

use std::fmt;
use std::path::PathBuf;
use std::sync::atomic::AtomicU64;

use crate::table::digest::CellDigest;
use crate::table::reader::encoding::Encoding;
use crate::table::reader::{Dialect, Quotes, Separator};
use crate::table::salt::Salt;
use crate::table::schema::Schema;

mod beginning;
mod blocks;
mod container;
mod error;
mod hash;
mod input;
mod key;
mod keys;
mod limits;
mod making;
mod output;
mod pieces;
mod pipeline;
mod pool;
mod report;
mod salt;
mod sealed;
mod source;
mod stored;
mod unseal;
mod validate;
mod whole;

pub use crate::table::manifest::SourceIdentity;
pub use container::{ContainerError, Contents};
pub use error::{BundleError, ExitClass, HashError};
pub use hash::{Handoff, NO_PIPE, estimate, hand_off, hash, hash_stream};
pub use input::{Input, InputError};
pub use key::{find_content_key, make_content_key};
pub use keys::{Identities, KEY_LIMIT, KeyError, Recipients};
pub use limits::{Limits, ROW_COUNT_LIMIT, room_for};
pub use output::{PARTIAL_SUFFIX, remove_folder, remove_left_over};
pub use pieces::{Piece, Pieces};
pub use pool::BufferPool;
pub use report::{REPORT_SUFFIX, reject_report};
pub use salt::salt;
pub use source::identify;
pub use stored::Bundle;
pub use unseal::{SealedError, check_signature, peek, unseal};
pub use validate::{Validation, validate, validate_stream};

/// The file of a bundle that holds its blocks.
pub const BLOCKS_FILE: &str = "blocks.bin";
/// The file of a bundle that describes it.
pub const MANIFEST_FILE: &str = "manifest.json";
/// The file of a bundle that holds its salt.
pub const SALT_FILE: &str = "salt";

/// What is to be hashed, and how.
#[derive(Debug, Clone)]
pub struct HashOrder {
    /// The table's name in the settings.
    pub table: String,
    /// The file it is in.
    pub source: PathBuf,
    /// Its columns.
    pub schema: Schema,
    /// What stands between two fields; `None` to go by the file's extension.
    pub separator: Option<Separator>,
    /// What may wrap a value.
    pub quotes: Quotes,
    /// How its characters are written.
    pub encoding: Encoding,
    /// How a value becomes a cell.
    pub digest: CellDigest,
    /// Rows in each block; `None` for blocks of one size.
    pub rows_per_block: Option<u32>,
    /// The bytes a block may have where `rows_per_block` is `None`: as many
    /// whole rows as fit are in it, more only where there would be too many
    /// blocks.
    pub block_size: u64,
    /// How many rows in a hundred may be rejected, 0 to 100.
    pub allowed_bad_lines_percent: f64,
    /// Whether the columns may be others than the data store's; whoever uploads
    /// the bundle is told.
    pub allow_drift: bool,
    /// Whether there may be no row at all.
    pub allow_empty: bool,
    /// Where the salt comes from.
    pub salt: SaltSource,
    /// The file of the key of content digests; without such a file the content
    /// is not digested.
    pub content_key: Option<PathBuf>,
    /// The folder to make; it must not exist, or be empty.
    pub output: PathBuf,
    /// What the bundle must stay within.
    pub limits: Limits,
    /// Threads that hash; 0 for one on each core.
    pub threads: usize,
}

impl HashOrder {
    /// Refuses a share of bad rows that is none.
    pub(super) fn check_percentage(&self) -> Result<(), HashError> {
        let allowed = self.allowed_bad_lines_percent;
        if (0.0..=100.0).contains(&allowed) { Ok(()) } else { Err(HashError::Percentage(allowed)) }
    }

    /// Returns how the table is to be read, its coding yet to be found.
    ///
    /// # Errors
    ///
    /// [`HashError::Separator`] where nothing tells the separator.
    pub fn dialect(&self) -> Result<Dialect, HashError> {
        let separator = self.separator.or_else(|| Separator::for_path(&self.source));
        let separator = separator.ok_or_else(|| HashError::Separator(self.table.clone()))?;
        Ok(Dialect::new(separator).quoted_by(self.quotes))
    }
}

/// Where the salt of a bundle comes from.
#[derive(Clone)]
pub enum SaltSource {
    /// The system's random number generator: a new salt for each bundle.
    Fresh,
    /// A file that holds the salt.
    File(PathBuf),
    /// This salt: that of a session the bundle is to go on with.
    Given(Salt),
}

impl fmt::Debug for SaltSource {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Fresh => out.write_str("Fresh"),
            Self::File(path) => out.debug_tuple("File").field(path).finish(),
            Self::Given(_) => out.write_str("Given"),
        }
    }
}

/// How far hashing has come; read it from another thread.
#[derive(Debug, Default)]
pub struct HashProgress {
    /// Bytes of the table read so far.
    pub bytes_read: AtomicU64,
    /// Bytes of the table.
    pub bytes_total: AtomicU64,
    /// Rows hashed so far.
    pub rows: AtomicU64,
    /// Rows rejected so far.
    pub rejected: AtomicU64,
}
