//! Packed tables: told by their content, unpacked as they are read, refused
//! where they are damaged, and no larger than the limits allow.

use std::io::{Read, Write};

use edm_agent::adapters::bundle::{self, HashError, InputError, Limits};
use edm_agent::table::reader::Separator;

use super::{Desk, blocks, suite_file};

pub(super) fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn zstd(bytes: &[u8]) -> Vec<u8> {
    ruzstd::encoding::compress_to_vec(bytes, ruzstd::encoding::CompressionLevel::Fastest)
}

fn table(rows: usize) -> Vec<u8> {
    let rows: String = (0..rows).map(|row| format!("a{row},b{row}\n")).collect();
    format!("A,B\n{rows}").into_bytes()
}

fn problem(packed: &[u8]) -> InputError {
    let desk = Desk::with(packed);
    let before = desk.names();
    let error = desk.hash().unwrap_err();
    assert_eq!(desk.names(), before, "{error}");
    let HashError::Content { problem, .. } = error else { panic!("{error}") };
    problem
}

#[test]
fn files_of_the_programs_everybody_has_are_read_whatever_their_name() {
    let letters = std::fs::read(suite_file("corpus/letters.csv")).unwrap();
    let wanted = blocks(&Desk::with(&letters).hash().unwrap());
    for name in ["letters.csv.gz", "letters.csv.zst"] {
        let packed = std::fs::read(suite_file("corpus").join(name)).unwrap();
        let mut desk = Desk::with(&packed);
        assert_eq!(blocks(&desk.hash().unwrap()), wanted, "{name}");
        desk.order.source = desk.path(name);
        std::fs::write(&desk.order.source, packed).unwrap();
        assert_eq!(blocks(&desk.hash_to("by name")), wanted, "{name}");
    }
}

#[test]
fn several_members_and_frames_are_one_table_and_large_ones_are_read_whole() {
    let whole = table(60_000);
    let wanted = blocks(&Desk::with(&whole).hash().unwrap());
    let (first, second) = whole.split_at(whole.len() / 3);
    for packed in [
        gzip(&whole),
        [gzip(first), gzip(b""), gzip(second)].concat(),
        zstd(&whole),
        [zstd(first), zstd(second)].concat(),
    ] {
        assert_eq!(blocks(&Desk::with(packed).hash().unwrap()), wanted);
    }
}

#[test]
fn data_that_is_cut_damaged_or_followed_by_something_is_refused_wherever_it_is() {
    let whole = table(2_000);
    for (name, packed) in [("gzip", gzip(&whole)), ("zstd", zstd(&whole))] {
        let length = packed.len();
        for cut in [12, length / 3, length / 2, length - 9, length - 1] {
            assert_eq!(problem(&packed[..cut]), InputError::Damaged(name), "{name} cut at {cut}");
        }
        let tail = [packed.as_slice(), b"\nmore,rows\n"].concat();
        assert_eq!(problem(&tail), InputError::Damaged(name), "{name} with a tail");
        let mut flipped = packed.clone();
        // The checksum at the end.
        let at = if name == "gzip" { length - 6 } else { length - 2 };
        flipped[at] ^= 1;
        assert_eq!(problem(&flipped), InputError::Damaged(name), "{name} with a flipped bit");
    }
}

#[test]
fn a_frame_that_needs_more_memory_than_there_is_for_it_is_refused() {
    let packed = std::fs::read(suite_file("corpus/window.csv.zst")).unwrap();
    assert_eq!(problem(&packed), InputError::Window);
}

#[test]
fn archives_and_other_files_are_refused_by_what_they_are() {
    let mut tar = b"patients.csv".to_vec();
    tar.resize(257, 0);
    tar.extend_from_slice(b"ustar\x0000");
    tar.resize(1024, 0);
    for (bytes, what) in [
        (b"PK\x03\x04\x14\0\x06\0".to_vec(), "a ZIP archive or an Excel workbook"),
        (tar.clone(), "a tar archive"),
        (gzip(&tar), "a tar archive"),
        (zstd(&tar), "a tar archive"),
        (gzip(&gzip(b"A,B\n1,2\n")), "packed twice"),
        (b"\xfd7zXZ\0\0".to_vec(), "packed with xz"),
    ] {
        assert_eq!(problem(&bytes), InputError::Foreign(what));
    }
}

#[test]
fn a_table_that_unpacks_without_end_meets_the_limits_and_nothing_is_left() {
    let bomb = gzip(&table(200_000));
    let limited = |limits: Limits| {
        let mut desk = Desk::with(&bomb);
        desk.order.limits = limits;
        desk.order.rows_per_block = Some(1_000);
        let error = desk.hash().unwrap_err();
        assert_eq!(desk.names(), ["fixed-salt", "table.csv"], "{error}");
        error
    };
    let rows = Limits { rows: 199_999, ..Limits::default() };
    assert!(matches!(limited(rows), HashError::TooManyRows { most: 199_999 }));
    let bytes = Limits { bytes: Some(1 << 20), ..Limits::default() };
    let error = limited(bytes);
    assert!(matches!(error, HashError::TooLarge { .. }));
    assert_eq!(error.class().code(), 74);
    assert!(limited(Limits { keep_free: u64::MAX / 2, ..Limits::default() }).is_full());

    let mut desk = Desk::with(&bomb);
    desk.order.limits.rows = 200_000;
    assert_eq!(desk.hash().unwrap().manifest().rows, 200_000);
}

#[test]
fn the_estimate_of_a_packed_table_is_near_where_it_goes_on_as_it_begins() {
    for packed in [gzip(&table(100_000)), zstd(&table(100_000)), gzip(&table(100)), zstd(&table(100))] {
        let desk = Desk::with(packed);
        let estimate = bundle::estimate(&desk.order).unwrap();
        let bytes = desk.hash().unwrap().manifest().bytes;
        assert!((bytes * 2 / 3..bytes * 3 / 2 + (64 << 10)).contains(&estimate), "{estimate} for {bytes}");
    }
}

#[test]
fn a_pipe_is_hashed_as_the_file_is_and_nothing_of_it_is_written_down() {
    let bytes = table(30_000);
    let mut desk = Desk::with(&bytes);
    let wanted = blocks(&desk.hash_to("of the file"));
    desk.order.source = "-".into();
    assert!(matches!(super::hash_piped(&desk, &bytes, "piped"), Err(HashError::Separator(_))));
    desk.order.separator = Some(Separator::COMMA);
    let bundle = super::hash_piped(&desk, &bytes, "piped").unwrap();
    assert_eq!(blocks(&bundle), wanted);
    assert_eq!(bundle.manifest().source.name, "-");

    // A writer that dies leaves a table that is cut, and an unclosed quote tells it.
    let cut = (&bytes[..]).take(1_000).chain(&b"\nx,\"y"[..]);
    let mut all = Vec::new();
    { cut }.read_to_end(&mut all).unwrap();
    assert!(matches!(super::hash_piped(&desk, &all, "cut"), Err(HashError::Unclosed { .. })));
    assert_eq!(desk.names(), ["fixed-salt", "of the file", "piped", "table.csv"]);
}
