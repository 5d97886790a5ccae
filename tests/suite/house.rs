//! The house rules that a machine can check, and that what the pages say is so.

use std::collections::BTreeSet;
use std::process::Command;

use edm_agent::adapters::journal::CLOSE_LIMIT;
use edm_agent::agent::exit::Exit;
use edm_agent::ground::units::parse_duration;

use crate::support::tree::{self, Source};

/// The most lines a file has: more is two ideas.
const LONGEST: usize = 450;
/// The most lines half of the files have.
const MEDIAN: usize = 175;

#[test]
fn no_source_file_is_long_and_most_are_short() {
    let mut lengths: Vec<(usize, String)> =
        tree::rust("src").into_iter().map(|source| (source.text.lines().count(), source.path)).collect();
    lengths.sort();
    let long: Vec<_> = lengths.iter().filter(|(lines, _)| *lines > LONGEST).collect();
    assert!(long.is_empty(), "{long:#?}");
    let (median, _) = &lengths[lengths.len() / 2];
    assert!(*median <= MEDIAN, "half of the files have {median} lines or more");
}

#[test]
fn no_test_file_is_long() {
    let tests = tree::rust("tests").into_iter();
    let long: Vec<String> =
        tests.filter(|source| source.text.lines().count() > LONGEST).map(|source| source.path).collect();
    assert!(long.is_empty(), "{long:#?}");
}

#[test]
fn nothing_unfinished_is_left_in_the_code() {
    // Put together here, so that this file does not find itself.
    let words = ["todo", "unimplemented", "dbg"].map(|word| format!("{word}!("));
    let sources = tree::rust("src").into_iter().chain(tree::rust("tests"));
    let found: Vec<String> = sources
        .filter(|source| source.code().any(|(_, line)| words.iter().any(|word| line.contains(word.as_str()))))
        .map(|source| source.path)
        .collect();
    assert!(found.is_empty(), "{found:#?}");
}

/// The one file that may opt out of safe Rust; the lint denies it everywhere else.
const UNSAFE: &str = "src/table/sha256/ni.rs";

#[test]
fn unsafe_stands_in_one_file_of_the_package() {
    // Put together here, so that this file does not find itself.
    let words = [["unsafe", " "].concat(), ["unsafe", "_code"].concat()];
    let folders = ["src", "tests", "benches"].into_iter().flat_map(tree::rust);
    let found: BTreeSet<String> = folders
        .filter(|source| source.code().any(|(_, line)| words.iter().any(|word| line.contains(word.as_str()))))
        .map(|source| source.path)
        .collect();
    assert_eq!(found, BTreeSet::from([UNSAFE.to_owned()]));
    assert!(tree::read("Cargo.toml").lines().any(|line| line == format!("{} = \"deny\"", words[1])));
    let proofs = tree::read(UNSAFE).matches("// SAFETY: ").count();
    let blocks = tree::read(UNSAFE).matches(&format!("{}{{", words[0])).count();
    assert_eq!(proofs, blocks, "each block has its proof");
}

#[test]
fn every_file_says_first_what_it_is() {
    let silent: Vec<String> = tree::rust("src")
        .into_iter()
        .filter(|source| !source.text.starts_with("//! "))
        .map(|source| source.path)
        .collect();
    assert!(silent.is_empty(), "{silent:#?}");
}

#[test]
fn no_file_names_a_place_of_the_machine_it_was_written_on() {
    let places = ["work", "root", "home"].map(|folder| format!("/{folder}/"));
    let names = |source: &Source| places.iter().any(|place| source.text.contains(place.as_str()));
    let found: Vec<String> = tree::files("").into_iter().filter(names).map(|source| source.path).collect();
    assert!(found.is_empty(), "{found:#?}");
}

#[test]
fn the_papers_are_there() {
    for path in [
        "CHANGELOG.md",
        "CONTRIBUTING.md",
        "LICENSE",
        "README.md",
        "clippy.toml",
        "config/agent.toml",
        "deny.toml",
        "docs/ARCHITECTURE.md",
        "docs/BUNDLE.md",
        "docs/DEPLOYMENT.md",
        "docs/GLOSSARY.md",
        "docs/METRICS.md",
        "docs/NORMALISATION.md",
        "docs/PERFORMANCE.md",
        "docs/RUNBOOK.md",
        "docs/alerts.yml",
        "docs/openapi.yaml",
        "docs/SANDBOX.md",
        "rust-toolchain.toml",
        "systemd/edm-agent.service",
    ] {
        assert!(!tree::read(path).trim().is_empty(), "{path} is empty");
    }
    assert!(tree::read("CHANGELOG.md").contains(&format!("## [{}]", env!("CARGO_PKG_VERSION"))));
}

#[test]
fn the_readme_shows_the_two_commands_every_command_and_every_exit_code() {
    let readme = tree::read("README.md");
    for command in ["cargo run --release -- demo", "cargo test"] {
        assert!(readme.lines().any(|line| line == command), "`{command}` stands on a line of its own");
    }
    let help = Command::new(env!("CARGO_BIN_EXE_edm-agent")).arg("--help").output().unwrap();
    let help = String::from_utf8(help.stdout).unwrap();
    let listed = help.lines().skip_while(|line| *line != "Commands:").skip(1).take_while(|line| !line.is_empty());
    let commands: Vec<&str> = listed.filter_map(|line| line.split_whitespace().next()).collect();
    assert!(commands.contains(&"upload"), "{help}");
    for command in commands.into_iter().filter(|command| *command != "help") {
        assert!(readme.contains(&format!("| `{command}")), "the README does not say what {command} does");
    }
    for exit in [
        Exit::Done,
        Exit::Failed,
        Exit::Usage,
        Exit::BadData,
        Exit::Unreachable,
        Exit::LocalIo,
        Exit::TryLater,
        Exit::NotPermitted,
        Exit::BadConfiguration,
    ] {
        assert!(readme.contains(&format!("| {} |", exit as u8)), "the README does not say what {exit:?} means");
    }
}

/// Returns what stands between backticks on the lines of a page.
fn quoted(page: &str) -> BTreeSet<&str> {
    page.lines().flat_map(|line| line.split('`').skip(1).step_by(2)).collect()
}

#[test]
fn the_architecture_names_every_room_and_only_tests_and_limits_that_exist() {
    let page = tree::read("docs/ARCHITECTURE.md");
    let quoted = quoted(&page);
    let sources: Vec<Source> = tree::rust("src").into_iter().chain(tree::rust("tests")).collect();
    let rooms: BTreeSet<&str> = sources.iter().filter_map(Source::room).collect();
    for room in rooms {
        assert!(quoted.contains(room), "{room} is not on the page");
    }
    let is_in_code = |text: &str| sources.iter().any(|source| source.text.contains(text));
    let is_name_of = |name: &str, allowed: fn(char) -> bool| name.chars().all(allowed);
    let is_small = |character: char| character.is_ascii_lowercase() || character.is_ascii_digit() || character == '_';
    let is_capital = |character: char| character.is_ascii_uppercase() || character == '_';
    for name in quoted {
        if name.matches('_').count() >= 4 && is_name_of(name, is_small) {
            assert!(is_in_code(&format!("fn {name}(")), "there is no test {name}");
        }
        if name.len() > 3 && is_name_of(name, is_capital) && !name.starts_with("SIG") {
            assert!(is_in_code(&format!("const {name}:")), "there is no limit {name}");
        }
    }
}

#[test]
fn every_page_that_a_page_or_the_code_points_to_exists() {
    let mut missing = Vec::new();
    for source in tree::files("") {
        for word in source.text.split(|character: char| !(character.is_alphanumeric() || "/-_.".contains(character))) {
            let is_page = word.starts_with("docs/") && word.ends_with(".md");
            if is_page && !tree::root().join(word).is_file() {
                missing.push(format!("{}: {word}", source.path));
            }
        }
    }
    assert!(missing.is_empty(), "{missing:#?}");
}

/// Returns a setting of the unit file.
fn unit_setting(key: &str) -> Option<String> {
    let unit = tree::read("systemd/edm-agent.service");
    let line = unit.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix('='));
    line.map(str::to_owned)
}

#[test]
fn the_unit_waits_longer_than_a_stop_takes_and_does_not_restart_a_bad_configuration() {
    let setting = |key: &str| unit_setting(key).unwrap_or_else(|| panic!("the unit sets {key}"));
    assert_eq!(setting("Type"), "notify");
    assert_eq!(setting("ExecStart"), "/usr/bin/edm-agent run --config /etc/edm-agent/agent.toml");
    assert_eq!(setting("ExecReload"), "/usr/bin/edm-agent reload --config /etc/edm-agent/agent.toml");
    let stops = setting("RestartPreventExitStatus");
    assert!(stops.split(' ').any(|code| code == (Exit::BadConfiguration as u8).to_string()), "{stops}");
    let patience = parse_duration(&setting("TimeoutStopSec")).unwrap();
    // What `run --grace` is without being asked.
    let grace = std::time::Duration::from_secs(10);
    assert!(patience > grace + CLOSE_LIMIT, "{patience:?}");
}
