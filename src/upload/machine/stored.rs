//! Taking in what the blob store says.

use super::replies::{BASE, CAP};
use super::{Upload, Waiting};
use crate::ground::moment::Now;
use crate::upload::event::Step;
use crate::upload::fault::BlobFault;
use crate::upload::ledger::Ledger;
use crate::upload::outcome::{Failure, Outcome};
use crate::upload::record::Record;

/// Fresh upload URIs refused in a row before the upload is given up.
const URI_REFUSALS: u32 = 3;
/// Times a block is refused in a row, for a reason sending again could mend
/// only by luck, before the upload is given up.
const BLOCK_REFUSALS: u32 = 5;
/// Times the store may lose blocks before the upload is given up.
const LIST_REFUSALS: u32 = 3;

impl Upload {
    pub(super) fn sent(&mut self, now: Now, block: u32, uri: u32, result: Result<(), BlobFault>, step: &mut Step) {
        match result {
            Ok(()) => {
                self.stored_something(now, uri);
                if self.is_same_place(uri) {
                    let mut blocks = self.standing.stored.clone();
                    blocks.add(block);
                    self.note(Record::Stored { blocks }, step);
                }
            }
            Err(fault) => self.blob_failed(now, uri, &fault, step),
        }
    }

    pub(super) fn sent_whole(&mut self, now: Now, uri: u32, result: Result<(), BlobFault>, step: &mut Step) {
        match result {
            Ok(()) => {
                self.stored_something(now, uri);
                if self.is_same_place(uri) {
                    self.note(Record::Stored { blocks: Ledger::first(self.plan.total_blocks) }, step);
                }
            }
            Err(fault) => self.blob_failed(now, uri, &fault, step),
        }
    }

    pub(super) fn inventoried(&mut self, now: Now, uri: u32, result: Result<Ledger, BlobFault>, step: &mut Step) {
        // A blob that is not there holds nothing; a container that is not there
        // says so at the first block.
        let result = match result {
            Err(BlobFault::NotFound) => Ok(Ledger::default()),
            other => other,
        };
        match result {
            Ok(blocks) => {
                self.paces.blob.succeeded();
                if !self.is_same_place(uri) {
                    return;
                }
                self.doubt.store = false;
                self.doubt.list = false;
                if blocks != self.standing.stored {
                    if !blocks.covers(&self.standing.stored) {
                        self.note(Record::Listed { done: false }, step);
                    }
                    self.note(Record::Stored { blocks }, step);
                }
            }
            Err(fault) => self.blob_failed(now, uri, &fault, step),
        }
    }

    pub(super) fn list_put(&mut self, now: Now, uri: u32, result: Result<(), BlobFault>, step: &mut Step) {
        match result {
            Ok(()) => {
                self.stored_something(now, uri);
                if self.is_same_place(uri) {
                    self.refusals.lists = 0;
                    self.doubt.list = true;
                    self.note(Record::Listed { done: true }, step);
                }
            }
            Err(fault) => self.blob_failed(now, uri, &fault, step),
        }
    }

    fn blob_failed(&mut self, now: Now, uri: u32, fault: &BlobFault, step: &mut Step) {
        match fault {
            BlobFault::Transient { retry_after } => {
                self.waiting = Some(Waiting::Store);
                self.paces.blob.failed(now.moment, BASE, CAP, *retry_after);
            }
            BlobFault::Forbidden | BlobFault::NotFound => self.uri_refused(now, uri, step),
            BlobFault::BlocksLost => {
                self.refusals.lists += 1;
                if self.refusals.lists >= LIST_REFUSALS {
                    return self.end(Outcome::Failed(Failure::BlocksLost), now, step);
                }
                // Ask what is left where that is allowed; else nothing is certain.
                self.doubt.store = true;
                if !self.uri.as_ref().is_some_and(|uri| uri.may_read()) {
                    self.note(Record::Stored { blocks: Ledger::default() }, step);
                }
            }
            BlobFault::Bundle => self.end(Outcome::Failed(Failure::BundleDamaged), now, step),
            BlobFault::Refused { status } => {
                // Blocks travel together: those refused together count once.
                self.refusals.blocks += u32::from(now.moment >= self.paces.blob.not_before());
                self.paces.blob.failed(now.moment, BASE, CAP, None);
                if self.refusals.blocks >= BLOCK_REFUSALS {
                    let failure = Failure::BlockRefused { status: *status };
                    self.end(Outcome::Failed(failure), now, step);
                }
            }
        }
    }

    /// A refused upload URI parks the blocks until a renewal brings another.
    fn uri_refused(&mut self, now: Now, uri: u32, step: &mut Step) {
        if uri != self.uri_number || self.refusals.parked {
            return;
        }
        self.refusals.parked = true;
        self.refusals.last_uri = uri;
        self.refusals.uris += 1;
        if self.refusals.uris >= URI_REFUSALS {
            return self.end(Outcome::Failed(Failure::UploadRefused), now, step);
        }
        self.renew_soon(now);
    }

    fn stored_something(&mut self, now: Now, uri: u32) {
        self.moved(now);
        self.paces.blob.succeeded();
        if uri > self.refusals.last_uri {
            self.refusals.uris = 0;
        }
        self.refusals.blocks = 0;
    }
}
