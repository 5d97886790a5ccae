//! How soon an agent is ready that has a long journal to read, and how much
//! memory it takes when nothing is to be done.
//!
//! `cargo bench --bench starting` prints the tables of `docs/PERFORMANCE.md`;
//! `cargo bench --bench starting -- 1000` has journals of so many sessions;
//! `EDM_AGENT_PROGRAM` names another program to measure than the one built here.
//!
//! It runs the real program. Nothing here passes or fails: how long something
//! takes is the machine's affair. What a start must not do is held by tests.

#![expect(clippy::print_stdout, reason = "what it prints is what it is for")]

use std::fs;
use std::os::unix::fs::DirBuilderExt;
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::mpsc;
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use edm_agent::adapters::clock::SystemClock;
use edm_agent::adapters::journal::SqliteJournal;
use edm_agent::ports::clock::Clock;
use edm_agent::ports::journal::{Batch, Entry, Journal, JournalNews};
use edm_agent::sandbox::{Sandbox, SandboxSettings};
use edm_agent::upload::ledger::Ledger;
use edm_agent::upload::outcome::Outcome;
use edm_agent::upload::plan::{Plan, Sender, UploadId};
use edm_agent::upload::record::Record;
use rustix::fs::Mode;
use rustix::process::umask;
use rustix::time::{ClockId, clock_gettime};
use tempfile::TempDir;

/// Sessions of a journal, if nothing else is said.
const SESSIONS: usize = 10_000;
/// Starts of each kind.
const ROUNDS: usize = 10;
/// Blocks of each upload.
const BLOCKS: u32 = 120;
/// How long a start may take before it is held to have failed.
const PATIENCE: Duration = Duration::from_secs(120);
/// How long an agent is left alone before its memory is read.
const QUIET: Duration = Duration::from_secs(30);

fn main() {
    let sessions = std::env::args().filter_map(|word| word.parse().ok()).next().unwrap_or(SESSIONS);
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("there is a runtime");
    // Files of secrets are to be their owner's alone.
    umask(Mode::RWXG | Mode::RWXO);
    // The client wants a TLS provider to be there even for plain http.
    let _ = rustls::crypto::ring::default_provider().install_default();
    println!("| from exec to READY=1, {ROUNDS} starts | journal, MiB | min, ms | median, ms | max, ms | CPU, ms |");
    println!("|---|---|---|---|---|---|");
    let tenth = sessions / 10;
    for (what, counts) in [
        ("an empty journal".to_owned(), [0, 0, 0]),
        (format!("{sessions} sessions, all closed"), [sessions, 0, 0]),
        (format!("{sessions} sessions, {tenth} of them open"), [sessions - tenth, tenth * 9 / 10, tenth / 10]),
        (format!("{sessions} sessions, all open"), [0, sessions, 0]),
    ] {
        starts(&what, counts);
    }
    println!("\n| idle for {} s | memory, MiB | of its own, MiB | most, MiB | threads |", QUIET.as_secs());
    println!("|---|---|---|---|---|");
    runtime.block_on(async {
        at_rest("an empty journal", 0, 0).await;
        at_rest(&format!("{sessions} sessions, all closed"), sessions, 0).await;
        at_rest(&format!("{sessions} sessions, {tenth} of them kept alive"), sessions - tenth, tenth).await;
        out_of_reach(&format!("{sessions} sessions, all open, the service out of reach"), sessions).await;
    });
}

/// A host: its folder, and the service it talks to, if that is there.
struct Host {
    home: TempDir,
    manager: UnixDatagram,
}

impl Host {
    fn new(sandbox: Option<&Sandbox>) -> Self {
        let home = TempDir::new().expect("there is room for a folder");
        fs::DirBuilder::new().mode(0o700).create(home.path().join("state")).expect("a state directory");
        let manager = UnixDatagram::bind(home.path().join("notify.sock")).expect("a socket of a service manager");
        manager.set_read_timeout(Some(PATIENCE)).expect("a time limit");
        let host = Self { home, manager };
        let token = host.path("token");
        fs::write(&token, sandbox.map_or("nothing", Sandbox::bearer)).expect("a token");
        let service = sandbox.map_or_else(
            || format!("[graph]\nbase_url = \"http://127.0.0.1:9/beta\"\n[auth]\nkind = \"token-file\"\ntoken_file = {token:?}\n"),
            |sandbox| sandbox.settings_toml(&token),
        );
        let (state, socket) = (host.path("state"), host.path("agent.sock"));
        let text = format!("state_dir = {state:?}\n{service}\n[control]\nsocket = {socket:?}\n[http]\nlisten = \"\"\n");
        fs::write(host.path("agent.toml"), text).expect("a configuration");
        host
    }

    fn path(&self, name: &str) -> PathBuf {
        self.home.path().join(name)
    }

    /// Starts the agent, waits until it is ready, and returns it with the
    /// seconds that took.
    fn start(&self) -> (Agent, f64) {
        let other = std::env::var_os("EDM_AGENT_PROGRAM");
        let mut command = Command::new(other.unwrap_or_else(|| env!("CARGO_BIN_EXE_edm-agent").into()));
        command.arg("run").arg("--config").arg(self.path("agent.toml")).env_clear();
        command.env("NOTIFY_SOCKET", self.path("notify.sock")).stdout(Stdio::null());
        let log = fs::File::create(self.path("log")).expect("a log");
        let before = seconds();
        let agent = Agent(command.stderr(log).spawn().expect("the program runs"));
        let mut word = [0; 512];
        loop {
            let length = self.manager.recv(&mut word).expect("the agent says that it is ready");
            if word[..length].starts_with(b"READY=1") {
                return (agent, seconds() - before);
            }
        }
    }
}

/// The agent at work, killed when it is dropped.
struct Agent(Child);

impl Drop for Agent {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Agent {
    /// Returns the seconds of CPU time that its threads have taken.
    fn computed(&self) -> f64 {
        let tasks = fs::read_dir(format!("/proc/{}/task", self.0.id())).expect("the agent lives");
        // The first of three figures is the time on a processor, in nanoseconds. A thread may end meanwhile.
        let stats = tasks.filter_map(|task| fs::read_to_string(task.ok()?.path().join("schedstat")).ok());
        stats.filter_map(|stat| stat.split(' ').next()?.parse::<f64>().ok()).sum::<f64>() / 1e9
    }

    /// Prints how much memory it takes after a while, and how much it took at most.
    async fn weigh_at_rest(&self, what: &str) {
        SystemClock.sleep_until(SystemClock.now().moment + QUIET).await;
        let mebibytes = |name: &str| self.figure(name) as f64 / 1024.0;
        let (all, own, most) = (mebibytes("VmRSS"), mebibytes("RssAnon"), mebibytes("VmHWM"));
        println!("| {what} | {all:.1} | {own:.1} | {most:.1} | {} |", self.figure("Threads"));
    }

    /// Returns a figure of `/proc/PID/status`.
    fn figure(&self, name: &str) -> u64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.0.id())).expect("the agent lives");
        let line = status.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
        line.and_then(|line| line.split_whitespace().next()?.parse().ok()).expect("a figure of the kernel")
    }
}

fn seconds() -> f64 {
    let time = clock_gettime(ClockId::Monotonic);
    time.tv_sec as f64 + time.tv_nsec as f64 / 1e9
}

/// Starts an agent again and again on the same journal.
fn starts(what: &str, [closed, open, processing]: [usize; 3]) {
    let host = Host::new(None);
    let journal = host.path("state/journal.db");
    fill(&journal, &names(closed), &names(open), &names(processing));
    let kept = host.path("kept.db");
    fs::copy(&journal, &kept).expect("a copy");
    let (mut taken, mut computed): (Vec<f64>, Vec<f64>) = (0..ROUNDS)
        .map(|_| {
            // What the agent before wrote is gone.
            let _ = fs::remove_file(host.path("state/journal.db-wal"));
            fs::copy(&kept, &journal).expect("the journal as it was");
            let (agent, taken) = host.start();
            (taken * 1e3, agent.computed() * 1e3)
        })
        .unzip();
    taken.sort_by(f64::total_cmp);
    computed.sort_by(f64::total_cmp);
    let size = fs::metadata(&kept).expect("it is there").len() as f64 / f64::from(1 << 20);
    let (min, median, max) = (taken[0], taken[ROUNDS / 2], taken[ROUNDS - 1]);
    println!("| {what} | {size:.1} | {min:.0} | {median:.0} | {max:.0} | {:.0} |", computed[ROUNDS / 2]);
}

/// Leaves an agent alone, with sessions that the service knows.
async fn at_rest(what: &str, closed: usize, kept: usize) {
    let clock = Arc::new(SystemClock);
    let settings = SandboxSettings { sessions_per_day: 100_000, ..SandboxSettings::default() };
    let sandbox = Sandbox::start(settings, clock.clone()).await.expect("a sandbox");
    let host = Host::new(Some(&sandbox));
    let mut open = Vec::new();
    for _ in 0..kept {
        open.push(open_session(&sandbox).await);
    }
    fill(&host.path("state/journal.db"), &names(closed), &open, &[]);
    let (agent, _) = host.start();
    agent.weigh_at_rest(what).await;
    let kept_alive = sandbox.sessions().len();
    assert_eq!(kept_alive, kept, "the agent opened some of its own");
}

/// Leaves an agent alone whose sessions cannot be renewed.
async fn out_of_reach(what: &str, open: usize) {
    let host = Host::new(None);
    fill(&host.path("state/journal.db"), &[], &names(open), &[]);
    let (agent, _) = host.start();
    agent.weigh_at_rest(what).await;
}

/// Opens a session as another uploader does.
async fn open_session(sandbox: &Sandbox) -> String {
    let store = &sandbox.stores()[0].id;
    let url = format!("{}/beta/dataClassification/exactMatchDataStores/{store}/sessions", sandbox.origin());
    let client = reqwest::Client::builder().no_proxy().build().expect("a client");
    let draft = serde_json::json!({ "fileName": "t.bin", "totalBlockCount": BLOCKS, "remainingBlockCount": BLOCKS });
    let request = client.post(url).bearer_auth(sandbox.bearer()).header("content-type", "application/json");
    let request = request.header("client-request-id", "0f4e8f4c-1111-4222-8333-444444444444").body(draft.to_string());
    let answer = request.send().await.expect("an answer").bytes().await.expect("a session");
    let session: serde_json::Value = serde_json::from_slice(&answer).expect("a session");
    session["id"].as_str().unwrap_or_else(|| panic!("no session: {session}")).to_owned()
}

fn names(count: usize) -> Vec<String> {
    (0..count).map(|number| format!("0f4e8f4c-1111-4222-8333-{number:012}")).collect()
}

/// Writes a journal as the agent does: all that becomes true of an upload.
fn fill(path: &Path, closed: &[String], open: &[String], processing: &[String]) {
    let (tell, heard) = mpsc::channel();
    let news = Box::new(move |news| drop(tell.send(news)));
    let (journal, _) = SqliteJournal::open(path, news).expect("a journal");
    let mut batch = Batch { number: 1, ..Batch::default() };
    let kinds = [(closed, 12), (open, 5), (processing, 9)];
    let all = kinds.into_iter().flat_map(|(sessions, kept)| sessions.iter().map(move |session| (session, kept)));
    for (number, (session, kept)) in all.enumerate() {
        let begun = SystemClock.now().wall - TimeDelta::minutes(5);
        let entry = entry(number, session, begun);
        let records = story(session, begun).into_iter().take(kept);
        batch.records.extend(records.map(|record| (entry.plan.id.clone(), record)));
        batch.entries.push(entry);
    }
    journal.write(batch);
    let told = heard.recv().expect("news of the journal");
    assert!(matches!(told, JournalNews::Durable { up_to: 1, .. }), "{told:?}");
    assert!(journal.close());
}

fn entry(number: usize, session: &str, begun: DateTime<Utc>) -> Entry {
    let id = UploadId::new(begun, number as u64);
    let plan = Plan {
        table: "patients".to_owned(),
        store: "5d3a2c51-7c42-4e0b-9c54-0d4f6ad3a001".to_owned(),
        file_name: Plan::file_name("patients", &id),
        sender: Sender::Tracked { session: Some(session.to_owned()) },
        total_blocks: BLOCKS,
        canary: false,
        seed: number as u64,
        begun,
        id,
    };
    Entry { plan, bundle: None, owns_bundle: false, source: None, urgent: true }
}

/// All that becomes true of an upload of another uploader, in order.
fn story(session: &str, at: DateTime<Utc>) -> Vec<Record> {
    let place = format!("https://store.blob.core.windows.net/uploads/{session}");
    vec![
        Record::Opened { session: session.to_owned(), at },
        Record::Renewed { at, renewals: 3 },
        Record::Placed { place },
        Record::Stored { blocks: Ledger::first(BLOCKS / 2) },
        Record::Reported { remaining: BLOCKS / 2 },
        Record::CommitRequested,
        Record::Listed { done: true },
        Record::CommitIntended,
        Record::Committed { at },
        Record::Live,
        Record::Ending { outcome: Outcome::Completed },
        Record::Closed { outcome: Outcome::Completed, at },
    ]
}
