//! The configuration is read again while the agent works.

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};

use edm_agent::agent::exit::{Exit, Trouble};
use edm_agent::agent::reload::{Applied, Load, ReloadRefused, Reloader};
use edm_agent::agent::settings::{Changes, Settings};
use tokio::task::JoinSet;

use super::schedule::{keep, one_table, write_table};
use super::world::{HOUR, House, MINUTE, Op, SECOND};

/// What the configuration file says.
#[derive(Clone)]
pub(super) struct Page(Arc<Mutex<Result<Settings, Trouble>>>);

impl Page {
    /// What an agent began with.
    pub(super) fn of(house: &House) -> Self {
        Self(Arc::new(Mutex::new(Ok((*house.in_force.now()).clone()))))
    }

    pub(super) fn write(&self, change: impl FnOnce(&mut Settings)) {
        change(self.0.lock().unwrap().as_mut().unwrap());
    }

    pub(super) fn spoil(&self, reason: &str) {
        *self.0.lock().unwrap() = Err(Trouble::new(Exit::BadConfiguration, reason));
    }

    pub(super) fn load(&self) -> Load {
        let page = self.clone();
        Arc::new(move || page.0.lock().unwrap().clone())
    }
}

/// Carries reloads out for as long as it is held.
pub(super) fn reloading(mut reloader: Reloader) -> JoinSet<()> {
    let mut tasks = JoinSet::new();
    tasks.spawn(async move {
        loop {
            reloader.wait().await;
            reloader.reload().await;
            reloader.answer();
        }
    });
    tasks
}

fn reason(refused: Result<Applied, ReloadRefused>) -> String {
    match refused {
        Err(ReloadRefused::Refused { trouble, .. }) => trouble.message,
        other => panic!("{other:?}"),
    }
}

/// Returns how often the progress of an upload was reported.
async fn reports(house: &House, upload: &str) -> u32 {
    house.view(upload).await.progress_reports
}

#[tokio::test(start_paused = true)]
async fn an_upload_keeps_the_rules_it_began_with_and_the_next_one_has_the_new_ones() {
    let house = House::new();
    let page = Page::of(&house);
    let (reloader, reloads) = house.reloader(page.load());
    let _reloading = reloading(reloader);
    house.store.takes(SECOND * 10);
    let first = house.send("Letters", 40).await;
    house.until(&first, MINUTE, |view| view.stored_blocks > 0).await;

    page.write(|settings| {
        settings.progress.report = false;
        settings.upload.concurrency = 1;
    });
    let Applied { generation, changed } = reloads.reload().await.unwrap();
    assert_eq!(generation, 2);
    assert_eq!(changed, ["upload.concurrency", "progress.report"]);

    let before = house.view(&first).await;
    house.pass(MINUTE).await;
    assert!(reports(&house, &first).await > before.progress_reports, "it reports as it began");
    let meanwhile = house.view(&first).await.stored_blocks - before.stored_blocks;
    assert!((5..=16).contains(&meanwhile), "one block at a time at once, and those in flight: {meanwhile}");

    house.service.also("Others");
    let second = house.send("Others", 40).await;
    house.until(&second, HOUR, |view| view.stored_blocks > 0).await;
    house.pass(SECOND * 30).await;
    assert_eq!(reports(&house, &second).await, 0);
    for upload in [first, second] {
        let view = house.until(&upload, HOUR * 3, |view| view.is_closed()).await;
        assert_eq!(view.outcome.as_deref(), Some("completed"));
    }
    assert_eq!(house.service.count(Op::Create), 2, "each in the session it began with");
}

#[tokio::test(start_paused = true)]
async fn what_waits_for_the_quota_goes_on_when_a_reload_gives_it_more() {
    let house = House::with(|settings| settings.quota.sessions_per_day = 1);
    let page = Page::of(&house);
    let (reloader, reloads) = house.reloader(page.load());
    let _reloading = reloading(reloader);
    let first = house.send("Letters", 1).await;
    house.until(&first, HOUR, |view| view.is_closed()).await;
    let (mut entry, bundle) = house.cargo("again", "Letters", 1);
    entry.urgent = true;
    let second = house.begin(entry, Some(bundle)).await.unwrap().upload;
    house.until(&second, MINUTE, |view| view.waiting.as_deref() == Some("quota")).await;

    page.write(|settings| settings.quota.sessions_per_day = 2);
    reloads.reload().await.unwrap();

    house.until(&second, MINUTE, |view| view.session.is_some()).await;
}

#[tokio::test(start_paused = true)]
async fn fault_85_a_change_that_needs_a_restart_is_refused_as_a_whole_and_named() {
    let house = House::with(one_table);
    let page = Page::of(&house);
    let (reloader, reloads) = house.reloader(page.load());
    let _reloading = reloading(reloader);
    let mut notices = house.notices.listen();
    let upload = house.track("theirs", 4).await;

    page.write(|settings| {
        settings.graph.base_url = "https://elsewhere.test/beta".to_owned();
        settings.auth.tenant_id = "not-to-be-shown".to_owned();
        settings.state_dir = "/elsewhere".into();
        settings.quota.reserved = 0;
        settings.table.clear();
    });
    let reason = reason(reloads.reload().await);

    assert!(reason.contains("it needs a restart, for state_dir, graph.base_url, auth.tenant_id:"), "{reason}");
    assert!(!reason.contains("not-to-be-shown") && !reason.contains("elsewhere"), "{reason}");
    assert_eq!(house.in_force.now().quota.reserved, 1);
    assert_eq!(house.board.views().len(), 1);
    assert_eq!((reloads.generation(), reloads.is_last_ok()), (1, false));
    let told = std::iter::from_fn(|| notices.try_recv().ok()).find(|notice| notice.event.starts_with("configuration"));
    let told = told.unwrap();
    assert_eq!((told.event.as_str(), &told.detail["generation"]), ("configuration-refused", &1.into()));
    assert!(!house.view(&upload).await.is_closed(), "what runs goes on");

    page.write(|settings| {
        let quota = settings.quota.clone();
        *settings = (*house.in_force.now()).clone();
        settings.quota = quota;
    });
    assert_eq!(reloads.reload().await.unwrap().changed, ["quota.reserved"], "put back, the rest counts");
    assert!(reloads.is_last_ok());
}

#[tokio::test(start_paused = true)]
async fn a_table_that_a_reload_brings_is_uploaded_and_one_it_removes_is_not_but_goes_on_where_it_is_under_way() {
    let house = House::with(one_table);
    write_table(&house, 200);
    house.store.takes(SECOND * 30);
    let page = Page::of(&house);
    let (reloader, reloads) = house.reloader(page.load());
    let (_reloading, _keeping) = (reloading(reloader), keep(&house));
    house.pass(MINUTE).await;
    let upload = house.picture().await.uploads[0].upload.clone();

    house.service.also("Parcels");
    let path = house.dir.path().join("parcels.csv");
    std::fs::write(&path, "A,B\none,two\n").unwrap();
    page.write(|settings| {
        settings.table[0].name = "parcels".to_owned();
        settings.table[0].data_store = "Parcels".to_owned();
        settings.table[0].path = path;
    });
    let changed = reloads.reload().await.unwrap().changed;
    assert_eq!(changed, ["table.parcels added", "table.letters removed"]);
    house.pass(MINUTE * 20).await;
    let tables: Vec<String> = house.board.views().into_iter().map(|view| view.table).collect();
    assert_eq!(tables, ["parcels"]);
    let view = house.until(&upload, HOUR * 3, |view| view.is_closed()).await;
    assert_eq!(view.outcome.as_deref(), Some("completed"));
    assert_eq!(house.service.count(Op::Create), 2);
    assert_eq!(house.board.views()[0].last_outcome.as_deref(), Some("completed"));

    write_table(&house, 207);
    house.pass(HOUR).await;
    assert_eq!(house.service.count(Op::Create), 2, "nobody looks at the removed one");
    page.write(|settings| {
        let was = house.settings.table[0].clone();
        settings.table.push(was);
    });
    reloads.reload().await.unwrap();
    house.pass(MINUTE).await;
    assert_eq!(house.service.count(Op::Create), 3, "it is back, and has changed");
}

#[tokio::test(start_paused = true)]
async fn a_table_that_could_not_be_uploaded_is_tried_again_once_a_reload_mends_it() {
    let house = House::with(|settings| {
        one_table(settings);
        settings.table[0].allowed_bad_lines_percent = 0.0;
    });
    std::fs::write(&house.settings.table[0].path, "A,B\none,two\nonly one\n").unwrap();
    let page = Page::of(&house);
    let (reloader, reloads) = house.reloader(page.load());
    let (_reloading, _keeping) = (reloading(reloader), keep(&house));
    house.pass(MINUTE * 10).await;
    assert_eq!(house.service.count(Op::Create), 0);

    page.write(|settings| settings.table[0].allowed_bad_lines_percent = 60.0);
    assert_eq!(reloads.reload().await.unwrap().changed, ["table.letters.allowed_bad_lines_percent"]);
    house.pass(MINUTE * 10).await;
    assert_eq!(house.service.count(Op::Create), 1);
}

/// A reading that waits until it is let go.
fn held(house: &House) -> (Load, Sender<()>, Receiver<()>) {
    let (go, wait) = channel();
    let (begin, begun) = channel();
    let (wait, page) = (Mutex::new(wait), Page::of(house).load());
    let load = move || {
        begin.send(()).unwrap();
        // Whoever is gone holds nothing up.
        let _ = wait.lock().unwrap().recv();
        page()
    };
    (Arc::new(load), go, begun)
}

#[tokio::test]
async fn a_wish_that_comes_while_the_file_is_read_has_it_read_once_more_and_many_are_one() {
    let house = House::new();
    let (load, go, begun) = held(&house);
    let (reloader, reloads) = house.reloader(load);
    let _reloading = reloading(reloader);
    let first = tokio::task::JoinSet::from_iter([{
        let reloads = reloads.clone();
        async move { reloads.reload().await.unwrap().generation }
    }]);
    while begun.try_recv().is_err() {
        tokio::task::yield_now().await;
    }
    let (mut later, asked) = (JoinSet::new(), Arc::new(AtomicU32::new(0)));
    for _ in 0..1_000 {
        let (reloads, asked) = (reloads.clone(), asked.clone());
        later.spawn(async move {
            asked.fetch_add(1, Ordering::Relaxed);
            reloads.reload().await.unwrap().generation
        });
    }
    while asked.load(Ordering::Relaxed) < 1_000 {
        tokio::task::yield_now().await;
    }
    let last = reloads.wish();
    assert_eq!(last, 1_002, "all are wished while the first is read");

    go.send(()).unwrap();
    assert_eq!(first.join_all().await, [2]);
    go.send(()).unwrap();
    assert_eq!(later.join_all().await, vec![3; 1_000], "one more reading is for all of them");
    assert!(begun.try_recv().is_ok() && begun.try_recv().is_err(), "two readings in all");
}

#[tokio::test(start_paused = true)]
async fn a_file_that_does_not_answer_holds_up_no_later_wish() {
    let house = House::new();
    let (load, go, begun) = held(&house);
    let (reloader, reloads) = house.reloader(load);
    let _reloading = reloading(reloader);
    for expected in [1, 1] {
        let mut asked = JoinSet::new();
        let wish = reloads.clone();
        asked.spawn(async move { wish.reload().await });
        while begun.try_recv().is_err() {
            tokio::time::advance(SECOND / 10).await;
        }
        // A thread that blocks stops the clock of a test: it is turned by hand.
        tokio::time::advance(SECOND * 11).await;
        let reason = reason(asked.join_next().await.unwrap().unwrap());
        assert!(reason.contains("not read within 10 s"), "{reason}");
        assert_eq!(reloads.generation(), expected);
    }
    for _ in 0..3 {
        go.send(()).unwrap();
    }
    tokio::time::advance(SECOND).await;
    assert_eq!(reloads.reload().await.unwrap().generation, 2);
}

#[tokio::test(start_paused = true)]
async fn whoever_waits_for_a_reload_hears_that_the_agent_stops() {
    let house = House::new();
    let (reloader, reloads) = house.reloader(Page::of(&house).load());
    let wish = reloads.clone();
    let mut asked = JoinSet::new();
    asked.spawn(async move { wish.reload().await });
    house.pass(SECOND).await;
    drop(reloader);
    assert!(matches!(asked.join_next().await.unwrap().unwrap(), Err(ReloadRefused::Stopping)));
    assert!(matches!(reloads.reload().await, Err(ReloadRefused::Stopping)));
}

#[test]
fn what_changed_is_named_key_by_key() {
    let mut old = Settings::default();
    one_table(&mut old);
    let mut new = old.clone();
    assert_eq!(Changes::between(&old, &new), Changes::default());

    new.table[0].when = "manual".to_owned();
    new.table[0].canary = Some(edm_agent::agent::settings::Canary { column: "A".to_owned(), value: "000".to_owned() });
    new.upload.memory = 1;
    new.lease.renew_window = [0.1, 0.2];
    let changes = Changes::between(&old, &new);
    let names = [
        "lease.renew_window",
        "upload.memory",
        "table.letters.when",
        "table.letters.canary.column",
        "table.letters.canary.value",
    ];
    assert_eq!(changes.names, names);
    assert_eq!(changes.restart, ["upload.memory"]);
}
