//! The checks of the fuzz targets for tables, on the corpus, on altered seeds,
//! and on what a property test makes up.

use proptest::prelude::*;

use super::corpus;
use crate::fuzzed::checks::{reader, schema};
use crate::fuzzed::seeds;

#[test]
fn the_corpus_holds_in_every_dialect() {
    let tables = corpus("good").into_iter().chain(corpus("bad")).map(|(_, bytes)| bytes);
    for table in tables {
        for choice in 0..64u8 {
            // One kind of quotes and one encoding for each separator: the others are made up below.
            if choice & 3 == choice >> 2 & 3 || choice < 16 {
                reader::check(&[&[choice], table.as_slice()].concat());
            }
        }
    }
}

#[test]
fn a_seed_with_any_byte_changed_or_cut_anywhere_holds() {
    for (_, seed) in seeds("schema") {
        for at in 0..seed.len() {
            schema::check(&seed[..at]);
            for byte in [b'"', b'<', b'&', b' ', 0, 0xff] {
                let mut changed = seed.clone();
                changed[at] = byte;
                schema::check(&changed);
            }
        }
    }
}

/// Bytes that mean something to a reader in some dialect.
fn awkward() -> impl Strategy<Value = Vec<u8>> {
    let byte = prop_oneof![
        6 => prop::sample::select(b"\"',;|\t\n\r".to_vec()),
        3 => b'a'..=b'c',
        2 => prop::sample::select(vec![0, 0xff, 0xfe, 0xd8, 0xdc, 0x80, 0xe9]),
    ];
    prop::collection::vec(byte, 0..120)
}

proptest! {
    #[test]
    fn any_bytes_hold_in_any_dialect(choice: u8, mark in prop::sample::select(vec![&b""[..], b"\xff\xfe", b"\xfe\xff", b"\xef\xbb\xbf"]), table in awkward()) {
        reader::check(&[&[choice], mark, &table].concat());
    }

    #[test]
    fn any_bytes_hold(data: Vec<u8>) {
        reader::check(&data);
        schema::check(&data);
    }
}
