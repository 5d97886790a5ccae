//! `hash`: a table into a bundle, without any network.

use std::time::Duration;

use serde_json::json;

use super::args::HashArguments;
use super::input::{Chosen, Stdin, Watch, is_stdin};
use super::output::{say, say_json};
use crate::adapters::bundle::{self, Bundle, SaltSource, reject_report};
use crate::adapters::clock::SystemClock;
use crate::agent::exit::{Exit, Trouble, hash_trouble};
use crate::agent::settings::Settings;
use crate::agent::tables::{hash_order, limit, make_room};
use crate::ground::units::{Size, Span};
use crate::ports::clock::Clock;

pub(crate) async fn hash(
    arguments: HashArguments,
    settings: impl FnOnce() -> Result<Settings, Trouble>,
    json: bool,
) -> Result<Exit, Trouble> {
    let Chosen { table, schema, settings } = Chosen::find(&arguments.input, settings)?;
    let mut order = hash_order(&table, settings.upload.block_size, schema, &arguments.output)?;
    if let Some(file) = arguments.salt_file {
        order.salt = SaltSource::File(file);
    }
    if let Some(rows) = arguments.rows_per_block {
        order.rows_per_block = Some(rows).filter(|&rows| rows > 0);
    }
    order.allow_drift |= arguments.allow_drift;
    if arguments.input.table.is_some() && table.skip_unchanged {
        order.content_key = bundle::find_content_key(&settings.state_dir);
    }
    let room = settings.bundles;
    let clock = SystemClock;
    let started = clock.now().moment;
    let watch = Watch::default();
    let Watch { progress, stop } = watch.clone();
    let hashing = move || {
        let name = order.table.clone();
        let failed = |error| hash_trouble(&name, &error);
        if is_stdin(&order.source) {
            limit(&mut order, room.min_free, room.max_bytes)?;
            let input = Stdin(stop.clone());
            return bundle::hash_stream(&order, input, &SystemClock, &progress, &stop).map_err(failed);
        }
        make_room(&mut order, room.min_free, room.max_bytes)?;
        bundle::hash(&order, &SystemClock, &progress, &stop).map_err(failed)
    };
    let bundle = watch.over(&table.name, "hashing", hashing).await?;
    report(&bundle, clock.now().moment.since(started), json);
    Ok(Exit::Done)
}

fn report(bundle: &Bundle, took: Duration, json: bool) {
    let manifest = bundle.manifest();
    let rejects = Some(reject_report(bundle.dir())).filter(|_| manifest.rejected_rows > 0);
    if json {
        say_json(&json!({
            "bundle": bundle.dir(),
            "table": manifest.table,
            "rows": manifest.rows,
            "rejected_rows": manifest.rejected_rows,
            "rejects": rejects,
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
    if let Some(path) = rejects {
        say(&format!("{} names the rejected rows by place", path.display()));
    }
}
