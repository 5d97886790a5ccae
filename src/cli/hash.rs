//! `hash`: a table into a bundle, without any network.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use serde_json::json;

use super::args::HashArguments;
use super::output::{is_watched, say, say_json, tell};
use crate::adapters::bundle::{self, Bundle, HashOrder, HashProgress, SaltSource};
use crate::adapters::clock::SystemClock;
use crate::agent::exit::hash_trouble;
use crate::agent::exit::{Exit, Trouble};
use crate::agent::settings::{BundleSettings, Settings, TableSettings};
use crate::agent::signals::{self, Wish};
use crate::agent::tables::{hash_order, make_room, read_schema, separator};
use crate::ground::units::{Size, Span};
use crate::ports::clock::Clock;

/// How often a line is written.
const LINE_EVERY: Duration = Duration::from_secs(5);

pub(crate) async fn hash(
    arguments: HashArguments,
    settings: impl FnOnce() -> Result<Settings, Trouble>,
    json: bool,
) -> Result<Exit, Trouble> {
    let (table, settings) = match &arguments.table {
        Some(name) => {
            let settings = settings()?;
            let found = settings.find_table(name).cloned();
            let table = found.ok_or_else(|| {
                Trouble::new(
                    Exit::BadConfiguration,
                    format!("find table {name} in the configuration: it has none of this name"),
                )
            })?;
            (table, settings)
        }
        None => {
            let bundles = BundleSettings { min_free: 0, ..BundleSettings::default() };
            (unnamed(&arguments)?, Settings { bundles, ..Settings::default() })
        }
    };
    let order = order(table, settings.upload.block_size, &arguments)?;
    let clock = Arc::new(SystemClock);
    let started = clock.now().moment;
    let bundle = watched(order, settings.bundles, Arc::clone(&clock)).await?;
    report(&bundle, clock.now().moment.since(started), json);
    Ok(Exit::Done)
}

/// Makes the settings of a table no configuration names.
fn unnamed(arguments: &HashArguments) -> Result<TableSettings, Trouble> {
    let missing = || Trouble::new(Exit::Usage, "hash what: give --table, or --input and --schema");
    let path = arguments.input.clone().ok_or_else(missing)?;
    let schema = arguments.schema.clone().ok_or_else(missing)?;
    let name = path.file_stem().map_or_else(|| "table".to_owned(), |name| name.to_string_lossy().into_owned());
    Ok(TableSettings {
        name,
        data_store: String::new(),
        path,
        schema: schema.display().to_string(),
        separator: arguments.separator.clone(),
        rows_per_block: 0,
        allowed_bad_lines_percent: 0.0,
        salt_file: std::path::PathBuf::new(),
        when: "manual".to_owned(),
        timezone: "UTC".to_owned(),
        canary: None,
    })
}

fn order(table: TableSettings, block_size: u64, arguments: &HashArguments) -> Result<HashOrder, Trouble> {
    if table.schema == "service" {
        let message = "hash the table: its schema is \"service\", and hash asks no service; give an EdmSchema file";
        return Err(Trouble::new(Exit::BadConfiguration, message));
    }
    separator(&table.separator)?;
    let schema = read_schema(Path::new(&table.schema))?;
    let mut order = hash_order(&table, block_size, schema, &arguments.output)?;
    if let Some(file) = &arguments.salt_file {
        order.salt = SaltSource::File(file.clone());
    }
    if let Some(rows) = arguments.rows_per_block {
        order.rows_per_block = Some(rows).filter(|&rows| rows > 0);
    }
    if let Some(percent) = arguments.allowed_bad_lines_percent {
        order.allowed_bad_lines_percent = percent;
    }
    Ok(order)
}

/// Hashes on threads of their own, says how far it has come, and stops when
/// asked to.
async fn watched(order: HashOrder, room: BundleSettings, clock: Arc<SystemClock>) -> Result<Bundle, Trouble> {
    let mut wishes =
        signals::listen().map_err(|error| Trouble::new(Exit::LocalIo, format!("listen for signals: {error}")))?;
    let progress = Arc::new(HashProgress::default());
    let stop = Arc::new(AtomicBool::new(false));
    let (seen, wished, table) = (Arc::clone(&progress), Arc::clone(&stop), order.table.clone());
    let own_clock = Arc::clone(&clock);
    let hashing = tokio::task::spawn_blocking(move || {
        make_room(&order, room.min_free, room.max_bytes)?;
        bundle::hash(&order, own_clock.as_ref(), &progress, &stop).map_err(|error| hash_trouble(&order.table, &error))
    });
    tokio::pin!(hashing);
    loop {
        let line = clock.sleep_until(clock.now().moment + LINE_EVERY);
        tokio::select! {
            hashed = &mut hashing => {
                return hashed.unwrap_or_else(|_| Err(Trouble::new(Exit::Failed, "hash the table: the work was cut short")));
            }
            wish = wishes.recv() => if wish != Some(Wish::Reload) {
                wished.store(true, Ordering::Relaxed);
            },
            () = line => tell(&describe(&table, &seen)),
        }
    }
}

fn describe(table: &str, progress: &HashProgress) -> String {
    let read = progress.bytes_read.load(Ordering::Relaxed);
    let total = progress.bytes_total.load(Ordering::Relaxed).max(1);
    let rows = progress.rows.load(Ordering::Relaxed);
    let rejected = progress.rejected.load(Ordering::Relaxed);
    let percent = read * 100 / total;
    let of = if is_watched() { String::new() } else { format!(" of {}", Size(total)) };
    format!("{table}: hashing: {percent} %{of}, {rows} rows, {rejected} rejected")
}

fn report(bundle: &Bundle, took: Duration, json: bool) {
    let manifest = bundle.manifest();
    if json {
        say_json(&json!({
            "bundle": bundle.dir(),
            "table": manifest.table,
            "rows": manifest.rows,
            "rejected_rows": manifest.rejected_rows,
            "blocks": manifest.blocks.len(),
            "rows_per_block": manifest.rows_per_block,
            "bytes": manifest.bytes,
            "checksum": manifest.sha256,
            "seconds": took.as_secs_f64(),
        }));
        return;
    }
    say(&format!(
        "{}: {} rows ({} rejected) in {} blocks, {}, in {}",
        bundle.dir().display(),
        manifest.rows,
        manifest.rejected_rows,
        manifest.blocks.len(),
        Size(manifest.bytes),
        Span(took)
    ));
}
