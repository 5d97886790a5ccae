//! What the agent clears away in its own folder.

use std::fs::File;
use std::os::unix::fs::DirBuilderExt;
use std::path::Path;
use std::time::SystemTime;

use edm_agent::adapters::bundle::REPORT_SUFFIX;
use edm_agent::agent::housekeeping;
use edm_agent::ports::clock::Clock;

use super::world::House;

#[tokio::test(start_paused = true)]
async fn a_report_of_rejected_rows_goes_when_it_is_old_and_no_earlier() {
    let house = House::with(|_| ());
    let dir = house.settings.bundle_dir();
    std::fs::create_dir_all(&dir).unwrap();
    for (name, is_old) in [("old", true), ("new", false)] {
        let file = File::create(dir.join(format!("{name}{REPORT_SUFFIX}"))).unwrap();
        file.set_modified(if is_old { SystemTime::UNIX_EPOCH } else { house.clock.now().wall.into() }).unwrap();
    }

    housekeeping::sweep(&house.intake()).await;

    let left: Vec<_> = dir.read_dir().unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(left, ["new.rejects.csv"]);
}

#[tokio::test(start_paused = true)]
async fn a_bundle_that_was_never_finished_goes_and_one_that_is_being_made_stays() {
    let house = House::with(|_| ());
    let dir = house.settings.bundle_dir();
    let age = |path: &Path, is_old: bool| {
        let when = if is_old { SystemTime::UNIX_EPOCH } else { house.clock.now().wall.into() };
        File::open(path).unwrap().set_modified(when).unwrap();
    };
    for (name, is_old) in [("killed.partial", true), ("held.partial", true), ("begun.partial", false)] {
        let path = dir.join(name);
        std::fs::create_dir_all(&path).unwrap();
        for file in ["salt", "blocks.bin"] {
            std::fs::write(path.join(file), "half").unwrap();
        }
        age(&path, is_old);
    }
    let held = File::open(dir.join("held.partial")).unwrap();
    rustix::fs::flock(&held, rustix::fs::FlockOperation::LockExclusive).unwrap();

    housekeeping::sweep(&house.intake()).await;

    let mut left: Vec<_> = dir.read_dir().unwrap().map(|entry| entry.unwrap().file_name()).collect();
    left.sort();
    assert_eq!(left, ["begun.partial", "held.partial"]);
    assert_eq!(dir.join("held.partial").read_dir().unwrap().count(), 2);
}

#[tokio::test(start_paused = true)]
async fn what_was_half_removed_goes_and_a_folder_that_holds_anything_else_stays() {
    let house = House::with(|_| ());
    let dir = house.settings.bundle_dir();
    for (name, files) in [
        ("whole but damaged", &["salt", "manifest.json", "blocks.bin"][..]),
        ("without a salt", &["manifest.json", "blocks.bin"]),
        ("blocks alone", &["blocks.bin"]),
        ("emptied", &[]),
        ("somebody's", &["blocks.bin", "notes.txt"]),
        ("a salt's", &["salt"]),
    ] {
        let path = dir.join(name);
        std::fs::DirBuilder::new().recursive(true).mode(0o700).create(&path).unwrap();
        files.iter().for_each(|file| std::fs::write(path.join(file), "half").unwrap());
        File::open(&path).unwrap().set_modified(SystemTime::UNIX_EPOCH).unwrap();
    }

    housekeeping::sweep(&house.intake()).await;

    let mut left: Vec<_> = dir.read_dir().unwrap().map(|entry| entry.unwrap().file_name()).collect();
    left.sort();
    assert_eq!(left, ["a salt's", "somebody's"]);
    assert_eq!(dir.join("somebody's").read_dir().unwrap().count(), 2);
}
