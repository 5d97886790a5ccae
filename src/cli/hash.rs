//! `hash`: a table into a bundle, without any network.

use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::json;

use super::args::HashArguments;
use super::input::{Chosen, Stdin, Watch, is_stdin};
use super::output::{say, say_json};
use crate::adapters::bundle::{self, Handoff, Recipients, SaltSource, reject_report};
use crate::adapters::clock::SystemClock;
use crate::adapters::signature::{Signer, signature_path};
use crate::agent::exit::{Exit, Trouble, hash_trouble};
use crate::agent::outside::credential;
use crate::agent::settings::Settings;
use crate::agent::tables::{hash_order, limit, make_room, make_room_twice};
use crate::ground::units::{Size, Span};
use crate::ports::clock::Clock;
use crate::table::manifest::Manifest;

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
    let handover = Handover::read(&arguments.recipient, &arguments.recipient_file, arguments.sign_key.as_deref())?;
    let (sealed, signed) = (handover.recipients.is_some(), handover.signer.is_some());
    let output = order.output.clone();
    let room = settings.bundles;
    let clock = SystemClock;
    let started = clock.now().moment;
    let watch = Watch::default();
    let Watch { progress, stop } = watch.clone();
    let hashing = move || {
        let name = order.table.clone();
        let failed = |error| hash_trouble(&name, &error);
        let handoff = Handoff { recipients: handover.recipients.as_ref(), signer: handover.signer.as_ref() };
        if is_stdin(&order.source) {
            limit(&mut order, room.min_free, room.max_bytes)?;
            let input = Some(Stdin(stop.clone()));
            return bundle::hand_off(&order, handoff, input, &SystemClock, &progress, &stop).map_err(failed);
        }
        let make_room = if handoff.recipients.is_some() { make_room_twice } else { make_room };
        make_room(&mut order, room.min_free, room.max_bytes)?;
        bundle::hand_off(&order, handoff, bundle::NO_PIPE, &SystemClock, &progress, &stop).map_err(failed)
    };
    let manifest = watch.over(&table.name, "hashing", hashing).await?;
    let signature = Some(signature_path(&output)).filter(|_| signed);
    report(&output, &manifest, sealed, signature.as_deref(), clock.now().moment.since(started), json);
    Ok(Exit::Done)
}

/// What a bundle is handed over with.
struct Handover {
    recipients: Option<Recipients>,
    signer: Option<Signer>,
}

impl Handover {
    /// Reads the keys, before a table is.
    fn read(recipients: &[String], files: &[PathBuf], sign_key: Option<&Path>) -> Result<Self, Trouble> {
        let refused = |error: &dyn std::error::Error| Trouble::new(Exit::BadConfiguration, error.to_string());
        let recipients = match recipients.is_empty() && files.is_empty() {
            true => None,
            false => Some(Recipients::read(recipients, files).map_err(|error| refused(&error))?),
        };
        let signer = sign_key.map(|path| Signer::read(&credential(path))).transpose();
        Ok(Self { recipients, signer: signer.map_err(|error| refused(&error))? })
    }
}

fn report(output: &Path, manifest: &Manifest, sealed: bool, signature: Option<&Path>, took: Duration, json: bool) {
    let rejects = Some(reject_report(output)).filter(|_| manifest.rejected_rows > 0);
    if json {
        say_json(&json!({
            "bundle": output,
            "sealed": sealed,
            "signature": signature,
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
        output.display(),
        manifest.rows,
        manifest.rejected_rows,
        manifest.blocks.len(),
        Size(manifest.bytes),
        Span(took)
    ));
    if let Some(path) = signature {
        say(&format!("{} is its signature: hand over both", path.display()));
    }
    if let Some(path) = rejects {
        say(&format!("{} names the rejected rows by place", path.display()));
    }
}
