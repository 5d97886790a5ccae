//! The state directory: private, local, and held by one agent at a time.
//!
//! Everything the agent keeps lies in it. It is opened once, checked, and
//! locked for as long as [`StateDir`] lives. The lock is an flock: the kernel
//! frees it when the process ends, however it ends, so a lock never goes stale.
//!
//! # Invariants
//!
//! - Nobody but its owner can list, read or enter the directory.
//! - At most one process on this host holds it.

mod filesystem;
mod lock;
mod probe;

use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{self, ErrorKind};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use rustix::fs::{OFlags, StatVfsMountFlags, fstatvfs};
use rustix::process::geteuid;

pub use probe::sync_latency;

/// Mode bits that let others than the owner in.
const OTHERS: u32 = 0o077;

/// Why the state directory cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum StateError {
    /// Another agent holds it.
    #[error("lock the state directory {path}: it is held by {holder}: stop that agent, or give this one another state_dir", path = path.display(), holder = shown(*pid, since.as_deref()))]
    Held {
        /// The directory.
        path: PathBuf,
        /// Who holds it, if the lock file says so.
        pid: Option<u32>,
        /// Since when, as the lock file has it.
        since: Option<String>,
    },
    /// Its volume is mounted read-only.
    #[error("use the state directory {path}: its volume is read only: mount it writable, or set state_dir to a place that is", path = path.display())]
    ReadOnly {
        /// The directory.
        path: PathBuf,
    },
    /// Others than its owner could enter it.
    #[error("use the state directory {path}: its mode {mode:03o} lets others in: run `chmod 700 {path}`", path = path.display())]
    Exposed {
        /// The directory.
        path: PathBuf,
        /// Its mode.
        mode: u32,
    },
    /// It belongs to another user.
    #[error("use the state directory {path}: it belongs to user {owner} and the agent runs as user {user}: run `chown -R {user} {path}`, or start the agent as its owner", path = path.display())]
    Foreign {
        /// The directory.
        path: PathBuf,
        /// Its owner.
        owner: u32,
        /// Who the agent runs as.
        user: u32,
    },
    /// It is on a file system that does not keep promises about locks and syncs.
    #[error("use the state directory {path}: it is on {filesystem}, where a lock or an fsync may not hold: set state_dir to a local disk, or force it if only this host uses it", path = path.display())]
    Network {
        /// The directory.
        path: PathBuf,
        /// The file system's name.
        filesystem: &'static str,
    },
    /// The operating system refused something else.
    #[error("{step} the state directory {path}: check that it is a directory and that the agent's user may use it", path = path.display())]
    Io {
        /// What was being done.
        step: &'static str,
        /// The directory.
        path: PathBuf,
        /// What the operating system said.
        source: io::Error,
    },
}

impl StateError {
    /// Returns the exit code of a command that ends with it: 75 try later,
    /// 78 bad configuration, 74 local I/O.
    pub const fn exit_code(&self) -> u8 {
        match self {
            Self::Held { .. } => 75,
            Self::ReadOnly { .. } => 78,
            Self::Exposed { .. } | Self::Foreign { .. } | Self::Network { .. } | Self::Io { .. } => 74,
        }
    }
}

/// The state directory, held.
#[derive(Debug)]
pub struct StateDir {
    path: PathBuf,
    directory: File,
    _lock: File,
}

impl StateDir {
    /// Opens the state directory, makes it if it is missing, and holds it until
    /// dropped. `force` allows a network file system.
    ///
    /// # Errors
    ///
    /// Refuses a directory that is not private to the agent's user, not on a
    /// local disk, not writable, or held already.
    pub fn open(path: &Path, force: bool) -> Result<Self, StateError> {
        create(path).map_err(failed("make", path))?;
        let directory = OpenOptions::new()
            .read(true)
            .custom_flags(OFlags::DIRECTORY.bits().cast_signed())
            .open(path)
            .map_err(failed("open", path))?;
        check(path, &directory, force)?;
        let lock = match lock::take(&path.join("lock")).map_err(failed("lock", path))? {
            lock::Taken::Ours(lock) => lock,
            lock::Taken::Theirs { pid, since } => return Err(StateError::Held { path: path.to_owned(), pid, since }),
        };
        Ok(Self { path: path.to_owned(), directory, _lock: lock })
    }

    /// Returns the directory itself.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Returns where the journal is.
    pub fn journal(&self) -> PathBuf {
        self.path.join("journal.db")
    }

    /// Returns where bundles go unless the settings say otherwise.
    pub fn bundles(&self) -> PathBuf {
        self.path.join("bundles")
    }

    /// Returns how many bytes the agent's user may still write to its volume.
    ///
    /// # Errors
    ///
    /// When the volume does not answer.
    pub fn free_space(&self) -> Result<u64, StateError> {
        let volume = fstatvfs(&self.directory).map_err(|source| StateError::Io {
            step: "measure the space left for",
            path: self.path.clone(),
            source: source.into(),
        })?;
        Ok(volume.f_bavail.saturating_mul(volume.f_frsize))
    }
}

fn create(path: &Path) -> io::Result<()> {
    match DirBuilder::new().mode(0o700).create(path) {
        Ok(()) => sync_parent(path),
        Err(error) if error.kind() == ErrorKind::AlreadyExists => Ok(()),
        Err(error) if error.kind() == ErrorKind::NotFound => {
            DirBuilder::new().recursive(true).mode(0o700).create(path)?;
            sync_parent(path)
        }
        // A read-only volume says so even of what is there already.
        Err(_) if path.is_dir() => Ok(()),
        Err(error) => Err(error),
    }
}

/// A directory that a power cut takes away again takes its journal with it.
fn sync_parent(path: &Path) -> io::Result<()> {
    match path.parent() {
        Some(parent) if parent != Path::new("") => File::open(parent)?.sync_all(),
        _ => Ok(()),
    }
}

/// Checks the open directory, not its name, so that it cannot be swapped in
/// between.
fn check(path: &Path, directory: &File, force: bool) -> Result<(), StateError> {
    let look = failed("look at", path);
    let found = directory.metadata().map_err(&look)?;
    let user = geteuid().as_raw();
    if found.uid() != user {
        return Err(StateError::Foreign { path: path.to_owned(), owner: found.uid(), user });
    }
    if found.mode() & OTHERS != 0 {
        return Err(StateError::Exposed { path: path.to_owned(), mode: found.mode() & 0o7777 });
    }
    if let Some(filesystem) = filesystem::unreliable(directory).map_err(&look)?.filter(|_| !force) {
        return Err(StateError::Network { path: path.to_owned(), filesystem });
    }
    let volume = fstatvfs(directory).map_err(|error| look(error.into()))?;
    if volume.f_flag.contains(StatVfsMountFlags::RDONLY) {
        return Err(StateError::ReadOnly { path: path.to_owned() });
    }
    Ok(())
}

fn failed(step: &'static str, path: &Path) -> impl Fn(io::Error) -> StateError {
    move |source| {
        let path = path.to_owned();
        if source.kind() == ErrorKind::ReadOnlyFilesystem {
            StateError::ReadOnly { path }
        } else {
            StateError::Io { step, path, source }
        }
    }
}

fn shown(pid: Option<u32>, since: Option<&str>) -> String {
    match (pid, since) {
        (Some(pid), Some(since)) => format!("pid {pid} since {since}"),
        (Some(pid), None) => format!("pid {pid}"),
        (None, _) => "another process".to_owned(),
    }
}
