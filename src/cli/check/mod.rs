//! `check`: is the configuration good, and what it names there? With
//! `--online`: and does the service agree?

mod online;

use std::path::Path;
use std::sync::Arc;

use serde_json::json;

use super::output::{say, say_json};
use crate::adapters::bundle::{self, estimate};
use crate::adapters::clock::SystemClock;
use crate::agent::exit::hash_trouble;
use crate::agent::exit::{Exit, Trouble};
use crate::agent::settings::{Settings, TableSettings};
use crate::agent::tables::{hash_order, read_schema};
use crate::agent::{handoff, outside, sign_in};
use crate::ports::clock::Clock;

/// What nobody has proven against the real service yet.
pub(crate) const UNPROVEN: [&str; 4] = [
    "the bytes of a block, and how blocks are laid out at the upload URI (upload.strategy)",
    "the form of a session's checksum (contract.checksum)",
    "whether the service takes a token of an application without a signed-in user",
    "the words for a session's state (progress.*_state, processing.success, processing.failure)",
];

/// One thing that was looked at.
#[derive(Debug, Clone)]
struct Finding {
    what: String,
    /// What was found, if that is worth saying, or what is wrong.
    result: Result<Option<String>, Trouble>,
}

impl Finding {
    fn of(what: impl Into<String>, looked: Result<(), Trouble>) -> Self {
        Self { what: what.into(), result: looked.map(|()| None) }
    }

    fn failed(what: impl Into<String>, trouble: Trouble) -> Self {
        Self { what: what.into(), result: Err(trouble) }
    }
}

pub(crate) async fn check(settings: Settings, online: bool, json: bool) -> Result<Exit, Trouble> {
    let settings = Arc::new(settings);
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let mut findings = vec![
        Finding { what: "the credential".to_owned(), result: sign_in::look(&settings, &clock) },
        Finding::of("the client of the service", service(&settings, &clock)),
        Finding::of("the client of the blob store", outside::blobs(&settings, &clock).map(|_| ())),
        Finding::of(format!("the state directory {}", settings.state_dir.display()), state_dir(&settings.state_dir)),
    ];
    if !settings.bundles.identity_file.as_os_str().is_empty() {
        findings.push(Finding::of("the keys that open bundles", handoff::identities(&settings.bundles).map(drop)));
    }
    if !settings.bundles.trusted_keys_file.as_os_str().is_empty() {
        findings
            .push(Finding::of("the keys that vouch for bundles", handoff::trusted_keys(&settings.bundles).map(drop)));
    }
    for table in &settings.table {
        findings.push(Finding::of(format!("table {}", table.name), check_table(table, &settings)));
    }
    if online {
        findings.extend(online::look(&settings, &clock).await);
    }
    print(&findings, &settings, json);
    let first = findings.iter().find_map(|finding| finding.result.as_ref().err());
    Ok(first.map_or(Exit::Done, |trouble| trouble.exit))
}

/// Makes the client of the service, which refuses what could never work.
fn service(settings: &Settings, clock: &Arc<dyn Clock>) -> Result<(), Trouble> {
    outside::service(settings, &sign_in::tokens(settings, clock)?, clock).map(drop)
}

/// Looks whether the state directory can be used, without taking it: an agent
/// may be at work in it.
fn state_dir(path: &Path) -> Result<(), Trouble> {
    let shown = path.display();
    match std::fs::metadata(path) {
        Ok(found) if found.is_dir() && !found.permissions().readonly() => Ok(()),
        Ok(found) if found.is_dir() => {
            Err(Trouble::new(Exit::BadConfiguration, format!("use the state directory {shown}: it is read-only")))
        }
        Ok(_) => {
            Err(Trouble::new(Exit::BadConfiguration, format!("use the state directory {shown}: it is no directory")))
        }
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            let parent = path.ancestors().skip(1).find(|parent| parent.is_dir());
            match parent {
                Some(_) => Ok(()),
                None => Err(Trouble::new(
                    Exit::BadConfiguration,
                    format!("make the state directory {shown}: nothing above it exists"),
                )),
            }
        }
        Err(error) => Err(Trouble::new(Exit::LocalIo, format!("look at the state directory {shown}: {error}"))),
    }
}

/// Looks whether a table could be hashed: its schema, its header, its salt.
fn check_table(table: &TableSettings, settings: &Settings) -> Result<(), Trouble> {
    if table.schema == "service" {
        return std::fs::metadata(&table.path).map(|_| ()).map_err(|error| {
            Trouble::new(Exit::BadData, format!("table {}: look at {}: {error}", table.name, table.path.display()))
        });
    }
    let schema = read_schema(Path::new(&table.schema))?;
    if let Some(canary) = &table.canary
        && !schema.fields().iter().any(|field| field.name == canary.column)
    {
        let message = format!("table {}: the schema has no column {} for the canary", table.name, canary.column);
        return Err(Trouble::new(Exit::BadConfiguration, message));
    }
    let order = hash_order(table, settings.upload.block_size, schema, &settings.bundle_dir().join("check"))?;
    bundle::salt(&order.salt).map_err(|error| hash_trouble(&table.name, &error))?;
    estimate(&order).map(|_| ()).map_err(|error| hash_trouble(&table.name, &error))
}

fn print(findings: &[Finding], settings: &Settings, json: bool) {
    if json {
        let checks: Vec<_> = findings
            .iter()
            .map(|finding| {
                let (note, trouble) = (finding.result.as_ref().ok().cloned().flatten(), finding.result.as_ref().err());
                json!({
                    "check": finding.what,
                    "ok": trouble.is_none(),
                    "note": note,
                    "message": trouble.map(|trouble| &trouble.message),
                    "exit": trouble.map(|trouble| trouble.exit as u8),
                })
            })
            .collect();
        let ok = findings.iter().all(|finding| finding.result.is_ok());
        return say_json(&json!({ "ok": ok, "checks": checks, "not_proven": UNPROVEN }));
    }
    say(&format!("service: {}", settings.graph.root()));
    for finding in findings {
        match &finding.result {
            Ok(None) => say(&format!("ok    {}", finding.what)),
            Ok(Some(note)) => say(&format!("ok    {}: {note}", finding.what)),
            Err(trouble) => {
                // Many a message says itself what it is about.
                let (what, message) = (&finding.what, &trouble.message);
                let rest = message.strip_prefix(what.as_str()).and_then(|rest| rest.strip_prefix(": "));
                say(&format!("FAIL  {what}: {}", rest.unwrap_or(message)));
            }
        }
    }
    say("\nnot proven against the real service:");
    for line in UNPROVEN {
        say(&format!("  - {line}"));
    }
}
