//! The digest of a cell: SHA-256 over the salt followed by the normalised value.
//!
//! The salt fills exactly one block of the hash function, so its part is
//! computed once and a value of up to 55 bytes costs one compression. Those are
//! nearly all, so a [`CellBatch`] gathers them, padded, and computes them two at
//! a time.

use zeroize::Zeroizing;

use super::block::CELL;
use super::salt::Salt;
use super::schema::COLUMN_LIMIT;
use super::sha256::{BLOCK, Block, Kernel, State, TAIL_LIMIT, blocks_for, pad, pad_all};

/// The manifest's name for the digest.
pub const DIGEST: &str = "sha256";

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
}

impl CellHasher {
    /// Makes a hasher for one salt.
    pub fn new(salt: &Salt) -> Self {
        Self::with(Kernel::best(), salt)
    }

    /// Makes a hasher for one salt that computes in a given way.
    pub fn with(kernel: Kernel, salt: &Salt) -> Self {
        let mut salted = State::START;
        kernel.compress(&mut salted, std::slice::from_ref(salt.expose()));
        Self { kernel, salted }
    }

    /// Returns the digest of a normalised value.
    pub fn hash(&self, normalised: &[u8]) -> [u8; CELL] {
        let mut state = self.salted.clone();
        let (blocks, tail) = normalised.as_chunks();
        self.kernel.compress(&mut state, blocks);
        let mut ends = Zeroizing::new([[0; BLOCK]; 2]);
        self.kernel.finish(state, tail, (BLOCK + normalised.len()) as u64, &mut ends)
    }

    /// Returns the digests of two padded values, side by side as far as both go.
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
    /// Digests of longer values, and their places.
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
            self.longer.push((self.cells, self.hasher.hash(normalised)));
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
        self.hasher.kernel.finish_each(&self.hasher.salted, blocks, |number, digest| cells[places[number]] = digest);
        for (place, digest) in self.longer.drain(..) {
            cells[place] = digest;
        }
        if let Some((place, count)) = self.waiting.take() {
            let [digest, _] = self.hasher.finish_two([&self.pair[0][..count], &[]]);
            cells[place] = digest;
        }
        (self.padded, self.cells) = (0, 0);
    }
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

    fn hashers() -> (Salt, Vec<CellHasher>) {
        let salt = Salt::parse(&"a0".repeat(32)).unwrap();
        let hashers = Kernel::all().into_iter().map(|kernel| CellHasher::with(kernel, &salt)).collect();
        (salt, hashers)
    }

    fn plain(salt: &Salt, value: &[u8]) -> [u8; CELL] {
        Sha256::digest([salt.expose(), value].concat()).into()
    }

    #[test]
    fn a_digest_is_the_plain_sha256_of_salt_and_value() {
        let (salt, hashers) = hashers();
        for (hasher, length) in hashers.iter().flat_map(|hasher| (0..=300).map(move |length| (hasher, length))) {
            let value = vec![b'x'; length];
            assert_eq!(hasher.hash(&value), plain(&salt, &value), "{length}");
        }
    }

    proptest! {
        #[test]
        fn a_batch_gives_the_digest_of_each_cell_in_its_place(
            lengths in prop::collection::vec(prop_oneof![4 => 0usize..=55, 2 => 56usize..200, 1 => 480usize..600], 0..=BATCH), kept in 0..=BATCH,
        ) {
            let (salt, hashers) = hashers();
            let values: Vec<Vec<u8>> = lengths.iter().enumerate().map(|(at, length)| vec![at as u8; *length]).collect();
            let kept = kept.min(values.len());
            for hasher in hashers {
                let mut batch = CellBatch::new(hasher);
                let mut digests = b"before".to_vec();
                // What was taken back must not show, nor what an earlier turn left.
                for last in [kept, values.len()] {
                    values.iter().for_each(|value| batch.push(value));
                    batch.truncate(last);
                    prop_assert_eq!(batch.len(), last);
                    digests.truncate(6);
                    batch.drain_into(&mut digests);
                    let expected: Vec<u8> = values[..last].iter().flat_map(|value| plain(&salt, value)).collect();
                    prop_assert_eq!(&digests[6..], expected);
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
