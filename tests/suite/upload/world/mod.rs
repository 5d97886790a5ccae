//! A world for one upload, in virtual time: both clocks, a service, a blob
//! store, a journal, and the loop that drives the machine between them.
//!
//! The world knows the truth (when a session really ends, what the store
//! really holds) and compares each step and each request with it; see
//! `watch.rs`. What goes wrong is up to the [`Fate`] a test gives it.

pub(crate) mod budget;
pub(crate) mod fate;
pub(crate) mod journal;
pub(crate) mod remote;
pub(crate) mod service;
pub(crate) mod store;
mod watch;

use std::collections::BTreeMap;
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use edm_agent::ground::chance::draw;
use edm_agent::ground::moment::{Moment, Now};
use edm_agent::upload::event::{Command, Event, Order, Reply};
use edm_agent::upload::fault::Fault;
use edm_agent::upload::machine::Upload;
use edm_agent::upload::outcome::Outcome;
use edm_agent::upload::plan::{Plan, Sender, UploadId};
use edm_agent::upload::policy::Policy;
use edm_agent::upload::record::{Record, Standing};

use budget::Budget;
use fate::{Fate, Mishap};
use journal::Journal;
use service::Service;
use store::Store;

/// Since the world began.
pub(crate) const START: Duration = Duration::ZERO;
pub(crate) const SECOND: Duration = Duration::from_secs(1);
pub(crate) const MINUTE: Duration = Duration::from_secs(60);
pub(crate) const HOUR: Duration = Duration::from_secs(3_600);

/// How long the driver lets a request without patience of its own take.
const PATIENCE: Duration = Duration::from_secs(30);

/// Something done to the other side.
type Change = Box<dyn FnOnce(&mut Service, &mut Store, Moment)>;

/// Something that happens.
enum Happening {
    /// An order's turn in its lane.
    Leave { life: u32, epoch: u32, order: Order },
    /// A request reaches the other side.
    Arrive { request: Request },
    /// An answer reaches the driver.
    Deliver { life: u32, epoch: u32, reply: Reply },
    /// Somebody on this host says something.
    Say(Event),
    /// The agent dies; of the records under way so many still reach the disk.
    Crash { lucky: usize },
    /// It starts again, the host having started anew or not.
    Start { reboot: bool, compacts: bool },
    /// The host sleeps.
    Suspend(Duration),
    /// The host's wall clock is set.
    SetWall(TimeDelta),
    /// Something changes at the other side.
    Change(Change),
}

/// A request on its way, with what it took along when it left.
pub(crate) struct Request {
    life: u32,
    epoch: u32,
    pub(crate) command: Command,
    pub(crate) session: Option<String>,
    pub(crate) uri: Option<(edm_agent::upload::uri::UploadUri, u32)>,
    /// When it left, by the host's boot clock.
    pub(crate) asked: Moment,
    /// When it left, by true time: a store judges a signature as a request begins.
    pub(crate) left: Moment,
    mishap: Mishap,
}

/// The world. Moments named `time` are true; the host's boot clock and wall
/// clock are read through [`World::now`].
pub(crate) struct World {
    pub(crate) upload: Upload,
    pub(crate) plan: Plan,
    pub(crate) policy: Policy,
    pub(crate) service: Service,
    pub(crate) store: Store,
    pub(crate) journal: Journal,
    pub(crate) time: Moment,
    pub(crate) fate: Fate,
    pub(crate) budget: Budget,
    /// How long a request, and its answer, travel.
    pub(crate) travel: Duration,
    /// How long a block takes.
    pub(crate) block_time: Duration,
    /// The longest an order waits in its lane.
    pub(crate) lane_wait: Duration,
    booted: Moment,
    wall_off: TimeDelta,
    queue: BTreeMap<(Moment, u64), Happening>,
    happened: u64,
    life: u32,
    is_up: bool,
    is_stopping: bool,
    asleep_until: Moment,
    /// The commands of this life that are out, by epoch.
    out: BTreeMap<u32, Vec<Command>>,
    /// Every request that left: when and what.
    pub(crate) asks: Vec<(Moment, Command)>,
    nth: BTreeMap<&'static str, usize>,
    /// Times a session was said to be gone that was not.
    pub(crate) slanders: usize,
    /// Commits refused that could have been taken.
    pub(crate) snubs: usize,
    /// The standing of this life, folded record by record.
    folded: Standing,
    /// Seeds of the world's own draws.
    seed: u64,
    draws: u64,
    /// Whether every step is told, for looking at one seed.
    is_told: bool,
}

/// The plan of an upload of so many blocks.
pub(crate) fn plan(total: u32, sender: Sender, seed: u64) -> Plan {
    let id = UploadId("20270115T080000-00000001".to_owned());
    let file_name = Plan::file_name("patients", &id);
    let (table, store) = ("patients".to_owned(), "PatientRecords".to_owned());
    let begun = service::dawn();
    Plan { id, table, store, file_name, sender, total_blocks: total, canary: false, seed, begun }
}

impl World {
    /// A world in fair weather.
    pub(crate) fn new(plan: Plan, policy: Policy) -> Self {
        let time = Moment::from_boot(SECOND * 100);
        let now = Now { moment: time, wall: service::date(time) };
        let mut service = Service::new(plan.total_blocks);
        service.session_ttl = policy.session_ttl;
        Self {
            upload: Upload::new(plan.clone(), policy.clone(), &[], now),
            service,
            store: Store::new(plan.total_blocks, !plan.is_owned()),
            journal: Journal::new(Duration::from_millis(5)),
            time,
            fate: fate::fair(),
            budget: Budget::default(),
            travel: Duration::from_millis(40),
            block_time: Duration::from_millis(500),
            lane_wait: Duration::ZERO,
            booted: Moment::default(),
            wall_off: TimeDelta::zero(),
            queue: BTreeMap::new(),
            happened: 0,
            life: 0,
            is_up: true,
            is_stopping: false,
            asleep_until: Moment::default(),
            out: BTreeMap::new(),
            asks: Vec::new(),
            nth: BTreeMap::new(),
            slanders: 0,
            snubs: 0,
            folded: Standing::default(),
            seed: plan.seed ^ 0x5EED,
            draws: 0,
            is_told: std::env::var_os("UPLOAD_TELL").is_some(),
            plan,
            policy,
        }
    }

    /// Reads the host's clocks.
    pub(crate) fn now(&self) -> Now {
        Now { moment: self.host(self.time), wall: self.wall() }
    }

    fn wall(&self) -> DateTime<Utc> {
        service::date(self.time) + self.wall_off
    }

    fn host(&self, time: Moment) -> Moment {
        Moment::from_boot(time.since(self.booted))
    }

    fn true_time(&self, moment: Moment) -> Moment {
        self.booted + moment.since_boot()
    }

    fn draw(&mut self) -> f64 {
        self.draws += 1;
        draw(self.seed, self.draws)
    }

    fn spread(&mut self, longest: Duration) -> Duration {
        let share = self.draw();
        longest.mul_f64(share)
    }

    fn push(&mut self, time: Moment, happening: Happening) {
        self.happened += 1;
        self.queue.insert((time, self.happened), happening);
    }

    /// Has somebody say something after a while.
    pub(crate) fn say(&mut self, after: Duration, event: Event) {
        self.push(self.time + after, Happening::Say(event));
    }

    /// Has the agent die after a while, and start again after another.
    pub(crate) fn crash(&mut self, after: Duration, down: Duration, lucky: usize, reboot: bool, compacts: bool) {
        self.push(self.time + after, Happening::Crash { lucky });
        self.push(self.time + after + down, Happening::Start { reboot, compacts });
    }

    /// Suspends the host after a while.
    pub(crate) fn suspend(&mut self, after: Duration, long: Duration) {
        self.push(self.time + after, Happening::Suspend(long));
    }

    /// Sets the wall clock after a while.
    pub(crate) fn set_wall(&mut self, after: Duration, by: TimeDelta) {
        self.push(self.time + after, Happening::SetWall(by));
    }

    /// Changes something at the other side after a while.
    pub(crate) fn change(&mut self, after: Duration, change: impl FnOnce(&mut Service, &mut Store, Moment) + 'static) {
        self.push(self.time + after, Happening::Change(Box::new(change)));
    }

    /// Says something to the machine at once.
    pub(crate) fn tell(&mut self, event: Event) {
        self.step(event);
    }

    /// Returns how it ended, if it did.
    pub(crate) fn outcome(&self) -> Option<&Outcome> {
        self.upload.outcome()
    }

    /// Returns how many requests of a kind left.
    pub(crate) fn count(&self, kind: &str) -> usize {
        self.nth.get(kind).copied().unwrap_or(0)
    }

    /// Returns when requests of a kind left, since the world began.
    pub(crate) fn times(&self, kind: &str) -> Vec<Duration> {
        let of_kind = self.asks.iter().filter(|(_, command)| fate::kind(command) == kind);
        of_kind.map(|(time, _)| time.since(Moment::from_boot(SECOND * 100))).collect()
    }

    /// Runs for a while, or until the upload is closed and all is answered.
    pub(crate) fn run(&mut self, long: Duration) {
        let end = self.time + long;
        self.run_while(end, |world| world.outcome().is_none() || !world.queue.is_empty());
    }

    /// Runs for so long, closed or not.
    pub(crate) fn run_on(&mut self, long: Duration) {
        let end = self.time + long;
        self.run_while(end, |_| true);
        self.time = end;
    }

    /// Runs until something is true; fails if it is not within a while.
    #[track_caller]
    pub(crate) fn run_until(&mut self, long: Duration, is_there: impl Fn(&Self) -> bool) {
        self.run_while(self.time + long, |world| !is_there(world));
        assert!(is_there(self), "it did not happen within {long:?}");
    }

    /// Runs until so many requests left, or for a while.
    pub(crate) fn run_while_fewer(&mut self, requests: usize, long: Duration) {
        let end = self.time + long;
        self.run_while(end, |world| world.asks.len() <= requests && world.outcome().is_none());
    }

    fn run_while(&mut self, end: Moment, goes_on: impl Fn(&Self) -> bool) {
        while goes_on(self) {
            let wake = self.upload.next_deadline().filter(|_| self.is_up).map(|wake| self.true_time(wake));
            let wake = wake.map(|wake| wake.max(self.asleep_until).max(self.time));
            let head = self.queue.first_key_value().map(|(key, _)| key.0);
            match (head, wake) {
                (head, Some(wake)) if wake <= end && head.is_none_or(|head| wake < head) => {
                    self.time = wake;
                    self.step(Event::Woke);
                }
                (Some(head), _) if head <= end => {
                    let Some((_, happening)) = self.queue.pop_first() else { return };
                    self.time = self.time.max(head);
                    self.happen(happening);
                }
                _ => return,
            }
        }
    }

    fn happen(&mut self, happening: Happening) {
        let is_on_host = matches!(happening, Happening::Leave { .. } | Happening::Deliver { .. } | Happening::Say(_));
        if is_on_host && self.time < self.asleep_until {
            return self.push(self.asleep_until, happening);
        }
        match happening {
            Happening::Leave { life, epoch, order } if life == self.life => self.leave(epoch, order.command),
            Happening::Leave { .. } => (),
            Happening::Arrive { request } => self.arrive(request),
            Happening::Deliver { life, epoch, reply } if life == self.life => self.deliver(epoch, reply),
            Happening::Deliver { .. } => (),
            Happening::Say(event) => {
                if self.is_up {
                    self.is_stopping |= matches!(event, Event::StopRequested);
                    self.step(event);
                }
            }
            Happening::Crash { .. } if !self.is_up => (),
            Happening::Crash { lucky } => self.die(lucky),
            Happening::Start { .. } if self.is_up => (),
            Happening::Start { reboot, compacts } => self.start(reboot, compacts),
            Happening::Suspend(long) => self.asleep_until = self.time + long,
            Happening::SetWall(by) => self.wall_off += by,
            Happening::Change(change) => change(&mut self.service, &mut self.store, self.time),
        }
    }

    #[expect(clippy::print_stderr, reason = "somebody asked to see one seed step by step")]
    fn say_aloud(&self, what: impl Fn() -> String) {
        if self.is_told {
            eprintln!("{:?} {}", self.time.since_boot(), what());
        }
    }

    fn step(&mut self, event: Event) {
        let was_closed = self.outcome().is_some();
        let now = self.now();
        self.say_aloud(|| format!("{event:?}"));
        let step = self.upload.step(now, event);
        self.say_aloud(|| format!("    {:?} {:?}", step.records, step.orders));
        assert!(!was_closed || (step.records.is_empty() && step.orders.is_empty()), "asked once closed");
        self.journal.append(&step.records, self.time);
        step.records.iter().for_each(|record: &Record| self.folded.apply(record));
        let epoch = self.upload.standing().epoch;
        for order in step.orders {
            assert!(self.upload.may_leave(now.moment, &order.command), "asked for what may not leave: {order:?}");
            self.out.entry(epoch).or_default().push(order.command.clone());
            let ready = if order.after_records { self.journal.durable_at().max(self.time) } else { self.time };
            let longest = self.lane_wait;
            let leaves = ready + self.spread(longest);
            self.push(leaves, Happening::Leave { life: self.life, epoch, order });
        }
        self.watch_step();
    }

    fn leave(&mut self, epoch: u32, command: Command) {
        let now = self.now();
        let is_late = epoch != self.upload.standing().epoch;
        if is_late || !self.upload.may_leave(now.moment, &command) {
            return self.deliver(epoch, Reply::Held(command));
        }
        self.watch_leaving(&command);
        let index = self.asks.len();
        self.asks.push((self.time, command.clone()));
        self.budget.spend(self.time, &command);
        let nth = self.nth.entry(fate::kind(&command)).or_default();
        *nth += 1;
        let mishap = (self.fate)(&fate::Ask { index, nth: *nth, time: self.time, command: &command });
        self.slanders += usize::from(matches!(mishap, Mishap::Fault(Fault::Gone)));
        let is_commit = matches!(command, Command::Commit);
        self.snubs += usize::from(is_commit && matches!(mishap, Mishap::Fault(Fault::Conflict)));
        let uri = self.upload.uri().map(|(uri, number)| (uri.clone(), number));
        let session = self.upload.standing().held.as_ref().map(|held| held.session.clone());
        let block = matches!(command, Command::Send { .. } | Command::SendWhole { .. });
        let longest = if block { self.block_time } else { self.travel };
        let arrives = self.time + longest / 2 + self.spread(longest / 2);
        let arrives = if let Mishap::Slow(late) = mishap { arrives + late } else { arrives };
        let request =
            Request { life: self.life, epoch, command, session, uri, asked: now.moment, left: self.time, mishap };
        self.push(arrives, Happening::Arrive { request });
    }

    fn arrive(&mut self, request: Request) {
        let reply = remote::answer(&request, self);
        let patience = match &request.command {
            Command::Renew { patience } => *patience,
            Command::Find
            | Command::Create
            | Command::Fetch
            | Command::Report(_)
            | Command::Send { .. }
            | Command::SendWhole { .. }
            | Command::Inventory
            | Command::PutList
            | Command::Commit
            | Command::Abort
            | Command::LookUpCanary => PATIENCE,
        };
        let travel = self.travel;
        let (reply, back) = match request.mishap {
            Mishap::Lost => (remote::silence(&request), patience),
            Mishap::Late(late) if !matches!(request.command, Command::Renew { .. }) => (reply, late),
            Mishap::None
            | Mishap::Late(_)
            | Mishap::Slow(_)
            | Mishap::Fault(_)
            | Mishap::BlobFault(_)
            | Mishap::Undrafted => (reply, self.spread(travel)),
        };
        self.push(self.time + back, Happening::Deliver { life: request.life, epoch: request.epoch, reply });
    }

    fn deliver(&mut self, epoch: u32, reply: Reply) {
        let before = self.upload.standing().clone();
        let is_late = epoch != before.epoch;
        let out = self.out.entry(epoch).or_default();
        let place = out.iter().position(|command| remote::answers(command, &reply));
        out.swap_remove(place.expect("only what was asked is answered"));
        let is_ok = !is_late;
        self.step(Event::Answered { epoch, reply });
        assert!(is_ok || before.stored == self.upload.standing().stored, "a late answer was believed");
    }

    fn die(&mut self, lucky: usize) {
        self.is_up = false;
        self.life += 1;
        self.out.clear();
        self.journal.crash(self.time, lucky);
    }

    fn start(&mut self, reboot: bool, compacts: bool) {
        assert_eq!(self.journal.full_standing(), self.journal.compacted_standing());
        if compacts {
            self.journal.compact();
        }
        if reboot {
            self.booted = self.time - SECOND;
        }
        self.is_up = true;
        self.is_stopping = false;
        self.folded = self.journal.full_standing();
        let records = self.journal.records();
        self.say_aloud(|| format!("restart with {records:?}"));
        self.upload = Upload::new(self.plan.clone(), self.policy.clone(), &records, self.now());
    }
}
