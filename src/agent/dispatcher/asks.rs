//! Taking in what others ask.

use std::sync::Arc;

use super::{Dispatcher, Volume};
use crate::agent::ask::{Ask, AskRefused, Beginning, Uploaded};
use crate::agent::dispatcher::slot::Slot;
use crate::agent::settings::Settings;
use crate::agent::status::{Picture, UploadView, UriView};
use crate::ground::moment::Now;
use crate::ground::secret::Secret;
use crate::ports::journal::{CLOSED_KEPT, Entry};
use crate::upload::event::Event;
use crate::upload::ledger::Ledger;
use crate::upload::machine::Upload;
use crate::upload::plan::Sender;
use crate::upload::policy::Policy;
use crate::upload::record::{Phase, Record};

impl Dispatcher {
    /// Returns the rules of an upload that began with a configuration; what is
    /// live comes from the one in force.
    pub(super) fn policy(&self, entry: &Entry, rules: &Settings) -> Policy {
        let agent = self.upload_agent.clone();
        let live = self.parts.settings.policy(None);
        Policy {
            session_ttl: self.book.session_ttl(&entry.plan.store, rules),
            window: live.window,
            quota_backoff: live.quota_backoff,
            ..rules.policy(agent)
        }
    }

    fn set_policies(&mut self) {
        for number in self.slots.keys().copied().collect::<Vec<_>>() {
            let Some(slot) = self.slots.get(&number) else { continue };
            let policy = self.policy(&slot.entry, &slot.rules);
            if let Some(slot) = self.slots.get_mut(&number) {
                slot.upload.set_policy(policy);
            }
        }
    }

    /// Decides by another configuration from now on.
    fn configure(&mut self, settings: Arc<Settings>, now: Now) {
        let had = std::mem::replace(&mut self.parts.settings, settings);
        self.lanes.limit_blocks(self.parts.settings.upload.concurrency as usize);
        self.set_policies();
        if had.quota != self.parts.settings.quota {
            for number in self.slots.keys().copied().collect::<Vec<_>>() {
                self.step(number, Event::QuotaChanged, now);
            }
        }
    }

    pub(super) fn insert(&mut self, slot: Slot, now: Now) -> u64 {
        let number = self.next_number;
        self.next_number += 1;
        let id = slot.entry.plan.id.to_string();
        let session = slot.upload.standing().held.as_ref().map(|held| held.session.clone());
        let wanted = match &slot.entry.plan.sender {
            Sender::Tracked { session } => session.clone(),
            Sender::Owned => None,
        };
        let named = session.clone().or(wanted);
        self.slots.insert(number, Slot { session, deadline: Some(now.moment), ..slot });
        self.deadlines.insert((now.moment, number));
        self.name(number, Some(id));
        self.name(number, named);
        number
    }

    pub(super) fn asked(&mut self, ask: Ask) {
        let now = self.parts.clock.now();
        // Whoever asked may have gone away meanwhile: an answer nobody waits for is no error.
        match ask {
            Ask::Picture(reply) => drop(reply.send(self.picture(now))),
            Ask::View(id, reply) => drop(reply.send(self.view(&id, now))),
            Ask::Begin(beginning, reply) => drop(reply.send(self.begin(*beginning, now))),
            Ask::Release(id, reply) => drop(reply.send(self.let_pass(&id, now))),
            Ask::Urge(id, reply) => drop(reply.send(self.urge(&id, now))),
            Ask::Unchanged(table, source, reply) => drop(reply.send(self.unchanged(&table, source, now))),
            Ask::Listed(store, answer) => self.listed(&store, &answer, now),
            Ask::UploadUri(id, reply) => drop(reply.send(self.upload_uri(&id))),
            Ask::Progress(id, total, uploaded, reply) => drop(reply.send(self.progress(&id, total, uploaded, now))),
            Ask::Renew(id, reply) => drop(reply.send(self.wish(&id, Event::RenewRequested, now))),
            Ask::Commit(id, reply) => drop(reply.send(self.commit(&id, now))),
            Ask::Cancel(id, reply) => drop(reply.send(self.wish(&id, Event::CancelRequested, now))),
            Ask::Remember(name, value) => self.book.remember(name, value),
            Ask::Registered(agent) => self.registered(&agent),
            Ask::Configure(settings, reply) => {
                self.configure(settings, now);
                let _ = reply.send(());
            }
            Ask::Wake => (),
            Ask::Stop(grace) => self.stop(grace, now),
        }
    }

    fn registered(&mut self, agent: &str) {
        self.book.registered(agent);
        self.upload_agent = Some(agent.to_owned());
        self.set_policies();
    }

    fn stop(&mut self, grace: std::time::Duration, now: Now) {
        let at = now.moment + grace;
        self.stop_at = Some(self.stop_at.map_or(at, |stop| stop.min(at)));
        for number in self.slots.keys().copied().collect::<Vec<_>>() {
            self.step(number, Event::StopRequested, now);
        }
        self.unpark_all(now);
    }

    pub(super) fn find(&self, id: &str) -> Result<u64, AskRefused> {
        match self.by_name.get(id) {
            Some(&number) => Ok(number),
            None if self.find_closed(id).is_some() => Err(AskRefused::Conflict(format!("upload {id} is over"))),
            None => Err(AskRefused::Unknown(id.to_owned())),
        }
    }

    fn find_closed(&self, id: &str) -> Option<&UploadView> {
        self.closed.iter().find(|view| view.upload == id || view.session.as_deref() == Some(id))
    }

    pub(super) fn view(&self, id: &str, now: Now) -> Result<UploadView, AskRefused> {
        if let Ok(number) = self.find(id)
            && let Some(slot) = self.slots.get(&number)
        {
            return Ok(slot.view(now, self.lanes.gate(now.moment)));
        }
        self.find_closed(id).cloned().ok_or_else(|| AskRefused::Unknown(id.to_owned()))
    }

    fn picture(&self, now: Now) -> Picture {
        let gate = self.lanes.gate(now.moment);
        let mut uploads: Vec<UploadView> = self.slots.values().map(|slot| slot.view(now, gate)).collect();
        uploads.sort_by(|one, other| one.upload.cmp(&other.upload));
        let journal = match &*self.volume.borrow() {
            Volume::Sound => None,
            Volume::Stalled(reason) | Volume::Failed(reason) => Some(reason.clone()),
        };
        Picture {
            uploads,
            closed: self.closed.iter().cloned().collect(),
            journal,
            // The dispatcher neither signs in nor reloads; whoever shows the picture knows.
            sign_in: None,
            configuration: None,
            throttled_for: gate.map(|gate| now.moment.until(gate).as_secs()),
            upload_agent: self.upload_agent.clone(),
            quota: self.quotas.views(&self.parts.settings.quota, now.wall),
        }
    }

    /// Begins an upload, and has a gate hold it if there are reasons to. Older
    /// content of the same table that is held gives way, and to what is not held
    /// also what waits for a session.
    fn begin(&mut self, beginning: Beginning, now: Now) -> Result<UploadView, AskRefused> {
        if self.stop_at.is_some() {
            return Err(AskRefused::Stopping);
        }
        let Beginning { mut entry, rules, bundle, records, hold, fact } = beginning;
        // What is held asks for nothing: whatever passed the gates stays beside it.
        let other = match &hold {
            Some(_) => None,
            None => self.in_the_way(&entry).or_else(|| self.holder(&records)),
        };
        let (mut replaced, mut is_urged) = (None, false);
        if let Some((number, other)) = other {
            if !other.gives_way_to(&entry) {
                return Err(AskRefused::Conflict(other.is_in_the_way_of(&entry)));
            }
            // What may use the last sessions of the day may still do so.
            is_urged = entry.urgent && !other.entry.urgent;
            entry.urgent |= other.entry.urgent;
            replaced = Some(number);
        }
        let mut upload = Upload::new(entry.plan.clone(), self.policy(&entry, &rules), &records, now);
        let mut trouble = None;
        if let Some(number) = replaced {
            if let Some(other) = self.slots.get(&number) {
                upload.take_place_of(&other.upload);
                trouble.clone_from(&other.trouble);
            }
            self.step(number, Event::Replaced, now);
        }
        if entry.plan.is_owned() {
            // One that is held is in nobody's way, and may be of another data store.
            self.supersede(&entry.plan.table, now);
        }
        if let Some((name, value)) = fact {
            self.book.remember(name, value);
        }
        self.batch.entries.push(entry.clone());
        let mut slot = Slot::new(upload, entry, rules, bundle);
        slot.batch = self.batch.number;
        slot.trouble = trouble;
        for record in &records {
            slot.tell(record, &self.parts.notices, now);
            self.batch.records.push((slot.entry.plan.id.clone(), record.clone()));
            if let Record::Opened { session, .. } = record {
                self.quotas.opened(&slot.entry.plan.store, session, now);
            }
        }
        let number = self.insert(slot, now);
        if let Some(reasons) = hold {
            self.step(number, Event::Held(reasons), now);
        }
        if is_urged {
            // What it took the place of might not have the sessions kept for people.
            self.step(number, Event::QuotaChanged, now);
        }
        let slot = self.slots.get(&number).expect("it was put there");
        Ok(slot.view(now, self.lanes.gate(now.moment)))
    }

    /// Returns the open upload that a new one, or one that is released, cannot be
    /// beside: two would put two bundles into one data store, or renew one
    /// session twice. What is held is in nobody's way.
    pub(super) fn in_the_way(&self, entry: &Entry) -> Option<(u64, &Slot)> {
        let is_open = |slot: &Slot| slot.upload.outcome().is_none();
        match &entry.plan.sender {
            Sender::Owned => {
                let same = |slot: &Slot| slot.entry.plan.is_owned() && slot.entry.plan.store == entry.plan.store;
                let found = self.slots.iter().find(|(_, slot)| same(slot) && is_open(slot) && !slot.is_held());
                found.map(|(&number, slot)| (number, slot))
            }
            Sender::Tracked { session: Some(session) } => {
                let number = *self.by_name.get(session)?;
                self.slots.get(&number).filter(|slot| is_open(slot)).map(|slot| (number, slot))
            }
            Sender::Tracked { session: None } => None,
        }
    }

    /// Returns the open upload that has the session records speak of.
    fn holder(&self, records: &[Record]) -> Option<(u64, &Slot)> {
        let number = records.iter().find_map(|record| {
            if let Record::Opened { session, .. } = record { self.by_name.get(session) } else { None }
        })?;
        self.slots.get(number).filter(|slot| slot.upload.outcome().is_none()).map(|slot| (*number, slot))
    }

    fn upload_uri(&self, id: &str) -> Result<UriView, AskRefused> {
        let slot = self.slots.get(&self.find(id)?).ok_or_else(|| AskRefused::Unknown(id.to_owned()))?;
        match (slot.upload.uri(), slot.upload.uri_refusal()) {
            (Some((uri, _)), _) => Ok(UriView { uri: Secret::new(uri.expose().to_owned()), expires: uri.expires() }),
            (None, Some(refused)) => Err(AskRefused::Conflict(refused.to_owned())),
            (None, None) => {
                Err(AskRefused::Conflict("the session has no upload URI yet: ask again shortly".to_owned()))
            }
        }
    }

    fn progress(
        &mut self,
        id: &str,
        total: Option<u32>,
        uploaded: Uploaded,
        now: Now,
    ) -> Result<UploadView, AskRefused> {
        let number = self.find(id)?;
        let slot = self.slots.get(&number).ok_or_else(|| AskRefused::Unknown(id.to_owned()))?;
        let stored = &slot.upload.standing().stored;
        let blocks = match uploaded {
            // A count says nothing about which blocks: the first that are missing will do.
            Uploaded::Count(count) if count >= stored.count() && count <= slot.entry.plan.total_blocks => {
                let more = (count - stored.count()) as usize;
                let mut blocks = stored.clone();
                blocks.extend(stored.missing(slot.entry.plan.total_blocks).take(more));
                blocks
            }
            Uploaded::Count(count) => Ledger::first(count),
            Uploaded::Blocks(more) => {
                let mut blocks = stored.clone();
                for &(first, last) in more.ranges() {
                    blocks.add_range(first, last);
                }
                blocks
            }
        };
        let total = total.unwrap_or(slot.entry.plan.total_blocks);
        slot.upload.check_progress(total, &blocks).map_err(|refused| AskRefused::Conflict(refused.to_string()))?;
        self.step(number, Event::Progressed(blocks), now);
        self.view(id, now)
    }

    pub(super) fn wish(&mut self, id: &str, event: Event, now: Now) -> Result<UploadView, AskRefused> {
        let number = self.find(id)?;
        match self.slots.get(&number) {
            Some(slot) if slot.upload.outcome().is_none() => self.step(number, event, now),
            _ => return Err(AskRefused::Conflict(format!("upload {id} is over"))),
        }
        self.view(id, now)
    }

    fn commit(&mut self, id: &str, now: Now) -> Result<UploadView, AskRefused> {
        let number = self.find(id)?;
        let slot = self.slots.get(&number).ok_or_else(|| AskRefused::Unknown(id.to_owned()))?;
        let progress = slot.upload.progress();
        if slot.entry.plan.is_owned() {
            let reason = "this agent sends the blocks of the upload itself and commits it when all are stored";
            return Err(AskRefused::Conflict(reason.to_owned()));
        }
        match slot.upload.standing().phase {
            Phase::Planned | Phase::Opening | Phase::Uploading if progress.stored < progress.total => {
                let left = progress.total - progress.stored;
                Err(AskRefused::Conflict(format!("{left} of {} blocks are not stored yet", progress.total)))
            }
            Phase::Held | Phase::Planned | Phase::Opening | Phase::Uploading => {
                self.wish(id, Event::CommitRequested, now)
            }
            Phase::Ending(_) | Phase::Closed(_) => Err(AskRefused::Conflict(format!("upload {id} is over"))),
            // Asked twice is asked once.
            Phase::Committing | Phase::Processing | Phase::Checking => self.view(id, now),
        }
    }

    pub(super) fn keep_closed(&mut self, view: UploadView) {
        self.closed.push_front(view);
        self.closed.truncate(CLOSED_KEPT);
    }

    /// Lets go of an upload that is over and whose end is durable. Its bundle
    /// is removed if nobody has a use for it any more.
    pub(super) fn forget(&mut self, number: u64, now: Now) {
        let Some(slot) = self.slots.remove(&number) else { return };
        if let Some(deadline) = slot.deadline {
            self.deadlines.remove(&(deadline, number));
        }
        for name in &slot.names {
            if self.by_name.get(name) == Some(&number) {
                self.by_name.remove(name);
            }
        }
        self.keep_closed(slot.view(now, None));
        let was_held = slot.upload.standing().gate.is_some();
        if slot.upload.outcome().is_some_and(|outcome| outcome.spares_bundle(was_held))
            && slot.entry.owns_bundle
            && let Some(dir) = slot.entry.bundle.clone()
        {
            self.remove_bundle(slot.bundle, dir);
        }
    }
}
