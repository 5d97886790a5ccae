//! The stage of these tests: a sandbox in this process, a table on disk, and
//! the real binary as a child that is always ended, however a test ends.
//!
//! Nothing here waits a fixed time for something to have happened: a condition
//! is asked for again and again, and a deadline makes its absence a failure.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::Arc;
use std::time::Duration;

use edm_agent::adapters::clock::SystemClock;
use edm_agent::ground::moment::Moment;
use edm_agent::ports::clock::Clock;
use edm_agent::sandbox::people::{self, People};
use edm_agent::sandbox::{Operation, Phase, Sandbox, SandboxSettings, SessionSnapshot, parse_script};
use serde_json::Value;
use sha2::{Digest, Sha256};
use tempfile::TempDir;

use crate::support::private;

/// How long anything may take before it is held to never happen.
pub(super) const PATIENCE: Duration = Duration::from_secs(90);
/// The real binary.
pub(super) const PROGRAM: &str = env!("CARGO_BIN_EXE_edm-agent");
/// The salt of every table here.
pub(super) const SALT: &str = "c4n4ry5alt0c4n4ry5alt1c4n4ry5alt2c4n4ry5alt3c4n4ry5alt4c4n4ry5a6";

/// Returns the time by the clock that goes on through a suspension.
pub(super) fn now() -> Moment {
    SystemClock.now().moment
}

/// Pauses between two looks, or where a test says how long something lasts.
pub(super) async fn pause(span: Duration) {
    SystemClock.sleep_until(now() + span).await;
}

/// Looks until there is something to see.
pub(super) async fn seen<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let deadline = now() + PATIENCE;
    loop {
        if let Some(value) = look() {
            return value;
        }
        assert!(now() < deadline, "not in {PATIENCE:?}: {what}");
        pause(Duration::from_millis(5)).await;
    }
}

/// A host: a folder with a table, its schema, a salt and a configuration, and
/// the service it talks to.
pub(super) struct Host {
    pub(super) home: TempDir,
    pub(super) sandbox: Sandbox,
    people: People,
    variables: Vec<(String, String)>,
}

impl Host {
    /// A host of a sandbox that is quick and does nothing odd.
    pub(super) async fn new() -> Self {
        Self::scripted("").await
    }

    /// A host of a sandbox with faults and quirks.
    pub(super) async fn scripted(script: &str) -> Self {
        Self::with(script, SandboxSettings::default()).await
    }

    /// A host of a sandbox with faults, quirks and settings.
    pub(super) async fn with(script: &str, settings: SandboxSettings) -> Self {
        // The client wants a TLS provider to be there even for plain http; a
        // second test finds it installed.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let home = TempDir::new().unwrap();
        let (faults, quirks) = parse_script(script).unwrap();
        let default = SandboxSettings::default();
        let settings = SandboxSettings {
            faults,
            quirks,
            directory: Some(home.path().to_owned()),
            processing_time: match settings.processing_time == default.processing_time {
                true => Duration::from_millis(100),
                false => settings.processing_time,
            },
            ..settings
        };
        let sandbox = Sandbox::start(settings, Arc::new(SystemClock)).await.unwrap();
        let host = Self { home, sandbox, people: People::new(7), variables: Vec::new() };
        host.write("token", &format!("{}\n", host.sandbox.bearer()));
        host.write("salt", SALT);
        host.write("patients.xml", &people::schema_xml());
        host.write_rows(200);
        host.configure("when = \"manual\"\nrows_per_block = 10\n");
        host
    }

    /// Writes the configuration; `table` is what it says of the table besides
    /// its name and files.
    pub(super) fn configure(&self, table: &str) {
        let path = |name: &str| serde_json::json!(self.path(name)).to_string();
        let text = format!(
            "state_dir = {}\n{}\n[control]\nsocket = {}\n[bundles]\nmin_free = \"0B\"\n[http]\nlisten = \"\"\n\
             [processing]\npoll_min = \"200ms\"\npoll_max = \"1s\"\n[progress]\nmin_interval = \"200ms\"\n\
             [[table]]\nname = \"patients\"\ndata_store = \"{}\"\npath = {}\nschema = {}\nsalt_file = {}\n{table}",
            path("state"),
            self.sandbox.settings_toml(&self.path("token")),
            path("agent.sock"),
            people::STORE,
            path("patients.csv"),
            path("patients.xml"),
            path("salt"),
        );
        self.write("agent.toml", &text);
    }

    /// Sets a key for every command from now on, over the configuration.
    pub(super) fn set(&mut self, key: &str, value: &str) {
        let name = format!("EDM_AGENT__{}", key.to_uppercase().replace('.', "__"));
        self.variables.retain(|(other, _)| *other != name);
        self.variables.push((name, value.to_owned()));
    }

    /// Sets a variable for every command from now on.
    pub(super) fn surround(&mut self, name: &str, value: &str) {
        self.variables.push((name.to_owned(), value.to_owned()));
    }

    /// Forgets the variables that are no settings.
    pub(super) fn clear_surroundings(&mut self) {
        self.variables.retain(|(name, _)| name.starts_with("EDM_AGENT__"));
    }

    /// Lets the service listen for probes, and returns where.
    pub(super) fn listen_for_probes(&mut self) -> String {
        // The port is free when the listener is gone, and nobody else is told of it.
        let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
        self.set("http.listen", &free);
        free
    }

    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.home.path().join(name)
    }

    /// Writes a file that only its owner can read, as files of secrets must be.
    pub(super) fn write(&self, name: &str, text: &str) {
        private::write(&self.path(name), text);
    }

    /// Replaces the table by one of so many rows, as an export does: written
    /// beside it and renamed over it.
    pub(super) fn write_rows(&self, rows: u64) {
        let beside = self.path("patients.csv.new");
        self.people.write_csv(rows, &mut File::create(&beside).unwrap()).unwrap();
        fs::rename(beside, self.path("patients.csv")).unwrap();
    }

    pub(super) fn person(&self, row: u64) -> [String; people::COLUMNS.len()] {
        self.people.row(row)
    }

    /// Begins a command.
    pub(super) fn start(&self, arguments: &[&str]) -> Agent {
        self.start_with(arguments, Stdio::null(), &[])
    }

    /// Begins a command in a shell that did something else first.
    pub(super) fn start_after(&self, first: &str, arguments: &[&str]) -> Agent {
        let mut command = Command::new("sh");
        command.arg("-c").arg(format!("{first}\nexec \"$0\" \"$@\"")).arg(PROGRAM);
        self.spawn(command, arguments, Stdio::null(), &[])
    }

    /// Begins a command with an input and further variables.
    pub(super) fn start_with(&self, arguments: &[&str], input: Stdio, variables: &[(&str, String)]) -> Agent {
        self.spawn(Command::new(PROGRAM), arguments, input, variables)
    }

    fn spawn(&self, mut command: Command, arguments: &[&str], input: Stdio, variables: &[(&str, String)]) -> Agent {
        let files = tempfile::tempdir_in(self.home.path()).unwrap();
        let create = |name: &str| File::create(files.path().join(name)).unwrap();
        command.args(arguments).env_clear().env("PATH", "/usr/bin:/bin").env("TMPDIR", self.home.path());
        if !arguments.contains(&"--config") {
            command.arg("--config").arg(self.path("agent.toml"));
        }
        command.envs(self.variables.iter().cloned()).envs(variables.iter().cloned());
        command.stdin(input).stdout(create("stdout")).stderr(create("stderr"));
        let shown = arguments.join(" ");
        Agent { child: command.spawn().unwrap(), files, shown }
    }

    /// Carries a command out.
    pub(super) async fn run(&self, arguments: &[&str]) -> Ended {
        self.start(arguments).ended().await
    }

    /// Carries a command out that reads something.
    pub(super) async fn run_reading(&self, arguments: &[&str], input: &str) -> Ended {
        self.write("stdin", input);
        let input = File::open(self.path("stdin")).unwrap();
        self.start_with(arguments, input.into(), &[]).ended().await
    }

    /// Starts the service and waits until it answers.
    pub(super) async fn serve(&self) -> Agent {
        let agent = self.start(&["run"]);
        self.answers(&agent).await;
        agent
    }

    /// Waits until an agent of this host answers on its socket.
    pub(super) async fn answers(&self, agent: &Agent) {
        let deadline = now() + PATIENCE;
        while self.ask("GET", "v1/status", None).await.0 != 200 {
            assert!(now() < deadline, "no agent answers: {}", agent.said());
            pause(Duration::from_millis(20)).await;
        }
    }

    /// Asks the agent of this host over its socket; status 0 is no answer.
    pub(super) async fn ask(&self, method: &str, path: &str, body: Option<Value>) -> (u16, Value) {
        let client = reqwest::Client::builder().unix_socket(self.path("agent.sock")).no_proxy().build().unwrap();
        let mut request = client.request(method.parse().unwrap(), format!("http://localhost/{path}"));
        if let Some(body) = body {
            request = request.header("content-type", "application/json").body(body.to_string());
        }
        read(request.timeout(PATIENCE).send().await).await
    }

    /// Asks the service, as another client of it.
    pub(super) async fn service(&self, method: &str, path: &str, body: Option<Value>) -> (u16, Value) {
        let url = format!("{}/beta/dataClassification/exactMatchDataStores/{path}", self.sandbox.origin());
        let trusted = self.sandbox.ca_pem().map(|pem| reqwest::Certificate::from_pem(pem.as_bytes()).unwrap());
        let client = reqwest::Client::builder().no_proxy();
        let client = trusted.into_iter().fold(client, |client, ca| client.tls_certs_only([ca])).build().unwrap();
        let mut request = client.request(method.parse().unwrap(), url).bearer_auth(self.sandbox.bearer());
        request = request.header("client-request-id", "0f4e8f4c-1111-4222-8333-444444444444");
        request = match body {
            Some(body) => request.header("content-type", "application/json").body(body.to_string()),
            None if method == "POST" => request.header("content-length", "0"),
            None => request,
        };
        read(request.timeout(PATIENCE).send().await).await
    }

    /// The id of the table's data store.
    pub(super) fn store(&self) -> String {
        self.sandbox.stores()[0].id.clone()
    }

    /// The one session there ever was.
    pub(super) fn only_session(&self) -> SessionSnapshot {
        let sessions = self.sandbox.sessions();
        assert_eq!(sessions.len(), 1, "{sessions:#?}");
        sessions.into_iter().next().unwrap()
    }

    /// How often an operation was asked for, whatever came of it.
    pub(super) fn asked(&self, operation: Operation) -> usize {
        self.sandbox.journal().iter().filter(|seen| seen.operation == operation).count()
    }

    /// Why requests were refused as breaches of the contract.
    pub(super) fn breaches(&self) -> Vec<String> {
        let breaches = self.sandbox.journal().into_iter().filter(|seen| seen.breach);
        breaches.map(|seen| format!("{} {} {:?}: {}", seen.method, seen.path, seen.refused, seen.body)).collect()
    }

    /// The SHA-256 of what is live, in hex.
    pub(super) fn live_digest(&self) -> String {
        hex(&Sha256::digest(self.sandbox.live_bytes(&self.store()).unwrap()))
    }

    /// Hashes the table with the same salt, apart from any upload, and returns
    /// the SHA-256 of its blocks.
    pub(super) async fn expected_digest(&self) -> String {
        let output = tempfile::tempdir_in(self.home.path()).unwrap();
        let bundle = output.path().join("bundle");
        let ended = self.run(&["hash", "--table", "patients", "--output", bundle.to_str().unwrap()]).await;
        assert_eq!(ended.code, Some(0), "{ended:?}");
        hex(&Sha256::digest(fs::read(bundle.join("blocks.bin")).unwrap()))
    }

    /// Asserts all that must be true of one upload whatever happened on the
    /// way: one session, one commit, the right bytes, counts that never rise
    /// and end at 0, and a client that kept the contract.
    pub(super) async fn assert_uploaded_once(&self, case: &str) {
        let session = self.only_session();
        assert_eq!(session.phase, Phase::Completed, "{case}: {:?}", session.error);
        assert_eq!((session.tally.commits, self.opened()), (1, 1), "{case}");
        assert_eq!(self.live_digest(), self.expected_digest().await, "{case}");
        assert_eq!(session.checksum.as_deref(), Some(&*self.live_digest()), "{case}");
        assert_counts_fall(&session, case);
        assert_eq!(session.tally.reports.last().and_then(|report| report.remaining), Some(0), "{case}");
        assert_eq!(self.breaches(), Vec::<String>::new(), "{case}");
    }

    /// Sessions that were opened.
    pub(super) fn opened(&self) -> usize {
        self.sandbox.stores()[0].opened_today
    }
}

/// Asserts that the counts reported never rose.
pub(super) fn assert_counts_fall(session: &SessionSnapshot, case: &str) {
    let counts: Vec<u32> = session.tally.reports.iter().filter_map(|report| report.remaining).collect();
    assert!(counts.is_sorted_by(|one, next| one >= next), "{case}: {counts:?}");
}

async fn read(answer: reqwest::Result<reqwest::Response>) -> (u16, Value) {
    let Ok(answer) = answer else { return (0, Value::Null) };
    let status = answer.status().as_u16();
    let text = answer.text().await.unwrap_or_default();
    (status, serde_json::from_str(&text).unwrap_or(Value::String(text)))
}

pub(super) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The binary at work. Dropped, it is killed.
pub(super) struct Agent {
    child: Child,
    files: TempDir,
    shown: String,
}

impl Agent {
    pub(super) fn pid(&self) -> u32 {
        self.child.id()
    }

    pub(super) fn stdout(&self) -> String {
        self.read("stdout")
    }

    pub(super) fn stderr(&self) -> String {
        self.read("stderr")
    }

    fn read(&self, name: &str) -> String {
        String::from_utf8_lossy(&fs::read(self.files.path().join(name)).unwrap()).into_owned()
    }

    /// All it said so far, for a message.
    pub(super) fn said(&self) -> String {
        format!("{}\n--- stdout\n{}--- stderr\n{}", self.shown, self.stdout(), self.stderr())
    }

    pub(super) fn exit(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().unwrap()
    }

    /// Sends a signal by name, as `kill` does.
    pub(super) fn signal(&self, name: &str) {
        let pid = rustix::process::Pid::from_child(&self.child);
        let signal = match name {
            "TERM" => rustix::process::Signal::TERM,
            "STOP" => rustix::process::Signal::STOP,
            "CONT" => rustix::process::Signal::CONT,
            "HUP" => rustix::process::Signal::HUP,
            other => panic!("no signal {other}"),
        };
        rustix::process::kill_process(pid, signal).unwrap();
    }

    /// Kills it as the kernel does, and waits until it is gone.
    pub(super) fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Waits until it has said something on stderr.
    pub(super) async fn says(&self, text: &str) {
        seen(&format!("{text:?} of {}", self.shown), || self.stderr().contains(text).then_some(())).await;
    }

    /// Waits until it ends.
    pub(super) async fn ended(mut self) -> Ended {
        let deadline = now() + PATIENCE;
        loop {
            if let Some(status) = self.exit() {
                return Ended { code: status.code(), stdout: self.stdout(), stderr: self.stderr() };
            }
            assert!(now() < deadline, "still running: {}", self.said());
            pause(Duration::from_millis(10)).await;
        }
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        // One that has ended cannot be killed, and need not be.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A command that has ended.
#[derive(Debug)]
pub(super) struct Ended {
    pub(super) code: Option<i32>,
    pub(super) stdout: String,
    pub(super) stderr: String,
}

impl Ended {
    /// The one JSON object it printed, as its last line.
    pub(super) fn json(&self) -> Value {
        let line = self.stdout.lines().last().unwrap_or_default();
        serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    /// Asserts how it ended and what its message holds.
    pub(super) fn assert_refused(&self, code: i32, holds: &[&str]) {
        assert_eq!(self.code, Some(code), "{self:?}");
        for text in holds {
            assert!(self.stderr.contains(text), "{text:?} is not in {self:?}");
        }
    }
}

/// Returns a number of the environment, or the one for CI.
pub(super) fn count(variable: &str, default: u64) -> u64 {
    std::env::var(variable).ok().and_then(|text| text.parse().ok()).unwrap_or(default)
}

/// Says something past the test runner, which hides what tests print.
pub(super) fn tell(line: &str) {
    use std::io::Write;
    std::io::stderr().write_all(format!("{line}\n").as_bytes()).unwrap();
}

/// Returns whether a folder's files hold a text, and in which.
pub(super) fn files_with(folder: &Path, text: &[u8]) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap().flatten() {
        let path = entry.path();
        if path.is_dir() {
            found.extend(files_with(&path, text));
        } else if fs::read(&path).is_ok_and(|bytes| bytes.windows(text.len()).any(|window| window == text)) {
            found.push(path);
        }
    }
    found
}
