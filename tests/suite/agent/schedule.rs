//! When tables are taken in.

use std::io::Write;
use std::time::Duration;

use super::world::{Fate, HOUR, House, MINUTE, Op, SECOND};
use edm_agent::adapters::lookout::Inotify;
use edm_agent::agent::intake::Intake;
use edm_agent::agent::schedule::{self, When};
use edm_agent::agent::settings::{CatchUp, Settings, TableSettings};
use edm_agent::ports::lookout::Lookout;
use edm_agent::table::digest::CellDigest;
use edm_agent::table::reader::Quotes;
use edm_agent::table::reader::encoding::Encoding;
use edm_agent::upload::fault::Fault;
use tokio::task::JoinSet;

/// Configures one table that is uploaded when its file changes.
pub(super) fn one_table(settings: &mut Settings) {
    let path = settings.state_dir.with_file_name("letters.csv");
    settings.table = vec![TableSettings {
        name: "letters".to_owned(),
        data_store: "Letters".to_owned(),
        path,
        schema: "service".to_owned(),
        separator: "auto".to_owned(),
        quote: Quotes::Double,
        encoding: Encoding::Auto,
        digest: CellDigest::Sha256,
        rows_per_block: 4,
        allow_drift: false,
        min_rows_percent: 80.0,
        max_rows_percent: 200.0,
        max_blank_percent: 50.0,
        allow_empty: false,
        skip_unchanged: true,
        allowed_bad_lines_percent: 0.0,
        salt_file: std::path::PathBuf::new(),
        when: "on-change".to_owned(),
        timezone: "UTC".to_owned(),
        catch_up: CatchUp::default(),
        jitter: Duration::ZERO,
        settle: TableSettings::SETTLE,
        done_marker: String::new(),
        canary: None,
    }];
}

/// Writes the table's file anew.
pub(super) fn write_table(house: &House, rows: u32) {
    let rows: String = (0..rows).map(|row| format!("a{row},b{row}\n")).collect();
    std::fs::write(&house.settings.table[0].path, format!("A,B\n{rows}")).unwrap();
}

/// Keeps the schedule for as long as it is held.
pub(super) fn keep(house: &House) -> JoinSet<()> {
    keep_by(house.intake(), Box::new(Inotify::new()))
}

/// Keeps the schedule of an intake, by the news of a lookout.
pub(super) fn keep_by(intake: Intake, lookout: Box<dyn Lookout>) -> JoinSet<()> {
    let mut keeping = JoinSet::new();
    keeping.spawn(async move {
        let ended = schedule::keep(intake, lookout).await;
        panic!("the schedule is kept for ever: {:?}", ended.err());
    });
    keeping
}

pub(super) fn trouble(house: &House) -> String {
    house.board.views()[0].trouble.clone().unwrap_or_default()
}

/// Fault 91: a source that is still being written is waited for.
#[tokio::test(start_paused = true)]
async fn fault_91_a_file_is_taken_once_it_has_settled_and_again_when_it_changes() {
    let house = House::with(one_table);
    write_table(&house, 10);
    let _keeping = keep(&house);
    let mut file = std::fs::OpenOptions::new().append(true).open(&house.settings.table[0].path).unwrap();
    for row in 0..30 {
        house.pass(SECOND).await;
        writeln!(file, "more{row},more").unwrap();
        assert_eq!(house.service.count(Op::Create), 0, "it is still being written");
    }

    house.pass(SECOND * 10).await;
    assert_eq!(house.service.count(Op::Create), 1);
    house.pass(HOUR).await;
    assert_eq!(house.service.count(Op::Create), 1, "what has not changed is not taken again");
    let picture = house.picture().await;
    assert_eq!((picture.closed.len(), picture.closed[0].outcome.as_deref()), (1, Some("completed")));
    assert_eq!(picture.closed[0].rows, 40);

    write_table(&house, 47);
    house.pass(HOUR).await;
    assert_eq!(house.service.count(Op::Create), 2);
    assert_eq!(house.picture().await.closed[0].rows, 47);
}

#[tokio::test(start_paused = true)]
async fn a_table_that_was_being_uploaded_when_the_agent_died_is_not_uploaded_twice() {
    let house = House::with(one_table);
    write_table(&house, 200);
    house.store.takes(SECOND * 30);
    let keeping = keep(&house);
    house.pass(MINUTE).await;
    assert_eq!(house.picture().await.uploads[0].phase, "uploading");
    drop(keeping);

    let house = house.restart();
    let _keeping = keep(&house);
    house.pass(HOUR * 3).await;

    assert_eq!(house.service.count(Op::Create), 1);
    assert_eq!(house.picture().await.closed.len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_refused_table_is_left_alone_until_its_file_changes() {
    let house = House::with(one_table);
    std::fs::write(&house.settings.table[0].path, "A,B\nonly one\n").unwrap();
    let _keeping = keep(&house);
    house.pass(HOUR).await;
    assert!(trouble(&house).starts_with("table letters: "), "{}", trouble(&house));
    assert_eq!(house.service.count(Op::Stores), 1, "it was tried once");

    write_table(&house, 10);
    house.pass(HOUR).await;
    assert_eq!(house.service.count(Op::Create), 1);
    assert_eq!(trouble(&house), "");
}

#[tokio::test(start_paused = true)]
async fn what_may_pass_is_tried_again_ever_more_rarely_and_passes() {
    let house = House::with(one_table);
    write_table(&house, 10);
    house.service.script(|call| match call.op {
        Op::Stores => Fate::Failed(Fault::Transient { retry_after: None }),
        _ => Fate::Done,
    });
    let _keeping = keep(&house);
    house.pass(HOUR * 4).await;
    assert_eq!(house.board.views()[0].doing, "waiting");
    let tries: Vec<_> = house.service.take().into_iter().map(|call| call.at).collect();
    let waits: Vec<Duration> = tries.windows(2).map(|pair| pair[0].until(pair[1])).collect();
    assert!(waits.iter().all(|&wait| wait >= SECOND * 15 && wait <= SECOND * 303), "{waits:?}");
    assert!(waits[5..].iter().all(|&wait| wait >= SECOND * 60), "{waits:?}");

    house.service.script(|_| Fate::Done);
    house.pass(MINUTE * 10).await;
    assert_eq!(house.service.count(Op::Create), 1);
    assert_eq!(trouble(&house), "");
}

#[tokio::test(start_paused = true)]
async fn a_table_with_a_time_is_taken_at_that_time_whether_it_changed_or_not() {
    let house = House::with(|settings| {
        one_table(settings);
        settings.table[0].when = "30 2 * * *".to_owned();
        settings.table[0].skip_unchanged = false;
    });
    write_table(&house, 10);
    let _keeping = keep(&house);
    house.pass(SECOND).await;
    let at = |text: &str| Some(text.parse().unwrap());
    assert_eq!(house.board.views()[0].next_run, at("2026-01-01T02:30:00Z"));

    house.pass(MINUTE * 149).await;
    assert_eq!(house.service.count(Op::Create), 0);
    house.pass(MINUTE * 2).await;
    assert_eq!(house.service.count(Op::Create), 1);
    assert_eq!(house.board.views()[0].next_run, at("2026-01-02T02:30:00Z"));
    house.pass(HOUR * 24).await;
    assert_eq!(house.service.count(Op::Create), 2);
}

#[tokio::test(start_paused = true)]
async fn a_table_that_is_manual_is_never_taken() {
    let house = House::with(|settings| {
        one_table(settings);
        settings.table[0].when = "manual".to_owned();
    });
    write_table(&house, 10);
    let _keeping = keep(&house);
    house.pass(HOUR * 30).await;
    assert_eq!(house.service.take(), []);
}

#[tokio::test(start_paused = true)]
async fn a_time_that_cannot_be_read_is_refused_by_name() {
    let mut settings = Settings::default();
    one_table(&mut settings);
    let mut table = settings.table.remove(0);
    assert!(matches!(When::parse(&table), Ok(When::OnChange)));
    for (when, why) in [
        ("every now and then", "every now and then"),
        ("61 * * * *", "61 * * * *"),
        ("0 0 30 2 *", "never comes round"),
    ] {
        table.when = when.to_owned();
        let refused = When::parse(&table).unwrap_err().message;
        assert!(refused.starts_with("table letters: when = ") && refused.contains(why), "{refused}");
    }
    table.when = "manual".to_owned();
    for (zone, near) in [("Europe/Berln", "; Europe/Berlin is one"), ("Middle/Earth", "such as Europe/Berlin")] {
        table.timezone = zone.to_owned();
        let refused = When::parse(&table).unwrap_err().message;
        assert!(refused.starts_with("table letters: timezone = ") && refused.ends_with(near), "{refused}");
    }
    table.timezone = "Australia/Lord_Howe".to_owned();
    assert!(matches!(When::parse(&table), Ok(When::Manual)));
}
