//! Looking out for changes to files by inotify (Linux, inotify(7)).
//!
//! What is watched are folders, never files: a file is replaced by another of
//! its name. Folders on other hosts are not watched at all, since the kernel
//! tells only what this host does to them.

mod way;

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsStr;
use std::future::pending;
use std::mem::MaybeUninit;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use rustix::fs::inotify::{self, CreateFlags, ReadFlags, WatchFlags};
use rustix::io::Errno;
use tokio::io::unix::AsyncFd;

use crate::ports::Task;
use crate::ports::lookout::{Blind, Happening, Lookout, News, Point};

pub use way::way;

/// Bytes of news read at a time: some hundred events with long names. What
/// does not fit waits in the kernel, which keeps 16384 by default and says so
/// when it had to drop some.
const NEWS: usize = 16 << 10;
/// Happenings told at a time; with more it is quicker to look everywhere.
const HAPPENINGS: usize = 1_024;

/// File systems whose files other hosts change, by the number `statfs` gives
/// (linux/magic.h and each file system's own source).
const REMOTE: [(u32, &str); 12] = [
    (0x6969, "NFS"),
    (0xFF53_4D42, "CIFS"),
    (0xFE53_4D42, "SMB"),
    (0x517B, "SMB"),
    (0x6573_5546, "FUSE"),
    (0x0102_1997, "9P"),
    (0x00C3_6400, "Ceph"),
    (0x5346_414F, "AFS"),
    (0x6B41_4653, "AFS"),
    (0x0BD0_0BD0, "Lustre"),
    (0x4750_4653, "GPFS"),
    (0x7461_636F, "OCFS2"),
];

/// Looks out by inotify.
pub struct Inotify {
    queue: Result<AsyncFd<OwnedFd>, String>,
    /// What matters in each folder that is watched, by the watch's number. Two
    /// ways to one folder are one watch.
    watched: BTreeMap<i32, BTreeSet<Point>>,
}

impl Inotify {
    /// Makes the queue. A host that has none to give is looked out on all the
    /// same, blindly.
    ///
    /// # Panics
    ///
    /// Outside of a runtime.
    pub fn new() -> Self {
        let queue = inotify::init(CreateFlags::CLOEXEC | CreateFlags::NONBLOCK)
            .map_err(|errno| refusal("open an inotify queue", errno, "fs.inotify.max_user_instances"))
            .and_then(listen);
        Self { queue, watched: BTreeMap::new() }
    }

    /// Watches a folder; returns the watch's number, or none if it is gone.
    fn watch(&self, folder: &Path) -> Result<Option<i32>, String> {
        let queue = self.queue.as_ref().map_err(Clone::clone)?;
        if let Some(name) = remote(folder) {
            return Err(format!("it is on {name}, where other hosts' changes are not told"));
        }
        let flags = WatchFlags::CLOSE_WRITE
            | WatchFlags::MOVED_TO
            | WatchFlags::MOVED_FROM
            | WatchFlags::CREATE
            | WatchFlags::DELETE
            | WatchFlags::DELETE_SELF
            | WatchFlags::MOVE_SELF
            | WatchFlags::ONLYDIR;
        match inotify::add_watch(queue.get_ref(), folder, flags) {
            Ok(number) => Ok(Some(number)),
            Err(Errno::NOENT | Errno::NOTDIR) => Ok(None),
            Err(errno) => Err(refusal("watch it", errno, "fs.inotify.max_user_watches")),
        }
    }

    /// Reads what is there and returns what of it matters, if anything does.
    fn read(&mut self) -> Option<News> {
        let queue = self.queue.as_ref().ok()?;
        let mut buffer = [MaybeUninit::uninit(); NEWS];
        let mut reader = inotify::Reader::new(queue.get_ref(), &mut buffer);
        let (mut happened, mut missed, mut gone) = (Vec::new(), false, Vec::new());
        loop {
            let event = match reader.next() {
                Ok(event) => event,
                Err(Errno::INTR) => continue,
                Err(_) => break,
            };
            missed |= event.events().contains(ReadFlags::QUEUE_OVERFLOW) || happened.len() >= HAPPENINGS;
            if event.events().contains(ReadFlags::IGNORED) {
                gone.push(event.wd());
            }
            let Some(points) = self.watched.get(&event.wd()).filter(|_| !missed) else { continue };
            let is_self = event.events().intersects(ReadFlags::DELETE_SELF | ReadFlags::MOVE_SELF | ReadFlags::IGNORED);
            let name = event.file_name().map(|name| OsStr::from_bytes(name.to_bytes()));
            let arrived = event.events().contains(ReadFlags::MOVED_TO);
            let concerned = points.iter().filter(|point| is_self || name == Some(&point.name));
            happened.extend(concerned.map(|point| Happening { point: point.clone(), arrived }));
        }
        for number in gone {
            self.watched.remove(&number);
        }
        match missed {
            true => Some(News::Missed),
            false => (!happened.is_empty()).then_some(News::Happened(happened)),
        }
    }
}

impl Default for Inotify {
    fn default() -> Self {
        Self::new()
    }
}

impl Lookout for Inotify {
    fn look_at(&mut self, points: &BTreeSet<Point>) -> Vec<Blind> {
        let mut folders = BTreeMap::<&Path, Vec<&Point>>::new();
        for point in points {
            folders.entry(&point.folder).or_default().push(point);
        }
        let (mut watched, mut blind) = (BTreeMap::<i32, BTreeSet<Point>>::new(), Vec::new());
        for (folder, points) in folders {
            match self.watch(folder) {
                Ok(Some(number)) => watched.entry(number).or_default().extend(points.into_iter().cloned()),
                Ok(None) => (),
                Err(reason) => blind.push(Blind { folder: folder.to_owned(), reason }),
            }
        }
        if let Ok(queue) = &self.queue {
            for number in self.watched.keys().filter(|number| !watched.contains_key(number)) {
                // The folder may be gone, and its watch with it.
                let _ = inotify::remove_watch(queue.get_ref(), *number);
            }
        }
        self.watched = watched;
        blind
    }

    fn news(&mut self) -> Task<'_, News> {
        Box::pin(async move {
            loop {
                let Ok(queue) = &self.queue else { return pending().await };
                let Ok(mut ready) = queue.readable().await else { return pending().await };
                // All that is there is read below; what comes after makes it ready again.
                ready.clear_ready();
                drop(ready);
                if let Some(news) = self.read() {
                    return news;
                }
            }
        })
    }
}

/// Has the runtime say when the queue can be read.
#[expect(
    deprecated,
    reason = "unsound only for a type that changes its descriptor, which an owned one cannot; the heir is unsafe"
)]
fn listen(queue: OwnedFd) -> Result<AsyncFd<OwnedFd>, String> {
    AsyncFd::new(queue).map_err(|error| format!("listen to an inotify queue: {error}"))
}

/// Returns what a folder is on, if other hosts can change it there.
fn remote(folder: &Path) -> Option<&'static str> {
    let found = rustix::fs::statfs(folder).ok()?;
    #[expect(
        clippy::cast_sign_loss,
        clippy::cast_possible_truncation,
        reason = "a number of 32 bits, whatever its type"
    )]
    let kind = found.f_type as u32;
    REMOTE.iter().find(|(number, _)| *number == kind).map(|(_, name)| *name)
}

fn refusal(step: &str, errno: Errno, limit: &str) -> String {
    let advice = match errno {
        Errno::MFILE | Errno::NOSPC => format!("; raise {limit} (sysctl)"),
        _ => String::new(),
    };
    format!("{step}: {}{advice}", std::io::Error::from(errno))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_a_queue_every_folder_is_blind_and_the_limit_to_raise_is_named() {
        let refused = refusal("open an inotify queue", Errno::MFILE, "fs.inotify.max_user_instances");
        let mut lookout = Inotify { queue: Err(refused), watched: BTreeMap::new() };
        let home = tempfile::tempdir().unwrap();

        let blind = lookout.look_at(&way(&home.path().join("t.csv")));

        assert_eq!(blind.len(), 1);
        assert!(blind[0].reason.ends_with("raise fs.inotify.max_user_instances (sysctl)"), "{}", blind[0].reason);
    }

    #[test]
    fn this_hosts_own_files_are_not_remote() {
        let home = tempfile::tempdir().unwrap();
        assert_eq!(remote(home.path()), None);
        assert_eq!(remote(Path::new("/proc")), None);
    }
}
