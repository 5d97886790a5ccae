//! The gates on the way from a bundle to a session: what holds what is live
//! already goes no further, and what looks like a bad extract is held until
//! somebody lets it pass.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::ask::{Ask, AskRefused, Beginning};
use super::board::Last;
use super::exit::{Exit, Trouble};
use super::follow::source_of;
use super::intake::{Intake, not_taken};
use super::settings::{Settings, TableSettings};
use super::status::UploadView;
use super::tables::{read_schema, refuse_drift, schema_of};
use crate::adapters::bundle::{Bundle, make_content_key};
use crate::ports::contract::DataStore;
use crate::ports::journal::Entry;
use crate::table::gates::{Figures, judge};
use crate::table::schema::Schema;

/// What whoever asks for an upload wants besides.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Wishes {
    /// Upload it though the data store holds its content already.
    pub force: bool,
    /// Let it pass though a gate would hold it.
    pub accept: bool,
    /// Let the schema file be another than the data store's.
    pub allow_drift: bool,
}

/// What the gates make of an upload.
pub(super) enum Passed {
    /// It is begun; if there are reasons to, it is held.
    Begin(Box<Beginning>),
    /// The data store holds its content already.
    Unchanged(Box<UploadView>),
}

/// Returns the key of content digests, and makes it if there is none. Without
/// one the table is uploaded like any other, only never taken for unchanged.
pub(super) fn content_key(state_dir: &Path) -> Option<PathBuf> {
    make_content_key(state_dir).inspect_err(|error| tracing::warn!("digest the content of tables: {error}")).ok()
}

impl Intake {
    /// Lets the upload of a table pass that is held, if the table's file is still
    /// the one it was made of: then nothing needs to be hashed again.
    pub(super) async fn release_same(&self, table: &TableSettings) -> Result<Option<UploadView>, Trouble> {
        let Some(held) = self.board.held_of(&table.name) else { return Ok(None) };
        if !self.board.is_held(&table.name, source_of(table).as_ref()) {
            return Ok(None);
        }
        let released = self.asker.ask(|reply| Ask::Release(held.upload, reply)).await;
        match released.and_then(|view| view) {
            Ok(view) => Ok(Some(view)),
            Err(AskRefused::Stopping) => Err(not_taken(&AskRefused::Stopping)),
            // Somebody released it, or dropped it, just now; or something else has a session, and that is said later.
            Err(AskRefused::Unknown(_) | AskRefused::Conflict(_)) => Ok(None),
        }
    }

    /// Returns the schema of a table, which may be another than the data store's
    /// only if its settings or whoever asks allow it.
    ///
    /// # Errors
    ///
    /// Says what about it is wrong.
    pub fn schema(&self, table: &TableSettings, store: &DataStore, wishes: Wishes) -> Result<Schema, Trouble> {
        if table.schema == "service" {
            return schema_of(store);
        }
        let schema = read_schema(Path::new(&table.schema))?;
        if !table.allow_drift && !wishes.allow_drift {
            refuse_drift(&schema, store, &table.schema)?;
        }
        Ok(schema)
    }

    /// Refuses a bundle that was hashed by another schema than the data store's,
    /// unless the settings of its table, whoever hashed it or whoever asks allow
    /// that.
    pub(super) fn check_columns(
        &self,
        bundle: &Bundle,
        settings: &Settings,
        store: &DataStore,
        wishes: Wishes,
    ) -> Result<(), Trouble> {
        let manifest = bundle.manifest();
        let table = settings.find_table(&manifest.table);
        if wishes.allow_drift || manifest.allow_drift || table.is_some_and(|table| table.allow_drift) {
            return Ok(());
        }
        let shown = format!("of the bundle {}", bundle.dir().display());
        let schema = Schema::from_fields(manifest.data_store.clone(), manifest.columns.clone());
        let schema =
            schema.map_err(|error| Trouble::new(Exit::BadData, format!("read the schema {shown}: {error}")))?;
        refuse_drift(&schema, store, &shown)
    }

    /// Judges a bundle: it may go on, is to be held, or is not needed.
    pub(super) async fn pass_gates(
        &self,
        beginning: Beginning,
        bundle: &Arc<Bundle>,
        wishes: Wishes,
    ) -> Result<Passed, AskRefused> {
        let rules = Arc::clone(&beginning.rules);
        let plan = &beginning.entry.plan;
        let Some(table) = rules.find_table(&plan.table) else { return Ok(Passed::Begin(Box::new(beginning))) };
        let figures = Figures::of(bundle.manifest());
        let last = self.board.last(&table.name);
        if table.skip_unchanged && !wishes.force && self.is_unchanged(&figures, &last, &plan.store).await {
            return self.leave_unchanged(beginning, bundle, &last).await.map(Box::new).map(Passed::Unchanged);
        }
        let reasons = judge(&figures, last.good.as_ref(), table.gates());
        let reasons: Vec<String> = reasons.iter().map(ToString::to_string).collect();
        if wishes.accept && !reasons.is_empty() {
            tracing::warn!(upload = plan.id.0, table = table.name, "passed on request: {}", reasons.join("; "));
        }
        let hold = Some(reasons).filter(|reasons| !wishes.accept && !reasons.is_empty());
        Ok(Passed::Begin(Box::new(Beginning { hold, ..beginning })))
    }

    /// Returns whether the data store still holds what the last upload put there,
    /// and that is what is to be uploaded. In doubt it is not.
    async fn is_unchanged(&self, figures: &Figures, last: &Last, store: &str) -> bool {
        let Some(good) = last.good.as_ref().filter(|good| last.is_good && good.is_same(figures, store)) else {
            return false;
        };
        // Hashing may have taken long: what counts is what the store says now.
        match self.service.store(store).await {
            Ok(answer) => good.is_current(answer.value.data_last_updated_date_time),
            Err(_) => false,
        }
    }

    async fn leave_unchanged(
        &self,
        beginning: Beginning,
        bundle: &Arc<Bundle>,
        last: &Last,
    ) -> Result<UploadView, AskRefused> {
        let Beginning { entry: Entry { plan, source, .. }, fact, .. } = beginning;
        let (rows, bytes) = (bundle.manifest().rows, bundle.manifest().bytes);
        let since = last.at.map(|at| format!(" since {}", at.format("%Y-%m-%d %H:%M:%SZ"))).unwrap_or_default();
        let reason = format!("the data store holds this content{since}: nothing is uploaded, unless by `--force`");
        let table = plan.table.clone();
        self.asker.ask(|reply| Ask::Unchanged(table, source, reply)).await.and_then(|done| done)?;
        tracing::info!(upload = plan.id.0, table = plan.table, "unchanged: {reason}");
        if let Some((name, value)) = fact {
            self.asker.tell(Ask::Remember(name, value)).await?;
        }
        Ok(UploadView {
            upload: plan.id.to_string(),
            table: plan.table,
            data_store: plan.store,
            phase: "unchanged".to_owned(),
            total_blocks: plan.total_blocks,
            rows,
            bytes,
            begun: plan.begun,
            closed: Some(self.clock.now().wall),
            outcome: Some("unchanged".to_owned()),
            reason: Some(reason),
            exit: Some(0),
            ..UploadView::default()
        })
    }
}
