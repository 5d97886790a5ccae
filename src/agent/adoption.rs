//! Adoption: an open session of this host that its journal does not know.
//!
//! A state directory that was emptied, or restored from an older copy, leaves a
//! session at the service that nobody keeps. Opening another would spend one of
//! the few of a day, so that one is gone on with: it is ours if it names our
//! upload agent and carries a file name as this agent makes them for the table.
//! A session of anybody else is never touched.
//!
//! What was stored under it can only be gone on with under its own salt, so the
//! table is hashed with that where the service shows it. If it comes to the
//! same bundle the blocks that are there count; otherwise the session is told
//! anew what it is of. See `docs/decisions/0011-adopt-the-session-that-is-open.md`.

use std::path::Path;
use std::sync::Arc;

use chrono::{DateTime, Utc};

use super::ask::{Ask, AskRefused, Beginning};
use super::exit::{Exit, Trouble, bundle_trouble, service_trouble};
use super::fresh::Fresh;
use super::gates::{Passed, Wishes};
use super::intake::{Intake, label, not_taken};
use super::perform::{describe, is_committed, is_in, total_blocks};
use super::registration;
use super::settings::{Settings, TableSettings};
use super::status::{Picture, UploadView};
use crate::adapters::bundle::{Bundle, HashOrder, SaltSource};
use crate::adapters::graph::settings::Abort;
use crate::ground::moment::Moment;
use crate::ports::contract::{DataStore, Session, SessionDraft};
use crate::ports::service::{ServiceError, SessionKey};
use crate::table::salt::Salt;
use crate::table::schema::Schema;
use crate::upload::fault::Fault;
use crate::upload::ledger::Ledger;
use crate::upload::plan::{Plan, UploadId};
use crate::upload::policy::Strategy;
use crate::upload::record::Record;
use crate::upload::uri::{UploadUri, UriKind};

/// Report intervals in which whoever keeps a session would have moved it.
const QUIET_INTERVALS: u32 = 10;

/// A session of ours that the journal does not know.
pub(super) struct Orphan {
    store: String,
    session: Session,
    /// When the list was asked for that showed it.
    seen: Moment,
    /// Rows in each block with which another content has as many blocks.
    rows_per_block: Option<u32>,
}

/// What the sender of a session's blocks is, as the session shows it.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// An agent, from a bundle.
    Owned,
    /// Another uploader, of so many blocks: the agent knew no more than that.
    Tracked(u32),
}

impl Orphan {
    fn key(&self) -> SessionKey {
        SessionKey { store: self.store.clone(), session: self.session.id.clone() }
    }

    /// Has a table be hashed so that it comes to the same bundle, as far as the
    /// service shows how that was made and the settings do not say otherwise.
    pub(super) fn shape(&self, order: &mut HashOrder) {
        if let (SaltSource::Fresh, Some(salt)) = (&order.salt, &self.session.salt)
            && let Ok(salt) = Salt::parse(salt.expose())
        {
            order.salt = SaltSource::Given(salt);
        }
        let theirs = self.session.rows_per_block.filter(|&rows| rows > 0);
        order.rows_per_block = self.rows_per_block.or(order.rows_per_block).or(theirs);
    }

    /// Returns whether a bundle has another number of blocks than the session
    /// and would have the same with other rows in each, which [`Orphan::shape`]
    /// then asks for: the total of a session may not change.
    pub(super) fn reshape(&mut self, bundle: &Bundle) -> bool {
        let Some(total) = self.session.total_block_count.filter(|&total| total > 0) else { return false };
        let rows = bundle.manifest().rows;
        let rows_per_block = rows.div_ceil(total.into()).max(1);
        if total_blocks(bundle) == total || rows.div_ceil(rows_per_block) != u64::from(total) {
            return false;
        }
        self.rows_per_block = u32::try_from(rows_per_block).ok();
        self.rows_per_block.is_some() && !is_committed(&self.session)
    }

    /// Returns the file name the upload goes on under.
    pub(super) fn file_name(&self) -> String {
        self.session.file_name.clone()
    }

    /// Returns whether the session is of just this bundle.
    fn is_of(&self, bundle: &Bundle, draft: &SessionDraft) -> bool {
        let session = &self.session;
        let same_blocks = session.total_block_count.is_none_or(|total| total == total_blocks(bundle))
            && session.rows_per_block.is_none_or(|rows| Some(rows) == draft.rows_per_block)
            && (session.fields.is_empty() || session.fields == draft.fields);
        same_blocks && !session.checksum.is_empty() && Some(&session.checksum) == draft.checksum.as_ref()
    }

    /// Returns the records an agent would have written that opened the session
    /// and got so far.
    pub(super) fn records(&self, total: u32, now: DateTime<Utc>) -> Vec<Record> {
        let opened = self.session.creation_date_time.unwrap_or(now).min(now);
        let mut records = vec![Record::CreateIntended, Record::Opened { session: self.session.id.clone(), at: opened }];
        if is_committed(&self.session) {
            records.push(Record::Stored { blocks: Ledger::first(total) });
            records.push(Record::Listed { done: true });
            records.push(Record::Reported { remaining: 0 });
            records.push(Record::CommitIntended);
        } else if let Some(remaining) = self.session.remaining_block_count {
            // What was reported once never rises again.
            records.push(Record::Reported { remaining: remaining.min(total) });
        }
        records
    }
}

impl Intake {
    /// Finds the session that an upload of a table is to go on with.
    ///
    /// # Errors
    ///
    /// When the service may answer another time: opening a session without
    /// having looked could make a second.
    pub(super) async fn orphan(&self, store: &DataStore, table: &str) -> Result<Option<Orphan>, Trouble> {
        self.orphan_of(store, table, Kind::Owned).await
    }

    /// Finds the session that another uploader is to go on with.
    ///
    /// # Errors
    ///
    /// As [`Intake::orphan`].
    pub(super) async fn tracked_orphan(&self, store: &DataStore, total: u32) -> Result<Option<Orphan>, Trouble> {
        self.orphan_of(store, &store.display_name, Kind::Tracked(total)).await
    }

    async fn orphan_of(&self, store: &DataStore, table: &str, kind: Kind) -> Result<Option<Orphan>, Trouble> {
        if !self.settings.now().upload.resume_session {
            return Ok(None);
        }
        let picture = self.asker.ask(Ask::Picture).await.map_err(|refused| not_taken(&refused))?;
        let agent = match picture.upload_agent.clone() {
            Some(agent) => Some(agent),
            None => {
                let description = registration::description(&self.settings.now());
                let known = registration::known(self.service.as_ref(), &description).await;
                known.map_err(|error| service_trouble(&error))?
            }
        };
        let Some(agent) = agent else { return Ok(None) };
        let answer = match self.service.sessions(&store.id).await {
            Ok(answer) => answer,
            Err(error) if passes(&error) => return Err(service_trouble(&error)),
            Err(error) => {
                tracing::warn!("{error}; whether a session is open already is not known");
                return Ok(None);
            }
        };
        let told = Ask::Listed(store.id.clone(), Box::new(answer.clone()));
        self.asker.tell(told).await.map_err(|refused| not_taken(&refused))?;
        let ours = answer.value.into_iter().filter(|session| {
            session.upload_agent_id.eq_ignore_ascii_case(&agent)
                && self.is_orphan(session, store, table, kind, &picture)
        });
        // The newest, and one that takes blocks before one that has them all.
        let newest =
            ours.max_by_key(|session| (!is_committed(session), session.creation_date_time, session.id.clone()));
        if let Some(session) = &newest {
            tracing::info!(
                table,
                session = session.id,
                file = session.file_name,
                "an open session of this host is there"
            );
        }
        Ok(newest.map(|session| Orphan { store: store.id.clone(), session, seen: answer.asked, rows_per_block: None }))
    }

    /// Returns whether a session of our agent is of the table, not over, and of
    /// no upload that is known here.
    fn is_orphan(&self, session: &Session, store: &DataStore, table: &str, kind: Kind, picture: &Picture) -> bool {
        let Some(upload) = Plan::upload_of(&label(table), &session.file_name) else { return false };
        let settings = self.settings.now();
        let processing = &settings.processing;
        let is_over = session.completion_date_time.is_some()
            || is_in(&processing.failure, session)
            || is_in(&processing.success, session);
        let is_elsewhere = !session.data_store_id.is_empty() && !session.data_store_id.eq_ignore_ascii_case(&store.id);
        let is_from_bundle =
            !session.checksum.is_empty() || !session.fields.is_empty() || session.rows_per_block.is_some();
        let is_of_kind = match kind {
            Kind::Owned => is_from_bundle,
            Kind::Tracked(total) => {
                !is_from_bundle && session.total_block_count == Some(total) && !is_committed(session)
            }
        };
        is_of_kind && !is_over && !is_elsewhere && !session.id.is_empty() && !is_known(picture, &upload, session)
    }

    /// Hashes a table, for the session it is to go on with if there is one.
    ///
    /// # Errors
    ///
    /// Says what to do, and with which code a command should exit.
    pub(super) async fn hash_to(
        &self,
        table: &TableSettings,
        settings: &Settings,
        schema: Schema,
        orphan: &mut Option<Orphan>,
        id: &UploadId,
        output: &Path,
    ) -> Result<Bundle, Trouble> {
        // A large table takes long: a session that somebody keeps is found before that.
        if let Some(found) = orphan.as_mut()
            && self.is_gone(found).await?
        {
            *orphan = None;
        }
        let bundle = self.hash(table, settings, schema.clone(), orphan.as_ref(), id, output).await?;
        if !orphan.as_mut().is_some_and(|orphan| orphan.reshape(&bundle)) {
            return Ok(bundle);
        }
        bundle.remove().map_err(|error| bundle_trouble(&error))?;
        self.hash(table, settings, schema, orphan.as_ref(), id, output).await
    }

    /// Begins an upload of a bundle that passes the gates, with the session that
    /// is open for it if there is one.
    ///
    /// # Errors
    ///
    /// Says what to do, and with which code a command should exit; within, why the
    /// dispatcher did not take it.
    pub(super) async fn begin_bundled(
        &self,
        beginning: Beginning,
        fresh: &Fresh,
        orphan: Option<Orphan>,
        wishes: Wishes,
    ) -> Result<Result<UploadView, AskRefused>, Trouble> {
        let bundle = fresh.bundle();
        let mut beginning = match self.pass_gates(beginning, bundle, wishes).await {
            Ok(Passed::Begin(beginning)) => *beginning,
            Ok(Passed::Unchanged(view)) => return Ok(Ok(*view)),
            Err(refused) => return Ok(Err(refused)),
        };
        // What is held takes nothing over: whether it is ever sent is not known.
        if let Some(mut orphan) = orphan.filter(|_| beginning.hold.is_none())
            && let Some(records) = self.adopt(&mut orphan, bundle).await?
        {
            beginning.entry.plan.file_name = orphan.file_name();
            beginning.records = records;
        }
        beginning.bundle = Some(Arc::clone(bundle));
        Ok(fresh.offer(self.begin_entry(beginning)).await)
    }

    /// Takes a session over for a bundle: returns the records to begin with, or
    /// nothing if it cannot be, and another is to be opened within the quota.
    ///
    /// # Errors
    ///
    /// When the service may answer another time, or somebody else keeps it.
    async fn adopt(&self, orphan: &mut Orphan, bundle: &Arc<Bundle>) -> Result<Option<Vec<Record>>, Trouble> {
        let id = orphan.session.id.clone();
        if self.is_gone(orphan).await? {
            tracing::warn!(session = id, "the session that was open is gone: another is opened within the quota");
            return Ok(None);
        }
        let mut draft = SessionDraft { total_block_count: total_blocks(bundle), ..SessionDraft::default() };
        describe(&mut draft, bundle, self.settings.now().contract.checksum)
            .await
            .map_err(|trouble| Trouble::new(Exit::LocalIo, trouble))?;
        let now = self.clock.now().wall;
        if orphan.is_of(bundle, &draft) {
            tracing::info!(session = id, "the session is of this bundle: the upload goes on with it");
            return Ok(Some(orphan.records(draft.total_block_count, now)));
        }
        if is_committed(&orphan.session) {
            return Ok(None);
        }
        let total = orphan.session.total_block_count.filter(|&total| total != draft.total_block_count);
        let why = if let Some(total) = total {
            format!("it is of {total} blocks, and the table of {} by now", draft.total_block_count)
        } else if self.is_mixed(orphan) {
            "its blocks are blobs of their own, and those of the lost bundle would stay among ours".to_owned()
        } else {
            match self.service.restate(&orphan.key(), draft).await {
                Ok(_) => {
                    tracing::info!(session = id, "the session takes another bundle: all blocks are sent anew");
                    return Ok(Some(orphan.records(total_blocks(bundle), now)));
                }
                Err(error) if passes(&error) => return Err(service_trouble(&error)),
                Err(error) => error.to_string(),
            }
        };
        self.give_up(orphan, &why).await?;
        Ok(None)
    }

    /// Reads the session anew; one that changed since it was listed is kept by
    /// somebody. Whoever sends blocks says so every `progress.min_interval`.
    async fn is_gone(&self, orphan: &mut Orphan) -> Result<bool, Trouble> {
        if !is_committed(&orphan.session) {
            let quiet = self.settings.now().progress.min_interval * QUIET_INTERVALS;
            self.clock.sleep_until(orphan.seen + quiet).await;
        }
        let before = &orphan.session;
        let seen = match self.service.session(&orphan.key()).await {
            Ok(answer) => answer.value,
            Err(error) if error.fault == Fault::Gone => return Ok(true),
            Err(error) => return Err(service_trouble(&error)),
        };
        let marks = |session: &Session| {
            (session.last_updated_date_time, session.remaining_block_count, session.state.to_lowercase())
        };
        if is_committed(&seen) == is_committed(before) && marks(&seen) != marks(before) {
            let message = format!(
                "take session {} over: another agent keeps it under the same description; \
                 give each host an agent.description of its own",
                before.id
            );
            return Err(Trouble::new(Exit::TryLater, message));
        }
        orphan.session = seen;
        Ok(false)
    }

    /// Returns whether blocks of the lost bundle would stay beside ours.
    fn is_mixed(&self, orphan: &Orphan) -> bool {
        let settings = self.settings.now();
        let hosts = settings.allowed_hosts();
        let uri = orphan.session.data_upload_uri.as_ref().and_then(|uri| UploadUri::parse(uri.expose(), &hosts).ok());
        match settings.policy(None).strategy {
            Some(strategy) => strategy == Strategy::BlobPerBlock,
            None => uri.is_none_or(|uri| uri.kind() == UriKind::Container),
        }
    }

    /// Ends a session that cannot be taken over, if there is one to replace it;
    /// otherwise it is left to lapse.
    async fn give_up(&self, orphan: &Orphan, why: &str) -> Result<(), Trouble> {
        let picture = self.asker.ask(Ask::Picture).await.map_err(|refused| not_taken(&refused))?;
        let left = picture.quota.iter().find(|view| view.data_store == orphan.store).is_none_or(|view| view.left > 0);
        let (session, abort) = (&orphan.session.id, self.settings.now().contract.abort);
        let ended = match abort {
            Abort::Cancel if left => self.service.cancel(&orphan.key()).await.map(drop),
            Abort::Delete if left => self.service.delete(&orphan.key()).await.map(drop),
            Abort::Cancel | Abort::Delete | Abort::Leave => Ok(()),
        };
        let done = match &ended {
            Ok(()) if left && abort != Abort::Leave => "it was ended".to_owned(),
            Ok(()) => "it is left to lapse".to_owned(),
            Err(error) => format!("ending it failed: {error}"),
        };
        tracing::warn!(
            session,
            "the open session cannot be taken over ({why}): {done}, another is opened within the quota"
        );
        Ok(())
    }
}

/// Returns whether a session belongs to an upload that is known here.
fn is_known(picture: &Picture, upload: &UploadId, session: &Session) -> bool {
    let is_same =
        |view: &UploadView| view.upload == upload.0 || view.session.as_ref().is_some_and(|id| *id == session.id);
    picture.uploads.iter().chain(&picture.closed).any(is_same)
}

/// Returns whether the service may answer otherwise another time.
const fn passes(error: &ServiceError) -> bool {
    matches!(error.fault, Fault::Transient { .. } | Fault::Unauthorised)
}
