//! What a person and a script see.

use edm_agent::sandbox::Operation;
use serde_json::Value;

use super::harness::{Host, seen};

#[tokio::test]
async fn values_are_looked_up_from_stdin_by_hash_and_never_repeated() {
    let host = Host::new().await;
    assert_eq!(host.run(&["upload", "--table", "patients"]).await.code, Some(0));
    let (there, absent) = (&host.person(3)[4], &host.person(5_000)[4]);
    let lookup = ["lookup", "--table", "patients", "--column", "SSN"];
    let text = host.run_reading(&lookup, &format!("{there}\n{absent}\n")).await;
    assert_eq!(text.stdout, "line 1: found in 1 rows\nline 2: not found\n", "{text:?}");
    // As the schema says, delimiters do not matter.
    let bare = there.replace('-', "");
    let json = host.run_reading(&[&lookup[..], &["--json"]].concat(), &bare).await;
    assert_eq!((json.code, &json.json()["found"]), (Some(0), &true.into()), "{json:?}");
    let asked = host.sandbox.journal();
    let clear = |body: &str| [there, absent, &bare].iter().any(|value| body.contains(value.as_str()));
    assert!(asked.iter().all(|seen| !clear(&seen.body)), "only hashes leave");
    assert!(!clear(&text.stdout) && !clear(&json.stdout) && !clear(&text.stderr));

    host.run_reading(&lookup, "").await.assert_refused(2, &["stdin"]);
    host.run_reading(&["lookup", "--table", "patients", "--column", "Nonsense"], "x\n")
        .await
        .assert_refused(2, &["Nonsense", "SSN"]);
}

#[tokio::test]
async fn stores_are_listed_and_shown_by_name_and_id() {
    let host = Host::new().await;
    let id = host.store();
    let text = host.run(&["stores", "list"]).await.stdout;
    assert!(text.contains("PatientRecords") && text.contains(&id), "{text}");
    let list = host.run(&["stores", "list", "--json"]).await.json();
    assert_eq!(list["value"][0]["id"], id);
    for name in ["PatientRecords", &id] {
        let shown = host.run(&["stores", "show", name, "--json"]).await;
        assert_eq!((shown.code, &shown.json()["displayName"]), (Some(0), &"PatientRecords".into()), "{shown:?}");
        let text = host.run(&["stores", "show", name]).await.stdout;
        assert!(text.contains("SSN") && text.contains("SEARCHABLE"), "{text}");
    }
    let saved = host.path("saved.xml");
    let saved = saved.to_str().unwrap();
    let ended = host.run(&["stores", "schema", "PatientRecords", "--output", saved]).await;
    assert_eq!(ended.code, Some(0), "{ended:?}");
    let [table, bundle] = ["patients.csv", "saved-bundle"].map(|name| host.path(name).display().to_string());
    let checked = host.run(&["hash", "--input", &table, "--schema", saved, "--output", &bundle]).await;
    assert_eq!(checked.code, Some(0), "what the service has hashes the table: {checked:?}");
    host.run(&["stores", "schema", "PatientRecords", "--output", saved]).await.assert_refused(74, &["yet to be made"]);
    let shown = host.run(&["stores", "schema", "PatientRecords"]).await;
    assert_eq!(shown.stdout, std::fs::read_to_string(saved).unwrap());
    host.run(&["stores", "show", "Nobody"]).await.assert_refused(78, &["Nobody", "stores list"]);
}

#[tokio::test]
async fn check_says_what_is_good_what_is_not_and_what_nobody_has_proven() {
    let host = Host::new().await;
    let good = host.run(&["check"]).await;
    assert_eq!(good.code, Some(0), "{good:?}");
    assert!(good.stdout.contains("ok    table patients") && good.stdout.contains("not proven"), "{good:?}");
    std::fs::remove_file(host.path("patients.xml")).unwrap();
    let bad = host.run(&["check", "--json"]).await;
    let checks = bad.json();
    assert_eq!((bad.code, &checks["ok"]), (Some(78), &false.into()), "{checks}");
    let failed = checks["checks"].as_array().unwrap().iter().find(|check| check["ok"] == false).unwrap();
    assert!(failed["message"].as_str().unwrap().contains("patients.xml"), "{failed}");
    assert!(checks["not_proven"].as_array().is_some_and(|lines| lines.len() >= 4), "{checks}");
    assert!(host.run(&["check"]).await.stdout.contains("FAIL  table patients"));
    assert!(host.sandbox.journal().is_empty() && !host.path("state").exists(), "it asks nobody and makes nothing");
}

#[tokio::test]
async fn status_and_events_tell_how_an_upload_goes() {
    let host = Host::scripted("[quirks]\nbandwidth = \"16KiB\"\n").await;
    let agent = host.serve().await;
    let events = host.start(&["events", "--follow"]);
    let upload = host.start(&["upload", "--table", "patients"]);
    seen("blocks", || (host.asked(Operation::PutBlock) > 2).then_some(())).await;
    let text = host.run(&["status"]).await.stdout;
    let session = host.only_session().id;
    for part in ["edm-agent ", &format!("pid {}", agent.pid()), "TABLE", "patients", &session, "uploading", "/20"] {
        assert!(text.contains(part), "{part:?} is not in {text}");
    }
    let status = host.run(&["status", "--json"]).await.json();
    let view = &status["uploads"][0];
    assert_eq!((&view["session"], &view["phase"]), (&Value::from(session), &"uploading".into()), "{status}");
    assert!(view["lease_left"].as_f64().unwrap() > 0.0 && view["renew_in"].is_number(), "{view}");
    assert!(host.run(&["events"]).await.json()["uploads"].is_array(), "without --follow: how things stand");
    assert_eq!(upload.ended().await.code, Some(0));

    let lines = || events.stdout().lines().map(|line| serde_json::from_str(line).unwrap()).collect::<Vec<Value>>();
    seen("the end of the upload", || lines().iter().find(|line| line["event"] == "closed").map(|_| ())).await;
    let told: Vec<String> = lines().iter().map(|line| line["event"].as_str().unwrap().to_owned()).collect();
    for event in ["create", "opened", "stored", "reported", "listed", "commit", "committed", "closed"] {
        assert!(told.iter().any(|told| told == event), "{event:?} is not in {told:?}");
    }
    assert!(lines().iter().all(|line| line["at"].is_string() && line["upload"].is_string()), "{:?}", events.stdout());
    let text = host.run(&["status"]).await.stdout;
    assert!(text.contains("no open sessions") && text.contains("completed"), "{text}");
    agent.signal("TERM");
    assert_eq!(agent.ended().await.code, Some(0));
    events.ended().await.assert_refused(69, &["follow the events"]);
    let offline = host.run(&["status"]).await;
    assert!(offline.stdout.contains("no agent is at work"), "{offline:?}");
}

#[tokio::test]
async fn the_demo_runs_twice_at_once_and_says_all_a_script_wants_to_know() {
    let host = Host::new().await;
    let demo = || host.start(&["demo", "--rows", "2000", "--json"]);
    let (one, two) = (demo(), demo());
    for ended in [one.ended().await, two.ended().await] {
        assert_eq!(ended.code, Some(0), "{ended:?}");
        let summary = ended.json();
        assert_eq!((&summary["state"], summary["rows"].as_u64()), (&"Completed".into(), Some(2_000)), "{summary}");
        let keys = ["blocks", "bytes", "renewals", "progress_reports", "upload_uri_changes", "lookups_ok", "seconds"];
        for key in keys {
            assert!(summary[key].as_f64().is_some_and(|number| number > 0.0), "{key} is {} in {summary}", summary[key]);
        }
        assert!(summary["renewals"].as_u64().unwrap() >= 2 && summary["lookups_ok"] == 4, "{summary}");
    }
    let left: Vec<_> = std::fs::read_dir(host.home.path()).unwrap().flatten().map(|entry| entry.file_name()).collect();
    assert!(!left.iter().any(|name| name.to_string_lossy().contains("demo")), "{left:?}");
}

#[tokio::test]
async fn the_command_line_says_what_it_takes() {
    let host = Host::new().await;
    let help = host.run(&["--help"]).await;
    for command in
        ["demo", "run", "upload", "hash", "check", "status", "sessions", "events", "stores", "lookup", "sandbox"]
    {
        assert!(help.stdout.contains(command), "{command}");
    }
    host.run(&["upload"]).await.assert_refused(2, &["--table", "--bundle"]);
    host.run(&["uplaod"]).await.assert_refused(2, &["upload"]);
}

#[tokio::test]
async fn the_sandbox_command_prints_settings_that_point_an_agent_at_it() {
    let host = Host::new().await;
    let sandbox = host.start(&[
        "sandbox",
        "--listen",
        "127.0.0.1:0",
        "--session-ttl",
        "10s",
        "--processing-time",
        "100ms",
        "--store",
        "Staff",
    ]);
    let settings = seen("its settings", || Some(sandbox.stdout()).filter(|text| text.contains("session_ttl"))).await;
    let text = std::fs::read_to_string(host.path("agent.toml")).unwrap();
    let (before, after) = text.split_once("[graph]").unwrap();
    let after = &after[after.find("[control]").unwrap()..];
    host.write("agent.toml", &format!("{before}{settings}{after}"));
    let ended = host.run(&["upload", "--table", "patients"]).await;
    assert_eq!(ended.code, Some(0), "{ended:?}");
    assert!(host.run(&["stores", "list"]).await.stdout.contains("Staff"));
    assert!(host.sandbox.journal().is_empty(), "it was the other one");
    sandbox.signal("TERM");
    assert_eq!(sandbox.ended().await.code, Some(0));
}
