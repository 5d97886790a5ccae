//! What a scrape shows.

use std::collections::BTreeSet;

use edm_agent::agent::metrics::SERIES;
use edm_agent::agent::overview::{Lookout, PATIENCE, PICTURE_KEPT};
use edm_agent::agent::page::page;
use edm_agent::agent::settings::{Settings, TableSettings};
use edm_agent::ports::clock::Clock;
use edm_agent::upload::fault::Fault;
use serde_json::json;

use super::probes::never_turning;
use super::reload::{Page, reloading};
use super::world::{Fate, HOUR, House, MINUTE, Op, SECOND};
use crate::support::openmetrics::Exposition;
use crate::support::tokens::Fixed;
use crate::support::tree;

/// Makes the table of a name, which feeds the store of a name.
pub(super) fn table(name: &str, data_store: &str) -> TableSettings {
    let text = format!("name = {name:?}\ndata_store = {data_store:?}\npath = \"t.csv\"\nschema = \"service\"\n");
    toml::from_str(&text).unwrap()
}

async fn scrape(lookout: &Lookout) -> Exposition {
    Exposition::read(&lookout.metrics.exposition(&lookout.look().await))
}

fn with_table(settings: &mut Settings) {
    settings.table = vec![table("letters", "Letters")];
}

#[tokio::test(start_paused = true)]
async fn an_upload_and_its_renewals_are_counted_and_its_series_go_when_it_ends() {
    let house = House::with(|settings| {
        with_table(settings);
        settings.http.session_metrics = true;
    });
    let lookout = house.lookout(Fixed::token("token"));
    let before = scrape(&lookout).await;
    assert_eq!(before.value("edm_agent_blocks_acked_total"), 0.0);
    assert_eq!(before.value("edm_agent_renew_attempts_total{result=\"ok\"}"), 0.0, "it begins at zero");
    assert_eq!(before.get("edm_agent_lease_expires_timestamp_seconds"), None);

    let id = house.send("Letters", 5).await;
    let session = format!("edm_agent_session_lease_expires_timestamp_seconds{{upload=\"{id}\",table=\"letters\"}}");
    house.until(&id, MINUTE, |view| view.lease_left.is_some()).await;
    house.pass(PICTURE_KEPT).await;
    let during = scrape(&lookout).await;
    let now = house.clock.now().wall.timestamp() as f64;
    let soonest = during.value("edm_agent_lease_expires_timestamp_seconds");
    assert!(soonest > now && soonest < now + 16.0 * 60.0, "{soonest} is within a lease of {now}");
    assert!((during.value(&session) - soonest).abs() < 1.0);

    let view = house.until(&id, MINUTE * 60, |view| view.is_closed()).await;
    assert_eq!(view.outcome.as_deref(), Some("completed"), "{view:#?}");
    house.pass(PICTURE_KEPT).await;
    let after = scrape(&lookout).await;
    assert_eq!(after.value("edm_agent_blocks_acked_total"), 5.0);
    assert_eq!(after.value("edm_agent_bytes_sent_total{kind=\"first\"}"), view.bytes as f64);
    assert_eq!(after.value("edm_agent_bytes_sent_total{kind=\"resent\"}"), 0.0);
    assert_eq!(after.value("edm_agent_uploads_total{outcome=\"completed\"}"), 1.0);
    assert_eq!(after.value("edm_agent_block_upload_seconds_count"), 5.0);
    assert!(after.value("edm_agent_progress_reports_total{result=\"ok\"}") >= 1.0);
    assert!(after.value("edm_agent_requests_total{operation=\"create\",result=\"ok\"}") >= 1.0);
    assert!(after.value("edm_agent_journal_fsync_seconds_count") >= 1.0);
    assert_eq!(after.sum("edm_agent_sessions"), 0.0);
    assert_eq!((after.get(&session), after.get("edm_agent_lease_expires_timestamp_seconds")), (None, None));
    assert!(after.value("edm_agent_table_live_age_seconds{table=\"letters\"}") <= PICTURE_KEPT.as_secs_f64() + 1.0);
    assert_eq!(after.value("edm_agent_quota_left{data_store=\"Letters\"}"), 4.0);
    assert_eq!(after.value("edm_agent_quota_reserved{data_store=\"Letters\"}"), 1.0);
}

#[tokio::test(start_paused = true)]
async fn each_session_has_a_series_only_where_the_configuration_asks_for_it() {
    let house = House::new();
    house.track("theirs", 3).await;
    house.pass(SECOND).await;
    let scraped = scrape(&house.lookout(Fixed::token("token"))).await;
    assert_eq!(scraped.sum("edm_agent_sessions"), 1.0);
    assert!(scraped.get("edm_agent_lease_expires_timestamp_seconds").is_some());
    assert!(!scraped.names().contains("edm_agent_session_lease_expires_timestamp_seconds"));
}

#[tokio::test(start_paused = true)]
async fn renewals_are_counted_by_result_with_the_part_of_the_lease_that_was_left() {
    let house = House::new();
    let lookout = house.lookout(Fixed::token("token"));
    house.track("theirs", 3).await;
    let mut asked = 0;
    house.service.script(move |call| {
        asked += u32::from(call.op == Op::Renew);
        let fails = call.op == Op::Renew && asked == 2;
        if fails { Fate::Failed(Fault::Transient { retry_after: None }) } else { Fate::Done }
    });
    house.pass(HOUR).await;
    let scraped = scrape(&lookout).await;
    let good = scraped.value("edm_agent_renew_attempts_total{result=\"ok\"}");
    assert!(good >= 5.0, "{good}");
    assert_eq!(scraped.value("edm_agent_renew_attempts_total{result=\"transient\"}"), 1.0);
    assert_eq!(scraped.value("edm_agent_renew_slack_ratio_count"), good);
    let below = |share: &str| scraped.value(&format!("edm_agent_renew_slack_ratio_bucket{{le=\"{share}\"}}"));
    assert_eq!((below("0.3"), below("0.7") >= good - 2.0), (0.0, true), "renewed at 35 to 60 % of its life");
    assert_eq!(scraped.value("edm_agent_requests_total{operation=\"renew\",result=\"ok\"}"), good);
    assert!(scraped.value("edm_agent_clock_offset_seconds").abs() <= 1.0);
}

#[tokio::test(start_paused = true)]
async fn a_lease_that_is_lost_is_counted_and_what_is_sent_again_is_told_from_the_rest() {
    let house = House::with(|settings| settings.upload.concurrency = 4);
    let lookout = house.lookout(Fixed::token("token"));
    house.store.takes(SECOND * 30);
    let id = house.send("Letters", 40).await;
    let view = house.until(&id, MINUTE * 5, |view| view.stored_blocks >= 8).await;
    house.service.lose(&view.session.unwrap());
    let view = house.until(&id, HOUR * 2, |view| view.is_closed()).await;
    assert_eq!((view.outcome.as_deref(), view.sessions_lost), (Some("completed"), 1), "{view:#?}");
    let scraped = scrape(&lookout).await;
    assert_eq!(scraped.value("edm_agent_lease_lost_total{cause=\"gone\"}"), 1.0);
    assert_eq!(scraped.value("edm_agent_bytes_sent_total{kind=\"first\"}"), view.bytes as f64);
    let resent = scraped.value("edm_agent_bytes_sent_total{kind=\"resent\"}");
    assert!(resent > 0.0 && resent < view.bytes as f64, "{resent} of {}", view.bytes);
}

#[tokio::test(start_paused = true)]
async fn the_age_of_a_table_grows_while_it_is_held_and_one_never_live_has_none() {
    let house = House::with(|settings| settings.table = vec![table("letters", "Letters"), table("new", "New")]);
    let lookout = house.lookout(Fixed::token("token"));
    let live = house.clock.now().wall;
    house.board.closed("letters", &json!({ "at": live, "last_good": live, "outcome": { "result": "completed" } }));
    let age = |scraped: &Exposition| scraped.value("edm_agent_table_live_age_seconds{table=\"letters\"}");
    let held = |scraped: &Exposition| scraped.value("edm_agent_table_held{table=\"letters\"}");
    let first = scrape(&lookout).await;
    assert_eq!((age(&first), held(&first)), (0.0, 0.0));

    house.board.change("letters", |view| view.trouble = Some("3 of 10 rows were rejected".to_owned()));
    house.pass(HOUR).await;
    // A later upload that fails leaves the date of the data that is live.
    house.board.closed("letters", &json!({ "at": live, "last_good": live, "outcome": { "result": "failed" } }));
    let later = scrape(&lookout).await;
    assert_eq!((age(&later), held(&later)), (3_600.0, 1.0));
    assert_eq!(
        later.value("edm_agent_table_live_timestamp_seconds{table=\"letters\"}").trunc(),
        live.timestamp() as f64
    );
    assert_eq!(later.get("edm_agent_table_live_age_seconds{table=\"new\"}"), None);
    assert_eq!(later.value("edm_agent_table_held{table=\"new\"}"), 0.0);

    // What passes by itself is in the way and holds nothing.
    house.board.change("letters", |view| view.doing = "waiting".to_owned());
    let waits = scrape(&lookout).await;
    assert_eq!((held(&waits), waits.value("edm_agent_table_trouble{table=\"letters\"}")), (0.0, 1.0));
}

#[tokio::test(start_paused = true)]
async fn a_table_is_held_by_a_failed_upload_until_another_is_under_way_and_no_longer_than_its_success() {
    let house = House::with(|settings| {
        let mut letters = table("letters", "Letters");
        letters.when = "on-change".to_owned();
        settings.table = vec![letters];
    });
    let lookout = house.lookout(Fixed::token("token"));
    let shown = async || {
        house.pass(PICTURE_KEPT).await;
        let scraped = scrape(&lookout).await;
        ["held", "trouble"].map(|name| scraped.value(&format!("edm_agent_table_{name}{{table=\"letters\"}}")))
    };
    let ended = |result: &str| {
        let at = house.clock.now().wall;
        house.board.closed("letters", &json!({ "at": at, "outcome": { "result": result } }));
    };
    assert_eq!(shown().await, [0.0, 0.0]);
    ended("failed");
    assert_eq!(shown().await, [1.0, 1.0], "nobody takes the same file again");
    let told = page(&lookout.look().await);
    assert!(told.contains("letters: its last upload was failed, and the same file is not taken again"), "{told}");
    house.board.change("letters", |view| view.doing = "settling".to_owned());
    assert_eq!(shown().await, [0.0, 0.0], "a newer one is there");
    house.board.change("letters", |view| view.doing = "idle".to_owned());

    house.service.script(|call| match call.op {
        Op::Create => Fate::Failed(Fault::Quota { retry_after: Some(HOUR) }),
        _ => Fate::Done,
    });
    let id = house.send("Letters", 1).await;
    house.until(&id, HOUR, |view| view.waiting.is_some()).await;
    assert_eq!(shown().await, [0.0, 1.0], "the next waits for the quota, which passes by itself");

    house.board.change("letters", |view| view.trouble = Some("3 of 10 rows were rejected".to_owned()));
    ended("completed");
    let view = house.board.views().remove(0);
    assert_eq!(view.trouble, None, "what was refused before is no trouble of what is live");
}

#[tokio::test(start_paused = true)]
async fn only_configured_tables_have_series_and_no_family_has_more_than_its_limit() {
    let many = |settings: &mut Settings| {
        settings.table =
            (0..SERIES + 20).map(|number| table(&format!("t{number:04}"), &format!("S{number}"))).collect();
    };
    let house = House::with(many);
    house.board.change("nobody's", |view| view.trouble = Some("of a bundle".to_owned()));
    for number in 0..SERIES + 20 {
        house.metrics.hashed(&format!("t{number:04}"), 10, 1);
    }
    house.metrics.hashed("nobody's", 10, 1);
    let scraped = scrape(&house.lookout(Fixed::token("token"))).await;
    assert_eq!(scraped.sum("edm_agent_rows_hashed_total"), 10.0 * SERIES as f64);
    assert_eq!(scraped.sum("edm_agent_rows_rejected_total"), SERIES as f64);
    for name in scraped.names().into_iter().filter(|name| name.starts_with("edm_agent_table_")) {
        let series: Vec<_> = scraped.series.keys().filter(|series| series.starts_with(&format!("{name}{{"))).collect();
        assert_eq!(series.len(), SERIES, "{name}");
        assert!(!series.iter().any(|series| series.contains("nobody")), "{name}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_name_of_any_letters_is_one_label() {
    let name = "a \"b\" \\ c\nd, e=\"f\"} 1";
    let house = House::with(|settings| settings.table = vec![table(name, "Letters")]);
    let scraped = scrape(&house.lookout(Fixed::token("token"))).await;
    let written = name.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n");
    assert_eq!(scraped.value(&format!("edm_agent_table_held{{table=\"{written}\"}}")), 0.0);
}

#[tokio::test(start_paused = true)]
async fn a_scrape_of_an_agent_that_hangs_ends_in_time_and_says_so() {
    let house = House::with(with_table);
    let (_never_turns, doors) = never_turning(&house);
    house.pass(SECOND).await;
    let stuck = Lookout { beat: doors.beat.clone(), asker: doors.asker.clone(), ..house.lookout(Fixed::token("t")) };
    let asked = house.clock.now().moment;
    let scrapes = futures(&stuck, 8).await;
    assert!(house.since(asked) <= PATIENCE + SECOND, "all of them together: {:?}", house.since(asked));
    for scraped in scrapes {
        assert_eq!((scraped.value("edm_agent_live"), scraped.value("edm_agent_ready")), (0.0, 0.0));
        assert_eq!(scraped.value("edm_agent_table_held{table=\"letters\"}"), 0.0, "the rest is there");
        assert!(!scraped.names().contains("edm_agent_sessions"), "what is not known is left out");
    }
}

#[tokio::test(start_paused = true)]
async fn however_many_scrape_the_dispatcher_draws_one_picture_a_second() {
    let house = House::new();
    let lookout = house.lookout(Fixed::token("token"));
    let first = lookout.look().await.picture.unwrap();
    for scraped in futures(&lookout, 16).await {
        assert_eq!(scraped.value("edm_agent_live"), 1.0);
    }
    assert!(std::sync::Arc::ptr_eq(&first, &lookout.look().await.picture.unwrap()));
    house.pass(PICTURE_KEPT).await;
    assert!(!std::sync::Arc::ptr_eq(&first, &lookout.look().await.picture.unwrap()));
}

/// Scrapes so many times at once.
async fn futures(lookout: &Lookout, many: usize) -> Vec<Exposition> {
    let mut scraping = tokio::task::JoinSet::new();
    for _ in 0..many {
        let lookout = lookout.clone();
        scraping.spawn(async move { scrape(&lookout).await });
    }
    scraping.join_all().await
}

#[tokio::test(start_paused = true)]
async fn a_wait_the_service_asks_for_is_counted_once_however_many_hear_of_it() {
    let house = House::new();
    let lookout = house.lookout(Fixed::token("token"));
    let wait = Some(MINUTE);
    house.service.script(move |call| match call.op {
        Op::Get => Fate::Failed(Fault::Transient { retry_after: wait }),
        _ => Fate::Done,
    });
    // Both are on their way before either is answered.
    tokio::join!(house.track("one", 3), house.track("two", 3));
    house.pass(SECOND * 5).await;
    assert_eq!(house.service.count(Op::Get), 2);
    let scraped = scrape(&lookout).await;
    let seconds = scraped.value("edm_agent_throttled_seconds_total");
    assert!((60.0..62.0).contains(&seconds), "{seconds}");
    assert!(scraped.value("edm_agent_throttle_left_seconds") > 50.0);
    assert_eq!(scraped.value("edm_agent_requests_total{operation=\"get_session\",result=\"throttled\"}"), 2.0);
}

#[tokio::test(start_paused = true)]
async fn the_sessions_left_are_shown_under_the_name_in_the_configuration() {
    // The table names its store; the uploads know the id.
    let house = House::with(|settings| {
        settings.table = vec![table("letters", "The Letters"), table("others", "Others")];
        settings.quota.sessions_per_day = 3;
    });
    let id = house.send("Letters", 1).await;
    house.until(&id, HOUR, |view| view.is_closed()).await;
    let lookout = house.lookout(Fixed::token("token"));
    let names: Vec<(String, u32, u32)> =
        lookout.look().await.quotas().into_iter().map(|view| (view.data_store, view.used, view.left)).collect();
    assert_eq!(names, [("Others".to_owned(), 0, 3), ("The Letters".to_owned(), 1, 2)]);

    // Another name for it, and no upload of that table yet: one store, one number.
    house.board.found_store("Others", "Letters");
    house.board.found_store("The Letters", "Letters");
    let ids: Vec<String> = lookout.look().await.quotas().into_iter().map(|view| view.data_store).collect();
    assert!(!ids.contains(&"Letters".to_owned()), "the id is nobody's name: {ids:?}");
}

#[tokio::test(start_paused = true)]
async fn a_reload_that_was_refused_shows() {
    let house = House::new();
    let lookout = house.lookout(Fixed::token("token"));
    let shown = |scraped: &Exposition| {
        ["edm_agent_config_last_reload_success", "edm_agent_config_generation"].map(|name| scraped.value(name))
    };
    let page = Page::of(&house);
    let (reloader, reloads) = house.reloader(page.load());
    let _reloading = reloading(reloader);
    assert_eq!(shown(&scrape(&lookout).await), [1.0, 1.0]);
    page.write(|settings| settings.state_dir = "/elsewhere".into());
    assert!(reloads.reload().await.is_err());
    assert_eq!(shown(&scrape(&lookout).await), [0.0, 1.0]);
    page.write(|settings| *settings = (*house.in_force.now()).clone());
    assert!(reloads.reload().await.is_ok());
    assert_eq!(shown(&scrape(&lookout).await), [1.0, 2.0]);
}

/// Reads a row of the page on metrics.
fn documented(line: &str) -> Option<[String; 4]> {
    let cells: Vec<String> = line.split('|').map(|cell| cell.trim().replace('`', "")).collect();
    let [_, name, kind, labels, text, _] = cells.try_into().ok()?;
    ["edm_agent_", "process_"].iter().any(|prefix| name.starts_with(prefix)).then_some([name, kind, labels, text])
}

#[tokio::test(start_paused = true)]
async fn the_page_on_metrics_lists_every_one_with_its_kind_and_labels() {
    let house = House::with(|settings| {
        with_table(settings);
        settings.http.session_metrics = true;
    });
    let lookout = house.lookout(Fixed::token("token"));
    house.board.change("letters", |view| view.next_run = Some(house.clock.now().wall));
    let id = house.send("Letters", 1).await;
    house.until(&id, HOUR, |view| view.is_closed()).await;
    house.track("theirs", 3).await;
    house.pass(SECOND * 2).await;
    let scraped = scrape(&lookout).await;

    let page = tree::read("docs/METRICS.md");
    let listed: BTreeSet<[String; 3]> =
        page.lines().filter_map(documented).map(|[name, kind, labels, _]| [name, kind, labels]).collect();
    let exposed = scraped.families.iter().map(|family| {
        let labels: Vec<&str> = family.labels.iter().map(String::as_str).collect();
        let suffix = if family.kind == "counter" {
            "_total"
        } else if family.kind == "info" {
            "_info"
        } else {
            ""
        };
        [format!("{}{suffix}", family.name), family.kind.clone(), labels.join(", ")]
    });
    assert_eq!(exposed.collect::<BTreeSet<_>>(), listed, "left: exposed, right: documented");
    assert!(page.lines().filter_map(documented).all(|[.., text]| text.len() > 10));
}
