//! The sessions of the configured data stores, counted without an upload.
//!
//! What a day has had is otherwise asked for when a session is about to be opened:
//! after a start that may be days away, and until then only the journal is known.
//! Here each store of the configuration is listed once the agent is signed in, and
//! every hour after that. Nothing waits for it, and what fails is tried again later.

use std::collections::BTreeSet;
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use super::ask::Ask;
use super::exit::{Exit, Trouble, service_trouble};
use super::intake::Intake;
use super::metrics::SERIES;
use crate::ports::tokens::TokenProvider;

/// How often each store is listed.
const LIST_EVERY: Duration = Duration::from_secs(3_600);
/// How soon again, where a list failed.
const LIST_AGAIN: Duration = Duration::from_secs(600);
/// The pause between two stores: what is only shown must not throttle what is sent.
const BREATH: Duration = Duration::from_secs(1);
/// How often it is looked whether the agent is signed in.
const LOOK_EVERY: Duration = Duration::from_secs(5);

/// Lists the sessions of each configured data store now and then, for ever.
pub async fn keep(intake: &Intake, tokens: &Arc<dyn TokenProvider>) -> Infallible {
    loop {
        while !tokens.sign_in().is_in() {
            intake.clock.sleep_until(intake.clock.now().moment + LOOK_EVERY).await;
        }
        let wait = if list(intake).await { LIST_EVERY } else { LIST_AGAIN };
        intake.clock.sleep_until(intake.clock.now().moment + wait).await;
    }
}

/// Lists them once, one after the other, at most [`SERIES`]; returns whether all
/// answered. A service that is out of reach is not asked for the rest.
async fn list(intake: &Intake) -> bool {
    let settings = intake.settings.now();
    let names: BTreeSet<&str> = settings.table.iter().map(|table| table.data_store.as_str()).collect();
    let mut is_whole = true;
    for name in names.into_iter().take(SERIES) {
        if let Err(trouble) = list_one(intake, name).await {
            // Whoever opens a session of it says what is wrong.
            tracing::debug!(data_store = name, "count its sessions: {trouble}");
            is_whole = false;
            if matches!(trouble.exit, Exit::Unreachable | Exit::TryLater) {
                break;
            }
        }
        intake.clock.sleep_until(intake.clock.now().moment + BREATH).await;
    }
    is_whole
}

async fn list_one(intake: &Intake, name: &str) -> Result<(), Trouble> {
    let store = intake.find_store(name).await?;
    let listed = intake.service.sessions(&store.id).await.map_err(|error| service_trouble(&error))?;
    // The dispatcher is gone only when the agent has stopped.
    let _ = intake.asker.tell(Ask::Listed(store.id, Box::new(listed))).await;
    Ok(())
}
