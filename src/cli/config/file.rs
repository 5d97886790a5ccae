//! The configuration file, and the place of each thing in it.

use std::io::Read;
use std::path::{Path, PathBuf};

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::{known, refused, shown};
use crate::agent::exit::Trouble;
use crate::agent::settings::Settings;

/// The longest file that is read, in bytes: thousands of tables fit, and a
/// wrong path does not fill the memory.
const LIMIT: u64 = 1 << 20;

/// A configuration file that was read, and may be wrong.
pub(super) struct File {
    path: PathBuf,
    text: String,
}

impl File {
    /// Reads a file; nothing if there is none.
    pub(super) fn read(path: &Path) -> Result<Option<Self>, Trouble> {
        let shown = path.display();
        let unreadable = |error: std::io::Error| {
            refused(format!("read the configuration {shown}: {error}; check the path, its owner and its mode"))
        };
        let file = match std::fs::File::open(path) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            opened => opened.map_err(unreadable)?,
        };
        let mut bytes = Vec::new();
        file.take(LIMIT + 1).read_to_end(&mut bytes).map_err(unreadable)?;
        if bytes.len() as u64 > LIMIT {
            let message = "it is longer than 1 MiB, more than any configuration needs; check the path";
            return Err(refused(format!("read the configuration {shown}: {message}")));
        }
        let path = path.to_owned();
        match String::from_utf8(bytes) {
            Ok(text) => Ok(Some(Self { path, text })),
            Err(error) => {
                let at = error.utf8_error().valid_up_to();
                let text = String::from_utf8_lossy(error.as_bytes()).into_owned();
                let place = Self { path, text }.place(at);
                Err(refused(format!("read the configuration at {place}: this is not UTF-8; save the file as UTF-8")))
            }
        }
    }

    pub(super) fn text(&self) -> &str {
        &self.text
    }

    /// Reads the file by itself, strictly.
    pub(super) fn check(&self) -> Result<(), Trouble> {
        let (tree, errors) = DeTable::parse_recoverable(&self.text);
        let at = |error: &toml::de::Error| error.span().map_or(0, |span| span.start);
        if let Some(error) = errors.iter().min_by_key(|error| at(error)) {
            let place = self.place(at(error));
            return Err(refused(format!("read the configuration at {place}: not TOML: {}", error.message())));
        }
        match toml::from_str::<Settings>(&self.text) {
            Ok(_) => Ok(()),
            Err(error) => Err(self.wrong(tree.get_ref(), at(&error), error.message())),
        }
    }

    /// Says what is wrong without repeating what was written.
    fn wrong(&self, tree: &DeTable<'_>, at: usize, said: &str) -> Trouble {
        let place = self.place(at);
        let mut path = path_at(tree, at).unwrap_or_default();
        let key = path.join(".");
        if said.starts_with("unknown field") {
            return refused(unknown(&key, &format!("key `{}` at {place}", shown(&key)), |nearest| match known::split(
                nearest,
            ) {
                (section, name) if section == known::split(&key).0 => format!("`{name}`"),
                _ => format!("`{nearest}`"),
            }));
        }
        if let Some(field) = said.strip_prefix("missing field ") {
            return refused(format!("key {field} is missing from `{key}` at {place}: write it there"));
        }
        // Keys inside a value that should be none are the person's, not ours.
        while !known::is_known(&path.join(".")) && path.pop().is_some() {}
        let key = path.join(".");
        refused(format!("wrong value for `{key}` at {place}: write {}", known::takes(&key)))
    }

    /// Returns `FILE:LINE:COLUMN` of a key as it was written, by its dotted
    /// path, in which each table has its number: `table.0.name`.
    pub(super) fn place_of(&self, key: &str) -> Option<String> {
        let tree = DeTable::parse(&self.text).ok()?;
        position_of(tree.get_ref(), key).map(|at| self.place(at))
    }

    /// Returns the text a key has, if it has one, even in a file that is wrong.
    pub(super) fn text_of(&self, key: &str) -> Option<String> {
        let (tree, _) = DeTable::parse_recoverable(&self.text);
        let (mut table, mut rest) = (tree.get_ref(), key);
        while let Some((section, name)) = rest.split_once('.') {
            (table, rest) = (table.get(section)?.get_ref().as_table()?, name);
        }
        table.get(rest)?.get_ref().as_str().map(str::to_owned)
    }

    /// Returns `FILE:LINE:COLUMN` of a byte; columns count characters.
    fn place(&self, at: usize) -> String {
        let before = &self.text[..self.text.floor_char_boundary(at)];
        let line = before.matches('\n').count() + 1;
        let column = before.rsplit('\n').next().map_or(0, |line| line.chars().count()) + 1;
        format!("{}:{line}:{column}", self.path.display())
    }
}

/// Says that a key is not known, and what may have been meant.
pub(super) fn unknown(key: &str, what: &str, name: impl Fn(&str) -> String) -> String {
    if let Some(nearest) = known::nearest(key) {
        return format!("unknown {what}: did you mean {}?", name(&nearest));
    }
    let (section, last) = known::split(key);
    let last = last.to_lowercase();
    let secrets = [("token", "auth.token_file"), ("salt", "table.salt_file"), ("certificate", "auth.certificate_file")];
    let others =
        ["secret", "password", "passphrase", "private_key", "credential"].map(|word| (word, "auth.secret_file"));
    if let Some((_, file)) = secrets.iter().chain(&others).find(|(word, _)| last.contains(word)) {
        return format!("unknown {what}: secrets come from files, never from settings: use {}", name(file));
    }
    let there = known::fields(section).join(", ");
    match there.is_empty() {
        true => format!("unknown {what}: remove it"),
        false => format!("unknown {what}: what may stand there is {there}"),
    }
}

/// Returns the names down to what stands at a byte, the numbers of tables left out.
fn path_at(table: &DeTable<'_>, at: usize) -> Option<Vec<String>> {
    table.iter().find_map(|(key, value)| {
        let below = path_within(value.get_ref(), at);
        let here = key.span().contains(&at) || value.span().contains(&at);
        let mut path = below.or(here.then(Vec::new))?;
        path.insert(0, key.get_ref().to_string());
        Some(path)
    })
}

fn path_within(value: &DeValue<'_>, at: usize) -> Option<Vec<String>> {
    if let Some(items) = value.as_array() {
        let within =
            |item: &Spanned<DeValue<'_>>| path_within(item.get_ref(), at).or(item.span().contains(&at).then(Vec::new));
        return items.iter().find_map(within);
    }
    path_at(value.as_table()?, at)
}

fn position_of(table: &DeTable<'_>, key: &str) -> Option<usize> {
    let (name, rest) = key.split_once('.').map_or((key, None), |(name, rest)| (name, Some(rest)));
    let (found, value) = table.iter().find(|(key, _)| key.get_ref() == name)?;
    let Some(rest) = rest else { return Some(found.span().start) };
    let Some(items) = value.get_ref().as_array() else { return position_of(value.get_ref().as_table()?, rest) };
    let (number, rest) = rest.split_once('.').map_or((rest, None), |(number, rest)| (number, Some(rest)));
    let item = items.get(number.parse::<usize>().ok()?)?;
    // A key that was left out is shown where its table begins.
    let inside = rest.and_then(|rest| position_of(item.get_ref().as_table()?, rest));
    Some(inside.unwrap_or(item.span().start))
}
