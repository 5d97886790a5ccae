//! Patients who do not exist: a table for trying and demos.
//!
//! Row `k` is a function of the seed and `k`, so any row can be had again
//! without keeping the table. Nothing in it can be a real person's: the social
//! security numbers begin with 9, which none does, the telephone numbers are
//! of the range kept for fiction, the addresses are at `example.com`.

use std::io::{self, Write};

use super::settings::{ColumnSpec, StoreSpec};
use crate::ground::chance;

/// The columns, in order.
pub const COLUMNS: [&str; 8] =
    ["PatientID", "FirstName", "LastName", "DateOfBirth", "SSN", "Phone", "Email", "PostCode"];

/// The columns that content is searched for.
const SEARCHABLE: [&str; 3] = ["PatientID", "SSN", "Email"];

/// What is left out of numbers before they are compared.
const DELIMITERS: [&str; 5] = ["-", "/", "*", "#", "^"];

/// The name of the data store the table is for.
pub const STORE: &str = "PatientRecords";

/// Distinct social security numbers there are: 99 areas of 99 groups of 9,999.
const NUMBERS: u64 = 99 * 99 * 9_999;

const FIRST: [&str; 32] = [
    "Ada", "Alan", "Amara", "Anton", "Beatriz", "Björn", "Chen", "Clara", "Dario", "Edith", "Emeka", "Farida", "Grace",
    "Hiro", "Ines", "Ivan", "Jonas", "Keiko", "Lars", "Leila", "Mateo", "Mina", "Nadia", "Noor", "Olga", "Pablo",
    "Priya", "Rosa", "Samir", "Tove", "Yara", "Zoë",
];

const LAST: [&str; 32] = [
    "Abbott",
    "Almeida",
    "Bakker",
    "Castillo",
    "Dubois",
    "Eriksen",
    "Fischer",
    "Garcia",
    "Haddad",
    "Ivanova",
    "Jensen",
    "Kowalski",
    "Lindqvist",
    "Moreau",
    "Nakamura",
    "O'Brien",
    "Okafor",
    "Petrov",
    "Quispe",
    "Rossi",
    "Schneider",
    "Silva",
    "Tanaka",
    "Ueda",
    "Vasquez",
    "Walker",
    "Xu",
    "Yilmaz",
    "Zhang",
    "Novak",
    "Costa",
    "Murphy",
];

/// The patients of one seed.
#[derive(Debug, Clone, Copy)]
pub struct People {
    seed: u64,
}

impl People {
    /// Returns the patients of a seed.
    pub const fn new(seed: u64) -> Self {
        Self { seed }
    }

    /// Returns row `k`, counted from 0, a value for each of [`COLUMNS`].
    pub fn row(&self, k: u64) -> [String; COLUMNS.len()] {
        let draw = |column: u64, below: u64| (chance::draw(self.seed, k * 16 + column) * below as f64) as u64;
        let first = FIRST[draw(0, FIRST.len() as u64) as usize];
        let last = LAST[draw(1, LAST.len() as u64) as usize];
        // A multiplier prime to the count runs through all numbers once.
        let number = (k.wrapping_mul(41_142_191) + self.seed % NUMBERS) % NUMBERS;
        let (area, rest) = (901 + number / (99 * 9_999), number % (99 * 9_999));
        [
            format!("P{k:09}"),
            first.to_owned(),
            last.to_owned(),
            format!("{:04}-{:02}-{:02}", 1930 + draw(2, 90), 1 + draw(3, 12), 1 + draw(4, 28)),
            format!("{area}-{:02}-{:04}", 1 + rest / 9_999, 1 + rest % 9_999),
            format!("{:03}-555-01{:02}", 201 + draw(5, 780), draw(6, 100)),
            format!("p{k:x}@example.com"),
            format!("{:05}", 1_000 + draw(7, 98_000)),
        ]
    }

    /// Writes a header and `rows` rows as comma-separated values.
    ///
    /// # Errors
    ///
    /// Whatever the output says.
    pub fn write_csv(&self, rows: u64, out: &mut impl Write) -> io::Result<()> {
        writeln!(out, "{}", COLUMNS.join(","))?;
        for k in 0..rows {
            writeln!(out, "{}", self.row(k).join(","))?;
        }
        out.flush()
    }
}

/// Returns whether numbers in a column are written with delimiters.
fn has_delimiters(column: &str) -> bool {
    matches!(column, "SSN" | "Phone" | "PatientID")
}

/// Returns the schema of the table, as EdmSchema XML.
pub fn schema_xml() -> String {
    let mut xml = format!(
        "<EdmSchema xmlns=\"http://schemas.microsoft.com/office/2018/edm\">\n  \
         <DataStore name=\"{STORE}\" description=\"Patients who do not exist\" version=\"1\">\n"
    );
    for column in COLUMNS {
        let searchable = SEARCHABLE.contains(&column);
        xml.push_str(&format!("    <Field name=\"{column}\" searchable=\"{searchable}\" caseInsensitive=\"true\""));
        if has_delimiters(column) {
            xml.push_str(&format!(" ignoredDelimiters=\"{}\"", DELIMITERS.join(",")));
        }
        xml.push_str(" />\n");
    }
    xml.push_str("  </DataStore>\n</EdmSchema>\n");
    xml
}

/// Returns the data store of the table.
pub(super) fn store() -> StoreSpec {
    let column = |name: &&str| ColumnSpec {
        name: (*name).to_owned(),
        searchable: SEARCHABLE.contains(name),
        case_insensitive: true,
        ignored_delimiters: DELIMITERS.iter().filter(|_| has_delimiters(name)).map(|mark| (*mark).to_owned()).collect(),
    };
    StoreSpec {
        id: String::new(),
        display_name: STORE.to_owned(),
        description: "Patients who do not exist".to_owned(),
        columns: COLUMNS.iter().map(column).collect(),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn a_row_is_the_same_alone_as_in_the_table() {
        let people = People::new(7);
        let mut table = Vec::new();
        people.write_csv(50, &mut table).unwrap();
        let lines: Vec<_> = std::str::from_utf8(&table).unwrap().lines().collect();
        assert_eq!(lines.len(), 51);
        assert_eq!(lines[50], people.row(49).join(","));
    }

    #[test]
    fn no_two_rows_share_an_identifier_and_no_cell_needs_quotes() {
        let people = People::new(0);
        let mut numbers = HashSet::new();
        for k in 0..20_000 {
            let row = people.row(k);
            assert!(row[4].starts_with('9') && row[4].len() == 11, "{}", row[4]);
            assert!(row.iter().all(|cell| !cell.contains([',', '"', '\n'])), "{row:?}");
            assert!(numbers.insert(row[4].clone()), "row {k} repeats {}", row[4]);
        }
    }

    #[test]
    fn rows_of_another_seed_differ() {
        assert_ne!(People::new(1).row(3), People::new(2).row(3));
    }
}
