//! Hashing as a whole: the same bytes on any number of threads, counts that
//! hold, and limits that are said before work is wasted.

use std::os::unix::fs::PermissionsExt;
use std::sync::atomic::{AtomicBool, Ordering};

use edm_agent::adapters::bundle::{self, BufferPool, ExitClass, HashError, HashProgress, SaltSource};
use edm_agent::table::block::{EdmBlock1, Encoding};
use edm_agent::table::layout::{BLOCK_LIMIT, LayoutError};
use edm_agent::table::reader::ROW_LIMIT;

use super::{Desk, SALT, Stopped, blocks};
use crate::support::private;

#[test]
fn the_number_of_threads_does_not_change_a_byte() {
    let mut desk = Desk::rows(100_000);
    desk.order.rows_per_block = Some(7_777);

    let bundles = [1, 2, 3, 8, 0].map(|threads| {
        desk.order.threads = threads;
        desk.hash_to(&format!("bundle-{threads}"))
    });

    let first = blocks(&bundles[0]);
    assert!(bundles.iter().all(|bundle| blocks(bundle) == first));
    bundles[0].verify().unwrap();
}

#[test]
fn rows_stay_in_the_tables_order_across_pieces_and_blocks() {
    let mut desk = Desk::rows(60_000);
    desk.order.rows_per_block = Some(1_000);
    let bundle = desk.hash().unwrap();
    let (pool, alone) =
        (BufferPool::new(1 << 20), |row: usize| blocks(&Desk::with(format!("A,B\na{row},b{row}")).hash().unwrap()));

    for row in [0, 999, 1_000, 31_415, 59_999] {
        let block = bundle.read_block(u32::try_from(row / 1_000).unwrap(), &pool).unwrap();
        let found = EdmBlock1.decode(&block).unwrap().rows().nth(row % 1_000).unwrap().to_vec();
        assert_eq!(found, alone(row)[16..], "row {row}");
    }
}

#[test]
fn the_last_block_has_what_is_left_and_is_never_empty() {
    for (rows, expected) in [(1, vec![1]), (9, vec![9]), (10, vec![10]), (11, vec![10, 1]), (30, vec![10, 10, 10])] {
        let mut desk = Desk::rows(rows);
        desk.order.rows_per_block = Some(10);
        let bundle = desk.hash().unwrap();
        let counts: Vec<u32> = bundle.manifest().blocks.iter().map(|block| block.rows).collect();
        assert_eq!(counts, expected);
        bundle.verify().unwrap();
    }
}

#[test]
fn a_row_too_long_in_the_midst_of_a_table_adds_nothing_to_its_blocks() {
    let rows = |from: usize, to: usize| (from..to).map(|row| format!("a{row},b{row}\n")).collect::<String>();
    let long = format!("a,{}\n", "b".repeat(ROW_LIMIT));
    // Many pieces before and behind, so that what a piece travels in was used before.
    let mut desk = Desk::with(["A,B\n", &rows(0, 90_000), &long, &rows(90_000, 180_000)].concat());
    desk.order.allowed_bad_lines_percent = 1.0;
    let bundle = desk.hash().unwrap();

    bundle.verify().unwrap();
    assert_eq!((bundle.manifest().rows, bundle.manifest().rejected_rows), (180_000, 1));
    assert_eq!(blocks(&bundle), blocks(&Desk::rows(180_000).hash().unwrap()));
}

#[test]
fn the_digests_of_a_last_block_are_those_of_its_bytes_full_or_not() {
    // Of some rows, and of more than a piece has and than are read at once.
    for (rows, rows_per_block) in [(20_000, 20_000), (19_999, 20_000), (20_001, 20_000), (3, 128), (129, 128)] {
        let mut desk = Desk::rows(rows);
        desk.order.rows_per_block = Some(rows_per_block);
        let bundle = desk.hash().unwrap();
        bundle.verify().unwrap();
        assert_eq!(bundle.manifest().bytes, bundle.manifest().blocks.iter().map(|block| block.length).sum::<u64>());
    }
}

#[test]
fn a_table_without_a_row_is_refused_because_it_would_empty_the_store() {
    let error = Desk::with("A,B\n").hash().unwrap_err();
    assert!(matches!(error, HashError::NoRows));
    assert_eq!(error.class(), ExitClass::BadData);
}

#[test]
fn progress_ends_at_the_whole() {
    let desk = Desk::rows(40_000);
    let progress = HashProgress::default();

    bundle::hash(&desk.order, &Stopped, &progress, &AtomicBool::new(false)).unwrap();

    let size = desk.order.source.metadata().unwrap().len();
    assert_eq!(progress.bytes_total.load(Ordering::Relaxed), size);
    assert_eq!(progress.bytes_read.load(Ordering::Relaxed), size);
    assert_eq!(progress.rows.load(Ordering::Relaxed), 40_000);
}

#[test]
fn a_request_to_stop_leaves_nothing_behind() {
    let desk = Desk::rows(100_000);
    let before = desk.names();

    let error = bundle::hash(&desk.order, &Stopped, &HashProgress::default(), &AtomicBool::new(true)).unwrap_err();

    assert!(matches!(error, HashError::Stopped));
    assert_eq!(desk.names(), before);
}

#[test]
fn each_bundle_has_a_salt_of_its_own() {
    let mut desk = Desk::rows(10);
    desk.order.salt = SaltSource::Fresh;

    let (one, two) = (desk.hash_to("one"), desk.hash_to("two"));

    assert_ne!(one.salt().expose(), two.salt().expose());
    assert_ne!(blocks(&one)[16..48], blocks(&two)[16..48]);
}

#[test]
fn a_salt_file_that_holds_no_salt_is_named_and_not_shown() {
    let desk = Desk::rows(1);
    for content in ["canary", "", "canary\ncanary"] {
        private::write(&desk.path("fixed-salt"), content);
        let error = desk.hash().unwrap_err();
        assert!(error.to_string().contains("fixed-salt") && !error.to_string().contains("canary"), "{error}");
        assert_eq!(error.class().code(), 78);
    }
    private::write(&desk.path("fixed-salt"), format!("\u{feff}{SALT}\r\n"));
    assert_eq!(desk.hash().unwrap().salt().expose_text(), SALT);
}

#[test]
fn a_salt_file_that_others_may_read_is_refused() {
    let desk = Desk::rows(1);
    std::fs::set_permissions(desk.path("fixed-salt"), std::fs::Permissions::from_mode(0o644)).unwrap();
    let error = desk.hash().unwrap_err();
    assert!(error.to_string().contains("chmod 0600"), "{error}");
    assert_eq!(error.class().code(), 78);
}

#[test]
fn too_many_blocks_are_refused_with_a_number_that_would_do() {
    // The first table is refused by a look at it, the second once it is certain.
    for rows in [4 * BLOCK_LIMIT, BLOCK_LIMIT + 5_000] {
        let mut desk = Desk::rows(usize::try_from(rows).unwrap());
        desk.order.rows_per_block = Some(1);
        let before = desk.names();

        let error = desk.hash().unwrap_err();

        let HashError::Layout(LayoutError::TooMany { least, .. }) = error else { panic!("{error}") };
        assert!((rows.div_ceil(BLOCK_LIMIT)..=2 * rows.div_ceil(BLOCK_LIMIT)).contains(&least), "{rows} rows: {least}");
        assert_eq!(desk.names(), before);
    }
}

#[test]
fn blocks_of_a_size_grow_where_there_would_be_too_many_and_the_manifest_says_so() {
    for (rows, size, rows_per_block) in [(1_000, 80, 1), (1_000, 16 + 10 * 64, 10), (60_000, 80, 3)] {
        let mut desk = Desk::rows(rows);
        desk.order.block_size = size;
        let bundle = desk.hash().unwrap();

        let manifest = bundle.manifest();
        assert_eq!((manifest.rows, manifest.rows_per_block), (rows as u64, rows_per_block), "{size} bytes");
        assert_eq!(manifest.blocks.len(), rows.div_ceil(rows_per_block as usize));
        assert!(manifest.blocks.len() as u64 <= BLOCK_LIMIT);
        bundle.verify().unwrap();
    }
}

#[test]
fn the_estimate_is_near_and_room_is_judged_by_it() {
    let desk = Desk::rows(50_000);
    let estimate = bundle::estimate(&desk.order).unwrap();
    let bytes = desk.hash().unwrap().manifest().bytes;

    assert!((bytes..bytes + bytes / 5).contains(&estimate), "{estimate} for {bytes}");
    bundle::room_for(desk.dir.path(), estimate, 0).unwrap();
    let error = bundle::room_for(desk.dir.path(), estimate, u64::MAX).unwrap_err();
    assert!(error.is_full());
    assert_eq!(error.class(), ExitClass::LocalIo);
}
