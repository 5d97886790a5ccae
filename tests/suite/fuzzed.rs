//! The fuzz targets without a fuzzer: each check takes the seeds that are kept
//! for it, and what chance makes of them.

#[path = "../../fuzz/src/lib.rs"]
#[expect(unreachable_pub, reason = "a library of its own for the fuzzer")]
pub(crate) mod checks;

use std::collections::BTreeSet;
use std::fs;

use checks::upload_uri::ALLOWED;
use checks::{Check, TARGETS};
use edm_agent::upload::uri::UploadUri;
use proptest::prelude::*;
use proptest::sample::select;

use crate::support::tree;

/// Returns what is kept for a target: the name and the bytes of each seed.
pub(crate) fn seeds(target: &str) -> Vec<(String, Vec<u8>)> {
    let folder = tree::root().join("fuzz/seeds").join(target);
    let read = |entry: fs::DirEntry| (entry.file_name().into_string().unwrap(), fs::read(entry.path()).unwrap());
    let mut seeds: Vec<_> = fs::read_dir(folder).unwrap().map(|entry| read(entry.unwrap())).collect();
    seeds.sort();
    seeds
}

fn check_of(target: &str) -> Check {
    TARGETS.iter().find(|(name, _)| *name == target).unwrap().1
}

#[test]
fn every_seed_passes_the_check_of_its_target() {
    for (target, check) in TARGETS {
        let seeds = seeds(target);
        assert!(seeds.len() > 10, "{target} has {} seeds", seeds.len());
        seeds.iter().for_each(|(_, bytes)| check(bytes));
    }
}

#[test]
fn every_target_has_a_program_a_check_and_seeds() {
    let manifest: toml::Table = tree::read("fuzz/Cargo.toml").parse().unwrap();
    let programs = manifest["bin"].as_array().unwrap().iter();
    let programs: BTreeSet<String> = programs.map(|bin| bin["name"].as_str().unwrap().to_owned()).collect();
    let checks: BTreeSet<String> = TARGETS.iter().map(|(name, _)| (*name).to_owned()).collect();
    let names = |folder: &str| -> BTreeSet<String> {
        let entries = fs::read_dir(tree::root().join(folder)).unwrap();
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap().replace(".rs", "")).collect()
    };

    assert_eq!(programs, checks);
    assert_eq!(programs, names("fuzz/fuzz_targets"));
    assert_eq!(programs, names("fuzz/seeds"));
}

#[test]
fn good_upload_uris_are_taken_and_bad_ones_refused_as_their_seeds_say() {
    let allowed = ALLOWED.map(str::to_owned);
    for (name, bytes) in seeds("upload_uri") {
        let parsed = UploadUri::parse(std::str::from_utf8(&bytes).unwrap(), &allowed);
        assert_eq!(parsed.is_ok(), name.starts_with("good-"), "{name}: {parsed:?}");
    }
}

/// What an attacker puts into a URI.
const TRICKS: [&str; 26] = [
    "@",
    ":",
    "\\",
    "/",
    "//",
    "?",
    "#",
    "%",
    "%2e",
    "%40",
    ".",
    "..",
    "[",
    "]",
    "\t",
    "\n",
    " ",
    "0x7f.1",
    "2130706433",
    "169.254.169.254",
    ":8443",
    "evil.test",
    "@evil.test",
    "xn--",
    "\u{3002}",
    "&sig=",
];

/// A seed in which pieces were put in, taken out, or put in the place of others.
fn mutated() -> impl Strategy<Value = String> {
    let good = seeds("upload_uri").into_iter().map(|(_, bytes)| String::from_utf8(bytes).unwrap()).collect::<Vec<_>>();
    let edit = (0.0..1.0f64, 0usize..4, prop_oneof![select(&TRICKS[..]).prop_map(str::to_owned), "[ -~]{0,3}"]);
    (select(good), proptest::collection::vec(edit, 1..4)).prop_map(|(mut text, edits)| {
        for (at, taken, put) in edits {
            let from = text.floor_char_boundary((at * text.len() as f64) as usize);
            let to = text.floor_char_boundary((from + taken).min(text.len())).max(from);
            text.replace_range(from..to, &put);
        }
        text
    })
}

proptest! {
    #[test]
    fn an_altered_upload_uri_goes_to_an_allowed_host_or_nowhere(text in mutated()) {
        check_of("upload_uri")(text.as_bytes());
    }

    #[test]
    fn no_text_at_all_goes_to_a_host_that_is_not_allowed(text in "\\PC{0,60}|https?://[ -~]{0,60}") {
        check_of("upload_uri")(text.as_bytes());
    }

    #[test]
    fn no_lines_at_all_make_anybody_wait_longer_than_the_cap(text in "[ -~\n]{0,60}|[0-9.\n]{0,60}") {
        check_of("retry_after")(text.as_bytes());
    }
}
