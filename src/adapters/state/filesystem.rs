//! Which file systems keep no promise about locks and syncs.

use std::fs::File;
use std::io;

use rustix::fs::fstatfs;

/// File systems that are refused, by the number the kernel gives them.
///
/// On network file systems an flock may hold on one host only, and an fsync
/// may end on another. FUSE is among them although some of it is local: behind
/// it stand sshfs and object stores, and what an fsync means is up to each
/// program. Who knows theirs to be sound can force it.
const UNRELIABLE: [(u64, &str); 14] = [
    (0x6969, "NFS"),
    (0x517B, "SMB"),
    (0xFF53_4D42, "CIFS"),
    (0xFE53_4D42, "SMB2"),
    (0x6573_5546, "FUSE"),
    (0x0102_1997, "9P"),
    (0x00C3_6400, "Ceph"),
    (0x5346_414F, "AFS"),
    (0x6B41_4653, "kAFS"),
    (0x7375_7245, "Coda"),
    (0x564C, "NCP"),
    (0x0BD0_0BD0, "Lustre"),
    (0x0116_1970, "GFS2"),
    (0x7461_636F, "OCFS2"),
];

/// Returns the name of the file system a directory is on, if it is one of those.
pub(super) fn unreliable(directory: &File) -> io::Result<Option<&'static str>> {
    Ok(named(fstatfs(directory)?.f_type.cast_unsigned()))
}

/// Numbers are 32 bits wide; where the kernel's field is wider, the sign of a
/// large one may have been extended.
fn named(kind: u64) -> Option<&'static str> {
    UNRELIABLE.iter().find(|(number, _)| *number == kind & 0xFFFF_FFFF).map(|(_, name)| *name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn network_file_systems_are_told_from_local_ones() {
        assert_eq!(named(0x6969), Some("NFS"));
        assert_eq!(named(0xFFFF_FFFF_FF53_4D42), Some("CIFS"));
        for local in [0xEF53, 0x5846_5342, 0x9123_683E, 0x0102_1994, 0x794C_7630] {
            assert_eq!(named(local), None, "ext4, XFS, btrfs, tmpfs, overlayfs");
        }
    }
}
