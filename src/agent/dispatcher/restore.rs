//! Taking up what the journal remembers.
//!
//! A bundle is opened away from the dispatcher's thread: a manifest may be
//! large and its disk slow, and the leases of everything else run meanwhile.
//! Until it is open, the commands that read it wait.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::slot::Slot;
use super::{Dispatcher, Input};
use crate::adapters::bundle::{Bundle, remove_folder};
use crate::ground::moment::Now;
use crate::ports::journal::Account;
use crate::upload::event::Event;
use crate::upload::machine::Upload;

/// A bundle that was to be opened.
pub struct Opened {
    number: u64,
    bundle: Result<Bundle, String>,
}

impl Dispatcher {
    /// Takes up every upload of the journal, and removes the bundles that an
    /// agent before this one left over.
    pub(super) fn restore_all(&mut self, accounts: Vec<Account>, mut left_over: Vec<PathBuf>, now: Now) {
        for account in accounts {
            if account.end().is_some() {
                left_over.extend(account.spare_bundle().map(Path::to_path_buf));
                self.restore_closed(account, now);
            } else {
                self.restore(account, now);
            }
        }
        // One that is gone on with may be in the folder one had before it.
        left_over.retain(|dir| !self.slots.values().any(|slot| slot.entry.bundle.as_ref() == Some(dir)));
        if !left_over.is_empty() {
            // The agent before this one died between a live table and its bundle.
            let remove = move || left_over.into_iter().filter(|dir| dir.exists()).for_each(|dir| remove(&dir));
            self.removals.spawn_blocking_on(remove, &self.parts.blocks);
        }
    }

    fn slot_of(&self, account: Account, now: Now) -> Slot {
        let Account { entry, records } = account;
        let rules = Arc::clone(&self.parts.settings);
        let upload = Upload::new(entry.plan.clone(), self.policy(&entry, &rules), &records, now);
        Slot::new(upload, entry, rules, None)
    }

    /// Takes up an upload that is over, to be shown.
    fn restore_closed(&mut self, account: Account, now: Now) {
        let view = self.slot_of(account, now).view(now, None);
        self.keep_closed(view);
    }

    /// Takes up an upload that goes on.
    fn restore(&mut self, account: Account, now: Now) {
        let (dir, is_owned) = (account.entry.bundle.clone(), account.entry.plan.is_owned());
        let mut slot = self.slot_of(account, now);
        slot.take_up_tally(slot.rules.upload.concurrency);
        let number = self.insert(slot, now);
        self.show_gate(number);
        match dir {
            Some(dir) => self.open_bundle(number, dir),
            None if is_owned => self.step(number, Event::BundleLost, now),
            None => (),
        }
    }

    fn open_bundle(&mut self, number: u64, dir: PathBuf) {
        if let Some(slot) = self.slots.get_mut(&number) {
            slot.parked = Some(Vec::new());
        }
        let outbox = self.outbox.clone();
        let open = move || {
            let bundle = Bundle::open(&dir).map_err(|error| error.to_string());
            // The dispatcher is gone only when the agent has stopped.
            let _ = outbox.blocking_send(Input::Opened(Opened { number, bundle }));
        };
        self.tasks.spawn_blocking_on(open, &self.parts.blocks);
    }

    /// Takes in a bundle that is open, or cannot be opened.
    pub(super) fn opened(&mut self, opened: Opened) {
        let now = self.parts.clock.now();
        let Opened { number, bundle } = opened;
        let Some(slot) = self.slots.get_mut(&number) else { return };
        let parked = slot.parked.take().unwrap_or_default();
        match bundle {
            Ok(bundle) => slot.carry(Arc::new(bundle)),
            Err(error) => {
                tracing::error!(upload = slot.entry.plan.id.0, table = slot.entry.plan.table, "{error}");
                slot.trouble = Some(error);
                self.step(number, Event::BundleLost, now);
            }
        }
        for (epoch, order) in parked {
            self.enqueue(number, epoch, order, now);
        }
    }

    /// Removes the bundle of a table that is live. Gigabytes may take a while:
    /// not on this thread.
    pub(super) fn remove_bundle(&mut self, bundle: Option<Arc<Bundle>>, dir: PathBuf) {
        let remove = move || match bundle {
            // Whoever still holds it is a block on its way that nobody needs any more.
            Some(bundle) => Bundle::clone(&bundle).remove().unwrap_or_else(|error| tracing::warn!("{error}")),
            None => remove(&dir),
        };
        self.removals.spawn_blocking_on(remove, &self.parts.blocks);
    }
}

fn remove(dir: &Path) {
    if let Err(error) = remove_folder(dir) {
        tracing::warn!("{error}");
    }
}
