//! `upload`: one table or bundle, in the foreground.

use std::sync::Arc;
use std::time::Duration;

use serde_json::json;

use super::args::{UploadArguments, WishArguments};
use super::caller::{Caller, Desk};
use super::follow::{Limits, Source, follow, read_view};
use super::local::Local;
use super::output::{say, say_json};
use super::unheard;
use crate::adapters::clock::SystemClock;
use crate::agent::client::Client;
use crate::agent::exit::{Exit, Trouble};
use crate::agent::gates::Wishes;
use crate::agent::intake::Cargo;
use crate::agent::registration::register;
use crate::agent::settings::Settings;
use crate::agent::signals;
use crate::agent::status::UploadView;
use crate::ports::clock::Clock;

/// How long blocks in flight may take to finish when the command is stopped.
const GRACE: Duration = Duration::from_secs(10);

pub(crate) async fn upload(caller: Caller, arguments: &UploadArguments, json: bool) -> Result<Exit, Trouble> {
    let cargo = match (&arguments.table, &arguments.bundle) {
        (Some(table), _) => Cargo::Table(table.clone()),
        (None, Some(bundle)) => Cargo::Bundle(bundle.clone()),
        (None, None) => return Err(Trouble::new(Exit::Usage, "upload what: give --table or --bundle")),
    };
    let WishArguments { force, accept, allow_drift } = arguments.wishes;
    let wishes = Wishes { force, accept, allow_drift };
    let give_up_after = caller.give_up_after();
    let view = match caller.for_changing().await? {
        Desk::There(client) => {
            // What it opens and whom it trusts is not for whoever speaks to it to say.
            let given = [
                (&arguments.identity, "--identity", "bundles.identity_file"),
                (&arguments.trusted_keys, "--trusted-keys", "bundles.trusted_keys_file"),
            ];
            if let Some((_, option, key)) = given.iter().rfind(|(file, ..)| file.is_some()) {
                let message =
                    format!("upload the bundle: the agent that runs goes by its own {key}; leave out {option}");
                return Err(Trouble::new(Exit::Usage, message));
            }
            upload_there(client, &cargo, wishes, &Limits { give_up_after }).await?
        }
        Desk::Here(mut settings) => {
            if let Some(file) = &arguments.identity {
                settings.bundles.identity_file.clone_from(file);
            }
            if let Some(file) = &arguments.trusted_keys {
                settings.bundles.trusted_keys_file.clone_from(file);
            }
            upload_here(Arc::new(*settings), cargo, wishes, &Limits { give_up_after }).await?
        }
    };
    Ok(report(&view, json))
}

/// Lets the agent of this host do it, and watches.
async fn upload_there(client: Client, cargo: &Cargo, wishes: Wishes, limits: &Limits) -> Result<UploadView, Trouble> {
    let mut body = match cargo {
        Cargo::Table(table) => json!({ "table": table }),
        Cargo::Bundle(dir) => {
            let dir = dir
                .canonicalize()
                .map_err(|error| Trouble::new(Exit::BadData, format!("open the bundle {}: {error}", dir.display())))?;
            json!({ "bundle": dir })
        }
    };
    let Wishes { force, accept, allow_drift } = wishes;
    for (wish, is_wished) in [("force", force), ("accept", accept), ("allow_drift", allow_drift)] {
        if is_wished {
            body[wish] = json!(true);
        }
    }
    let begun = read_view(client.post("v1/uploads", Some(&body)).await?)?;
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    follow(&Source::There(client), &begun.upload, limits, &clock).await
}

/// Does it in this process, which takes the state directory.
async fn upload_here(
    settings: Arc<Settings>,
    cargo: Cargo,
    wishes: Wishes,
    limits: &Limits,
) -> Result<UploadView, Trouble> {
    let mut heard =
        signals::listen().map_err(|error| Trouble::new(Exit::LocalIo, format!("listen for signals: {error}")))?;
    let local = Local::start(Arc::clone(&settings))?;
    let followed = async {
        if let Some(unheard) = &local.unheard
            && let Some(view) = unheard.answers(&cargo, &local.intake).await
        {
            unheard::heard(&local.agent.asker).await;
            return Ok(view);
        }
        if !local.is_registered {
            register(local.intake.service.as_ref(), &local.agent.asker, &settings).await;
        }
        let begun = local.intake.start(cargo, wishes).await?;
        unheard::wait_for(&local.agent.asker, &begun.upload).await;
        let source = Source::Here(Box::new(local.intake.clone()));
        let view = follow(&source, &begun.upload, limits, &local.clock).await?;
        unheard::heard(&local.agent.asker).await;
        Ok(view)
    };
    let mut volume = local.agent.volume.clone();
    let result = tokio::select! {
        result = followed => result,
        Some(_) = async {
            loop {
                match heard.recv().await {
                    Some(signals::Wish::Reload) => (),
                    other => break other,
                }
            }
        } => Err(Trouble::new(Exit::TryLater, "stopped: nothing is lost, the same command goes on with it")),
        reason = super::run::failed(&mut volume) => Err(Trouble::new(Exit::LocalIo, reason)),
    };
    local.stop(GRACE).await;
    result
}

/// Says how the upload ended, or why it is held.
pub(crate) fn report(view: &UploadView, json: bool) -> Exit {
    let outcome = view.outcome.as_deref();
    let is_held = view.held.is_some();
    if json {
        say_json(&serde_json::to_value(view).unwrap_or_default());
    } else if let Some(held) = &view.held {
        let advice = held.advice();
        super::output::tell(&format!("{}: held, and no session was opened: {advice}", view.table));
    } else if outcome == Some("unchanged") {
        say(&format!("{}: unchanged: {}", view.table, view.reason.as_deref().unwrap_or_default()));
    } else if outcome == Some("completed") {
        say(&format!(
            "{}: live: {} rows in {} blocks, session {}, {} renewals",
            view.table,
            view.rows,
            view.total_blocks,
            view.session.as_deref().unwrap_or("-"),
            view.renewals
        ));
    } else {
        let reason = view.reason.as_deref().unwrap_or("cancelled");
        super::output::tell(&format!("{}: {}: {reason}", view.table, outcome.unwrap_or("failed")));
    }
    match is_held {
        true => Exit::BadData,
        false => view.exit.and_then(Exit::of).unwrap_or(Exit::Failed),
    }
}
