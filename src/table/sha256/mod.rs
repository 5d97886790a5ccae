//! SHA-256 for this house's two loads: very many short messages after one
//! salt, and one run of bytes that counts for two digests at once.
//!
//! A single SHA-256 cannot fill the SHA instructions of a CPU: each round waits
//! for the one before, and the unit idles between them. Two digests that know
//! nothing of each other, computed in turns, take little longer than one. Hence
//! a [`Kernel`] takes *lanes*. A third lane gains nothing more: the registers
//! are used up.
//!
//! Which kernel a machine has is found out once, in [`Kernel::best`]. Without
//! SHA instructions of x86-64 it is the `sha2` crate's compression, which knows
//! those of other machines.
//!
//! # Invariants
//!
//! - Both kernels give what the `sha2` crate gives, for all lengths and cuts.
//! - `unsafe` stands in `ni` and nowhere else in the package; one call.

use zeroize::Zeroize;

#[cfg(target_arch = "x86_64")]
mod ni;
mod portable;
mod stream;

pub use stream::{Stream, Twin};

/// Bytes that one compression takes in.
pub const BLOCK: usize = 64;

/// Bytes of a digest.
pub const DIGEST: usize = 32;

/// The most bytes of a message's end that fit one block with the padding: a
/// one bit behind them, and eight bytes for the length.
pub const TAIL_LIMIT: usize = BLOCK - 9;

/// What one compression takes in.
pub type Block = [u8; BLOCK];

/// What a message has come to so far, a whole number of blocks. It is wiped
/// when dropped: behind a salt it is worth as much as the salt.
#[derive(Clone, PartialEq, Eq)]
pub struct State([u32; 8]);

impl State {
    /// The state before the first block.
    pub const START: Self =
        Self([0x6a09_e667, 0xbb67_ae85, 0x3c6e_f372, 0xa54f_f53a, 0x510e_527f, 0x9b05_688c, 0x1f83_d9ab, 0x5be0_cd19]);

    /// Returns the digest that the state is, once the padding was taken in.
    pub fn to_digest(&self) -> [u8; DIGEST] {
        let mut digest = [0; DIGEST];
        for (bytes, word) in digest.chunks_exact_mut(4).zip(self.0) {
            bytes.copy_from_slice(&word.to_be_bytes());
        }
        digest
    }
}

impl Drop for State {
    fn drop(&mut self) {
        self.0.zeroize();
    }
}

/// The way this machine computes SHA-256.
#[derive(Debug, Clone, Copy)]
pub struct Kernel(Way);

#[derive(Debug, Clone, Copy)]
enum Way {
    Portable,
    #[cfg(target_arch = "x86_64")]
    Ni(ni::Ni),
}

impl Kernel {
    /// Returns the fastest kernel that this machine can run.
    pub fn best() -> Self {
        #[cfg(target_arch = "x86_64")]
        if let Some(ni) = ni::Ni::detect() {
            return Self(Way::Ni(ni));
        }
        Self::portable()
    }

    /// Returns the kernel that every machine can run.
    pub const fn portable() -> Self {
        Self(Way::Portable)
    }

    /// Returns every kernel that this machine can run.
    pub fn all() -> Vec<Self> {
        let best = Self::best();
        if best.is_portable() { vec![best] } else { vec![Self::portable(), best] }
    }

    /// Returns whether it is the one without instructions of this machine.
    pub const fn is_portable(self) -> bool {
        matches!(self.0, Way::Portable)
    }

    /// Takes blocks into a state.
    pub fn compress(self, state: &mut State, blocks: &[Block]) {
        match self.0 {
            Way::Portable => portable::compress(state, blocks),
            #[cfg(target_arch = "x86_64")]
            Way::Ni(ni) => ni.compress([state], [blocks]),
        }
    }

    /// Takes blocks into two states, each its own.
    ///
    /// # Panics
    ///
    /// If there are not as many blocks for the one as for the other.
    pub fn compress_two(self, states: [&mut State; 2], blocks: [&[Block]; 2]) {
        assert_eq!(blocks[0].len(), blocks[1].len(), "two lanes end together");
        match self.0 {
            Way::Portable => {
                for (state, blocks) in states.into_iter().zip(blocks) {
                    portable::compress(state, blocks);
                }
            }
            #[cfg(target_arch = "x86_64")]
            Way::Ni(ni) => ni.compress(states, blocks),
        }
    }

    /// Ends a message of `length` bytes, of which `tail` is not in the state yet:
    /// less than a block. `ends` is room for the last blocks; they are left in it.
    pub fn finish(self, mut state: State, tail: &[u8], length: u64, ends: &mut [Block; 2]) -> [u8; DIGEST] {
        let count = pad_all(ends, tail, length);
        self.compress(&mut state, &ends[..count]);
        state.to_digest()
    }

    /// Takes each block by itself into one state, and gives the digests to
    /// `place`, with the block's number, in order.
    pub fn finish_each(self, start: &State, blocks: &[Block], mut place: impl FnMut(usize, [u8; DIGEST])) {
        match self.0 {
            Way::Portable => portable::finish_each(start, blocks, place),
            #[cfg(target_arch = "x86_64")]
            Way::Ni(ni) => ni.finish_each(start, blocks, &mut place),
        }
    }
}

/// Writes a message's last block: its last bytes, a one bit, zeros, and the
/// length of the whole message in bits.
///
/// # Panics
///
/// If the last bytes are more than [`TAIL_LIMIT`].
pub fn pad(block: &mut Block, tail: &[u8], length: u64) {
    assert!(tail.len() <= TAIL_LIMIT, "the padding fits behind the message's end");
    *block = [0; BLOCK];
    match short(tail) {
        Some(bytes) => block[..16].copy_from_slice(&bytes.to_le_bytes()),
        None => block[..tail.len()].copy_from_slice(tail),
    }
    block[tail.len()] = 0x80;
    block[BLOCK - 8..].copy_from_slice(&(length * 8).to_be_bytes());
}

/// Writes the last blocks of a message, as many as it takes, and returns how
/// many: what is left of it may be longer than a block.
///
/// # Panics
///
/// If there are not so many blocks.
pub fn pad_all(blocks: &mut [Block], rest: &[u8], length: u64) -> usize {
    let count = blocks_for(rest.len());
    let bytes = blocks[..count].as_flattened_mut();
    let (message, behind) = bytes.split_at_mut(rest.len());
    message.copy_from_slice(rest);
    behind.fill(0);
    behind[0] = 0x80;
    bytes[count * BLOCK - 8..].copy_from_slice(&(length * 8).to_be_bytes());
    count
}

/// Returns how many blocks so many bytes take with the padding.
pub const fn blocks_for(length: usize) -> usize {
    (length + BLOCK - TAIL_LIMIT).div_ceil(BLOCK)
}

/// Returns the bytes of most cells, 8 to 16, as a number, the first lowest. To
/// copy a length that is not known is a call, dearer than all the rest of the
/// padding; so the first and the last eight are taken, which may overlap.
fn short(bytes: &[u8]) -> Option<u128> {
    let (first, last) = (bytes.first_chunk()?, bytes.last_chunk()?);
    let behind = bytes.len() - size_of_val(last);
    let [first, last] = [first, last].map(|eight| u128::from(u64::from_le_bytes(*eight)));
    (bytes.len() <= size_of::<u128>()).then(|| first | last << (8 * behind))
}

#[cfg(test)]
mod tests;
