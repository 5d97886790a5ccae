//! What the command line says of itself: manual pages and completions.

use std::collections::BTreeSet;
use std::process::{Command, Output};

fn run(arguments: &[&str]) -> Output {
    let output = Command::new(env!("CARGO_BIN_EXE_edm-agent")).args(arguments).output().unwrap();
    assert!(output.status.success(), "{output:?}");
    output
}

/// The commands the help lists.
fn commands() -> BTreeSet<String> {
    let help = String::from_utf8(run(&["--help"]).stdout).unwrap();
    let listed = help.lines().skip_while(|line| *line != "Commands:").skip(1).take_while(|line| !line.is_empty());
    listed.filter_map(|line| line.split_whitespace().next()).filter(|word| *word != "help").map(str::to_owned).collect()
}

#[test]
fn every_command_has_a_page_that_names_its_flags_and_the_main_page_names_them_all() {
    let folder = tempfile::tempdir().unwrap();
    let place = folder.path().join("man8");
    run(&["man", "--output", place.to_str().unwrap()]);
    let page = |name: &str| std::fs::read_to_string(place.join(name)).unwrap_or_else(|error| panic!("{name}: {error}"));
    let main = page("edm-agent.8");
    assert_eq!(main.as_bytes(), run(&["man"]).stdout);
    assert!(commands().len() > 10);
    for command in commands() {
        assert!(main.contains(&format!("edm\\-agent\\-{}(8)", command.replace('-', "\\-"))), "{command}");
        assert!(page(&format!("edm-agent-{command}.8")).starts_with(".ie"), "{command}");
    }
    assert!(page("edm-agent-run.8").contains("\\-\\-exit\\-zero\\-on\\-sigterm"));
    assert!(page("edm-agent-sessions-commit.8").contains("\\-\\-wait"));
}

#[test]
fn completions_know_every_command_and_bash_can_read_its_own() {
    for shell in ["bash", "zsh", "fish"] {
        let script = String::from_utf8(run(&["completions", shell]).stdout).unwrap();
        for command in commands() {
            assert!(script.contains(&command), "{shell} does not know {command}");
        }
    }
    let folder = tempfile::tempdir().unwrap();
    let script = folder.path().join("edm-agent");
    std::fs::write(&script, run(&["completions", "bash"]).stdout).unwrap();
    let complete = format!(
        "source {}; COMP_WORDS=(edm-agent sess); COMP_CWORD=1; _edm__agent edm-agent sess edm-agent; echo ${{COMPREPLY[0]}}",
        script.display()
    );
    let output = Command::new("bash").args(["-c", &complete]).output().unwrap();
    assert_eq!(String::from_utf8_lossy(&output.stdout).trim(), "sessions", "{output:?}");
}
