//! The way to a file: every name on it whose change may lead to another file.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::fs;
use std::path::{Component, Path, PathBuf};

use crate::ports::lookout::Point;

/// Symbolic links followed on one way; the system follows as many.
const HOPS: usize = 40;

/// Returns the points on the way to a path at which a change may lead to
/// another file: its own name in its folder, each symbolic link on the way to
/// that folder (a Kubernetes volume swaps `..data`), and the first name that is
/// not there, since it may come to be.
///
/// Nothing is returned of a path that leads nowhere: it is in no folder, or
/// goes round in circles.
pub fn way(path: &Path) -> BTreeSet<Point> {
    let mut points = BTreeSet::new();
    let (Some(parent), Some(name)) = (path.parent(), path.file_name()) else { return points };
    // What is left to walk, the next name last.
    let mut left: Vec<OsString> = names(parent);
    left.reverse();
    let mut folder = match path.is_absolute() {
        true => PathBuf::from("/"),
        false => PathBuf::from("."),
    };
    let mut hops = 0;
    while let Some(next) = left.pop() {
        if next == ".." {
            // The folder is real here, so its parent is what the system would go to.
            folder = fs::canonicalize(folder.join(next)).unwrap_or(folder);
            continue;
        }
        let here = folder.join(&next);
        let point = || Point { folder: folder.clone(), name: next.clone() };
        match fs::symlink_metadata(&here) {
            Ok(found) if found.is_symlink() => {
                points.insert(point());
                hops += 1;
                let Some(target) = fs::read_link(&here).ok().filter(|_| hops <= HOPS) else { return points };
                if target.is_absolute() {
                    folder = PathBuf::from("/");
                }
                left.extend(names(&target).into_iter().rev());
            }
            Ok(found) if found.is_dir() => folder = here,
            Ok(_) | Err(_) => {
                points.insert(point());
                return points;
            }
        }
    }
    points.insert(Point { folder, name: name.to_owned() });
    points
}

fn names(path: &Path) -> Vec<OsString> {
    let name = |component: Component<'_>| match component {
        Component::Normal(name) => Some(name.to_owned()),
        Component::ParentDir => Some(OsString::from("..")),
        Component::Prefix(_) | Component::RootDir | Component::CurDir => None,
    };
    path.components().filter_map(name).collect()
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    fn shown(home: &Path, path: &str) -> Vec<String> {
        let relative = |point: Point| point.folder.join(point.name).strip_prefix(home).unwrap().display().to_string();
        let mut shown: Vec<String> = way(&home.join(path)).into_iter().map(relative).collect();
        shown.sort();
        shown
    }

    #[test]
    fn a_way_has_the_links_the_file_and_the_first_name_that_is_missing() {
        let home = tempfile::tempdir().unwrap();
        let home = home.path().canonicalize().unwrap();
        fs::create_dir_all(home.join("volume/..2026/deep")).unwrap();
        symlink("..2026", home.join("volume/..data")).unwrap();
        symlink(home.join("volume"), home.join("spool")).unwrap();
        symlink("around", home.join("around")).unwrap();

        assert_eq!(shown(&home, "volume/t.csv"), ["volume/t.csv"]);
        assert_eq!(shown(&home, "volume/..data/t.csv"), ["volume/..2026/t.csv", "volume/..data"]);
        assert_eq!(
            shown(&home, "spool/..data/deep/../t.csv"),
            ["spool", "volume/..2026/t.csv", "volume/..data"],
            "the link to the folder may be swapped too"
        );
        assert_eq!(shown(&home, "volume/not/yet/t.csv"), ["volume/not"]);
        assert_eq!(shown(&home, "around/t.csv"), ["around"]);
    }
}
