//! What goes wrong before or during an upload, and what a person is told.

use std::fs;
use std::time::Duration;

use edm_agent::sandbox::{Operation, Phase, SandboxSettings};

use super::harness::{Host, now};

const UPLOAD: &[&str] = &["upload", "--table", "patients"];

#[tokio::test]
async fn a_mistake_in_the_configuration_is_named_with_its_place_and_the_nearest_key() {
    let host = Host::new().await;
    let good = fs::read_to_string(host.path("agent.toml")).unwrap();
    for (right, wrong) in [("session_ttl", "sesion_ttl"), ("rows_per_block", "row_per_block"), ("[auth]", "[oauth]")] {
        let text = good.replacen(right, wrong, 1);
        host.write("agent.toml", &text);
        let place = format!("agent.toml:{}:", 1 + text.lines().position(|line| line.starts_with(wrong)).unwrap());
        let nearest = format!("`{}`", right.trim_matches(['[', ']']));
        for command in [UPLOAD, &["run"], &["check"], &["status"], &["stores", "list"]] {
            host.run(command).await.assert_refused(78, &[&place, wrong.trim_matches(['[', ']']), &nearest]);
        }
    }
    host.run(&["upload", "--config", "/nowhere/agent.toml", "--table", "patients"])
        .await
        .assert_refused(78, &["/nowhere/agent.toml"]);
    assert!(host.sandbox.journal().is_empty() && !host.path("state").exists());
}

/// A source that is not there may yet come, so that is no bad data.
#[tokio::test]
async fn a_bad_table_or_schema_is_refused_before_a_session_is_spent() {
    let host = Host::new().await;
    let (table, schema) = (host.path("patients.csv"), host.path("patients.xml"));
    let (rows, xml) = (fs::read_to_string(&table).unwrap(), fs::read_to_string(&schema).unwrap());

    fs::remove_file(&table).unwrap();
    host.run(UPLOAD).await.assert_refused(74, &["patients.csv", "check that it exists"]);
    let checked = host.run(&["check"]).await.stdout;
    assert!(checked.contains("FAIL  table patients: ") && !checked.contains("patients: table"), "{checked}");
    host.write("patients.csv", &rows.replacen("P000000003,", "P000000003,one,too,many,", 1));
    host.run(UPLOAD).await.assert_refused(65, &["patients", "line 5"]);
    host.write("patients.csv", &rows.replacen("SSN", "Nonsense", 1));
    host.run(UPLOAD).await.assert_refused(65, &["patients", "SSN"]);
    host.write("patients.csv", rows.lines().next().unwrap());
    host.run(UPLOAD).await.assert_refused(65, &["patients"]);
    host.write("patients.csv", &rows);

    host.write("patients.xml", "<EdmSchema><DataStore></EdmSchema>");
    host.run(UPLOAD).await.assert_refused(65, &["patients.xml"]);
    fs::remove_file(&schema).unwrap();
    host.run(UPLOAD).await.assert_refused(78, &["patients.xml", "No such file", "check the path"]);
    host.write("patients.xml", &xml);

    assert_eq!(host.opened(), 0);
    assert_eq!(host.run(UPLOAD).await.code, Some(0), "and nothing is left of the attempts");
    host.assert_uploaded_once("mended").await;
}

#[tokio::test]
async fn a_session_that_is_refused_ends_with_the_code_that_says_why_and_what_the_service_said() {
    let refused = async |status: u16, retry_after: &str, code: i32, holds: &[&str]| {
        let script = format!(
            "[[fault]]\noperation = \"create\"\nalways = true\nstatus = {status}\nmessage = \"The canary refusal.\"\n{retry_after}"
        );
        let mut host = Host::scripted(&script).await;
        host.set("upload.give_up_after", "3s");
        let ended = host.run(UPLOAD).await;
        ended.assert_refused(code, holds);
        assert!(ended.stderr.contains("The canary refusal."), "the service's words: {}", ended.stderr);
        assert_eq!(host.opened(), 0);
        host
    };
    refused(400, "", 1, &["refused to open a session with status 400"]).await;
    refused(401, "", 77, &["the same command goes on"]).await;
    refused(403, "", 77, &["the same command goes on"]).await;
    refused(503, "", 69, &["no progress for", "the same command goes on"]).await;
    refused(429, "retry_after = \"120\"", 75, &["the same command goes on"]).await;
}

#[tokio::test]
async fn a_spent_quota_is_said_before_the_service_is_asked_again() {
    let settings = SandboxSettings { sessions_per_day: 1, ..SandboxSettings::default() };
    let host = Host::with("", settings).await;
    assert_eq!(host.run(UPLOAD).await.code, Some(0));
    host.write_rows(199);
    host.run(UPLOAD).await.assert_refused(75, &["has had its sessions for the day", "the same command goes on"]);
    assert_eq!(host.opened(), 1);
}

#[tokio::test]
async fn a_service_that_is_down_is_given_up_after_the_time_for_it_and_found_again() {
    let mut host = Host::new().await;
    host.set("upload.give_up_after", "4s");
    let good = fs::read_to_string(host.path("agent.toml")).unwrap();
    let port = host.sandbox.address().port().to_string();
    host.write("agent.toml", &good.replacen(&port, "1", 1));
    let asked = now();
    host.run(UPLOAD).await.assert_refused(69, &["PatientRecords"]);
    let took = now().since(asked);
    assert!((4..20).contains(&took.as_secs()), "{took:?}");
    host.run(&["stores", "list"]).await.assert_refused(69, &[]);
    host.write("agent.toml", &good);
    assert_eq!(host.run(UPLOAD).await.code, Some(0));
    host.assert_uploaded_once("back").await;
}

#[tokio::test]
async fn a_bundle_that_is_not_what_its_manifest_says_costs_no_session() {
    let host = Host::new().await;
    let bundle = host.path("bundle");
    let shown = bundle.to_str().unwrap();
    let hash = async || {
        let _ = fs::remove_dir_all(&bundle);
        assert_eq!(host.run(&["hash", "--table", "patients", "--output", shown]).await.code, Some(0));
    };
    hash().await;
    let mut blocks = fs::read(bundle.join("blocks.bin")).unwrap();
    blocks[3_000] ^= 1;
    fs::write(bundle.join("blocks.bin"), &blocks).unwrap();
    host.run(&["upload", "--bundle", shown]).await.assert_refused(65, &["bundle"]);
    hash().await;
    fs::write(bundle.join("manifest.json"), "{}").unwrap();
    host.run(&["upload", "--bundle", shown]).await.assert_refused(65, &["manifest"]);
    fs::remove_file(bundle.join("manifest.json")).unwrap();
    host.run(&["upload", "--bundle", shown])
        .await
        .assert_refused(74, &["manifest.json", "check that the bundle is whole"]);
    host.run(&["upload", "--bundle", "/nowhere"]).await.assert_refused(65, &["/nowhere"]);
    assert_eq!(host.opened(), 0);
    host.run(&["hash", "--table", "patients", "--output", shown]).await.assert_refused(78, &[shown, "not empty"]);
}

#[tokio::test]
async fn a_token_that_is_missing_or_refused_is_said_with_its_file() {
    let host = Host::new().await;
    let token = fs::read_to_string(host.path("token")).unwrap();
    fs::remove_file(host.path("token")).unwrap();
    let ended = host.run(UPLOAD).await;
    assert!(matches!(ended.code, Some(77 | 78)), "{ended:?}");
    assert!(ended.stderr.contains(host.path("token").to_str().unwrap()), "{ended:?}");
    host.write("token", "not-the-token\n");
    let ended = host.run(&["stores", "list"]).await;
    ended.assert_refused(77, &[]);
    assert!(!ended.stderr.contains("not-the-token"), "{ended:?}");
    host.write("token", &token);
    assert_eq!(host.run(UPLOAD).await.code, Some(0));
    host.assert_uploaded_once("mended").await;
}

#[tokio::test]
async fn a_token_renewed_in_its_file_is_taken_up_in_the_middle_of_an_upload() {
    let host = Host::scripted("[quirks]\nbandwidth = \"16KiB\"\n").await;
    let upload = host.start(UPLOAD);
    super::harness::seen("blocks", || (host.asked(Operation::PutBlock) > 2).then_some(())).await;
    host.write("token", &host.sandbox.rotate_bearer());
    let ended = upload.ended().await;
    assert_eq!(ended.code, Some(0), "{ended:?}");
    assert_eq!(host.only_session().phase, Phase::Completed);
    assert_eq!(host.live_digest(), host.expected_digest().await);
}

#[tokio::test]
async fn refused_reports_never_end_an_upload_are_warned_of_once_and_shown() {
    let quirks = ["accepted_states = []", "refuse_reports = 400", "refuse_reports = 403", "refuse_reports = 405"];
    for (quirk, left) in
        quirks.into_iter().zip(["counts-only", "off", "off", "off"]).chain([("refuse_reports = 422", "off")])
    {
        let host = Host::scripted(&format!("[quirks]\nbandwidth = \"24KiB\"\n{quirk}\n")).await;
        let agent = host.serve().await;
        let upload = host.start(&["upload", "--table", "patients", "--json"]);
        let deadline = now() + Duration::from_secs(60);
        while now() < deadline {
            let (_, status) = host.ask("GET", "v1/status", None).await;
            if status["uploads"][0]["reports"] == left {
                break;
            }
        }
        let ended = upload.ended().await;
        assert_eq!((ended.code, &ended.json()["reports"]), (Some(0), &left.into()), "{quirk}: {ended:?}");
        let session = host.only_session();
        assert_eq!((session.phase, session.tally.commits), (Phase::Completed, 1), "{quirk}");
        let warnings = agent.stderr().lines().filter(|line| line.contains("refuses progress reports")).count();
        let expected = if left == "off" { 2 } else { 1 };
        assert_eq!(warnings, expected, "once for each thing given up: {quirk}: {}", agent.stderr());
    }
}
