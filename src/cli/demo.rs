//! `demo`: the whole job once, against the built-in sandbox.
//!
//! Nothing is staged: a table is written to disk, hashed, and uploaded by the
//! same code that `upload` runs. Only the sandbox is told to be slow, so that
//! sending outlives several upload URIs however fast this host is.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use serde_json::json;

use super::args::DemoArguments;
use super::follow::{Limits, Source, follow};
use super::local::Local;
use super::output::{say, say_json, tell};
use super::sandbox::write_token;
use crate::adapters::bundle::{self, Bundle, HashProgress};
use crate::adapters::clock::SystemClock;
use crate::adapters::entropy;
use crate::agent::exit::{Exit, Trouble};
use crate::agent::exit::{hash_trouble, service_trouble};
use crate::agent::gates::Wishes;
use crate::agent::intake::Cargo;
use crate::agent::perform::hashed_query;
use crate::agent::registration::register;
use crate::agent::settings::Settings;
use crate::agent::signals;
use crate::agent::status::UploadView;
use crate::agent::tables::{hash_order, make_room, read_schema};
use crate::ground::units::{Size, Span};
use crate::ports::clock::Clock;
use crate::sandbox::people::{self, People};
use crate::sandbox::{Sandbox, SandboxSettings};

/// How long an upload URI of the demo lives.
const URI_LIFE: Duration = Duration::from_secs(4);
/// How many lives of an upload URI the sending takes.
const LIVES: u64 = 4;
/// Blocks the table becomes, about: enough to see them go.
const BLOCKS: u64 = 64;
/// The most rows a block has, so that blocks stay about 8 MiB.
const ROWS_PER_BLOCK: u64 = 32_768;
/// How long the sandbox processes.
const PROCESSING: Duration = Duration::from_secs(2);
/// The column that is looked up.
const COLUMN: usize = 0;

pub(crate) async fn demo(arguments: &DemoArguments, json: bool) -> Result<Exit, Trouble> {
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let mut wishes =
        signals::listen().map_err(|error| Trouble::new(Exit::LocalIo, format!("listen for signals: {error}")))?;
    let folder = Folder::make()?;
    tokio::select! {
        exit = play(arguments.rows, &folder.0, &clock, json) => exit,
        _ = wishes.recv() => Err(Trouble::new(Exit::TryLater, "the demo was stopped")),
    }
}

/// A folder of the demo's own, gone when it is over.
struct Folder(PathBuf);

impl Folder {
    fn make() -> Result<Self, Trouble> {
        let chance = entropy::seed().map_err(|error| Trouble::new(Exit::LocalIo, error.to_string()))?;
        let path = std::env::temp_dir().join(format!("edm-agent-demo-{chance:016x}"));
        std::fs::create_dir(&path).map_err(|error| local("make a folder for the demo", &error))?;
        Ok(Self(path))
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        if let Err(error) = std::fs::remove_dir_all(&self.0) {
            tell(&format!("remove {}: {error}", self.0.display()));
        }
    }
}

async fn play(rows: u64, folder: &Path, clock: &Arc<dyn Clock>, json: bool) -> Result<Exit, Trouble> {
    let started = clock.now().moment;
    let people = People::new(entropy::seed().map_err(|error| Trouble::new(Exit::LocalIo, error.to_string()))?);
    tell(&format!("writing a table of {rows} people who do not exist"));
    let people = write_table(people, rows, folder).await?;

    let draft = settings(rows, folder, "", "")?;
    tell("hashing it: every cell becomes a salted SHA-256, nothing else leaves this host");
    let bundle = hash(&draft, folder, clock).await?;

    let sandbox = start_sandbox(bundle.manifest().bytes, folder, clock).await?;
    let token_file = folder.join("token");
    write_token(&token_file, sandbox.bearer())?;
    let settings = settings(rows, folder, &sandbox.settings_toml(&token_file), "")?;
    tell(&format!(
        "uploading {} to a sandbox on {} whose upload URIs live {} and whose line is capped so that sending outlives {LIVES} of them",
        Size(bundle.manifest().bytes),
        sandbox.origin(),
        Span(URI_LIFE)
    ));
    let local = Local::start(Arc::new(settings))?;
    register(local.intake.service.as_ref(), &local.agent.asker, &local.intake.settings.now()).await;
    let begun = local.intake.start(Cargo::Bundle(bundle.dir().to_owned()), Wishes::default()).await?;
    let limits = Limits { give_up_after: Duration::from_secs(120) };
    let followed = follow(&Source::Here(Box::new(local.intake.clone())), &begun.upload, &limits, clock).await;
    let lookups = match &followed {
        Ok(view) if view.outcome.as_deref() == Some("completed") => {
            look_up(&local, view, &bundle, &people, rows).await?
        }
        Ok(_) | Err(_) => 0,
    };
    local.stop(Duration::from_secs(5)).await;
    let view = followed?;
    sandbox.stop().await;

    let took = clock.now().moment.since(started);
    summarise(&view, lookups, took, json);
    let good = view.outcome.as_deref() == Some("completed") && lookups == LOOKUPS;
    Ok(if good { Exit::Done } else { Exit::Failed })
}

/// Lookups that must come out as expected: three rows that are there, one that is not.
const LOOKUPS: u32 = 4;

async fn write_table(people: People, rows: u64, folder: &Path) -> Result<People, Trouble> {
    let (table, schema) = (folder.join("patients.csv"), folder.join("patients.xml"));
    let written = tokio::task::spawn_blocking(move || {
        std::fs::write(schema, people::schema_xml())?;
        let mut out = BufWriter::new(File::create(table)?);
        people.write_csv(rows, &mut out)?;
        out.flush().map(|()| people)
    });
    let written = written.await.map_err(|_| Trouble::new(Exit::Failed, "write the table: the work was cut short"))?;
    written.map_err(|error| local("write the table", &error))
}

/// Makes the demo's configuration, as a user would write it.
fn settings(rows: u64, folder: &Path, sandbox: &str, extra: &str) -> Result<Settings, Trouble> {
    let rows_per_block = (rows / BLOCKS).clamp(1, ROWS_PER_BLOCK);
    let path = |name: &str| json!(folder.join(name)).to_string();
    let text = format!(
        "state_dir = {}\n{sandbox}\n{extra}\n[control]\nsocket = {}\n[bundles]\nmin_free = \"0B\"\n\
         [processing]\npoll_min = \"500ms\"\npoll_max = \"2s\"\n[progress]\nmin_interval = \"500ms\"\n\
         [[table]]\nname = \"patients\"\ndata_store = {}\npath = {}\nschema = {}\nrows_per_block = {rows_per_block}\nwhen = \"manual\"\n",
        path("state"),
        path("agent.sock"),
        json!(people::STORE),
        path("patients.csv"),
        path("patients.xml"),
    );
    let file = folder.join("agent.toml");
    std::fs::write(&file, text).map_err(|error| local("write the demo's configuration", &error))?;
    super::config::load(Some(&file), std::iter::empty())
}

async fn hash(settings: &Settings, folder: &Path, clock: &Arc<dyn Clock>) -> Result<Bundle, Trouble> {
    let table = settings.find_table("patients").expect("the demo's configuration names it").clone();
    let schema = read_schema(Path::new(&table.schema))?;
    let mut order = hash_order(&table, settings.upload.block_size, schema, &folder.join("bundle"))?;
    let clock = Arc::clone(clock);
    let hashing = tokio::task::spawn_blocking(move || {
        make_room(&mut order, 0, None)?;
        let (progress, stop) = (HashProgress::default(), AtomicBool::new(false));
        let hashed =
            bundle::hash(&order, clock.as_ref(), &progress, &stop).map_err(|error| hash_trouble("patients", &error));
        stop.store(true, Ordering::Relaxed);
        hashed
    });
    hashing.await.map_err(|_| Trouble::new(Exit::Failed, "hash the table: the work was cut short"))?
}

async fn start_sandbox(bytes: u64, folder: &Path, clock: &Arc<dyn Clock>) -> Result<Sandbox, Trouble> {
    let settings = SandboxSettings {
        upload_uri_ttl: URI_LIFE,
        processing_time: PROCESSING,
        bandwidth: Some((bytes / (LIVES * URI_LIFE.as_secs())).max(1)),
        directory: Some(folder.to_owned()),
        ..SandboxSettings::default()
    };
    Sandbox::start(settings, Arc::clone(clock)).await.map_err(|error| local("start the sandbox", &error))
}

/// Looks three rows of the table up, and one that is not in it; returns how
/// many came out as they should.
async fn look_up(
    local: &Local,
    view: &UploadView,
    bundle: &Bundle,
    people: &People,
    rows: u64,
) -> Result<u32, Trouble> {
    let wanted = [0, rows / 2, rows - 1].map(|row| (people.row(row)[COLUMN].clone(), true));
    let absent = (people.row(rows)[COLUMN].clone(), false);
    let mut good = 0;
    for (value, expected) in wanted.into_iter().chain([absent]) {
        let query = hashed_query(bundle, people::COLUMNS[COLUMN], &[value.as_bytes()]);
        let query =
            query.ok_or_else(|| Trouble::new(Exit::Failed, "look a row up: the table lost its first column"))?;
        let answer = local.intake.service.lookup(&view.data_store, query).await;
        let found = !answer.map_err(|error| service_trouble(&error))?.value.is_empty();
        good += u32::from(found == expected);
    }
    Ok(good)
}

fn summarise(view: &UploadView, lookups: u32, took: Duration, json: bool) {
    if json {
        return say_json(&json!({
            "state": view.state,
            "outcome": view.outcome,
            "reason": view.reason,
            "rows": view.rows,
            "blocks": view.total_blocks,
            "bytes": view.bytes,
            "renewals": view.renewals,
            "progress_reports": view.progress_reports,
            "upload_uri_changes": view.upload_uri_changes,
            "lookups_ok": lookups,
            "seconds": (took.as_secs_f64() * 10.0).round() / 10.0,
        }));
    }
    say("");
    say(&format!("  state               {}", view.state));
    say(&format!(
        "  rows                {}, hashed into {} blocks, {}",
        view.rows,
        view.total_blocks,
        Size(view.bytes)
    ));
    say(&format!("  renewals            {}: the session's lease never ran out", view.renewals));
    say(&format!("  upload URI changes  {}: blocks went on under the new one", view.upload_uri_changes));
    say(&format!("  progress reports    {}", view.progress_reports));
    say(&format!(
        "  lookups             {lookups} of {LOOKUPS} as expected: three rows that are there, one that is not"
    ));
    say(&format!("  took                {}, the sandbox's capped line included", Span(took)));
    if let Some(reason) = &view.reason {
        say(&format!("  failed              {reason}"));
    }
}

fn local(step: &str, error: &std::io::Error) -> Trouble {
    Trouble::new(Exit::LocalIo, format!("{step}: {error}"))
}
