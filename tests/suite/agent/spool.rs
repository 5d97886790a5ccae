//! How files come into a spool, and when they are whole.

use std::fs::{self, File};
use std::io::Write;
use std::os::unix::fs::symlink;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use edm_agent::adapters::lookout::Inotify;
use edm_agent::agent::intake::Intake;
use edm_agent::agent::overview::is_held;
use edm_agent::ports::lookout::News;
use tokio::task::JoinSet;

use super::reload::{Page, reloading};
use super::schedule::{keep, keep_by, one_table, trouble, write_table};
use super::world::{FakeLookout, HOUR, House, MINUTE, Op, SECOND};
use crate::support::clock::NapClock;

/// An intake by whose clock nobody wakes to look: whatever its schedule sees, it
/// was told of.
fn told(house: &House) -> Intake {
    Intake { clock: Arc::new(NapClock(house.clock)), ..house.intake() }
}

/// Waits until an upload of so many sessions was live.
async fn opened(house: &House, sessions: usize) {
    let end = HOUR * 3;
    let mut passed = Duration::ZERO;
    while house.service.count(Op::Create) < sessions || house.picture().await.closed.len() < sessions {
        house.pass(SECOND).await;
        passed += SECOND;
        assert!(passed < end, "{} of {sessions} sessions", house.service.count(Op::Create));
    }
}

/// Waits until the schedule has looked for the table and not found it.
async fn missed(house: &House) {
    let why = || house.board.views().remove(0).why.unwrap_or_default();
    while !why().contains("No such file") {
        house.pass(Duration::from_millis(1)).await;
    }
    assert!(!is_held(&house.board.views()[0], &[]), "a file that is not there yet holds nothing");
}

fn path(house: &House) -> PathBuf {
    house.settings.table[0].path.clone()
}

fn write_beside(house: &House, rows: u32) -> PathBuf {
    let beside = house.dir.path().join("beside.csv");
    let rows: String = (0..rows).map(|row| format!("a{row},b{row}\n")).collect();
    fs::write(&beside, format!("A,B\n{rows}")).unwrap();
    beside
}

#[tokio::test(start_paused = true)]
async fn a_file_that_is_there_and_cannot_be_looked_at_is_in_the_way_until_it_can() {
    let house = House::with(one_table);
    // The way to it leads through a file.
    let blocked = house.dir.path().join("blocked");
    fs::write(&blocked, "").unwrap();
    let page = Page::of(&house);
    let (reloader, reloads) = house.reloader(page.load());
    let (_reloading, _keeping) = (reloading(reloader), keep(&house));
    page.write(|settings| settings.table[0].path = blocked.join("letters.csv"));
    reloads.reload().await.unwrap();
    house.pass(MINUTE).await;
    assert!(trouble(&house).contains("Not a directory"), "{}", trouble(&house));
    assert!(is_held(&house.board.views()[0], &[]), "somebody has to do something");

    fs::remove_file(&blocked).unwrap();
    fs::create_dir(&blocked).unwrap();
    fs::write(blocked.join("letters.csv"), "A,B\na,b\n").unwrap();
    opened(&house, 1).await;
    assert_eq!(trouble(&house), "");
}

#[tokio::test(start_paused = true)]
async fn a_file_that_is_renamed_into_place_is_taken_at_once_and_by_the_news_of_it() {
    let house = House::with(|settings| {
        one_table(settings);
        settings.table[0].settle = HOUR * 24;
    });
    let _keeping = keep_by(told(&house), Box::new(Inotify::new()));
    missed(&house).await;

    fs::rename(write_beside(&house, 5), path(&house)).unwrap();
    opened(&house, 1).await;
    assert_eq!(trouble(&house), "");

    fs::rename(write_beside(&house, 6), path(&house)).unwrap();
    opened(&house, 2).await;
    assert_eq!(house.picture().await.closed[0].rows, 6);
}

#[tokio::test(start_paused = true)]
async fn a_folder_may_come_later_be_replaced_and_be_swapped_by_a_link() {
    let house = House::with(|settings| {
        one_table(settings);
        settings.table[0].path = settings.state_dir.with_file_name("spool/..data/letters.csv");
        settings.table[0].settle = HOUR * 24;
    });
    let spool = house.dir.path().join("spool");
    let fill = |version: &str, rows: u32| {
        fs::create_dir(spool.join(version)).unwrap();
        fs::rename(write_beside(&house, rows), spool.join(version).join("letters.csv")).unwrap();
        symlink(version, spool.join("..tmp")).unwrap();
        fs::rename(spool.join("..tmp"), spool.join("..data")).unwrap();
    };
    let _keeping = keep_by(told(&house), Box::new(Inotify::new()));
    missed(&house).await;

    fs::create_dir(&spool).unwrap();
    house.pass(SECOND).await;
    fill("..1", 1);
    opened(&house, 1).await;
    fill("..2", 2);
    opened(&house, 2).await;
    fs::rename(&spool, house.dir.path().join("old")).unwrap();
    missed(&house).await;
    fs::create_dir(&spool).unwrap();
    house.pass(SECOND).await;
    fill("..3", 3);
    opened(&house, 3).await;

    let rows: Vec<u64> = house.picture().await.closed.iter().map(|view| view.rows).collect();
    assert_eq!(rows, [3, 2, 1]);
}

#[tokio::test(start_paused = true)]
async fn a_file_that_is_written_in_place_rests_for_as_long_as_the_setting_says() {
    let house = House::with(|settings| {
        one_table(settings);
        settings.table[0].settle = SECOND * 30;
    });
    write_table(&house, 3);
    let _keeping = keep(&house);
    for row in 0..8 {
        house.pass(SECOND * 25).await;
        let mut file = File::options().append(true).open(path(&house)).unwrap();
        writeln!(file, "more{row},more").unwrap();
    }
    house.pass(SECOND * 25).await;
    assert_eq!(house.service.count(Op::Create), 0, "it never rested");
    let view = house.board.views().remove(0);
    assert_eq!((view.doing.as_str(), view.why.unwrap().contains("30s")), ("settling", true));

    house.pass(SECOND * 40).await;
    opened(&house, 1).await;
    assert_eq!(house.picture().await.closed[0].rows, 11);
}

#[tokio::test(start_paused = true)]
async fn with_a_marker_a_table_is_taken_while_the_marker_is_not_older() {
    let house = House::with(|settings| {
        one_table(settings);
        settings.table[0].done_marker = ".done".to_owned();
    });
    let marker = house.dir.path().join("letters.csv.done");
    let dated = |path: &PathBuf, seconds: u64| {
        let file = File::options().write(true).open(path).unwrap();
        file.set_modified(SystemTime::UNIX_EPOCH + Duration::from_secs(seconds)).unwrap();
    };
    let _keeping = keep(&house);
    write_table(&house, 5);
    dated(&path(&house), 1_000);
    house.pass(MINUTE * 5).await;
    let view = house.board.views().remove(0);
    assert_eq!(view.doing, "waiting-for-marker");
    assert!(view.why.unwrap().contains("letters.csv.done"));

    fs::write(&marker, "").unwrap();
    dated(&marker, 999);
    house.pass(MINUTE * 5).await;
    assert_eq!(house.service.count(Op::Create), 0, "it is of the content before");

    dated(&marker, 1_000);
    opened(&house, 1).await;
    fs::rename(write_beside(&house, 7), path(&house)).unwrap();
    house.pass(MINUTE * 5).await;
    assert_eq!(house.service.count(Op::Create), 1, "even renamed into place it waits for its own");
    fs::write(&marker, "again").unwrap();
    opened(&house, 2).await;
    assert_eq!(house.picture().await.closed[0].rows, 7);
}

#[tokio::test(start_paused = true)]
async fn where_changes_are_not_told_they_are_found_by_looking() {
    let house = House::with(one_table);
    let (lookout, _scene) = FakeLookout::new(true);
    let _keeping = keep_by(house.intake(), lookout);
    house.pass(SECOND).await;

    write_table(&house, 5);
    house.pass(SECOND * 8).await;
    assert_eq!(house.service.count(Op::Create), 1, "within some seconds");
}

#[tokio::test(start_paused = true)]
async fn where_changes_are_told_a_lost_one_is_found_within_a_minute_or_two() {
    let house = House::with(one_table);
    let (lookout, scene) = FakeLookout::new(false);
    let _keeping = keep_by(house.intake(), lookout);
    house.pass(SECOND).await;
    assert_eq!(scene.paths(), [path(&house)]);

    write_table(&house, 5);
    house.pass(SECOND * 30).await;
    assert_eq!(house.service.count(Op::Create), 0, "nobody looked");
    house.pass(SECOND * 60).await;
    assert_eq!(house.service.count(Op::Create), 1);
}

#[tokio::test(start_paused = true)]
async fn when_news_were_lost_everything_is_looked_at() {
    let house = House::with(|settings| {
        one_table(settings);
        settings.table[0].settle = Duration::ZERO;
    });
    let (lookout, scene) = FakeLookout::new(false);
    let _keeping: JoinSet<()> = keep_by(house.intake(), lookout);
    missed(&house).await;

    write_table(&house, 5);
    scene.tell(News::Missed);
    house.pass(SECOND * 2).await;
    assert_eq!(house.service.count(Op::Create), 1);
}

/// Fault 91: hours may pass between the look that found a file whole and its turn.
#[tokio::test(start_paused = true)]
async fn fault_91_a_file_that_changes_before_its_turn_settles_anew() {
    let house = House::with(one_table);
    write_table(&house, 5);
    let intake = house.intake();
    let turn = intake.turn.clone();
    let held = turn.lock().await;
    let _keeping = keep_by(intake, Box::new(Inotify::new()));
    house.pass(SECOND * 30).await;

    fs::write(path(&house), "A,B\nhalf a ro").unwrap();
    drop(held);
    house.pass(SECOND).await;
    write_table(&house, 9);
    opened(&house, 1).await;

    assert_eq!(house.picture().await.closed[0].rows, 9);
    assert_eq!(trouble(&house), "", "the half was not even tried");
}
