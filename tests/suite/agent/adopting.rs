//! An open session of this host that its journal does not know.

use edm_agent::agent::ask::{Ask, Uploaded};
use edm_agent::agent::exit::{Exit, Trouble};
use edm_agent::agent::intake::{Cargo, Intake};
use edm_agent::agent::registration::{FirstAttempt, keep_trying};
use edm_agent::agent::status::UploadView;
use edm_agent::ports::clock::Clock;
use edm_agent::upload::fault::Fault;

use super::world::{Fate, HOUR, House, MINUTE, Op, SECOND};

const BLOCKS: u32 = 4;

/// A house registered as an upload agent, with a bundle, and a session that is
/// open for content of some checksum, or for the bundle's.
struct Scene {
    house: House,
    cargo: Cargo,
}

impl Scene {
    async fn new(checksum: Option<&str>) -> Self {
        Self::among(House::new(), checksum).await
    }

    async fn among(house: House, checksum: Option<&str>) -> Self {
        house.asker.tell(Ask::Registered("us".to_owned())).await.unwrap();
        let (entry, bundle) = house.cargo("letters", "Letters", BLOCKS);
        house.service.seed("open", "Letters", BLOCKS);
        let checksum = checksum.unwrap_or(&bundle.manifest().sha256).to_owned();
        house.service.change("open", |remote| {
            remote.file_name = "letters-20260101T000000-0123abcd.EdmHash".to_owned();
            remote.agent = "us".to_owned();
            remote.checksum = Some(checksum);
            remote.remaining = 3;
        });
        Self { house, cargo: Cargo::Bundle(entry.bundle.unwrap()) }
    }

    async fn begin(&self) -> Result<UploadView, Trouble> {
        self.house.intake().begin(&self.cargo, false).await
    }

    /// Begins, and returns the session in which it completed.
    async fn session(&self) -> String {
        let upload = self.begin().await.unwrap().upload;
        let view = self.house.until(&upload, HOUR, UploadView::is_closed).await;
        assert_eq!(view.outcome.as_deref(), Some("completed"), "{view:#?}");
        view.session.unwrap()
    }
}

fn remainders(house: &House) -> Vec<u32> {
    house.service.take().iter().filter(|call| call.op == Op::Update).filter_map(|call| call.remaining).collect()
}

#[tokio::test(start_paused = true)]
async fn a_session_of_the_same_content_is_gone_on_with_and_its_count_never_rises() {
    let scene = Scene::new(None).await;
    assert_eq!(scene.session().await, "open");
    assert_eq!((scene.house.service.count(Op::Create), scene.house.service.count(Op::Restate)), (0, 0));
    let counts = remainders(&scene.house);
    assert!(counts.iter().all(|&count| count <= 3) && counts.last() == Some(&0), "{counts:?}");
}

#[tokio::test(start_paused = true)]
async fn a_session_of_another_content_is_told_what_it_is_of_before_a_block_is_sent() {
    let scene = Scene::new(Some("other")).await;
    assert_eq!(scene.session().await, "open");
    let calls = scene.house.service.take();
    let told = calls.iter().find(|call| call.op == Op::Restate).unwrap().at;
    assert!(scene.house.store.puts().iter().all(|&at| at > told));
    assert!(!calls.iter().any(|call| call.op == Op::Create));
}

#[tokio::test(start_paused = true)]
async fn a_session_that_takes_no_other_content_is_ended_and_replaced_if_the_quota_has_one() {
    for (others, ends) in [(0, 1), (4, 0)] {
        let scene = Scene::new(Some("other")).await;
        let house = &scene.house;
        for number in 0..others {
            let id = format!("theirs-{number}");
            house.service.seed(&id, "Letters", 1);
            house.service.change(&id, |remote| remote.opened = house.clock.now().wall);
        }
        house.service.change("open", |remote| remote.opened = house.clock.now().wall);
        house.service.script(|call| match call.op {
            Op::Restate => Fate::Failed(Fault::Refused { status: 400 }),
            _ => Fate::Done,
        });
        let upload = scene.begin().await.unwrap().upload;
        house.pass(MINUTE).await;
        assert_eq!(house.service.count(Op::Cancel), ends, "{others} others");
        assert_eq!(house.service.count(Op::Create), ends, "{others} others");
        assert_eq!(house.view(&upload).await.waiting.is_some(), ends == 0, "{others} others");
    }
}

#[tokio::test(start_paused = true)]
async fn a_session_that_somebody_keeps_is_left_to_them() {
    let scene = Scene::new(None).await;
    let keeping = async {
        scene.house.pass(SECOND * 2).await;
        scene.house.service.change("open", |remote| remote.remaining = 2);
    };
    let (begun, ()) = tokio::join!(scene.begin(), keeping);
    let refused = begun.unwrap_err();
    assert_eq!(refused.exit, Exit::TryLater);
    assert!(refused.message.contains("agent.description of its own"), "{refused}");
    assert_eq!((scene.house.service.count(Op::Create), scene.house.service.count(Op::Renew)), (0, 0));
}

#[tokio::test(start_paused = true)]
async fn nothing_is_opened_while_it_is_not_known_whether_a_session_is_open() {
    let scene = Scene::new(None).await;
    scene.house.service.script(|call| match call.op {
        Op::Sessions => Fate::Failed(Fault::Transient { retry_after: None }),
        _ => Fate::Done,
    });
    assert_eq!(scene.begin().await.unwrap_err().exit, Exit::Unreachable);
    scene.house.service.script(|_| Fate::Done);
    assert_eq!(scene.session().await, "open");
}

#[tokio::test(start_paused = true)]
async fn a_session_that_is_known_of_another_agent_or_not_wanted_is_no_orphan() {
    let foreign = Scene::new(None).await;
    foreign.house.service.change("open", |remote| remote.agent = "them".to_owned());
    assert_ne!(foreign.session().await, "open");

    let other_table = Scene::new(None).await;
    let file_name = "letters-copy-20260101T000000-0123abcd.EdmHash".to_owned();
    other_table.house.service.change("open", |remote| remote.file_name = file_name);
    assert_ne!(other_table.session().await, "open");

    let unwanted = Scene::among(House::with(|settings| settings.upload.resume_session = false), None).await;
    assert_ne!(unwanted.session().await, "open");

    // Given up here, its session was left alone: the journal knows it.
    let known = Scene::new(None).await;
    known.house.service.script(|call| match call.op {
        Op::Cancel => Fate::Failed(Fault::NotPermitted),
        Op::Renew | Op::Get => Fate::Slow(MINUTE),
        _ => Fate::Done,
    });
    let upload = known.begin().await.unwrap().upload;
    known.house.asker.ask(|reply| Ask::Cancel(upload.clone(), reply)).await.unwrap().unwrap();
    known.house.until(&upload, HOUR, UploadView::is_closed).await;
    known.house.service.script(|_| Fate::Done);
    assert_ne!(known.session().await, "open");
}

#[tokio::test(start_paused = true)]
async fn a_tracked_session_that_was_opened_here_is_gone_on_with_and_its_count_never_rises() {
    let scene = Scene::new(Some("")).await;
    let house = &scene.house;
    let file_name = "Letters-20260101T000000-0123abcd.EdmHash".to_owned();
    house.service.change("open", |remote| remote.file_name = file_name);

    let view = house.intake().track("Letters", None, BLOCKS).await.unwrap();
    assert_eq!(view.session.as_deref(), Some("open"));
    house.pass(MINUTE).await;
    house.asker.ask(|reply| Ask::Progress("open".to_owned(), None, Uploaded::Count(1), reply)).await.unwrap().unwrap();
    house.pass(MINUTE).await;
    house.asker.ask(|reply| Ask::Progress("open".to_owned(), None, Uploaded::Count(2), reply)).await.unwrap().unwrap();
    house.pass(MINUTE).await;

    let counts = remainders(house);
    assert!(counts.iter().all(|&count| count <= 3) && counts.last() == Some(&2), "{counts:?}");
    let other = house.intake().track("Letters", None, BLOCKS).await.unwrap();
    assert_ne!(other.upload, view.upload, "one that is known here is another uploader's");
}

#[tokio::test(start_paused = true)]
async fn what_begins_waits_for_the_first_attempt_to_register_and_not_for_ever() {
    let scene = Scene::new(None).await;
    let began = scene.house.clock.now().moment;
    let (attempting, registering) = FirstAttempt::begin();
    let intake = Intake { registering, ..scene.house.intake() };
    // An attempt that no answer ends, as with a service that takes requests and says nothing.
    let unanswered = keep_trying(&attempting, &scene.house.clock, std::future::pending::<bool>);
    let begun = tokio::select! {
        () = unanswered => unreachable!("it is never answered"),
        begun = intake.begin(&scene.cargo, true) => begun.unwrap(),
    };
    assert!(scene.house.clock.now().moment.since(began) >= 5 * SECOND, "it waits for the attempt");
    assert!(!begun.is_closed(), "{begun:?}");

    let (attempting, registering) = FirstAttempt::begin();
    let began = scene.house.clock.now().moment;
    let refused = async { keep_trying(&attempting, &scene.house.clock, async || false).await };
    tokio::select! {
        () = refused => unreachable!("it is refused for ever"),
        () = registering.over() => (),
    }
    assert_eq!(scene.house.clock.now().moment, began, "one that was refused is over");
}
