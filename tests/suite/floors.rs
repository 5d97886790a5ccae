//! The floors: a room names only rooms below it, and the pure ones touch
//! nothing.

use std::collections::BTreeSet;

use crate::support::tree::{self, Source};

/// Every room and the floor it is on.
const FLOORS: [(&str, u8); 8] = [
    ("ground", 0),
    ("table", 1),
    ("upload", 1),
    ("ports", 2),
    ("adapters", 3),
    ("agent", 4),
    ("sandbox", 4),
    ("cli", 5),
];

/// The floor up to which nothing is performed.
const PURE: u8 = 1;

/// What performs, reads a clock, draws, or waits.
const IMPURE: [&str; 14] = [
    "async ",
    ".await",
    "std::env",
    "std::fs",
    "std::net",
    "std::os",
    "std::process",
    "std::thread",
    "tokio",
    "getrandom",
    "rustix",
    "Instant",
    "SystemTime",
    "Utc::now",
];

fn floor(room: &str) -> Option<u8> {
    FLOORS.iter().find(|(name, _)| *name == room).map(|(_, floor)| *floor)
}

/// Returns the rooms that a line names.
fn named(line: &str) -> impl Iterator<Item = &str> {
    line.split("crate::").skip(1).map(|rest| {
        let end = rest.find(|character: char| !character.is_ascii_lowercase() && character != '_');
        &rest[..end.unwrap_or(rest.len())]
    })
}

#[test]
fn every_folder_of_the_source_is_a_room_with_a_floor() {
    let sources = tree::rust("src");
    let rooms: BTreeSet<&str> = sources.iter().filter_map(Source::room).collect();
    let known: BTreeSet<&str> = FLOORS.iter().map(|(room, _)| *room).collect();
    assert_eq!(rooms, known);
    let above: Vec<&str> =
        sources.iter().filter(|source| source.room().is_none()).map(|one| one.path.as_str()).collect();
    assert_eq!(above, ["src/lib.rs", "src/main.rs"], "everything else stands in a room");
}

#[test]
fn a_room_names_only_itself_and_rooms_on_floors_below() {
    let mut breaches = Vec::new();
    for source in tree::rust("src") {
        let Some(own) = source.room() else { continue };
        for (number, line) in source.text.lines().enumerate() {
            for other in named(line) {
                let is_below = floor(other) < floor(own);
                if other != own && !(is_below && floor(other).is_some()) {
                    breaches.push(format!("{}:{}: {own} names crate::{other}", source.path, number + 1));
                }
            }
        }
    }
    assert!(breaches.is_empty(), "{breaches:#?}");
}

/// How deep the module of a file lies below the crate: `src/room/mod.rs` is 1.
fn depth(path: &str) -> usize {
    let inside = path.trim_start_matches("src/").trim_end_matches(".rs").trim_end_matches("/mod");
    inside.split('/').count()
}

#[test]
fn no_room_is_left_through_its_parent() {
    let mut breaches = Vec::new();
    for source in tree::rust("src").iter().filter(|source| source.room().is_some()) {
        for (number, line) in source.code() {
            // What is indented may stand in a module inside the file, one deeper.
            let inner = usize::from(line.starts_with(' '));
            let deepest = line.split(|character: char| !(character.is_alphanumeric() || "_:".contains(character)));
            let supers = deepest.map(|path| path.matches("super::").count()).max().unwrap_or(0);
            if supers >= depth(&source.path) + inner {
                breaches.push(format!("{}:{number}: {line}", source.path));
            }
        }
    }
    assert!(breaches.is_empty(), "{breaches:#?}");
}

#[test]
fn the_ground_and_the_first_floor_perform_nothing() {
    let mut breaches = Vec::new();
    for source in tree::rust("src") {
        if source.room().and_then(floor).is_none_or(|floor| floor > PURE) {
            continue;
        }
        for (number, line) in source.code() {
            for word in IMPURE.iter().filter(|word| line.contains(**word)) {
                breaches.push(format!("{}:{number}: {word}", source.path));
            }
        }
    }
    assert!(breaches.is_empty(), "{breaches:#?}");
}

#[test]
fn the_program_itself_is_one_call_into_the_command_line() {
    let main = tree::read("src/main.rs");
    let named: Vec<&str> = main.lines().filter(|line| line.contains("edm_agent::")).collect();
    assert_eq!(named, ["    edm_agent::cli::main()"]);
}
