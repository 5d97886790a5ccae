//! Taking: from content that is whole to an upload.
//!
//! Between the look that found a table to be whole and its turn to be hashed,
//! hours may pass: others are hashed first. So it is looked at again then, and
//! what was hashed is compared with what was found: nothing else is uploaded.

use std::sync::Arc;

use crate::agent::ask::{Ask, AskRefused, Beginning, Fact};
use crate::agent::exit::Trouble;
use crate::agent::fresh::Fresh;
use crate::agent::gates::Wishes;
use crate::agent::intake::{Intake, no_table, not_taken};
use crate::agent::tables::identify;
use crate::ports::journal::Entry;
use crate::table::manifest::SourceIdentity;

/// A table's content that the schedule found to be whole.
#[derive(Debug, Clone)]
pub(super) struct Settled {
    /// The table, by name.
    pub(super) table: String,
    /// Which file it was, and in which state.
    pub(super) source: SourceIdentity,
    /// What is to be remembered with the upload, or not at all.
    pub(super) fact: Option<Fact>,
}

/// What became of content that was to be uploaded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Taken {
    /// It is an upload, of now or of before, or one that is held.
    Begun,
    /// It was not there any more when its turn came, or an upload that has a
    /// session is in the way: look again.
    NotNow,
    /// This upload, of another table or a bundle, is in the way until it is over.
    Behind(String),
}

impl Intake {
    /// Begins an upload of a table whose content is whole, unless that is
    /// another by the time it is its turn. It takes the place of an upload of
    /// the table that still waits for a session.
    ///
    /// # Errors
    ///
    /// Says what to do, and with which code a command should exit.
    pub(super) async fn take(&self, settled: Settled) -> Result<Taken, Trouble> {
        let Settled { table: name, source, fact } = settled;
        let id = self.new_id()?;
        let settings = self.settings.now();
        let table = settings.find_table(&name).ok_or_else(|| no_table(&settings, &name))?;
        let store = self.store_of(&table.data_store, &id, false).await?;
        let _turn = self.turn.lock().await;
        let known = serde_json::to_value(source).ok();
        let unfinished = self.unfinished(&name).await?;
        // Somebody asked for it meanwhile.
        if unfinished.as_ref().is_some_and(|view| view.source == known) || self.board.is_held(&name, known.as_ref()) {
            if let Some((name, value)) = fact {
                self.asker.tell(Ask::Remember(name, value)).await.map_err(|refused| not_taken(&refused))?;
            }
            return Ok(Taken::Begun);
        }
        if unfinished.is_some_and(|view| !view.gives_way) {
            return Ok(Taken::NotNow);
        }
        if let Some(other) = self.in_the_store(&store.id, &name).await? {
            return Ok(Taken::Behind(other.upload));
        }
        self.volume_is_sound().await?;
        if identify(table).ok() != Some(source) {
            return Ok(Taken::NotNow);
        }
        let schema = self.schema(table, &store, Wishes::default())?;
        let output = settings.bundle_dir().join(&id.0);
        let mut orphan = self.orphan(&store, &name).await?;
        let bundle = self.hash_to(table, &settings, schema, &mut orphan, &id, &output).await?;
        let is_same = bundle.manifest().source.identity == source;
        let fresh = Fresh::of(bundle, true);
        let beginning = async {
            if !is_same {
                return Ok(Err(AskRefused::Conflict("it changed meanwhile".to_owned())));
            }
            let entry = self.entry(id, table.name.clone(), &store, &fresh, &settings, false)?;
            let entry = Entry { source: known, ..entry };
            let beginning = Beginning { fact, ..Beginning::of(entry, Arc::clone(&settings)) };
            self.begin_bundled(beginning, &fresh, orphan, Wishes::default()).await
        };
        // What was hashed and not taken is of no use: the next turn hashes anew.
        match fresh.during(beginning).await? {
            Ok(_) => Ok(Taken::Begun),
            Err(AskRefused::Stopping) => Err(not_taken(&AskRefused::Stopping)),
            Err(refused @ (AskRefused::Conflict(_) | AskRefused::Unknown(_))) => {
                tracing::debug!(table = name, "{refused}");
                Ok(Taken::NotNow)
            }
        }
    }
}
