//! Scripts, and the settings a sandbox prints.

use std::path::Path;
use std::time::Duration;

use edm_agent::sandbox::faults::{Action, Trigger};
use edm_agent::sandbox::quirks::{Envelope, Offset};
use edm_agent::sandbox::{Operation, Quirks, parse_script};

use super::Bench;

#[test]
fn a_script_reads_as_it_is_written() {
    let (faults, quirks) = parse_script(
        "[[fault]]\noperation = [\"put-block\", \"renew\"]\nevery = 3\ncount = 2\ndelay = \"2s\"\n\n\
         [quirks]\nrenew_answer = \"no-content\"\nclock_offset = \"-90s\"\nbandwidth = \"8MiB\"\nuri_key_ttl = \"10s\"\n\
         [quirks.words]\ncompleted = \"Done\"\n",
    )
    .unwrap();
    assert_eq!(faults[0].operations, [Operation::PutBlock, Operation::Renew]);
    assert_eq!((&faults[0].trigger, faults[0].count, &faults[0].action), (&Trigger::Every(3), Some(2), &Action::Delay));
    assert_eq!(quirks.renew_answer, Envelope::NoContent);
    assert_eq!(quirks.clock_offset, Offset::Behind(Duration::from_secs(90)));
    assert_eq!((quirks.bandwidth, quirks.uri_key_ttl), (Some(8 << 20), Some(Duration::from_secs(10))));
    assert_eq!((quirks.words.completed.as_str(), quirks.words.failed.as_str()), ("Done", "Failed"));
    assert_eq!(parse_script("").unwrap(), (Vec::new(), Quirks::default()));
}

#[test]
fn a_bad_script_names_the_line_and_what_would_do() {
    for (script, line, hint) in [
        ("[quirks]\n\nnonsense = 1", 3, "unknown field"),
        (
            "[[fault]]\noperation = \"renew\"\nalways = true\nstatus = 503\n\n[[fault]]\noperation = \"renwe\"\nalways = true\nstatus = 503",
            6,
            "\"renew\"",
        ),
        ("[[fault]]\noperation = \"renew\"\nstatus = 503", 1, "nth, every, probability"),
        ("[[fault]]\noperation = \"renew\"\nnth = 1\nevery = 2\nstatus = 503", 1, "one of nth"),
        ("[[fault]]\noperation = \"renew\"\nalways = true", 1, "say what"),
        ("[[fault]]\noperation = \"renew\"\nalways = true\nstatus = 503\nlost_reply = true", 1, "at most one"),
        ("[[fault]]\noperation = \"renew\"\nprobability = 1.5\nstatus = 503", 1, "between 0 and 1"),
        ("[[fault]]\noperation = \"renew\"\nnth = 0\nstatus = 503", 1, "counts from 1"),
        ("[[fault]]\noperation = \"renew\"\nnth = 1\ncut = \"later\"", 1, "after-body"),
        ("[[fault]]\noperation = \"renew\"\nnth = 1\nstatus = 99", 1, "200 to 599"),
        ("[[fault]]\noperation = \"renew\"\nnth = 1\ndelay = \"5\"", 4, "such as 500ms"),
        ("[quirks]\nclock_offset = \"5m\"", 2, "begins with +"),
        ("[quirks]\nrenew_answer = \"nothing\"", 2, "no-content"),
        ("[quirks", 1, ""),
    ] {
        let error = parse_script(script).unwrap_err();
        assert_eq!(error.line, line, "{script}: {error}");
        assert!(error.what.contains(hint), "{script}: {error}");
    }
}

#[test]
fn every_operation_and_quirk_is_in_the_manual() {
    let manual = include_str!("../../../docs/SANDBOX.md");
    for operation in Operation::ALL.iter().filter(|operation| **operation != Operation::Unknown) {
        assert!(manual.contains(&format!("`{operation}`")), "{operation}");
    }
    let shown = format!("{:?}", Quirks::default());
    let inner = shown.trim_start_matches("Quirks { ").replace("Words {", "");
    for name in inner.split(", ").filter_map(|field| field.split_once(": ")).map(|(name, _)| name.trim()) {
        assert!(manual.contains(&format!("`{name}`")), "{name}");
    }
    let example = manual.split("```toml\n").nth(1).and_then(|rest| rest.split("```").next()).unwrap();
    assert!(!parse_script(example).unwrap().0.is_empty(), "the manual's example is a script");
}

#[tokio::test]
async fn the_printed_settings_point_an_agent_at_the_sandbox() {
    let bench = Bench::new().await;
    let settings: toml::Table = bench.sandbox.settings_toml(Path::new("/run/a \"b\"/token")).parse().unwrap();
    let address = bench.sandbox.address();
    assert_eq!(settings["graph"]["base_url"].as_str(), Some(&*format!("http://{address}/beta")));
    assert_eq!(settings["auth"]["kind"].as_str(), Some("token-file"));
    assert_eq!(settings["auth"]["token_file"].as_str(), Some("/run/a \"b\"/token"));
    assert_eq!(settings["upload"]["allowed_hosts"][0].as_str(), Some(&*address.to_string()));
    assert_eq!(settings["lease"]["session_ttl"].as_str(), Some("60s"));
}
