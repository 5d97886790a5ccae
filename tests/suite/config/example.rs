//! `config/agent.toml` is the reference: every key, and the true defaults.

use std::collections::BTreeSet;

use edm_agent::agent::settings::{Settings, TableSettings};
use edm_agent::cli::config::keys;

use super::{TABLE, read};

const EXAMPLE: &str = include_str!("../../../config/agent.toml");

/// Returns the example with its table: a line that begins with `#` and no space
/// is commented out, one with a space is prose.
fn with_table() -> String {
    let shown = |line: &str| match line.strip_prefix('#') {
        Some(code) if !code.is_empty() && !code.starts_with(' ') => format!("{code}\n"),
        _ => format!("{line}\n"),
    };
    EXAMPLE.lines().map(shown).collect()
}

fn collect(value: &toml::Value, path: &str, found: &mut BTreeSet<String>) {
    match value {
        toml::Value::Table(table) => {
            for (name, value) in table {
                collect(value, format!("{path}.{name}").trim_start_matches('.'), found);
            }
        }
        toml::Value::Array(items) if items.first().is_some_and(toml::Value::is_table) => {
            items.iter().for_each(|item| collect(item, path, found));
        }
        toml::Value::Array(_)
        | toml::Value::String(_)
        | toml::Value::Integer(_)
        | toml::Value::Float(_)
        | toml::Value::Boolean(_)
        | toml::Value::Datetime(_) => {
            found.insert(path.to_owned());
        }
    }
}

#[test]
fn the_example_holds_every_key_there_is_and_no_other() {
    let mut documented = BTreeSet::new();
    collect(&toml::Value::Table(with_table().parse().unwrap()), "", &mut documented);

    assert_eq!(documented, keys().iter().cloned().collect(), "left: documented, right: known");
}

#[test]
fn the_example_says_the_built_in_defaults() {
    let loaded = read(EXAMPLE).unwrap();

    assert_eq!(format!("{loaded:#?}"), format!("{:#?}", Settings::default()));
}

#[test]
fn the_example_of_a_table_says_the_defaults_of_tables() {
    let example = read(with_table()).unwrap().table.remove(0);
    let least = read(TABLE).unwrap().table.remove(0);

    let theirs = |table: TableSettings| {
        let TableSettings {
            separator,
            quote,
            encoding,
            digest,
            rows_per_block,
            allowed_bad_lines_percent,
            salt_file,
            when,
            timezone,
            catch_up,
            jitter,
            settle,
            done_marker,
            ..
        } = table;
        format!(
            "{separator} {quote:?} {encoding:?} {digest:?} {rows_per_block} {allowed_bad_lines_percent} {salt_file:?} {when} {timezone} {catch_up:?} {jitter:?} {settle:?} {done_marker:?}"
        )
    };
    assert!(example.canary.is_some());
    assert_eq!(theirs(example), theirs(least));
}

#[test]
fn every_key_of_the_example_is_explained_above_it() {
    let lines: Vec<&str> = EXAMPLE.lines().collect();
    let is_code =
        |line: &str| line.trim_start_matches('#').split_once(" = ").is_some_and(|(key, _)| !key.contains(' '));
    let mut explained = 0;
    for pair in lines.windows(2).filter(|pair| is_code(pair[1])) {
        assert!(pair[0].starts_with("# "), "say what this is for: {}", pair[1]);
        explained += 1;
    }
    assert_eq!(explained, keys().len());
}
