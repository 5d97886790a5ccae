//! Following: what is unfinished already when an upload is asked for.

use serde_json::Value;

use super::ask::{Ask, AskRefused};
use super::exit::Trouble;
use super::intake::{Cargo, Intake, is_under_way, not_taken};
use super::settings::TableSettings;
use super::status::UploadView;
use super::tables::identify;

impl Intake {
    /// Returns the unfinished upload that whoever asks for one is to follow, if
    /// there is one. If somebody waits for it, it may use the sessions of the day
    /// that are kept for people.
    ///
    /// What waits for a session and is of another file than the table has now is
    /// not followed: the table is hashed, and newer content takes its place.
    ///
    /// # Errors
    ///
    /// When the agent is stopping.
    pub(super) async fn follow(&self, cargo: &Cargo, urgent: bool) -> Result<Option<UploadView>, Trouble> {
        let Some(view) = self.unfinished_of(cargo).await? else { return Ok(None) };
        if self.is_outdated(cargo, &view) {
            return Ok(None);
        }
        if !urgent {
            return Ok(Some(view));
        }
        let urged = self.asker.ask(|reply| Ask::Urge(view.upload.clone(), reply)).await;
        match urged.and_then(|urged| urged) {
            Ok(view) => Ok(Some(view)),
            Err(AskRefused::Stopping) => Err(not_taken(&AskRefused::Stopping)),
            // It ended just now: whoever follows it sees how.
            Err(AskRefused::Unknown(_) | AskRefused::Conflict(_)) => Ok(Some(view)),
        }
    }

    fn is_outdated(&self, cargo: &Cargo, view: &UploadView) -> bool {
        let Cargo::Table(name) = cargo else { return false };
        let source = self.settings.now().find_table(name).and_then(source_of);
        view.gives_way && source.is_some() && source != view.source
    }

    /// Returns the unfinished upload that another table or a bundle has of a data
    /// store: it gives no way.
    ///
    /// # Errors
    ///
    /// When the agent is stopping.
    pub(super) async fn in_the_store(&self, store: &str, table: &str) -> Result<Option<UploadView>, Trouble> {
        let picture = self.asker.ask(Ask::Picture).await.map_err(|refused| not_taken(&refused))?;
        let is_there = |view: &UploadView| is_under_way(view) && view.data_store == store && view.table != table;
        Ok(picture.uploads.into_iter().find(is_there))
    }

    /// Returns whether an upload is neither over nor held.
    ///
    /// # Errors
    ///
    /// When the agent is stopping.
    pub(super) async fn is_unfinished(&self, upload: &str) -> Result<bool, Trouble> {
        let view = self.asker.ask(|reply| Ask::View(upload.to_owned(), reply)).await;
        let view = view.map_err(|refused| not_taken(&refused))?;
        Ok(view.is_ok_and(|view| is_under_way(&view)))
    }
}

/// Returns what identifies the file of a table now, if it is there.
pub(super) fn source_of(table: &TableSettings) -> Option<Value> {
    identify(table).ok().and_then(|identity| serde_json::to_value(identity).ok())
}
