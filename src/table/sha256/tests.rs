//! Every kernel of this machine against the `sha2` crate and the standard.

use proptest::prelude::*;
use sha2::{Digest, Sha256};

use super::{BLOCK, Block, DIGEST, Kernel, State, Stream, TAIL_LIMIT, Twin, pad};

/// Miri takes a thousand times as long, and looks for something else.
const LONGEST: usize = if cfg!(miri) { 130 } else { 300 };
const CASES: u32 = if cfg!(miri) { 4 } else { 256 };

fn bytes(length: usize) -> Vec<u8> {
    (0..length).map(|at| (at * 31 % 251) as u8).collect()
}

fn plain(message: impl AsRef<[u8]>) -> [u8; DIGEST] {
    Sha256::digest(message).into()
}

fn hex(digest: [u8; DIGEST]) -> String {
    crate::table::digest::hex(&digest)
}

fn digest(kernel: Kernel, parts: &[&[u8]]) -> [u8; DIGEST] {
    let mut stream = Stream::new(kernel);
    parts.iter().for_each(|part| stream.update(part));
    stream.finish()
}

#[test]
fn the_known_answers_of_fips_180_4_are_given() {
    let million = vec![b'a'; if cfg!(miri) { 0 } else { 1_000_000 }];
    for kernel in Kernel::all() {
        for (message, expected) in [
            (&b""[..], "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"),
            (b"abc", "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"),
            (
                b"abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq",
                "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1",
            ),
        ] {
            assert_eq!(hex(digest(kernel, &[message])), expected, "{kernel:?}");
        }
        if !million.is_empty() {
            let expected = "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0";
            assert_eq!(hex(digest(kernel, &[&million])), expected, "{kernel:?}");
        }
    }
}

#[test]
fn messages_of_every_length_give_what_sha2_gives() {
    let message = bytes(LONGEST);
    for kernel in Kernel::all() {
        for length in 0..=LONGEST {
            assert_eq!(digest(kernel, &[&message[..length]]), plain(&message[..length]), "{length}");
        }
    }
}

#[test]
fn a_padded_block_is_the_whole_of_a_short_message() {
    let message = bytes(TAIL_LIMIT);
    for length in 0..=TAIL_LIMIT {
        let mut block = [0xee; BLOCK];
        pad(&mut block, &message[..length], length as u64);
        let mut state = State::START;
        Kernel::portable().compress(&mut state, &[block]);
        assert_eq!(state.to_digest(), plain(&message[..length]), "{length}");
    }
}

#[test]
#[should_panic(expected = "two lanes end together")]
fn lanes_of_different_lengths_are_refused() {
    let blocks = [[0; BLOCK]; 2];
    let (mut one, mut other) = (State::START, State::START);
    Kernel::best().compress_two([&mut one, &mut other], [&blocks, &blocks[..1]]);
}

fn block() -> impl Strategy<Value = Block> {
    prop::collection::vec(any::<u8>(), BLOCK).prop_map(|bytes| bytes.try_into().unwrap())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: CASES, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_message_may_be_cut_anywhere(message in prop::collection::vec(any::<u8>(), 0..400), cuts in prop::collection::vec(0usize..400, 0..5)) {
        let expected = plain(&message);
        for kernel in Kernel::all() {
            let mut stream = Stream::new(kernel);
            let mut rest = message.as_slice();
            for cut in &cuts {
                let (part, behind) = rest.split_at((*cut).min(rest.len()));
                stream.update(part);
                rest = behind;
            }
            stream.update(rest);
            prop_assert_eq!(stream.finish(), expected);
        }
    }

    #[test]
    fn a_twin_gives_the_digest_of_each_part_and_of_the_whole(parts in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..300), 0..6), cut in 1usize..100) {
        for kernel in Kernel::all() {
            let mut twin = Twin::new(kernel);
            for part in &parts {
                part.chunks(cut).for_each(|bytes| twin.update(bytes));
                prop_assert_eq!(twin.next_part(), plain(part));
            }
            prop_assert_eq!(twin.whole.finish(), plain(parts.concat()));
        }
    }

    #[test]
    fn each_block_is_finished_by_itself_whatever_stands_beside_it(first in block(), blocks in prop::collection::vec(block(), 0..9)) {
        let mut start = State::START;
        Kernel::portable().compress(&mut start, &[first]);
        let alone: Vec<_> = blocks.iter().map(|block| {
            let mut state = start.clone();
            Kernel::portable().compress(&mut state, &[*block]);
            state.to_digest()
        }).collect();
        for kernel in Kernel::all() {
            let mut found = Vec::new();
            kernel.finish_each(&start, &blocks, |number, digest| found.push((number, digest)));
            prop_assert_eq!(found, alone.iter().copied().enumerate().collect::<Vec<_>>());
        }
    }
}
