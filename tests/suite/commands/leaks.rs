//! Every kind of credential through every kind of failure, and then a look for
//! secrets wherever the agent leaves anything: what it says and logs at the
//! lowest level, what it answers, what it writes, and what the kernel shows of it.

use std::collections::BTreeSet;
use std::fs;

use edm_agent::sandbox::{CLIENT_SECRET, Phase};

use super::harness::{Agent, Host, PATIENCE, SALT, files_with, now, pause};
use super::identity::{KINDS, scripted, sign_in_as};
use super::metrics::{get, serve};

/// Answers of every sort go wrong, and refusals repeat what they were sent. The
/// words are the script's, so that they stand in an answer for sure.
const SCRIPT: &str = r#"
[quirks]
bandwidth = "12KiB"
token_ttl = "62s"
[[fault]]
operation = ["token", "imds-token", "app-service-token", "arc-token"]
nth = 1
status = 503
message = "you sent ECHOED"
[[fault]]
operation = ["token", "imds-token", "app-service-token", "arc-token"]
nth = 2
body = "truncated"
[[fault]]
operation = "create"
nth = 1
status = 500
message = "you sent c4n4ry5alt0c4n4ry5alt1c4n4ry5alt2c4n4ry5alt3c4n4ry5alt4c4n4ry5a6, which is odd"
[[fault]]
operation = ["get", "patch", "renew"]
every = 4
status = 500
[[fault]]
operation = ["get", "renew"]
every = 7
body = "html"
[[fault]]
operation = "put-block"
nth = 3
early_403 = true
[[fault]]
operation = ["put-block", "patch"]
every = 5
cut = "mid-answer"
"#;

/// What must not be found, as it may be spelled.
#[derive(Default)]
struct Secrets(BTreeSet<String>);

impl Secrets {
    fn add(&mut self, secret: &str) {
        self.0.insert(secret.to_owned());
        // As it stands in a form or an address.
        self.0.insert(url::form_urlencoded::byte_serialize(secret.as_bytes()).collect());
    }

    /// Looks at what the service knows that nobody else may.
    async fn learn(&mut self, host: &Host) {
        host.sandbox.good_tokens().iter().for_each(|token| self.add(token));
        let (_, sessions) = host.service("GET", &format!("{}/sessions", host.store()), None).await;
        for session in sessions["value"].as_array().into_iter().flatten() {
            let uri = session["dataUploadURI"].as_str().unwrap_or_default();
            let query = uri.split_once('?').map_or("", |(_, query)| query);
            let signature = url::form_urlencoded::parse(query.as_bytes()).find(|(name, _)| name == "sig");
            if let Some((_, signature)) = signature {
                self.add(&signature);
            }
        }
    }
}

/// Returns what the kernel shows of a process: how it was called, and with which variables.
fn shown_by_the_kernel(agent: &Agent) -> String {
    let read = |name: &str| {
        // Not for other users, and that is right.
        let shown = fs::read(format!("/proc/{}/{name}", agent.pid())).unwrap_or_default();
        assert!(!shown.is_empty() || !rustix::process::geteuid().is_root(), "{name} is there for root");
        shown
    };
    String::from_utf8_lossy(&[read("cmdline"), read("environ"), read("comm")].concat()).into_owned()
}

#[tokio::test]
async fn no_secret_of_any_credential_comes_out_whatever_fails() {
    for kinds in KINDS.chunks(4) {
        let [one, two, three, four] = kinds.first_chunk().unwrap().map(|(kind, _)| assert_tight(kind));
        tokio::join!(one, two, three, four);
    }
}

/// Asserts that nothing secret comes out of an agent that signs in as the kind says.
async fn assert_tight(kind: &str) {
    // What is repeated is what was sent: nobody can know another's secret for one.
    let echoed = if kind == "client-secret" { CLIENT_SECRET } else { "a statement" };
    let mut host = scripted(&SCRIPT.replace("ECHOED", echoed)).await;
    sign_in_as(&mut host, kind);
    host.set("log.level", "trace");
    let probes = host.listen_for_probes();
    let mut secrets = Secrets::default();
    secrets.add(CLIENT_SECRET);
    secrets.add(SALT);
    secrets.add("pässword");
    secrets.add(&host.sandbox.rotate_bearer());
    let key = host.sandbox.client_certificate_pem();
    key.lines().filter(|line| line.len() == 64).skip(20).for_each(|line| secrets.add(line));
    if let Ok(token) = fs::read_to_string(host.path("federated")) {
        secrets.add(&token);
    }

    let agent = serve(&host, &probes).await;
    let events = host.start(&["events", "--follow"]);
    let upload = host.start(&["upload", "--table", "patients", "--json"]);
    let mut said = String::new();
    let deadline = now() + PATIENCE;
    while !host.sandbox.sessions().iter().any(|session| session.phase == Phase::Completed) {
        secrets.learn(&host).await;
        said += &host.ask("GET", "v1/status", None).await.1.to_string();
        said += &probe(&probes).await;
        assert!(now() < deadline, "{kind}: {}", agent.said());
        pause(std::time::Duration::from_millis(100)).await;
    }
    for command in [&["check", "--online"][..], &["stores", "list"], &["sessions", "list", "--json"], &["status"]] {
        let ended = host.run(command).await;
        said += &format!("{}{}", ended.stdout, ended.stderr);
    }
    said += &shown_by_the_kernel(&agent).replace(host.sandbox.identity_header(), "as the platform sets it");
    secrets.add(host.sandbox.identity_header());
    let upload = upload.ended().await;
    assert_eq!(upload.code, Some(0), "{kind}: {upload:?}");
    agent.signal("TERM");
    let agent = agent.ended().await;
    for text in [&agent.stdout, &agent.stderr, &upload.stdout, &upload.stderr, &events.said()] {
        said += text;
    }

    assert!(said.contains("TRACE") || said.contains("DEBUG"), "{kind}: it was told to say everything");
    assert!(said.contains("# EOF") && said.contains("<!DOCTYPE html>"), "{kind}: metrics and page were seen");
    assert!(said.contains("503") && said.contains("500"), "{kind}: the failures were seen");
    assert!(secrets.0.len() > 20, "{kind}: secrets were given out: {}", secrets.0.len());
    for secret in &secrets.0 {
        assert!(!said.contains(secret.as_str()), "{kind}: {secret} was said");
        let mut holders = files_with(&host.path("state"), secret.as_bytes());
        // The one secret at rest is a bundle's salt.
        holders.retain(|path| !(secret == SALT && path.ends_with("salt")));
        assert_eq!(holders, Vec::<std::path::PathBuf>::new(), "{kind}: {secret} lies at rest");
    }
}

async fn probe(probes: &str) -> String {
    let mut said = String::new();
    for path in ["livez", "readyz", "startupz", "readyz?verbose", "metrics", ""] {
        let (status, text) = get(probes, path).await;
        assert!(status == 200 || (status == 503 && path.starts_with("readyz")), "{path}: {status} {text}");
        said += &text;
    }
    said
}
