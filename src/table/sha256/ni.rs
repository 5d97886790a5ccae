//! SHA-256 by the SHA instructions of x86-64, one or two lanes at a time.
//!
//! The instructions keep the eight words of a state as two halves, `abef` and
//! `cdgh`, the first letter highest. `sha256rnds2` does two rounds and returns
//! the new `abef`; the new `cdgh` is the old `abef`. Blocks are taken in four
//! words at a time: the first sixteen words are the block's own, and each four
//! behind them come of the sixteen before.
//!
//! All of it is safe Rust but one thing: that the CPU has the instructions.
//! [`Ni`] stands for that.
//!
//! Loops stand where `map` would read better: a closure does not have
//! the features of the function around it, so nothing of this is inlined into it.

#![expect(unsafe_code, reason = "the compiler cannot know what CPU it will run on; Ni proves it at its one call")]

use std::arch::x86_64::{
    __m128i, _mm_add_epi32, _mm_alignr_epi8, _mm_blend_epi16, _mm_cvtsi128_si64, _mm_extract_epi64, _mm_set_epi32,
    _mm_set_epi64x, _mm_setzero_si128, _mm_sha256msg1_epu32, _mm_sha256msg2_epu32, _mm_sha256rnds2_epu32,
    _mm_shuffle_epi8, _mm_shuffle_epi32,
};

use super::{Block, DIGEST, State};

/// Proof that this CPU has the instructions used here.
///
/// *Invariant:* one is made by [`Ni::detect`] only, after it found them.
#[derive(Debug, Clone, Copy)]
pub(super) struct Ni(());

impl Ni {
    pub(super) fn detect() -> Option<Self> {
        let has_all = is_x86_feature_detected!("sha")
            && is_x86_feature_detected!("sse2")
            && is_x86_feature_detected!("ssse3")
            && is_x86_feature_detected!("sse4.1");
        has_all.then_some(Self(()))
    }

    /// Takes blocks into states, all lanes in turns.
    pub(super) fn compress<const LANES: usize>(self, states: [&mut State; LANES], blocks: [&[Block]; LANES]) {
        // SAFETY: the function asks for nothing but the features it enables, and `self` exists only
        // because `detect` found every one of them on this CPU.
        unsafe { run(states, blocks) }
    }

    /// Takes each block by itself into one state.
    pub(super) fn finish_each(self, start: &State, blocks: &[Block], place: &mut impl FnMut(usize, [u8; DIGEST])) {
        // SAFETY: likewise; `self` is the proof that this CPU has every feature the function enables.
        unsafe { each(start, blocks, place) }
    }
}

/// The two halves of a state.
#[derive(Clone, Copy)]
struct Halves {
    abef: __m128i,
    cdgh: __m128i,
}

/// The constants of the rounds, four to a step.
const ROUNDS: [[u32; 4]; 16] = [
    [0x428a_2f98, 0x7137_4491, 0xb5c0_fbcf, 0xe9b5_dba5],
    [0x3956_c25b, 0x59f1_11f1, 0x923f_82a4, 0xab1c_5ed5],
    [0xd807_aa98, 0x1283_5b01, 0x2431_85be, 0x550c_7dc3],
    [0x72be_5d74, 0x80de_b1fe, 0x9bdc_06a7, 0xc19b_f174],
    [0xe49b_69c1, 0xefbe_4786, 0x0fc1_9dc6, 0x240c_a1cc],
    [0x2de9_2c6f, 0x4a74_84aa, 0x5cb0_a9dc, 0x76f9_88da],
    [0x983e_5152, 0xa831_c66d, 0xb003_27c8, 0xbf59_7fc7],
    [0xc6e0_0bf3, 0xd5a7_9147, 0x06ca_6351, 0x1429_2967],
    [0x27b7_0a85, 0x2e1b_2138, 0x4d2c_6dfc, 0x5338_0d13],
    [0x650a_7354, 0x766a_0abb, 0x81c2_c92e, 0x9272_2c85],
    [0xa2bf_e8a1, 0xa81a_664b, 0xc24b_8b70, 0xc76c_51a3],
    [0xd192_e819, 0xd699_0624, 0xf40e_3585, 0x106a_a070],
    [0x19a4_c116, 0x1e37_6c08, 0x2748_774c, 0x34b0_bcb5],
    [0x391c_0cb3, 0x4ed8_aa4a, 0x5b9c_ca4f, 0x682e_6ff3],
    [0x748f_82ee, 0x78a5_636f, 0x84c8_7814, 0x8cc7_0208],
    [0x90be_fffa, 0xa450_6ceb, 0xbef9_a3f7, 0xc671_78f2],
];

#[target_feature(enable = "sha,sse2,ssse3,sse4.1")]
#[expect(clippy::needless_range_loop, reason = "it is the number of a block in every lane")]
fn run<const LANES: usize>(states: [&mut State; LANES], blocks: [&[Block]; LANES]) {
    let mut halves = [Halves { abef: _mm_setzero_si128(), cdgh: _mm_setzero_si128() }; LANES];
    for (halves, state) in halves.iter_mut().zip(&states) {
        *halves = load(state);
    }
    let count = blocks.iter().map(|blocks| blocks.len()).min().unwrap_or_default();
    for number in 0..count {
        halves = compress(halves, std::array::from_fn(|lane| &blocks[lane][number]));
    }
    for (state, halves) in states.into_iter().zip(halves) {
        store(state, halves);
    }
}

#[target_feature(enable = "sha,sse2,ssse3,sse4.1")]
fn each(start: &State, blocks: &[Block], place: &mut impl FnMut(usize, [u8; DIGEST])) {
    let start = load(start);
    let (pairs, odd) = blocks.as_chunks::<2>();
    for (number, [one, two]) in pairs.iter().enumerate() {
        let [first, second] = compress([start; 2], [one, two]);
        place(2 * number, digest(first));
        place(2 * number + 1, digest(second));
    }
    if let [block] = odd {
        let [last] = compress([start], [block]);
        place(blocks.len() - 1, digest(last));
    }
}

/// One compression in each lane. What the lanes do stands side by side, so that
/// one uses the unit while the other waits for its last round. The compiler
/// leaves none of these loops; written as loops over iterators it does, and then
/// the words do not stay in registers.
#[inline]
#[target_feature(enable = "sha,sse2,ssse3,sse4.1")]
fn compress<const LANES: usize>(before: [Halves; LANES], blocks: [&Block; LANES]) -> [Halves; LANES] {
    let mut now = before;
    let mut words = [[_mm_setzero_si128(); 4]; LANES];
    for lane in 0..LANES {
        words[lane] = first_words(blocks[lane]);
    }
    for step in 0..4 {
        for lane in 0..LANES {
            now[lane] = four_rounds(now[lane], words[lane][step], &ROUNDS[step]);
        }
    }
    for sixteen in 1..4 {
        for step in 0..4 {
            for lane in 0..LANES {
                words[lane][step] = next_words(words[lane], step);
                now[lane] = four_rounds(now[lane], words[lane][step], &ROUNDS[4 * sixteen + step]);
            }
        }
    }
    for lane in 0..LANES {
        now[lane].abef = _mm_add_epi32(now[lane].abef, before[lane].abef);
        now[lane].cdgh = _mm_add_epi32(now[lane].cdgh, before[lane].cdgh);
    }
    now
}

#[inline]
#[target_feature(enable = "sha,sse2,ssse3,sse4.1")]
fn four_rounds(Halves { abef, cdgh }: Halves, words: __m128i, constants: &[u32; 4]) -> Halves {
    let sums = _mm_add_epi32(words, from_words(constants));
    let first = _mm_sha256rnds2_epu32(cdgh, abef, sums);
    // The instruction takes its two words from the lower half.
    let second = _mm_sha256rnds2_epu32(abef, first, _mm_shuffle_epi32::<0b_00_00_11_10>(sums));
    Halves { abef: second, cdgh: first }
}

/// Returns the four words that come behind the last sixteen, of which the
/// oldest four stand at `oldest`.
#[inline]
#[target_feature(enable = "sha,sse2,ssse3,sse4.1")]
fn next_words(last: [__m128i; 4], oldest: usize) -> __m128i {
    let [w0, w4, w8, w12] = [last[oldest], last[(oldest + 1) % 4], last[(oldest + 2) % 4], last[(oldest + 3) % 4]];
    let w9 = _mm_alignr_epi8::<4>(w12, w8);
    _mm_sha256msg2_epu32(_mm_add_epi32(_mm_sha256msg1_epu32(w0, w4), w9), w12)
}

/// Returns a block's own sixteen words, which it holds with the highest byte first.
#[inline]
#[target_feature(enable = "sha,sse2,ssse3,sse4.1")]
fn first_words(block: &Block) -> [__m128i; 4] {
    let (eights, _) = block.as_chunks::<8>();
    let mut words = [_mm_setzero_si128(); 4];
    for (four, word) in words.iter_mut().enumerate() {
        let [low, high] = [eights[2 * four], eights[2 * four + 1]];
        *word = swap_words(_mm_set_epi64x(i64::from_le_bytes(high), i64::from_le_bytes(low)));
    }
    words
}

/// Turns the bytes of each word around.
#[inline]
#[target_feature(enable = "sha,sse2,ssse3,sse4.1")]
fn swap_words(words: __m128i) -> __m128i {
    _mm_shuffle_epi8(words, _mm_set_epi64x(0x0c0d_0e0f_0809_0a0b, 0x0405_0607_0001_0203))
}

#[inline]
#[target_feature(enable = "sha,sse2,ssse3,sse4.1")]
fn from_words([w0, w1, w2, w3]: &[u32; 4]) -> __m128i {
    _mm_set_epi32(w3.cast_signed(), w2.cast_signed(), w1.cast_signed(), w0.cast_signed())
}

#[inline]
#[target_feature(enable = "sha,sse2,ssse3,sse4.1")]
fn load(State([a, b, c, d, e, f, g, h]): &State) -> Halves {
    Halves { abef: from_words(&[*f, *e, *b, *a]), cdgh: from_words(&[*h, *g, *d, *c]) }
}

/// Puts two halves back into the order of the letters: `abcd` and `efgh`, the
/// first letter lowest.
#[inline]
#[target_feature(enable = "sha,sse2,ssse3,sse4.1")]
fn in_order(Halves { abef, cdgh }: Halves) -> [__m128i; 2] {
    let feba = _mm_shuffle_epi32::<0b_00_01_10_11>(abef);
    let dchg = _mm_shuffle_epi32::<0b_10_11_00_01>(cdgh);
    [_mm_blend_epi16::<0b_1111_0000>(feba, dchg), _mm_alignr_epi8::<8>(dchg, feba)]
}

#[inline]
#[target_feature(enable = "sha,sse2,ssse3,sse4.1")]
fn store(state: &mut State, halves: Halves) {
    let bytes = to_bytes(in_order(halves));
    let (words, _) = bytes.as_chunks::<4>();
    state.0.iter_mut().zip(words).for_each(|(word, bytes)| *word = u32::from_le_bytes(*bytes));
}

#[inline]
#[target_feature(enable = "sha,sse2,ssse3,sse4.1")]
fn digest(halves: Halves) -> [u8; DIGEST] {
    let [abcd, efgh] = in_order(halves);
    to_bytes([swap_words(abcd), swap_words(efgh)])
}

#[inline]
#[target_feature(enable = "sha,sse2,ssse3,sse4.1")]
fn to_bytes(both: [__m128i; 2]) -> [u8; DIGEST] {
    let mut bytes = [0; DIGEST];
    let (sixteens, _) = bytes.as_chunks_mut::<16>();
    for (sixteen, part) in sixteens.iter_mut().zip(both) {
        let (eights, _) = sixteen.as_chunks_mut::<8>();
        eights[0] = _mm_cvtsi128_si64(part).to_le_bytes();
        eights[1] = _mm_extract_epi64::<1>(part).to_le_bytes();
    }
    bytes
}
