//! The vectors of docs/NORMALISATION.md.

use edm_agent::table::digest::{CellHasher, hex};
use edm_agent::table::normalise::{NORMALISATION, Normaliser};
use edm_agent::table::salt::Salt;
use edm_agent::table::schema::Field;
use serde::Deserialize;

use super::{SALT, fenced, page};

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Vector {
    why: String,
    value: String,
    case_insensitive: bool,
    ignored_delimiters: String,
    normalised: String,
    sha256: String,
}

#[test]
fn every_vector_of_the_page_is_what_this_build_makes() {
    let page = page("NORMALISATION.md");
    assert!(page.starts_with(&format!("# Normalisation, version {NORMALISATION}\n")));
    let salt = fenced(&page, "salt")[0];
    assert_eq!(salt, SALT);
    let hasher = CellHasher::new(&Salt::parse(salt).ok().unwrap());

    let vectors = fenced(&page, "vectors");

    assert!(vectors.len() > 20);
    for line in vectors {
        let vector: Vector = serde_json::from_str(line).unwrap();
        let rule = Normaliser::of(&Field {
            case_insensitive: vector.case_insensitive,
            ignored_delimiters: vector.ignored_delimiters.chars().collect(),
            ..Field::named("Any")
        });
        let mut scratch = Vec::new();
        let normalised = rule.apply(vector.value.as_bytes(), &mut scratch).unwrap();
        assert_eq!(String::from_utf8_lossy(normalised), vector.normalised, "{}", vector.why);
        assert_eq!(hex(&hasher.hash(normalised)), vector.sha256, "{}", vector.why);
    }
}
