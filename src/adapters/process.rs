//! What the kernel knows of this process and of the volumes it writes to.

use std::io;
use std::path::Path;

use rustix::process::{Resource, getrlimit};
use rustix::time::{ClockId, clock_gettime};

/// What this process takes of its host. What the kernel does not say is left out.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Taken {
    /// Seconds of all cores together, for itself and in the kernel.
    pub cpu_seconds: f64,
    /// Memory in use, in bytes.
    pub resident_bytes: Option<u64>,
    /// Addresses in use, in bytes.
    pub virtual_bytes: Option<u64>,
    /// Open files and sockets.
    pub open_fds: Option<u64>,
    /// Open files and sockets there may be.
    pub max_fds: Option<u64>,
    /// Threads.
    pub threads: Option<u64>,
}

impl Taken {
    /// Asks the kernel. Reads `/proc/self`, which waits for no disk.
    pub fn now() -> Self {
        let cpu = clock_gettime(ClockId::ProcessCPUTime);
        let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
        let kilobytes = |key| field(&status, key).map(|kilobytes| kilobytes.saturating_mul(1_024));
        Self {
            cpu_seconds: cpu.tv_sec as f64 + cpu.tv_nsec as f64 / 1e9,
            resident_bytes: kilobytes("VmRSS:"),
            virtual_bytes: kilobytes("VmSize:"),
            open_fds: open_fds(),
            max_fds: getrlimit(Resource::Nofile).current,
            threads: field(&status, "Threads:"),
        }
    }
}

/// Returns the number of a field of `/proc/self/status` (proc(5)).
fn field(status: &str, key: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix(key))?;
    line.split_whitespace().next()?.parse().ok()
}

fn open_fds() -> Option<u64> {
    let entries = std::fs::read_dir("/proc/self/fd").ok()?.count() as u64;
    // One of them is this listing.
    Some(entries.saturating_sub(1))
}

/// Returns how many bytes a program of this user may still write to a volume.
/// Waits for the volume, which may hang: not on a thread that has other work.
///
/// # Errors
///
/// What the kernel said.
pub fn free_bytes(place: &Path) -> io::Result<u64> {
    let volume = rustix::fs::statvfs(place)?;
    Ok(volume.f_bavail.saturating_mul(volume.f_frsize))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_knows_what_it_takes() {
        let taken = Taken::now();
        assert!(taken.cpu_seconds > 0.0, "{taken:?}");
        assert!(taken.resident_bytes.is_some_and(|bytes| bytes > 1 << 20), "{taken:?}");
        assert!(taken.virtual_bytes > taken.resident_bytes, "{taken:?}");
        assert!(taken.open_fds.is_some_and(|fds| fds >= 3) && taken.open_fds < taken.max_fds, "{taken:?}");
        assert!(taken.threads.is_some_and(|threads| threads >= 1), "{taken:?}");
    }

    #[test]
    fn a_volume_has_room_and_a_place_that_is_not_there_has_none() {
        assert!(free_bytes(Path::new("/")).unwrap() > 0);
        assert!(free_bytes(Path::new("/nowhere/at/all")).is_err());
    }
}
