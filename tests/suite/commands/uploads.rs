//! `upload` and `hash`, from the command line to the live table.

use std::fs;
use std::process::Stdio;

use edm_agent::sandbox::Operation;
use sha2::{Digest, Sha256};

use super::harness::{Host, hex, seen};

#[tokio::test]
async fn a_table_is_live_with_the_bytes_of_its_bundle_and_one_session_was_spent() {
    let host = Host::new().await;
    let ended = host.run(&["upload", "--table", "patients", "--json"]).await;

    assert_eq!(ended.code, Some(0), "{ended:?}");
    let view = ended.json();
    assert_eq!((&view["outcome"], &view["state"]), (&"completed".into(), &"Completed".into()), "{view}");
    assert_eq!((view["rows"].as_u64(), view["total_blocks"].as_u64()), (Some(200), Some(20)));
    assert_eq!(view["session"], host.only_session().id);
    assert_eq!(ended.stdout.lines().count(), 1, "{}", ended.stdout);
    host.assert_uploaded_once("plain").await;
    let puts = host.only_session().tally.puts;
    assert!(puts.len() == 20 && puts.values().all(|&times| times == 1), "{puts:?}");
    assert_eq!(fs::read_dir(host.path("state/bundles")).unwrap().count(), 0, "a bundle that is live is removed");
}

#[tokio::test]
async fn a_fixed_salt_gives_the_same_blocks_byte_for_byte_and_a_fresh_one_does_not() {
    let host = Host::new().await;
    let hash = async |name: &str, fixed: bool| {
        let output = host.path(name);
        let mut arguments = vec!["hash", "--output", output.to_str().unwrap()];
        let (table, schema) = (host.path("patients.csv"), host.path("patients.xml"));
        match fixed {
            true => arguments.extend(["--table", "patients"]),
            false => arguments.extend(["--input", table.to_str().unwrap(), "--schema", schema.to_str().unwrap()]),
        }
        arguments.push("--json");
        let ended = host.run(&arguments).await;
        assert_eq!(ended.code, Some(0), "{ended:?}");
        let blocks = fs::read(output.join("blocks.bin")).unwrap();
        assert_eq!(ended.json()["checksum"], hex(&Sha256::digest(&blocks)));
        blocks
    };
    let first = hash("one", true).await;
    assert!(first == hash("two", true).await, "the same table under the same salt");
    assert!(first != hash("three", false).await, "a salt of its own");
    assert!(host.sandbox.journal().is_empty(), "hashing asks nobody");
}

#[tokio::test]
async fn a_bundle_made_by_hash_is_uploaded_as_it_is_and_kept() {
    let host = Host::new().await;
    let bundle = host.path("bundle");
    let bundle = bundle.to_str().unwrap();
    assert_eq!(host.run(&["hash", "--table", "patients", "--output", bundle]).await.code, Some(0));
    fs::remove_file(host.path("patients.csv")).unwrap();
    let ended = host.run(&["upload", "--bundle", bundle, "--json"]).await;
    assert_eq!(ended.code, Some(0), "{ended:?}");
    let bytes = fs::read(host.path("bundle/blocks.bin")).unwrap();
    assert_eq!(host.live_digest(), hex(&Sha256::digest(&bytes)), "it is there still, and it is what is live");
    assert_eq!(host.breaches(), Vec::<String>::new());
}

#[tokio::test]
async fn without_a_terminal_progress_is_plain_lines_and_a_closed_output_is_no_failure() {
    let host = Host::scripted("[quirks]\nbandwidth = \"40KiB\"\n").await;
    let ended = host.run(&["upload", "--table", "patients"]).await;
    assert!(ended.stderr.contains("patients: uploading: ") && !ended.stderr.contains('\u{1b}'), "{}", ended.stderr);
    assert!(ended.stdout.contains("patients: live: 200 rows in 20 blocks"), "{}", ended.stdout);

    // A shell whose reader is gone before anything is written.
    for command in ["upload --table patients --force", "stores list", "sessions list --json", "check"] {
        let binary = env!("CARGO_BIN_EXE_edm-agent");
        let config = host.path("agent.toml");
        let line = format!("({binary} {command} --config {}; echo $? > code) 2>&1 | true", config.display());
        let shell = std::process::Command::new("bash")
            .args(["-c", &line])
            .current_dir(host.home.path())
            .stdin(Stdio::null())
            .stderr(Stdio::null())
            .spawn();
        let mut shell = shell.unwrap();
        let look = || fs::read_to_string(host.path("code")).ok().filter(|text| text.ends_with('\n'));
        assert_eq!(seen(command, look).await, "0\n", "{command}");
        shell.wait().unwrap();
        fs::remove_file(host.path("code")).unwrap();
    }
    assert_eq!(host.asked(Operation::Create), 2);
}
