//! The configuration: what is accepted, what is refused, and where it says so.

mod environment;
mod example;
mod mutated;
mod refusing;
mod rules;

use std::path::Path;

use edm_agent::agent::exit::{Exit, Trouble};
use edm_agent::agent::settings::Settings;
use edm_agent::cli::config::load;

const NO_VARIABLES: [(String, String); 0] = [];

/// A table with all that it must have, on the lines 1 to 5.
const TABLE: &str = "[[table]]\nname = \"patients\"\ndata_store = \"s\"\npath = \"/p.csv\"\nschema = \"service\"\n";

fn read_with(text: impl AsRef<[u8]>, variables: &[(&str, &str)]) -> Result<Settings, Trouble> {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("agent.toml");
    std::fs::write(&path, text).unwrap();
    let variables = variables.iter().map(|&(name, value)| (name.to_owned(), value.to_owned()));
    load(Some(&path), variables).map_err(|trouble| without(dir.path(), trouble))
}

fn read(text: impl AsRef<[u8]>) -> Result<Settings, Trouble> {
    read_with(text, &[])
}

/// Returns what is said about a bad file, which must be a bad configuration.
fn said(text: impl AsRef<[u8]>) -> String {
    let trouble = read(&text).expect_err(&String::from_utf8_lossy(text.as_ref()));
    assert_eq!(trouble.exit, Exit::BadConfiguration);
    trouble.message
}

fn without(dir: &Path, mut trouble: Trouble) -> Trouble {
    trouble.message = trouble.message.replace(&format!("{}/", dir.display()), "");
    trouble
}
