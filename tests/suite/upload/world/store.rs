//! A blob store: blocks, the list that makes them a blob, and URIs that end.

use std::collections::{BTreeMap, BTreeSet};

use chrono::TimeDelta;
use edm_agent::ground::moment::Moment;
use edm_agent::upload::fault::BlobFault;
use edm_agent::upload::ledger::Ledger;
use edm_agent::upload::uri::UploadUri;

use super::service::{Style, date, place};

/// What is at one place.
#[derive(Debug, Default, Clone)]
struct Blob {
    blocks: BTreeSet<u32>,
    listed: bool,
    /// Every block it ever held.
    ever: BTreeSet<u32>,
}

/// The store.
#[derive(Default)]
pub(crate) struct Store {
    blobs: BTreeMap<String, Blob>,
    best: BTreeMap<String, u32>,
    complete: BTreeSet<String>,
    /// Upload URIs whose signature it does not take, whatever their date.
    pub(crate) hates: BTreeSet<String>,
    /// How far its clock is ahead of true time.
    pub(crate) ahead: TimeDelta,
    pub(crate) total: u32,
    /// Blocks it took, repetitions included.
    pub(crate) puts: u32,
    pub(crate) forbidden: u32,
    /// Another uploader sends the blocks: its honesty is not on trial.
    is_tracked: bool,
}

impl Store {
    pub(crate) fn new(total: u32, is_tracked: bool) -> Self {
        Self { total, is_tracked, ..Self::default() }
    }

    /// What another uploader stored by now.
    pub(crate) fn fill(&mut self, session: &str, number: u32, count: u32) {
        let blob = Blob { blocks: (0..count).collect(), listed: count == self.total, ..Blob::default() };
        self.blobs.insert(place(session, number), blob);
    }

    fn admit(&mut self, uri: &UploadUri, now: Moment) -> Result<String, BlobFault> {
        let is_over = uri.expires().is_some_and(|end| date(now) + self.ahead >= end);
        if is_over || self.hates.contains(uri.expose()) {
            self.forbidden += 1;
            return Err(BlobFault::Forbidden);
        }
        let path = uri.place().as_str();
        Ok(path.rsplit('/').next().unwrap_or(path).to_owned())
    }

    fn learn(&mut self, name: &str, is_complete: bool) {
        let session = name.split('.').next().unwrap_or(name).to_owned();
        let Some(blob) = self.blobs.get_mut(name) else { return };
        blob.ever.extend(blob.blocks.iter().copied());
        let held = blob.ever.len() as u32;
        let best = self.best.entry(session.clone()).or_default();
        *best = held.max(*best);
        if is_complete {
            self.complete.insert(session);
        }
    }

    pub(crate) fn put(&mut self, uri: &UploadUri, block: u32, style: Style, now: Moment) -> Result<(), BlobFault> {
        let name = self.admit(uri, now)?;
        self.puts += 1;
        self.blobs.entry(name.clone()).or_default().blocks.insert(block);
        let all = self.blobs[&name].blocks.len() as u32 == self.total;
        self.learn(&name, all && style == Style::Container);
        Ok(())
    }

    pub(crate) fn put_whole(&mut self, uri: &UploadUri, now: Moment) -> Result<(), BlobFault> {
        let name = self.admit(uri, now)?;
        self.puts += 1;
        self.blobs.insert(name.clone(), Blob { blocks: (0..self.total).collect(), listed: true, ..Blob::default() });
        self.learn(&name, true);
        Ok(())
    }

    pub(crate) fn inventory(&mut self, uri: &UploadUri, now: Moment) -> Result<Ledger, BlobFault> {
        let name = self.admit(uri, now)?;
        let mut ledger = Ledger::default();
        ledger.extend(self.blobs.get(&name).map(|blob| blob.blocks.clone()).unwrap_or_default());
        Ok(ledger)
    }

    pub(crate) fn put_list(&mut self, uri: &UploadUri, now: Moment) -> Result<(), BlobFault> {
        let name = self.admit(uri, now)?;
        let blob = self.blobs.entry(name.clone()).or_default();
        if blob.blocks.len() as u32 != self.total {
            return Err(BlobFault::BlocksLost);
        }
        blob.listed = true;
        self.learn(&name, true);
        Ok(())
    }

    /// Drops every second block that no list names yet.
    pub(crate) fn lose_blocks(&mut self) {
        for blob in self.blobs.values_mut().filter(|blob| !blob.listed) {
            blob.blocks.retain(|block| block % 2 == 1);
        }
    }

    pub(crate) fn best_ever(&self, session: &str) -> u32 {
        if self.is_tracked { self.total } else { self.best.get(session).copied().unwrap_or(0) }
    }

    pub(crate) fn was_complete(&self, session: &str) -> bool {
        self.is_tracked || self.total == 0 || self.complete.contains(session)
    }

    pub(crate) fn is_complete(&self, session: &str, number: u32, style: Style) -> bool {
        let Some(blob) = self.blobs.get(&place(session, number)) else { return false };
        let all = blob.blocks.len() as u32 == self.total;
        all && (blob.listed || style == Style::Container)
    }
}
