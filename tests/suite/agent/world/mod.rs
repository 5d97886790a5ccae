//! An agent among fakes, in virtual time: a service, a blob store and a journal
//! that do what a test says, and a dispatcher that knows no better.

mod journal;
mod lookout;
mod service;
pub(super) mod socket;
mod store;

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use edm_agent::adapters::bundle::{self, BufferPool, Bundle, HashOrder, HashProgress, Limits, SaltSource};
use edm_agent::agent::ask::{Ask, AskRefused, Asker, Beginning};
use edm_agent::agent::board::Board;
use edm_agent::agent::dispatcher::{Dispatcher, Input, Parts, Volume, inbox};
use edm_agent::agent::intake::Intake;
use edm_agent::agent::metrics::Metrics;
use edm_agent::agent::notice::Notices;
use edm_agent::agent::overview::Lookout;
use edm_agent::agent::perform::Performer;
use edm_agent::agent::registration::FirstAttempt;
use edm_agent::agent::reload::{Load, ReloadParts, Reloader, Reloads};
use edm_agent::agent::settings::{InForce, Settings};
use edm_agent::agent::status::{Picture, UploadView};
use edm_agent::ground::moment::Moment;
use edm_agent::ports::clock::Clock;
use edm_agent::ports::journal::{Entry, Memory};
use edm_agent::ports::tokens::TokenProvider;
use edm_agent::table::digest::CellDigest;
use edm_agent::table::layout::PREFERRED_BLOCK;
use edm_agent::table::reader::Quotes;
use edm_agent::table::reader::encoding::Encoding;
use edm_agent::table::schema::{Field, Schema};
use edm_agent::upload::plan::{Plan, Sender, UploadId};
use tempfile::TempDir;
use tokio::runtime::Handle;
use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::support::clock::TokioClock;
pub(super) use journal::FakeJournal;
pub(super) use lookout::FakeLookout;
pub(super) use service::{Altered, FakeService, Fate, Op, SIGNATURE};
pub(super) use store::{FakeStore, Put};

/// A second.
pub(super) const SECOND: Duration = Duration::from_secs(1);
/// A minute.
pub(super) const MINUTE: Duration = Duration::from_secs(60);
/// An hour.
pub(super) const HOUR: Duration = Duration::from_secs(3_600);

/// The agent and everything around it.
pub(super) struct House {
    pub(super) clock: TokioClock,
    pub(super) settings: Arc<Settings>,
    pub(super) in_force: InForce,
    pub(super) service: Arc<FakeService>,
    pub(super) store: Arc<FakeStore>,
    pub(super) journal: Arc<FakeJournal>,
    pub(super) asker: Asker,
    pub(super) notices: Notices,
    pub(super) board: Board,
    pub(super) metrics: Metrics,
    pub(super) volume: watch::Receiver<Volume>,
    pub(super) beat: watch::Receiver<Moment>,
    pub(super) dir: Arc<TempDir>,
    pub(super) dispatcher: JoinSet<()>,
    _news: JoinSet<()>,
}

impl House {
    /// Starts an agent with nothing to do.
    pub(super) fn new() -> Self {
        Self::with(|_| ())
    }

    /// Starts an agent with nothing to do, under other settings.
    pub(super) fn with(change: impl FnOnce(&mut Settings)) -> Self {
        let clock = TokioClock::start();
        let dir = Arc::new(tempfile::tempdir().unwrap());
        let mut settings = Settings { state_dir: dir.path().join("state"), ..Settings::default() };
        settings.upload.allowed_hosts = vec!["blobs.test".to_owned()];
        settings.bundles.min_free = 0;
        settings.lease.session_ttl = MINUTE * 15;
        change(&mut settings);
        let (service, store) = (FakeService::new(clock), FakeStore::new(clock));
        Self::among(clock, Arc::new(settings), service, store, dir, Memory::default())
    }

    /// Ends the agent at once, as a kill would, and starts another with what
    /// was durable.
    pub(super) fn restart(self) -> Self {
        let memory = self.journal.memory();
        self.restart_with(memory)
    }

    /// Ends the agent at once and starts another with another memory.
    pub(super) fn restart_with(self, memory: Memory) -> Self {
        let Self { clock, settings, service, store, dir, .. } = self;
        Self::among(clock, settings, service, store, dir, memory)
    }

    fn among(
        clock: TokioClock,
        settings: Arc<Settings>,
        service: Arc<FakeService>,
        store: Arc<FakeStore>,
        dir: Arc<TempDir>,
        memory: Memory,
    ) -> Self {
        let (journal, mut told) = FakeJournal::new(memory.clone());
        let notices = Notices::new();
        let board = Board::new(&settings.table, &memory.facts);
        let shared: Arc<dyn Clock> = Arc::new(clock);
        let metrics = Metrics::new(clock.now().wall);
        let performer = Performer {
            service: metrics.watch_service(service.clone(), &shared),
            blobs: metrics.watch_blobs(store.clone(), &shared),
            pool: BufferPool::new(1 << 30),
        };
        let parts = Parts {
            clock: Arc::new(clock),
            performer: Arc::new(performer),
            journal: journal.clone(),
            settings: settings.clone(),
            blocks: Handle::current(),
            notices: notices.clone(),
            board: board.clone(),
            metrics: metrics.clone(),
        };
        let (running, doors) = Dispatcher::new(parts, memory, inbox());
        let (mut dispatcher, mut bringing) = (JoinSet::new(), JoinSet::new());
        dispatcher.spawn(running.run());
        let news = doors.news.clone();
        bringing.spawn(async move {
            while let Some(told) = told.recv().await {
                if news.send(Input::News(told)).await.is_err() {
                    return;
                }
            }
        });
        Self {
            clock,
            in_force: InForce::new(Arc::clone(&settings)),
            settings,
            service,
            store,
            journal,
            asker: doors.asker,
            notices,
            board,
            metrics,
            volume: doors.volume,
            beat: doors.beat,
            dir,
            dispatcher,
            _news: bringing,
        }
    }

    /// Returns what makes uploads of tables and bundles.
    pub(super) fn intake(&self) -> Intake {
        Intake {
            settings: self.in_force.clone(),
            clock: Arc::new(self.clock),
            service: self.service.clone(),
            asker: self.asker.clone(),
            board: self.board.clone(),
            volume: self.volume.clone(),
            stop: Arc::new(AtomicBool::new(false)),
            turn: Arc::default(),
            tasks: Arc::default(),
            metrics: self.metrics.clone(),
            registering: FirstAttempt::default(),
        }
    }

    /// Returns what looks at everything from outside.
    pub(super) fn lookout(&self, tokens: Arc<dyn TokenProvider>) -> Lookout {
        Lookout {
            clock: Arc::new(self.clock),
            settings: self.in_force.clone(),
            asker: self.asker.clone(),
            beat: self.beat.clone(),
            volume: self.volume.clone(),
            board: self.board.clone(),
            tokens,
            stopping: Arc::new(AtomicBool::new(false)),
            metrics: self.metrics.clone(),
            seen: Arc::default(),
        }
    }

    /// Returns what carries reloads out, and the way to wish one.
    pub(super) fn reloader(&self, load: Load) -> (Reloader, Reloads) {
        Reloader::new(ReloadParts {
            load,
            in_force: self.in_force.clone(),
            asker: self.asker.clone(),
            board: self.board.clone(),
            notices: self.notices.clone(),
            metrics: self.metrics.clone(),
            clock: Arc::new(self.clock),
        })
    }

    /// Lets time pass.
    pub(super) async fn pass(&self, span: Duration) {
        self.clock.sleep_until(self.clock.now().moment + span).await;
    }

    /// Returns how long it has been.
    pub(super) fn since(&self, moment: Moment) -> Duration {
        self.clock.now().moment.since(moment)
    }

    pub(super) async fn picture(&self) -> Picture {
        self.asker.ask(Ask::Picture).await.unwrap()
    }

    pub(super) async fn view(&self, id: &str) -> UploadView {
        self.asker.ask(|reply| Ask::View(id.to_owned(), reply)).await.unwrap().unwrap()
    }

    /// Looks at an upload until it is as wished, for at most so long.
    pub(super) async fn until(&self, id: &str, limit: Duration, wished: impl Fn(&UploadView) -> bool) -> UploadView {
        let end = self.clock.now().moment + limit;
        loop {
            let view = self.view(id).await;
            if wished(&view) {
                return view;
            }
            assert!(self.clock.now().moment < end, "not within {limit:?}: {view:#?}");
            self.pass(Duration::from_millis(100)).await;
        }
    }

    pub(super) async fn begin(&self, entry: Entry, bundle: Option<Arc<Bundle>>) -> Result<UploadView, AskRefused> {
        let beginning = Beginning { bundle, ..Beginning::of(entry, self.in_force.now()) };
        self.asker.ask(|reply| Ask::Begin(Box::new(beginning), reply)).await.unwrap()
    }

    /// Tracks a session that another uploader opened just now.
    pub(super) async fn track(&self, session: &str, total: u32) -> String {
        self.service.seed(session, "Letters", total);
        let entry = tracked(session, total, &self.clock);
        self.begin(entry, None).await.unwrap().upload
    }

    /// Makes a bundle of so many blocks and begins to send it to a data store.
    pub(super) async fn send(&self, store: &str, blocks: u32) -> String {
        let (entry, bundle) = self.cargo(store, store, blocks);
        self.begin(entry, Some(bundle)).await.unwrap().upload
    }

    /// Makes a bundle of so many blocks, and what begins its upload.
    pub(super) fn cargo(&self, name: &str, store: &str, blocks: u32) -> (Entry, Arc<Bundle>) {
        let bundle = Arc::new(bundle_of(&self.dir.path().join(format!("bundle-{name}")), blocks, &self.clock));
        let mut entry = tracked(name, blocks, &self.clock);
        entry.plan.sender = Sender::Owned;
        entry.plan.table = "letters".to_owned();
        entry.plan.store = store.to_owned();
        entry.bundle = Some(bundle.dir().to_owned());
        entry.owns_bundle = true;
        (entry, bundle)
    }
}

/// Makes what begins the tracking of a session.
pub(super) fn tracked(session: &str, total: u32, clock: &TokioClock) -> Entry {
    let id = UploadId(format!("upload-of-{session}"));
    let seed = session.bytes().fold(7, |seed: u64, byte| seed.wrapping_mul(31) ^ u64::from(byte));
    let plan = Plan {
        file_name: Plan::file_name("letters", &id),
        table: "Letters".to_owned(),
        store: "Letters".to_owned(),
        sender: Sender::Tracked { session: Some(session.to_owned()) },
        total_blocks: total,
        canary: false,
        seed,
        begun: clock.now().wall,
        id,
    };
    Entry { plan, bundle: None, owns_bundle: false, source: None, urgent: true }
}

/// Makes a column as the data store has it.
fn searchable(name: &str) -> Field {
    Field { searchable: true, ..Field::named(name) }
}

/// Rows in each block of a test's bundle.
const ROWS: u32 = 4;

/// Makes a bundle of so many blocks.
pub(super) fn bundle_of(output: &Path, blocks: u32, clock: &TokioClock) -> Bundle {
    let source = output.with_extension("csv");
    let rows: String = (0..blocks * ROWS).map(|row| format!("a{row},b{row}\n")).collect();
    std::fs::write(&source, format!("A,B\n{rows}")).unwrap();
    let order = HashOrder {
        table: "letters".to_owned(),
        source,
        schema: Schema::from_fields("Letters", ["A", "B"].map(searchable).to_vec()).unwrap(),
        separator: None,
        quotes: Quotes::Double,
        encoding: Encoding::Auto,
        digest: CellDigest::Sha256,
        rows_per_block: Some(ROWS),
        block_size: PREFERRED_BLOCK,
        allowed_bad_lines_percent: 0.0,
        allow_drift: false,
        allow_empty: false,
        content_key: None,
        salt: SaltSource::Fresh,
        output: output.to_owned(),
        limits: Limits::default(),
        threads: 1,
    };
    bundle::hash(&order, clock, &HashProgress::default(), &AtomicBool::new(false)).unwrap()
}
