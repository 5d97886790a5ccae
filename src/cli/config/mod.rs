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

use std::path::{Path, PathBuf};

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

/// Where the agent is that goes by a configuration.
pub struct Place {
    /// Its socket.
    pub socket: PathBuf,
    /// Its state directory.
    pub state_dir: PathBuf,
}

/// Reads where the agent is from a configuration that [`load`] refused: whatever
/// else is wrong with it, even that it is no TOML from some line on. What is not
/// to be read is the default. Nothing if the file that was named does not exist:
/// nobody knows which agent was meant.
pub fn place(file: Option<&Path>, env: impl IntoIterator<Item = (String, String)>) -> Option<Place> {
    let read = File::read(file.unwrap_or(Path::new(DEFAULT_FILE)));
    if file.is_some() && matches!(read, Ok(None)) {
        return None;
    }
    let (read, variables) = (read.ok().flatten(), environment::lenient(env));
    let path = |key: &str| {
        let said = variables.iter().rfind(|variable| variable.key == key);
        let said = said.and_then(|variable| variable.value.clone().into_string().ok());
        said.or_else(|| read.as_ref()?.text_of(key)).map(PathBuf::from)
    };
    let default = Settings::default();
    Some(Place {
        socket: path("control.socket").unwrap_or(default.control.socket),
        state_dir: path("state_dir").unwrap_or(default.state_dir),
    })
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

    /// Returns where the agent is by a file and the environment.
    fn placed(text: &str, env: &[(&str, &str)]) -> Option<(String, String)> {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("agent.toml");
        std::fs::write(&file, text).unwrap();
        let env = env.iter().map(|&(name, value)| (name.to_owned(), value.to_owned()));
        let shown = |path: PathBuf| path.display().to_string();
        place(Some(&file), env).map(|Place { socket, state_dir }| (shown(socket), shown(state_dir)))
    }

    #[test]
    fn where_the_agent_is_can_be_read_from_a_file_that_is_refused() {
        let own = Some(("/run/own.sock".to_owned(), "/srv/own".to_owned()));
        let good = "state_dir = \"/srv/own\"\n[control]\nsocket = \"/run/own.sock\"\n";
        for bad in ["[quota]\nreservd = 1\n", "[lease]\nguard = 3\n", "[log\n", "\u{0}"] {
            assert_eq!(placed(&format!("{good}{bad}"), &[]), own, "{bad}");
        }
        let default = Some(("/run/edm-agent/agent.sock".to_owned(), "/var/lib/edm-agent".to_owned()));
        assert_eq!(placed("state_dir = 3\n[control]\nsocket = false\n", &[]), default);
        let env = [("EDM_AGENT__STATE_DIR", "/srv/own"), ("EDM_AGENT__CONTROL__SOCKET", "/run/own.sock")];
        assert_eq!(placed(good, &[env[0], ("EDM_AGENT__CONTROL__SOCKT", "/x")]), own);
        assert_eq!(placed("state_dir = \"/srv/other\"\nnonsense", &env), own);
        assert!(place(Some(Path::new("/nowhere/agent.toml")), []).is_none(), "it is not said which agent");
    }

    #[test]
    fn a_missing_default_file_is_told_apart_from_a_missing_named_one() {
        let named = missing(Path::new("/x.toml"), true).message;
        let default = missing(Path::new(DEFAULT_FILE), false).message;
        assert!(named.contains("check the path"), "{named}");
        assert!(default.contains("--config FILE") && default.contains(DEFAULT_FILE), "{default}");
    }
}
