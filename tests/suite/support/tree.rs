//! The project's own files, as text.

use std::fs;
use std::path::{Path, PathBuf};

/// What is not the project's: built, fetched, or the version control's.
const FOREIGN: [&str; 3] = ["target", ".git", "node_modules"];

/// Returns the project's folder.
pub(crate) fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Reads a file of the project.
pub(crate) fn read(path: &str) -> String {
    let path = root().join(path);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// A file of the project: its path from the root, and its text.
pub(crate) struct Source {
    pub(crate) path: String,
    pub(crate) text: String,
}

impl Source {
    /// Returns the lines that are code: comments are left out, and what stands
    /// behind code.
    pub(crate) fn code(&self) -> impl Iterator<Item = (usize, &str)> {
        let numbered = self.text.lines().enumerate().map(|(index, line)| (index + 1, line));
        numbered.map(|(number, line)| (number, line.split("//").next().unwrap_or_default()))
    }

    /// Returns the room it is in, if it is in one.
    pub(crate) fn room(&self) -> Option<&str> {
        let (room, _) = self.path.strip_prefix("src/")?.split_once('/')?;
        Some(room)
    }
}

/// Returns every text file of the project below a folder, or with an empty
/// one of the whole project, sorted by path.
pub(crate) fn files(folder: &str) -> Vec<Source> {
    let mut found = Vec::new();
    walk(&root().join(folder), &mut found);
    let mut sources: Vec<Source> = found
        .into_iter()
        .filter_map(|path| {
            let text = String::from_utf8(fs::read(&path).unwrap()).ok()?;
            let path = path.strip_prefix(root()).unwrap().to_string_lossy().into_owned();
            Some(Source { path, text })
        })
        .collect();
    sources.sort_by(|one, other| one.path.cmp(&other.path));
    sources
}

/// Returns every Rust file below a folder.
pub(crate) fn rust(folder: &str) -> Vec<Source> {
    files(folder).into_iter().filter(|source| source.path.ends_with(".rs")).collect()
}

fn walk(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let entry = entry.unwrap();
        let kind = entry.file_type().unwrap();
        if kind.is_dir() && !FOREIGN.iter().any(|foreign| entry.file_name() == *foreign) {
            walk(&entry.path(), found);
        } else if kind.is_file() && entry.file_name() != ".git" {
            found.push(entry.path());
        }
    }
}
