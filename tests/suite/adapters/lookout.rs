//! News of changes to files, from the real kernel.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use edm_agent::adapters::lookout::{Inotify, way};
use edm_agent::ports::lookout::{Lookout, News};
use tempfile::TempDir;

fn happened(news: News) -> Vec<(String, bool)> {
    match news {
        News::Happened(happened) => happened
            .into_iter()
            .map(|happening| (happening.point.name.into_string().unwrap(), happening.arrived))
            .collect(),
        News::Missed => panic!("nothing was missed"),
    }
}

fn looking_at(paths: &[&Path]) -> Inotify {
    let mut lookout = Inotify::new();
    let points: BTreeSet<_> = paths.iter().flat_map(|path| way(path)).collect();
    assert_eq!(lookout.look_at(&points), []);
    lookout
}

#[tokio::test]
async fn what_happens_to_a_name_is_told_and_what_happens_beside_it_is_not() {
    let home = TempDir::new().unwrap();
    let (table, other) = (home.path().join("t.csv"), home.path().join("other"));
    let mut lookout = looking_at(&[&table]);

    fs::write(&other, "x").unwrap();
    fs::rename(&other, &table).unwrap();
    assert_eq!(happened(lookout.news().await), [("t.csv".to_owned(), true)], "it arrived");
    fs::write(&table, "in place").unwrap();
    assert_eq!(happened(lookout.news().await), [("t.csv".to_owned(), false)], "it was written");
    fs::remove_file(&table).unwrap();
    assert_eq!(happened(lookout.news().await), [("t.csv".to_owned(), false)], "it is gone");
}

#[tokio::test]
async fn a_folder_that_goes_away_is_told_of_all_its_names() {
    let home = TempDir::new().unwrap();
    let spool = home.path().join("spool");
    fs::create_dir(&spool).unwrap();
    let mut lookout = looking_at(&[&spool.join("a.csv"), &spool.join("b.csv")]);

    fs::remove_dir(&spool).unwrap();
    let names: BTreeSet<String> = happened(lookout.news().await).into_iter().map(|(name, _)| name).collect();
    assert_eq!(names.into_iter().collect::<Vec<_>>(), ["a.csv", "b.csv"]);
}

#[tokio::test]
async fn what_is_looked_at_no_more_is_not_told() {
    let home = TempDir::new().unwrap();
    fs::create_dir(home.path().join("deep")).unwrap();
    let (before, after) = (home.path().join("t.csv"), home.path().join("deep/t.csv"));
    let mut lookout = looking_at(&[&before]);
    lookout.look_at(&way(&after));

    fs::write(&before, "x").unwrap();
    fs::write(home.path().join("deep/t.csv"), "x").unwrap();
    let News::Happened(happened) = lookout.news().await else { panic!("nothing was missed") };
    assert!(happened.iter().all(|happening| happening.point.folder == home.path().join("deep")), "{happened:?}");
}

#[tokio::test]
async fn more_than_can_be_told_is_said_to_be() {
    let home = TempDir::new().unwrap();
    let mut lookout = looking_at(&[&home.path().join("t.csv")]);
    let kept: u32 = fs::read_to_string("/proc/sys/fs/inotify/max_queued_events").unwrap().trim().parse().unwrap();
    for number in 0..=kept {
        // Two alike in a row would be one.
        fs::write(home.path().join(if number % 2 == 0 { "even" } else { "odd" }), "x").unwrap();
    }
    assert_eq!(lookout.news().await, News::Missed);
}
