//! Messages that come in parts: one by itself, or two that take the same bytes.

use zeroize::Zeroizing;

use super::{BLOCK, Block, DIGEST, Kernel, State};

/// A message as far as it is known.
#[derive(Clone)]
pub struct Stream {
    kernel: Kernel,
    state: State,
    /// The bytes behind the last whole block.
    pending: Zeroizing<Block>,
    length: u64,
}

impl Stream {
    /// Starts an empty message.
    pub fn new(kernel: Kernel) -> Self {
        Self { kernel, state: State::START, pending: Zeroizing::new([0; BLOCK]), length: 0 }
    }

    /// Adds bytes to the message.
    pub fn update(&mut self, bytes: &[u8]) {
        let rest = self.fill(bytes);
        let (blocks, tail) = rest.as_chunks();
        self.kernel.compress(&mut self.state, blocks);
        self.keep(rest.len(), tail);
    }

    /// Returns the digest of the message.
    pub fn finish(self) -> [u8; DIGEST] {
        let mut ends = Zeroizing::new([[0; BLOCK]; 2]);
        let held = self.held();
        self.kernel.finish(self.state, &self.pending[..held], self.length, &mut ends)
    }

    /// Returns how many bytes wait for their block to be whole.
    const fn held(&self) -> usize {
        (self.length % BLOCK as u64) as usize
    }

    /// Completes the block that was begun, and returns the bytes behind it.
    fn fill<'a>(&mut self, bytes: &'a [u8]) -> &'a [u8] {
        let held = self.held();
        if held == 0 {
            return bytes;
        }
        let (first, rest) = bytes.split_at(bytes.len().min(BLOCK - held));
        self.pending[held..held + first.len()].copy_from_slice(first);
        self.length += first.len() as u64;
        if self.held() == 0 {
            self.kernel.compress(&mut self.state, std::slice::from_ref(&*self.pending));
        }
        rest
    }

    /// Counts bytes whose whole blocks were taken in, and keeps what is behind those.
    fn keep(&mut self, count: usize, tail: &[u8]) {
        self.length += count as u64;
        // Without a byte more there is nothing to keep, and something may be kept already.
        if !tail.is_empty() {
            self.pending[..tail.len()].copy_from_slice(tail);
        }
    }
}

/// Two messages that take the same bytes for a while: a block of a bundle, and
/// the bundle as a whole. The two together cost little more than one.
#[derive(Clone)]
pub struct Twin {
    /// The part.
    pub part: Stream,
    /// The whole.
    pub whole: Stream,
}

impl Twin {
    /// Starts two empty messages.
    pub fn new(kernel: Kernel) -> Self {
        Self { part: Stream::new(kernel), whole: Stream::new(kernel) }
    }

    /// Ends the part and starts the next one; returns its digest.
    pub fn next_part(&mut self) -> [u8; DIGEST] {
        let next = Stream::new(self.part.kernel);
        std::mem::replace(&mut self.part, next).finish()
    }

    /// Adds bytes to both messages.
    pub fn update(&mut self, bytes: &[u8]) {
        let Self { part, whole } = self;
        let rests = [part.fill(bytes), whole.fill(bytes)];
        // Blocks of the two begin at different places of the same bytes, so one may have a block more.
        let [(ours, our_tail), (theirs, their_tail)] = rests.map(<[u8]>::as_chunks::<BLOCK>);
        let common = ours.len().min(theirs.len());
        let (ours, our_rest) = ours.split_at(common);
        let (theirs, their_rest) = theirs.split_at(common);
        part.kernel.compress_two([&mut part.state, &mut whole.state], [ours, theirs]);
        part.kernel.compress(&mut part.state, our_rest);
        whole.kernel.compress(&mut whole.state, their_rest);
        part.keep(rests[0].len(), our_tail);
        whole.keep(rests[1].len(), their_tail);
    }
}
