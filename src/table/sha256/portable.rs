//! The compression of the `sha2` crate, for machines without SHA instructions
//! of x86-64. It finds those of other machines by itself.

use super::{Block, DIGEST, State};
use sha2::block_api::compress256;

pub(super) fn compress(state: &mut State, blocks: &[Block]) {
    compress256(&mut state.0, blocks);
}

pub(super) fn finish_each(start: &State, blocks: &[Block], mut place: impl FnMut(usize, [u8; DIGEST])) {
    let mut state = start.clone();
    for (number, block) in blocks.iter().enumerate() {
        state.0 = start.0;
        compress256(&mut state.0, std::slice::from_ref(block));
        place(number, state.to_digest());
    }
}
