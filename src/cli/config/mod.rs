//! Loading the configuration: built-in defaults, the file, the environment.
//!
//! Each layer is first read by itself and strictly, so that whatever is wrong
//! is said with its place: the line and column of the file, or the variable.
//! The `config` crate, which forgives wrong types and forgets places, then only
//! lays sound layers over each other. What no layer can know alone, such as the
//! guard being shorter than the session's life, is checked at the end.
//!
//! # Invariants
//!
//! - No message repeats a value, a table's name aside: it may be a secret.
//! - Every message names the key, where it was written, and what to do.

mod check;
mod environment;
mod file;
mod known;

use std::path::Path;

use config::{Config, FileFormat};

use crate::agent::exit::{Exit, Trouble};
use crate::agent::settings::Settings;

use environment::Variable;
use file::File;

pub use environment::variables;
pub use known::keys;

/// The configuration file if none is named.
pub const DEFAULT_FILE: &str = "/etc/edm-agent/agent.toml";

/// Loads the configuration of a command that needs one. `file` is the one the
/// person named, `env` the process's variables, see [`variables`].
///
/// # Errors
///
/// Exits 78, and says where what is wrong and what to do.
pub fn load(file: Option<&Path>, env: impl IntoIterator<Item = (String, String)>) -> Result<Settings, Trouble> {
    let path = file.unwrap_or(Path::new(DEFAULT_FILE));
    let Some(found) = File::read(path)? else { return Err(missing(path, file.is_some())) };
    layered(Some(found), env)
}

/// Loads the configuration of a command that can do without: the default file
/// may be missing, one that was named may not.
///
/// # Errors
///
/// As [`load`].
pub fn load_or_default(
    file: Option<&Path>,
    env: impl IntoIterator<Item = (String, String)>,
) -> Result<Settings, Trouble> {
    match file {
        Some(_) => load(file, env),
        None => layered(File::read(Path::new(DEFAULT_FILE))?, env),
    }
}

fn layered(file: Option<File>, env: impl IntoIterator<Item = (String, String)>) -> Result<Settings, Trouble> {
    let layers = Layers { file, variables: environment::read(env)? };
    let settings = layers.merge()?;
    check::check(&settings, &layers)?;
    Ok(settings)
}

/// What was written, and where.
struct Layers {
    file: Option<File>,
    variables: Vec<Variable>,
}

impl Layers {
    fn merge(&self) -> Result<Settings, Trouble> {
        let mut builder = Config::builder();
        if let Some(file) = &self.file {
            file.check()?;
            builder = builder.add_source(config::File::from_str(file.text(), FileFormat::Toml));
        }
        for variable in &self.variables {
            builder = builder.set_override(&variable.key, variable.value.clone()).map_err(|_| disagree())?;
        }
        builder.build().and_then(Config::try_deserialize).map_err(|_| disagree())
    }

    /// Returns whether a key was written at all.
    fn has(&self, key: &str) -> bool {
        !self.place(key).is_empty()
    }

    /// Says where a key was written last, if anywhere: ` at FILE:LINE:COLUMN` or ` in VARIABLE`.
    fn place(&self, key: &str) -> String {
        self.place_within(key, key)
    }

    /// Says where an entry of a list was written last, if anywhere.
    fn place_in_list(&self, key: &str, number: usize) -> String {
        self.place_within(key, &format!("{key}.{number}"))
    }

    fn place_within(&self, key: &str, path: &str) -> String {
        let variable = self.variables.iter().rfind(|variable| variable.key == key);
        variable.map(|variable| format!(" in {}", variable.name)).unwrap_or_else(|| {
            let place = self.file.as_ref().and_then(|file| file.place_of(path));
            place.map(|place| format!(" at {place}")).unwrap_or_default()
        })
    }
}

fn refused(message: impl Into<String>) -> Trouble {
    Trouble::new(Exit::BadConfiguration, message)
}

/// The most of a name that is shown, in characters: names are short, and what is
/// longer is no name.
const NAME_SHOWN: usize = 80;

/// Returns a name somebody wrote, fit for a terminal.
fn shown(name: &str) -> String {
    let plain = |character: char| if character.is_control() { ' ' } else { character };
    name.chars().take(NAME_SHOWN).map(plain).collect()
}

fn missing(path: &Path, named: bool) -> Trouble {
    let path = path.display();
    refused(match named {
        true => format!("read the configuration {path}: there is no such file; check the path given to --config"),
        false => format!(
            "read the configuration {path}: there is no such file; write one, starting from the documented \
             config/agent.toml, or name another with --config FILE"
        ),
    })
}

/// Each layer was read strictly before, so this is nobody's mistake but ours.
fn disagree() -> Trouble {
    refused("lay the environment over the configuration file: they do not fit together; please report this")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_default_file_is_told_apart_from_a_missing_named_one() {
        let named = missing(Path::new("/x.toml"), true).message;
        let default = missing(Path::new(DEFAULT_FILE), false).message;
        assert!(named.contains("check the path"), "{named}");
        assert!(default.contains("--config FILE") && default.contains(DEFAULT_FILE), "{default}");
    }
}
