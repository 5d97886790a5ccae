//! `config/agent.toml` is the reference: every key, and the true defaults.

use std::collections::{BTreeMap, BTreeSet};

use edm_agent::agent::settings::{Class, Settings, TableSettings, classes};
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
            min_rows_percent,
            max_rows_percent,
            max_blank_percent,
            allow_empty,
            skip_unchanged,
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
            "{min_rows_percent} {max_rows_percent} {max_blank_percent} {allow_empty} {skip_unchanged} \
             {separator} {quote:?} {encoding:?} {digest:?} {rows_per_block} {allowed_bad_lines_percent} {salt_file:?} {when} {timezone} \
             {catch_up:?} {jitter:?} {settle:?} {done_marker:?}"
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

/// Returns what the example says of each key: when a changed value counts.
fn said_of_each() -> BTreeMap<String, String> {
    let (mut section, mut comment, mut said) = (String::new(), String::new(), BTreeMap::new());
    for line in EXAMPLE.lines() {
        let code = line.strip_prefix('#').unwrap_or(line);
        if let Some(prose) = line.strip_prefix("# ") {
            comment.push_str(&format!("{prose} "));
        } else if code.starts_with('[') {
            section = format!("{}.", code.trim_matches(['[', ']']));
        } else if let Some((name, _)) = code.split_once(" = ") {
            let key = format!("{section}{name}");
            let words = [Class::Live, Class::NextUpload, Class::Restart].map(|class| class.to_string());
            let found: Vec<String> =
                words.into_iter().filter(|word| comment.trim_end().ends_with(&format!("({word})"))).collect();
            assert_eq!(found.len(), 1, "end with (live), (next upload) or (restart): {key}: {comment}");
            assert!(said.insert(key, found.into_iter().next().unwrap()).is_none());
        }
        if !line.starts_with("# ") {
            comment.clear();
        }
    }
    said
}

#[test]
fn each_key_has_one_class_and_the_example_says_it() {
    let listed: Vec<(String, String)> = classes().map(|(key, class)| (key, class.to_string())).collect();
    let once: BTreeMap<String, String> = listed.iter().cloned().collect();
    assert_eq!(once.len(), listed.len(), "a key is listed twice");
    assert_eq!(once.keys().cloned().collect::<BTreeSet<_>>(), keys().iter().cloned().collect(), "left: listed");

    assert_eq!(said_of_each(), once, "left: what config/agent.toml says, right: what the list says");
}
