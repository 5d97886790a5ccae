//! `man` and `completions`: what the command line knows of itself, for the
//! pages of `man` and for shells.

use std::fs;
use std::io::{self, Write};
use std::path::Path;

use clap::CommandFactory;
use clap_complete::generate;
use clap_complete::shells::{Bash, Fish, Zsh};
use clap_mangen::Man;

use super::args::{Arguments, Shell};
use crate::agent::exit::{Exit, Trouble};

/// The section of the manual: commands for whoever administers a system.
const SECTION: &str = "8";

/// Prints the completions of a shell.
pub(crate) fn completions(shell: Shell) -> Result<Exit, Trouble> {
    let mut command = Arguments::command();
    let mut text = Vec::new();
    match shell {
        Shell::Bash => generate(Bash, &mut command, "edm-agent", &mut text),
        Shell::Zsh => generate(Zsh, &mut command, "edm-agent", &mut text),
        Shell::Fish => generate(Fish, &mut command, "edm-agent", &mut text),
    }
    print(&text)
}

/// Prints the page of the whole program, or writes a page for each command.
pub(crate) fn man(output: Option<&Path>) -> Result<Exit, Trouble> {
    let mut command = Arguments::command().disable_help_subcommand(true);
    command.build();
    let Some(folder) = output else { return print(&page(command)?.1) };
    fs::create_dir_all(folder).map_err(|error| failed(folder, &error))?;
    for (name, text) in pages(command)? {
        let path = folder.join(name);
        fs::write(&path, text).map_err(|error| failed(&path, &error))?;
    }
    Ok(Exit::Done)
}

/// Returns the page of a command and those of the commands below it.
fn pages(command: clap::Command) -> Result<Vec<(String, Vec<u8>)>, Trouble> {
    let mut all = Vec::new();
    for below in command.get_subcommands().filter(|below| !below.is_hide_set()) {
        all.extend(pages(below.clone())?);
    }
    all.push(page(command)?);
    Ok(all)
}

/// Returns the page of one command, with the name of its file.
fn page(command: clap::Command) -> Result<(String, Vec<u8>), Trouble> {
    let man = Man::new(command).section(SECTION);
    let mut text = Vec::new();
    man.render(&mut text).map_err(|error| failed(Path::new("the manual page"), &error))?;
    Ok((man.get_filename(), text))
}

fn print(text: &[u8]) -> Result<Exit, Trouble> {
    match io::stdout().lock().write_all(text) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(failed(Path::new("stdout"), &error)),
        _ => Ok(Exit::Done),
    }
}

fn failed(path: &Path, error: &io::Error) -> Trouble {
    Trouble::new(Exit::LocalIo, format!("write {}: {error}", path.display()))
}
