//! The digest of a cell: SHA-256 over the salt followed by the normalised value,
//! or HMAC-SHA-256 of the value with the salt as its key.
//!
//! The salt fills exactly one block of the hash function, so its part is
//! computed once and a value of up to 55 bytes costs one compression, or two
//! under HMAC. Those are nearly all, so a [`CellBatch`] gathers them, padded,
//! and computes them two at a time.

use serde::Deserialize;
use zeroize::Zeroizing;

use super::block::CELL;
use super::salt::{SALT_LENGTH, Salt};
use super::schema::COLUMN_LIMIT;
use super::sha256::{BLOCK, Block, Kernel, State, TAIL_LIMIT, blocks_for, pad, pad_all};

/// How a normalised value becomes a cell.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum CellDigest {
    /// SHA-256 of the salt followed by the value.
    #[default]
    Sha256,
    /// HMAC-SHA-256 (RFC 2104) of the value, the salt its key.
    HmacSha256,
}

impl CellDigest {
    const ALL: [Self; 2] = [Self::Sha256, Self::HmacSha256];

    /// Returns the name that the manifest and the setting have for it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Sha256 => "sha256",
            Self::HmacSha256 => "hmac-sha256",
        }
    }

    /// Finds it by that name.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|digest| digest.name() == name)
    }
}

/// Cells of a batch: a row of the most columns and some more, so that the last,
/// odd one is rare, and few enough to stay in a core's first cache.
const BATCH: usize = 2 * COLUMN_LIMIT;

/// Blocks of a value that is hashed together with another: more are rare, and
/// long enough to be worth the while alone.
const LONG: usize = 8;

/// A digest of a bundle's blocks as a whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DigestKind {
    /// MD5.
    Md5,
    /// SHA-256, which the manifest has.
    Sha256,
    /// SHA-512.
    Sha512,
}

/// Hashes cells under one salt.
#[derive(Clone)]
pub struct CellHasher {
    kernel: Kernel,
    salted: State,
    /// What digests the digest once more; only HMAC does.
    outer: Option<State>,
}

impl CellHasher {
    /// Makes a hasher for one salt: SHA-256.
    pub fn new(salt: &Salt) -> Self {
        Self::of(CellDigest::Sha256, salt)
    }

    /// Makes a hasher for one salt.
    pub fn of(digest: CellDigest, salt: &Salt) -> Self {
        Self::with(Kernel::best(), digest, salt)
    }

    /// Makes a hasher for one salt that computes in a given way.
    pub fn with(kernel: Kernel, digest: CellDigest, salt: &Salt) -> Self {
        let behind = |block: &Block| {
            let mut state = State::START;
            kernel.compress(&mut state, std::slice::from_ref(block));
            state
        };
        let (salted, outer) = match digest {
            CellDigest::Sha256 => (behind(salt.expose()), None),
            CellDigest::HmacSha256 => (behind(&masked(salt, 0x36)), Some(behind(&masked(salt, 0x5c)))),
        };
        Self { kernel, salted, outer }
    }

    /// Returns the digest of a normalised value.
    pub fn hash(&self, normalised: &[u8]) -> [u8; CELL] {
        let inner = self.digest(&self.salted, normalised);
        self.outer.as_ref().map_or(inner, |outer| self.digest(outer, &inner))
    }

    /// Returns the digest of some bytes behind a block that came to this state.
    fn digest(&self, behind: &State, bytes: &[u8]) -> [u8; CELL] {
        let mut state = behind.clone();
        let (blocks, tail) = bytes.as_chunks();
        self.kernel.compress(&mut state, blocks);
        let mut ends = Zeroizing::new([[0; BLOCK]; 2]);
        self.kernel.finish(state, tail, (BLOCK + bytes.len()) as u64, &mut ends)
    }

    /// Returns the inner digests of two padded values, side by side as far as both go.
    fn finish_two(&self, blocks: [&[Block]; 2]) -> [[u8; CELL]; 2] {
        let mut states = [self.salted.clone(), self.salted.clone()];
        let common = blocks[0].len().min(blocks[1].len());
        self.kernel.compress_two(states.each_mut(), blocks.map(|blocks| &blocks[..common]));
        for (state, blocks) in states.iter_mut().zip(blocks) {
            self.kernel.compress(state, &blocks[common..]);
        }
        states.each_ref().map(State::to_digest)
    }
}

/// Cells that wait to be hashed together. What it holds is wiped when it goes.
#[derive(Clone)]
pub struct CellBatch {
    hasher: CellHasher,
    /// Values of one compression, padded; those before `padded` are of this batch.
    blocks: Zeroizing<Vec<Block>>,
    padded: usize,
    /// For each of them its place among the cells.
    places: [usize; BATCH],
    /// Digests of longer values, under HMAC the inner ones, and their places.
    longer: Vec<(usize, [u8; CELL])>,
    /// Two longer values, padded: one that waits for another to share the way, and the other.
    pair: [Zeroizing<[Block; LONG]>; 2],
    /// The place of the one that waits, and its blocks.
    waiting: Option<(usize, usize)>,
    cells: usize,
}

impl CellBatch {
    /// Makes an empty batch.
    pub fn new(hasher: CellHasher) -> Self {
        let blocks = Zeroizing::new(vec![[0; BLOCK]; BATCH]);
        let pair = [(); 2].map(|()| Zeroizing::new([[0; BLOCK]; LONG]));
        Self { hasher, blocks, padded: 0, places: [0; BATCH], longer: Vec::new(), pair, waiting: None, cells: 0 }
    }

    /// Returns how many cells wait.
    pub const fn len(&self) -> usize {
        self.cells
    }

    /// Returns whether none waits.
    pub const fn is_empty(&self) -> bool {
        self.cells == 0
    }

    /// Returns whether so many more would be too many.
    pub const fn is_full_for(&self, more: usize) -> bool {
        self.cells + more > BATCH
    }

    /// Adds a normalised value.
    ///
    /// # Panics
    ///
    /// If it is full.
    pub fn push(&mut self, normalised: &[u8]) {
        if normalised.len() <= TAIL_LIMIT {
            pad(&mut self.blocks[self.padded], normalised, (BLOCK + normalised.len()) as u64);
            self.places[self.padded] = self.cells;
            self.padded += 1;
        } else if blocks_for(normalised.len()) <= LONG {
            self.push_longer(normalised);
        } else {
            self.longer.push((self.cells, self.hasher.digest(&self.hasher.salted, normalised)));
        }
        self.cells += 1;
    }

    /// Adds a value that takes some blocks, and hashes it with the one before.
    fn push_longer(&mut self, normalised: &[u8]) {
        let [first, second] = &mut self.pair;
        let own = if self.waiting.is_some() { &mut *second } else { &mut *first };
        let count = pad_all(&mut **own, normalised, (BLOCK + normalised.len()) as u64);
        let Some((place, waited)) = self.waiting.take() else {
            self.waiting = Some((self.cells, count));
            return;
        };
        let digests = self.hasher.finish_two([&first[..waited], &second[..count]]);
        self.longer.extend([place, self.cells].into_iter().zip(digests));
    }

    /// Takes back all but the first `cells`.
    pub fn truncate(&mut self, cells: usize) {
        self.padded = self.places[..self.padded].partition_point(|place| *place < cells);
        self.longer.retain(|(place, _)| *place < cells);
        self.waiting = self.waiting.filter(|(place, _)| *place < cells);
        self.cells = self.cells.min(cells);
    }

    /// Appends the digests of the cells to `digests`, in their order, and is
    /// empty then.
    pub fn drain_into(&mut self, digests: &mut Vec<u8>) {
        let start = digests.len();
        digests.resize(start + self.cells * CELL, 0);
        let (cells, _) = digests[start..].as_chunks_mut::<CELL>();
        let (blocks, places) = (&self.blocks[..self.padded], &self.places[..self.padded]);
        let CellHasher { kernel, salted, outer } = &self.hasher;
        kernel.finish_each(salted, blocks, |number, digest| cells[places[number]] = digest);
        for (place, digest) in self.longer.drain(..) {
            cells[place] = digest;
        }
        if let Some((place, count)) = self.waiting.take() {
            let [digest, _] = self.hasher.finish_two([&self.pair[0][..count], &[]]);
            cells[place] = digest;
        }
        if let Some(outer) = outer {
            // The values are done with, and there are as many blocks as cells at most.
            let blocks = &mut self.blocks[..self.cells];
            for (block, inner) in blocks.iter_mut().zip(&*cells) {
                pad(block, inner, (BLOCK + CELL) as u64);
            }
            kernel.finish_each(outer, blocks, |number, digest| cells[number] = digest);
        }
        (self.padded, self.cells) = (0, 0);
    }
}

/// Returns a key of HMAC, one block long as the salt is.
fn masked(salt: &Salt, mask: u8) -> Zeroizing<[u8; SALT_LENGTH]> {
    Zeroizing::new(salt.expose().map(|byte| byte ^ mask))
}

/// Returns bytes in lower-case hex, the form lookups and manifests use.
pub fn hex(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let digits = bytes.iter().flat_map(|byte| [byte >> 4, byte & 15]);
    digits.map(|digit| char::from(DIGITS[usize::from(digit)])).collect()
}

/// Reads bytes in hex, in either case; nothing if the text is not that.
pub(crate) fn unhex(text: &str) -> Option<Vec<u8>> {
    let digit = |byte: u8| char::from(byte).to_digit(16);
    let byte = |pair: &[u8]| u8::try_from(digit(pair[0])? * 16 + digit(*pair.get(1)?)?).ok();
    text.as_bytes().chunks(2).map(byte).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use sha2::{Digest, Sha256};

    fn salt() -> Salt {
        Salt::parse(&"a0".repeat(32)).unwrap()
    }

    /// Every way to hash, and the digest it stands for.
    fn hashers() -> impl Iterator<Item = (CellDigest, CellHasher)> {
        let ways = Kernel::all().into_iter().flat_map(|kernel| CellDigest::ALL.map(|digest| (kernel, digest)));
        ways.map(|(kernel, digest)| (digest, CellHasher::with(kernel, digest, &salt())))
    }

    /// The same by other implementations.
    fn expected(digest: CellDigest, value: &[u8]) -> [u8; CELL] {
        let salt = salt();
        match digest {
            CellDigest::Sha256 => Sha256::digest([salt.expose(), value].concat()).into(),
            CellDigest::HmacSha256 => {
                let key = ring::hmac::Key::new(ring::hmac::HMAC_SHA256, salt.expose());
                ring::hmac::sign(&key, value).as_ref().try_into().unwrap()
            }
        }
    }

    #[test]
    fn a_digest_is_the_plain_sha256_of_salt_and_value_or_the_hmac_under_the_salt() {
        for (digest, hasher) in hashers() {
            for length in 0..=300 {
                let value = vec![b'x'; length];
                assert_eq!(hasher.hash(&value), expected(digest, &value), "{digest:?} of {length}");
            }
        }
    }

    proptest! {
        #[test]
        fn a_batch_gives_the_digest_of_each_cell_in_its_place(
            lengths in prop::collection::vec(prop_oneof![4 => 0usize..=55, 2 => 56usize..200, 1 => 480usize..600], 0..=BATCH), kept in 0..=BATCH,
        ) {
            let values: Vec<Vec<u8>> = lengths.iter().enumerate().map(|(at, length)| vec![at as u8; *length]).collect();
            let kept = kept.min(values.len());
            for (digest, hasher) in hashers() {
                let mut batch = CellBatch::new(hasher);
                let mut digests = b"before".to_vec();
                // What was taken back must not show, nor what an earlier turn left.
                for last in [kept, values.len()] {
                    values.iter().for_each(|value| batch.push(value));
                    batch.truncate(last);
                    prop_assert_eq!(batch.len(), last);
                    digests.truncate(6);
                    batch.drain_into(&mut digests);
                    let cells: Vec<u8> = values[..last].iter().flat_map(|value| expected(digest, value)).collect();
                    prop_assert_eq!(&digests[6..], cells);
                    prop_assert!(batch.is_empty());
                }
            }
        }
    }

    #[test]
    fn hex_is_read_as_it_is_written_and_nothing_else_is_read() {
        assert_eq!(hex(&[0x00, 0xff, 0x1a]), "00ff1a");
        assert_eq!(unhex("00Ff1a"), Some(vec![0x00, 0xff, 0x1a]));
        for text in ["0", "00f", "0g", "+1", "0\u{e9}"] {
            assert_eq!(unhex(text), None, "{text}");
        }
    }
}
