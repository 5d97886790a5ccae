//! The golden vector: a small table whose bundle is known to the byte, here, on
//! the page, and to a program that shares nothing with the agent.

use edm_agent::adapters::bundle::{Bundle, SaltSource};
use edm_agent::agent::perform::hashed_query;
use edm_agent::table::block::{EdmBlock1, Encoding};
use edm_agent::table::digest::{CellDigest, DigestKind, hex};
use edm_agent::table::schema::Schema;

use super::{Desk, blocks, fenced, page, python, said, suite_file};
use crate::support::private;

pub(super) const ROWS_PER_BLOCK: u32 = 3;

pub(super) fn golden() -> (Desk, Bundle) {
    let mut desk = Desk::with("");
    desk.order.source = suite_file("golden/patients.csv");
    desk.order.schema =
        Schema::parse_xml(&std::fs::read_to_string(suite_file("golden/patients.xml")).unwrap()).unwrap();
    private::write(&desk.path("golden-salt"), std::fs::read(suite_file("golden/salt")).unwrap());
    desk.order.salt = SaltSource::File(desk.path("golden-salt"));
    desk.order.rows_per_block = Some(ROWS_PER_BLOCK);
    let bundle = desk.hash().unwrap();
    (desk, bundle)
}

#[test]
fn the_golden_table_gives_the_digest_on_the_page() {
    let (_desk, bundle) = golden();

    assert_eq!(bundle.manifest().sha256, fenced(&page("BUNDLE.md"), "golden-sha256")[0]);
    assert_eq!(bundle.manifest().rows, 8);
}

/// `md5sum` and `sha512sum` say so of the file.
#[test]
fn the_other_digests_of_the_golden_blocks_are_those_of_other_programs() {
    let (_desk, bundle) = golden();

    assert_eq!(hex(&bundle.digest(DigestKind::Md5).unwrap()), "a22a7c683e04a217d074dd6bd840be85");
    assert_eq!(
        hex(&bundle.digest(DigestKind::Sha512).unwrap()),
        "5871a8ea65c7fccd334e6c4d2319fef59e92fa77eadb1b0889450e977ec31189\
         f2a0337cf0ee98959435c5c311684785e362fd22ab09ac92c58c7385fed04cdb"
    );
}

#[test]
fn another_program_makes_the_same_bytes_by_the_page() {
    let Some(mut python) = python(&suite_file("golden.py")) else { return };
    let (_desk, bundle) = golden();

    let files = ["golden/patients.csv", "golden/patients.xml", "golden/salt"].map(suite_file);
    let output = python.args(files).arg(ROWS_PER_BLOCK.to_string()).output().unwrap();

    assert_eq!(said(&output), bundle.manifest().sha256);
}

#[test]
fn the_digest_is_a_setting_that_the_manifest_names_and_another_program_follows() {
    let (mut desk, plain) = golden();
    desk.order.digest = CellDigest::HmacSha256;
    let bundle = desk.hash_to("under HMAC");
    assert_eq!((plain.manifest().digest.as_str(), bundle.manifest().digest.as_str()), ("sha256", "hmac-sha256"));
    assert_eq!(bundle.manifest().sha256, fenced(&page("BUNDLE.md"), "golden-hmac-sha256")[0]);

    let field = &bundle.manifest().columns[0];
    let query = hashed_query(&bundle, &field.name, &[b"pa-0001"]).unwrap();
    assert_eq!(query.values, [hex(&blocks(&bundle)[16..48])], "a lookup follows the manifest");

    let Some(mut python) = python(&suite_file("golden.py")) else { return };
    let files = ["golden/patients.csv", "golden/patients.xml", "golden/salt"].map(suite_file);
    let rest = [&ROWS_PER_BLOCK.to_string(), ",", "double", "utf-8", "hmac-sha256"];
    let output = python.args(files).args(rest).output().unwrap();
    assert_eq!(said(&output), bundle.manifest().sha256);
}

#[test]
fn the_bytes_on_the_page_are_the_first_of_the_golden_blocks() {
    let (_desk, bundle) = golden();

    let dump: String = fenced(&page("BUNDLE.md"), "golden-bytes").concat().split_whitespace().collect();

    let bytes = blocks(&bundle);
    assert_eq!(dump, hex(&bytes[..dump.len() / 2]));
    assert_eq!(dump.len() / 2, 16 + 32, "a header and a cell");
}

#[test]
fn rows_written_differently_hash_alike_where_the_schema_says_so() {
    let (_desk, bundle) = golden();
    let pool = edm_agent::adapters::bundle::BufferPool::new(1 << 20);

    let first = bundle.read_block(0, &pool).unwrap();
    let second = bundle.read_block(1, &pool).unwrap();

    let last_name = 2 * 32..3 * 32;
    let muller = EdmBlock1.decode(&first).unwrap().rows().nth(2).unwrap();
    let decomposed = EdmBlock1.decode(&second).unwrap().rows().next().unwrap();
    assert_eq!(muller[last_name.clone()], decomposed[last_name], "composed and decomposed");
}
