//! The content digest of a table, and its counts of blank values.

use std::path::Path;

use edm_agent::adapters::bundle::{self, Bundle, HashOrder, SaltSource, make_content_key};
use edm_agent::table::digest::CellDigest;
use edm_agent::table::manifest::Manifest;
use edm_agent::table::schema::{Field, Schema};

use super::{Desk, Stopped};

/// A desk whose host has a key.
fn desk(table: impl AsRef<[u8]>) -> Desk {
    let mut desk = Desk::with(table);
    desk.order.content_key = Some(make_content_key(desk.dir.path()).unwrap());
    desk.order.salt = SaltSource::Fresh;
    desk
}

/// Hashes under another order; the bundle goes again.
fn hashed(order: &HashOrder) -> Manifest {
    let bundle: Bundle = bundle::hash(order, &Stopped, &Default::default(), &Default::default()).unwrap();
    let manifest = bundle.manifest().clone();
    bundle.remove().unwrap();
    manifest
}

fn content(desk: &Desk) -> String {
    hashed(&desk.order).content.unwrap()
}

fn write(desk: &Desk, table: &str) {
    std::fs::write(&desk.order.source, table).unwrap();
}

#[test]
fn the_same_content_has_one_digest_however_it_is_salted_cut_quoted_and_ordered() {
    let rows: String = (0..30_000).map(|row| format!("a{row},value number {row} of the table\n")).collect();
    let mut desk = desk(format!("A,B\n{rows}"));
    let expected = hashed(&desk.order);
    for threads in [1, 2, 7] {
        for rows_per_block in [None, Some(1_000), Some(30_000)] {
            desk.order = HashOrder { threads, rows_per_block, ..desk.order };
            let again = hashed(&desk.order);
            assert_eq!(again.content, expected.content, "{threads} threads, {rows_per_block:?} rows");
            assert_ne!(again.sha256, expected.sha256, "the salt is another");
        }
    }
    let rows: String = (0..30_000).map(|row| format!("\"value number {row} of the table\", a{row} \r\n")).collect();
    write(&desk, &format!("B,A\r\n{rows}"));
    assert_eq!(Some(content(&desk)), expected.content, "in other quotes, columns and lines");
}

#[test]
fn another_content_schema_digest_salt_or_key_has_another_digest() {
    let mut desk = desk("A,B\n1,2\n3,4\n");
    let first = content(&desk);
    for other in ["A,B\n1,2\n3,5\n", "A,B\n3,4\n1,2\n", "A,B\n1,2\n", "A,B\n2,1\n3,4\n", "A,B\n1,2\n3,4\n3,4\n"] {
        write(&desk, other);
        assert_ne!(content(&desk), first, "{other}");
    }
    write(&desk, "A,B\n1,2\n3,4\n");
    assert_eq!(content(&desk), first);
    let plain = desk.order.clone();
    let lower = Field { case_insensitive: true, ..Field::named("B") };
    desk.order.schema = Schema::from_fields("Letters", vec![Field::named("A"), lower]).unwrap();
    assert_ne!(content(&desk), first, "the schema");
    desk.order = HashOrder { digest: CellDigest::HmacSha256, ..plain.clone() };
    assert_ne!(content(&desk), first, "the digest of cells");
    desk.order = HashOrder { salt: SaltSource::File(desk.path("fixed-salt")), ..plain.clone() };
    assert_ne!(content(&desk), first, "a salt that is fixed");
    let other = tempfile::tempdir().unwrap();
    desk.order = HashOrder { content_key: Some(make_content_key(other.path()).unwrap()), ..plain.clone() };
    assert_ne!(content(&desk), first, "the key");
    desk.order = HashOrder { content_key: Some(Path::new("/no/such/key").to_owned()), ..plain };
    assert_eq!(hashed(&desk.order).content, None, "without a key there is none");
}

#[test]
fn a_row_that_is_left_out_counts_for_nothing() {
    let mut with_bad = b"A,B\n1,\n2,x\n".to_vec();
    with_bad.extend_from_slice(b",\xff\xfe\n3,4,5\n \t,y\n");
    let mut desk = desk(with_bad);
    desk.order.allowed_bad_lines_percent = 60.0;
    let found = hashed(&desk.order);
    assert_eq!((found.rows, found.rejected_rows, found.blank), (3, 2, Some(vec![1, 1])));
    write(&desk, "A,B\n1,\n2,x\n \t,y\n");
    assert_eq!(Some(content(&desk)), found.content);
}

#[test]
fn an_empty_table_that_may_be_is_one_block_of_no_rows() {
    let mut desk = desk("A,B\n");
    assert!(desk.hash().is_err(), "it may not be");
    desk.order.allow_empty = true;
    let bundle = desk.hash().unwrap();
    bundle.verify().unwrap();
    let manifest = bundle.manifest();
    assert_eq!((manifest.rows, manifest.blocks.len(), manifest.bytes), (0, 1, 16));
    assert_eq!(manifest.blank, Some(vec![0, 0]));
    Bundle::open(bundle.dir()).unwrap().verify().unwrap();
}

#[test]
fn a_manifest_of_an_earlier_build_is_read_and_one_whose_counts_do_not_fit_is_refused() {
    let desk = desk("A,B\n1,2\n");
    let bundle = desk.hash().unwrap();
    let path = bundle.dir().join(bundle::MANIFEST_FILE);
    let mut manifest: serde_json::Value = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
    assert!(manifest["content"].is_string());
    manifest["blank"] = serde_json::json!([1]);
    std::fs::write(&path, manifest.to_string()).unwrap();
    assert!(Bundle::open(bundle.dir()).unwrap_err().to_string().contains("blank"));
    let object = manifest.as_object_mut().unwrap();
    object.remove("blank");
    object.remove("content");
    std::fs::write(&path, manifest.to_string()).unwrap();
    assert_eq!(Bundle::open(bundle.dir()).unwrap().manifest().blank, None);
}
