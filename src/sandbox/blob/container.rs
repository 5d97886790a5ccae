//! Blobs: staged blocks, committed blocks, and the rules between them.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::list::{Named, Which};
use crate::sandbox::depot::Part;
use crate::sandbox::reply::Refusal;

/// Committed blocks a blob may have.
pub(in crate::sandbox) const MOST_BLOCKS: usize = 50_000;

/// Staged blocks a blob may have.
const MOST_STAGED: usize = 100_000;

/// Bytes of a block id before base64.
const LONGEST_ID: usize = 64;

/// What lies where an upload URI leads: blobs by name. A URI of one blob leads
/// to the blob with the empty name.
#[derive(Default)]
pub(in crate::sandbox) struct Place {
    pub(in crate::sandbox) blobs: BTreeMap<String, Blob>,
}

/// One blob.
#[derive(Default)]
pub(in crate::sandbox) struct Blob {
    /// Staged blocks by id.
    staged: BTreeMap<String, Arc<Part>>,
    committed: Option<Committed>,
}

/// What a blob consists of.
struct Committed {
    blocks: Vec<(String, Arc<Part>)>,
    /// Whether it was put in one piece, so that its blocks have no ids.
    whole: bool,
}

impl Place {
    /// Returns how many pieces are committed, and whether it is the one blob of
    /// the place put whole, which may hold any number of blocks.
    pub(in crate::sandbox) fn stored(&self) -> (usize, bool) {
        let pieces = self.blobs.values().filter_map(|blob| blob.committed.as_ref()).map(|blob| blob.blocks.len()).sum();
        let only = self.blobs.get("").and_then(|blob| blob.committed.as_ref());
        (pieces, only.is_some_and(|blob| blob.whole))
    }

    /// Returns the committed bytes: the blobs sorted by name.
    pub(in crate::sandbox) fn parts(&self) -> Vec<Arc<Part>> {
        let committed = self.blobs.values().filter_map(|blob| blob.committed.as_ref());
        committed.flat_map(|blob| &blob.blocks).map(|(_, part)| Arc::clone(part)).collect()
    }
}

impl Blob {
    /// Returns the refusal of a block id, if it may not be one of this blob.
    pub(in crate::sandbox) fn admits(&self, id: &str) -> Result<(), Refusal> {
        let invalid = |code| Refusal::breach(400, code, "The specified block id is not valid for the blob.");
        let decoded = STANDARD.decode(id).map_err(|_| invalid("InvalidQueryParameterValue"))?;
        if decoded.is_empty() || decoded.len() > LONGEST_ID {
            return Err(invalid("OutOfRangeInput"));
        }
        let committed = self.committed.iter().filter(|blob| !blob.whole).flat_map(|blob| &blob.blocks);
        let mut others = self.staged.keys().chain(committed.map(|(other, _)| other));
        if others.next().is_some_and(|other| other.len() != id.len()) {
            return Err(invalid("InvalidBlobOrBlock"));
        }
        if self.staged.len() >= MOST_STAGED {
            return Err(Refusal::breach(
                409,
                "BlockCountExceedsLimit",
                "The uncommitted block count cannot exceed 100,000.",
            ));
        }
        Ok(())
    }

    /// Stages a block; one with the same id is replaced.
    pub(in crate::sandbox) fn stage(&mut self, id: &str, part: Arc<Part>) {
        self.staged.insert(id.to_owned(), part);
    }

    /// Loses some staged blocks, those whose ids sort first.
    pub(in crate::sandbox) fn forget(&mut self, count: usize) {
        for _ in 0..count {
            self.staged.pop_first();
        }
    }

    /// Makes the blob consist of these blocks; the other staged ones are dropped.
    pub(in crate::sandbox) fn commit(&mut self, list: &[Named]) -> Result<(), Refusal> {
        let committed = self.committed.iter().filter(|blob| !blob.whole).flat_map(|blob| &blob.blocks);
        let before: HashMap<&str, &Arc<Part>> = committed.map(|(id, part)| (id.as_str(), part)).collect();
        let mut blocks = Vec::with_capacity(list.len());
        for named in list {
            let found = match named.which {
                Which::Latest => self.staged.get(&named.id).or_else(|| before.get(named.id.as_str()).copied()),
                Which::Uncommitted => self.staged.get(&named.id),
                Which::Committed => before.get(named.id.as_str()).copied(),
            };
            // Time may have lost it, so this is not held against the client.
            let part =
                found.ok_or_else(|| Refusal::no(400, "InvalidBlockList", "The specified block list is invalid."))?;
            blocks.push((named.id.clone(), Arc::clone(part)));
        }
        self.committed = Some(Committed { blocks, whole: false });
        self.staged.clear();
        Ok(())
    }

    /// Makes the blob these bytes; staged blocks are dropped.
    pub(in crate::sandbox) fn replace(&mut self, part: Arc<Part>) {
        self.staged.clear();
        self.committed = Some(Committed { blocks: vec![(String::new(), part)], whole: true });
    }

    /// Returns the committed bytes, if there are any.
    pub(in crate::sandbox) fn parts(&self) -> Option<Vec<Arc<Part>>> {
        let committed = self.committed.as_ref()?;
        Some(committed.blocks.iter().map(|(_, part)| Arc::clone(part)).collect())
    }

    /// Returns ids and lengths of the staged blocks.
    pub(in crate::sandbox) fn staged(&self) -> Vec<(&str, u64)> {
        self.staged.iter().map(|(id, part)| (id.as_str(), part.length())).collect()
    }

    /// Returns ids and lengths of the committed blocks.
    pub(in crate::sandbox) fn committed(&self) -> Vec<(&str, u64)> {
        let blocks = self.committed.iter().filter(|blob| !blob.whole).flat_map(|blob| &blob.blocks);
        blocks.map(|(id, part)| (id.as_str(), part.length())).collect()
    }
}
