//! What can go wrong with bundles, and what the caller should make of it.

use std::io;
use std::path::{Path, PathBuf};

use super::input::InputError;
use crate::adapters::entropy::EntropyError;
use crate::ground::units::Size;
use crate::table::header::HeaderError;
use crate::table::layout::LayoutError;
use crate::table::rejects::Rejects;

/// What the exit code of a command should say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ExitClass {
    /// The table or the bundle is bad: 65.
    BadData,
    /// The host's disks or files failed: 74.
    LocalIo,
    /// It may go better another time: 75.
    TryLater,
    /// What was asked cannot be done: 78.
    Configuration,
}

impl ExitClass {
    /// Returns the exit code.
    pub const fn code(self) -> u8 {
        match self {
            Self::BadData => 65,
            Self::LocalIo => 74,
            Self::TryLater => 75,
            Self::Configuration => 78,
        }
    }
}

/// Why a table was not hashed. Whatever it is, no bundle was left behind.
#[derive(Debug, thiserror::Error)]
pub enum HashError {
    /// The separator was not given, and the file's name does not tell it.
    #[error(
        "choose the separator of table `{0}`: no file name that ends in .csv, .tsv, .tab or .psv tells it; set `separator`"
    )]
    Separator(String),
    /// The share of bad rows is not a percentage.
    #[error("read allowed_bad_lines_percent: {0} is not between 0 and 100; correct the setting")]
    Percentage(f64),
    /// The rows cannot be laid into blocks as asked.
    #[error(transparent)]
    Layout(#[from] LayoutError),
    /// The output is there already.
    #[error("make bundle {}: it exists and is not empty; remove it or name another folder", .0.display())]
    OutputExists(PathBuf),
    /// Another process makes the same bundle.
    #[error("make bundle {}: another process is making it; wait for it or name another folder", .0.display())]
    Busy(PathBuf),
    /// The salt file cannot be used: which, why, and what to do.
    #[error("{0}")]
    SaltFile(String),
    /// The key of content digests is of no use.
    #[error("{0}")]
    Key(String),
    /// There is no random salt to be had.
    #[error(transparent)]
    Entropy(#[from] EntropyError),
    /// The source is not an ordinary file.
    #[error("open table source {}: it is {kind}; name the file itself, with one name and no links", path.display())]
    SourceKind {
        /// Its path.
        path: PathBuf,
        /// What it is instead.
        kind: &'static str,
    },
    /// The source could not be opened.
    #[error("open table source {}; check that it exists and that this process may read it", path.display())]
    Open {
        /// Its path.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The source could not be read to its end.
    #[error("read table source {}; check the disk it is on, then hash again", path.display())]
    Read {
        /// Its path.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The source could be read and is no table.
    #[error("read table source {}: {problem}", path.display())]
    Content {
        /// Its path.
        path: PathBuf,
        /// What it is instead, and what to do.
        problem: InputError,
    },
    /// The header does not fit the schema.
    #[error(transparent)]
    Header(#[from] HeaderError),
    /// A quoted value has no end.
    #[error("read the table: the quote on line {line} (byte {offset}) is never closed; correct that line")]
    Unclosed {
        /// The line the quote is on, from 1.
        line: u64,
        /// The byte it is at, from 0.
        offset: u64,
    },
    /// More rows were bad than is allowed.
    #[error(
        "take the table's rows: {} of {} were rejected and {allowed} % are allowed ({rejects}); correct the table or \
         raise allowed_bad_lines_percent{}", rejects.total(), rows + rejects.total(),
        report.as_ref().map(|path| format!("; {} names them", path.display())).unwrap_or_default()
    )]
    TooManyBadRows {
        /// Rows that were good.
        rows: u64,
        /// Rows that were not.
        rejects: Box<Rejects>,
        /// The share that is allowed.
        allowed: f64,
        /// The file that names them by place, if it could be written.
        report: Option<PathBuf>,
    },
    /// More rows than a data store takes.
    #[error(
        "take the table's rows: there are more than the {most} a data store takes; split the table over several stores"
    )]
    TooManyRows {
        /// How many it takes.
        most: u64,
    },
    /// More bytes than a bundle may have.
    #[error("make the bundle: it would have more than {}, and bundles.max_bytes allows no more; raise it", Size(*most))]
    TooLarge {
        /// How many it may have.
        most: u64,
    },
    /// There is no row: uploaded, it would empty the data store.
    #[error(
        "take the table's rows: there is none, and an upload would empty the data store; export the table \
         again, or set allow_empty = true for the table"
    )]
    NoRows,
    /// The source changed while it was read.
    #[error("read table source {}: it changed meanwhile; hash again once its producer is done", .0.display())]
    SourceChanged(PathBuf),
    /// The disk has no room for the bundle.
    #[error(
        "make bundle in {}: it needs about {} beside the {} to keep free, and {} are free; free some space or set \
         bundles.dir to a larger disk", dir.display(), Size(*needed), Size(*keep), Size(*free)
    )]
    NoRoom {
        /// The folder it would be in.
        dir: PathBuf,
        /// Bytes the bundle is expected to have.
        needed: u64,
        /// Bytes to keep free beside it.
        keep: u64,
        /// Bytes that are free.
        free: u64,
    },
    /// The disk filled while the bundle was written.
    #[error("write {}: the disk or the quota is full; free some space, then hash again", path.display())]
    Full {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A file of the bundle could not be written.
    #[error("write {}; check that the folder above it exists, is writable, and its disk sound", path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A thread could not be started.
    #[error("start a thread to hash with; check the limit of processes")]
    Thread(#[source] io::Error),
    /// The caller asked to stop.
    #[error("hash the table: stopped on request; hash again to go on")]
    Stopped,
    /// The finished bundle does not read back.
    #[error("read the finished bundle back; check the disk, then hash again")]
    Unreadable(#[source] BundleError),
}

impl HashError {
    /// Returns what the exit code of a command should say.
    pub const fn class(&self) -> ExitClass {
        match self {
            Self::Separator(_)
            | Self::Percentage(_)
            | Self::Layout(_)
            | Self::OutputExists(_)
            | Self::SaltFile(_)
            | Self::Key(_)
            | Self::SourceKind { .. } => ExitClass::Configuration,
            Self::Content { .. }
            | Self::Header(_)
            | Self::Unclosed { .. }
            | Self::TooManyBadRows { .. }
            | Self::TooManyRows { .. }
            | Self::NoRows => ExitClass::BadData,
            Self::Busy(_) | Self::SourceChanged(_) | Self::Stopped => ExitClass::TryLater,
            Self::Entropy(_)
            | Self::Open { .. }
            | Self::Read { .. }
            | Self::NoRoom { .. }
            | Self::TooLarge { .. }
            | Self::Full { .. }
            | Self::Write { .. }
            | Self::Thread(_)
            | Self::Unreadable(_) => ExitClass::LocalIo,
        }
    }

    /// Returns whether it is only for lack of space, so that waiting may help.
    pub const fn is_full(&self) -> bool {
        matches!(self, Self::Full { .. } | Self::NoRoom { .. })
    }

    /// Tells bytes that cannot be read from bytes that are no table.
    pub(super) fn reading(path: &Path, source: io::Error) -> Self {
        let path = path.to_owned();
        match source.get_ref().and_then(|inner| inner.downcast_ref::<InputError>()) {
            Some(problem) => Self::Content { path, problem: *problem },
            None => Self::Read { path, source },
        }
    }

    pub(super) fn write(path: PathBuf, source: io::Error) -> Self {
        if matches!(source.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded) {
            return Self::Full { path, source };
        }
        Self::Write { path, source }
    }
}

/// Why a bundle, or a part of it, cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum BundleError {
    /// One of its files cannot be opened or read.
    #[error("read {}; check that the bundle is whole and that this process may read it", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// What its files say does not agree.
    #[error("use bundle {}: {problem}; hash the table again", dir.display())]
    Unusable {
        /// The bundle.
        dir: PathBuf,
        /// What does not agree.
        problem: String,
    },
    /// A block is not the one that was written.
    #[error("read block {index} of bundle {}: {problem}; hash the table again", dir.display())]
    Damaged {
        /// The bundle.
        dir: PathBuf,
        /// The block.
        index: u32,
        /// What shows it.
        problem: &'static str,
    },
    /// The bundle could not be removed.
    #[error("remove bundle {}; check that the folder is writable and holds nothing else", dir.display())]
    Remove {
        /// The bundle.
        dir: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

impl BundleError {
    /// Returns what the exit code of a command should say.
    pub const fn class(&self) -> ExitClass {
        match self {
            Self::Read { .. } | Self::Remove { .. } => ExitClass::LocalIo,
            Self::Unusable { .. } | Self::Damaged { .. } => ExitClass::BadData,
        }
    }
}
