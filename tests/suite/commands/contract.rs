//! Everything the service's contract leaves open, one upload for each answer:
//! the sandbox gives it, a setting expects it.

use std::sync::Arc;
use std::time::Duration;

use edm_agent::sandbox::{Operation, Phase, SandboxSettings};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use super::harness::{Host, assert_counts_fall, seen};

/// An answer of the service, and the settings that expect it.
struct Case {
    quirks: &'static str,
    settings: &'static [(&'static str, &'static str)],
}

const fn case(quirks: &'static str, settings: &'static [(&'static str, &'static str)]) -> Case {
    Case { quirks, settings }
}

/// What the service may be like; nothing needs to be set for it.
const TOLERATED: &[Case] = &[
    case("envelope = \"value\"\nrenew_answer = \"value\"", &[]),
    case("renew_answer = \"null\"", &[]),
    case("renew_answer = \"empty\"", &[]),
    case("renew_answer = \"no-content\"", &[]),
    case("renewed_uri = \"same\"", &[]),
    case("renewed_uri = \"missing\"", &[]),
    case("uri_moves_at_renewals = [1]", &[]),
    case("uri_moves_at_renewals = [1]\nuri_rights = \"cw\"", &[]),
    case("uri_rights = \"w\"", &[]),
    case("uri_stored_policy = true", &[]),
    case("uri_key_ttl = \"2s\"", &[]),
    case("datastore_id = \"datastore-id\"\nextra_properties = true\ntime_digits = 0", &[]),
    case("time_digits = 9\ntime_zone_minutes = 345\netags = true", &[]),
    case("clock_offset = \"+5m\"", &[]),
    case("clock_offset = \"-5m\"", &[]),
    case("no_date = true\nerror_spelling = \"innererror\"\nupload_agent_list = true\npage_size = 1", &[]),
    case("no_crc64 = true", &[]),
    case("uri = \"container\"", &[]),
    case("uri = \"directory\"", &[]),
    case("uri = \"plain\"", &[]),
    case("words = { processing = \"Indexing\", created = \"\" }", &[]),
    case("version = \"v1.0\"", &[]),
    case("action_form = \"short\"\nbodiless_content_type = \"refused\"\nstrict_fields = true", &[]),
];

/// What has to be set.
const SET: &[Case] = &[
    case("action_form = \"qualified\"", &[("contract.action_form", "qualified")]),
    case("require_datastore_id = true", &[("contract.send_datastore_id", "dataStoreId")]),
    case(
        "require_datastore_id = true\ndatastore_id = \"datastore-id\"",
        &[("contract.send_datastore_id", "datastoreId")],
    ),
    case("require_odata_type = true", &[("contract.send_odata_type", "true")]),
    case("bodiless_content_type = \"required\"", &[("contract.bodiless_content_type", "application/json")]),
    case("bodiless_content_type = \"required\"", &[("contract.bodiless_body", "{}")]),
    case("checksum = \"sha256-base64\"", &[("contract.checksum", "sha256-base64")]),
    case("refused_on_create = [\"checksum\"]", &[("contract.checksum", "none")]),
    case(
        "refused_on_create = [\"salt\", \"remainingBlockCount\", \"uploadAgentId\"]",
        &[(
            "contract.create_properties",
            "[\"fileName\", \"fields\", \"checksum\", \"rowsPerBlock\", \"totalBlockCount\"]",
        )],
    ),
    case("filter = true", &[("contract.store_lookup", "filter")]),
    case("integrity = \"md5\"", &[("contract.integrity", "md5")]),
    case("integrity = \"crc64\"", &[("contract.integrity", "crc64")]),
    case("no_crc64 = true", &[("contract.integrity", "none")]),
    case("ms_version = \"2021-12-02\"", &[("contract.ms_version", "2021-12-02")]),
    case("etags = true", &[("contract.if_match", "false")]),
    case("", &[("upload.strategy", "put-blob")]),
    case("", &[("upload.strategy", "put-block-list")]),
    case("uri = \"container\"", &[("upload.strategy", "blob-per-block")]),
    case("uri = \"plain\"", &[("upload.strategy", "plain-put")]),
    case("refuse_reports = 400", &[("progress.report", "false")]),
    case("accepted_states = []", &[("progress.uploading_state", ""), ("progress.uploaded_state", "")]),
    case(
        "accepted_states = [\"Sending\", \"Sent\"]",
        &[("progress.uploading_state", "Sending"), ("progress.uploaded_state", "Sent")],
    ),
    case("words = { completed = \"Live\" }", &[("processing.success", "[\"Live\"]")]),
    case("", &[("upload.resume_session", "false")]),
    case("", &[("upload.verify_before_commit", "false")]),
];

async fn upload(case: &Case) {
    let settings = SandboxSettings {
        session_ttl: Duration::from_secs(4),
        // A service that never brings another URI gives one that lasts.
        upload_uri_ttl: Duration::from_secs(if case.quirks.contains("renewed_uri") { 60 } else { 3 }),
        ..SandboxSettings::default()
    };
    // Three seconds of sending: every session is renewed once or twice.
    let script = format!("[quirks]\nbandwidth = \"17KiB\"\n{}", case.quirks);
    let mut host = Host::with(&script, settings).await;
    for (key, value) in case.settings {
        host.set(key, value);
    }
    let name = format!("{} {:?}", case.quirks, case.settings);
    let ended = host.run(&["upload", "--table", "patients", "--json"]).await;
    assert_eq!((ended.code, &ended.json()["outcome"]), (Some(0), &"completed".into()), "{name}: {ended:?}");
    let session = host.only_session();
    assert_eq!((session.phase.clone(), session.tally.commits), (Phase::Completed, 1), "{name}");
    assert_eq!(host.live_digest(), host.expected_digest().await, "{name}");
    assert_counts_fall(&session, &name);
    let last = session.tally.reports.last().map(|report| report.remaining);
    let reports = case.settings.iter().all(|(key, _)| *key != "progress.report");
    assert_eq!(last, reports.then_some(Some(0)), "{name}");
    assert_eq!(host.breaches(), Vec::<String>::new(), "{name}");
    let whole = case.settings.iter().any(|(_, value)| ["put-blob", "plain-put"].contains(value));
    let whole = whole || case.quirks.contains("plain");
    assert_eq!(session.tally.puts.len(), if whole { 1 } else { 20 }, "{name}: {:?}", session.tally.puts);
    let sorted = session.tally.puts.keys().is_sorted();
    assert!(sorted || !case.quirks.contains("container"), "names sort in block order: {:?}", session.tally.puts);
}

async fn upload_all(cases: &'static [Case]) {
    let places = Arc::new(Semaphore::new(8));
    let mut uploads = JoinSet::new();
    for case in cases {
        let places = Arc::clone(&places);
        uploads.spawn(async move {
            let _place = places.acquire_owned().await.unwrap();
            upload(case).await;
        });
    }
    while let Some(done) = uploads.join_next().await {
        done.unwrap();
    }
}

#[tokio::test]
async fn whatever_the_service_answers_within_the_contract_the_upload_completes() {
    upload_all(TOLERATED).await;
}

#[tokio::test]
async fn each_alternative_of_the_contract_is_a_setting_away() {
    upload_all(SET).await;
}

#[tokio::test]
async fn a_cancelled_upload_ends_its_session_in_the_way_that_is_set() {
    for (way, phase) in [("cancel", Phase::Cancelled), ("delete", Phase::Deleted), ("leave", Phase::Open)] {
        let mut host = Host::scripted("[quirks]\nbandwidth = \"4KiB\"\n").await;
        host.set("contract.abort", way);
        let agent = host.serve().await;
        let upload = host.start(&["upload", "--table", "patients", "--json"]);
        seen("blocks", || (host.asked(Operation::PutBlock) > 0).then_some(())).await;
        let cancelled = host.run(&["sessions", "cancel", &host.only_session().id]).await;
        assert_eq!(cancelled.code, Some(0), "{way}: {cancelled:?}");
        let ended = upload.ended().await;
        assert_eq!((ended.code, &ended.json()["outcome"]), (Some(1), &"cancelled".into()), "{way}: {ended:?}");
        assert_eq!(host.only_session().phase, phase, "{way}: {}", agent.said());
        assert_eq!(host.breaches(), Vec::<String>::new());
    }
}

#[tokio::test]
async fn columns_of_the_data_store_can_be_the_schema() {
    let host = Host::new().await;
    let text = std::fs::read_to_string(host.path("agent.toml")).unwrap();
    let schema = text.lines().find(|line| line.starts_with("schema")).unwrap().to_owned();
    host.write("agent.toml", &text.replace(&schema, "schema = \"service\""));
    assert_eq!(host.run(&["upload", "--table", "patients"]).await.code, Some(0));
    host.write("agent.toml", &text);
    assert_eq!(host.live_digest(), host.expected_digest().await, "they are the same columns");
}

#[tokio::test]
async fn a_canary_row_that_is_found_completes_the_upload_and_one_that_is_not_fails_it() {
    let host = Host::new().await;
    let table = |value: &str| {
        format!("when = \"manual\"\nrows_per_block = 10\ncanary = {{ column = \"SSN\", value = \"{value}\" }}\n")
    };
    host.configure(&table(&host.person(17)[4]));
    assert_eq!(host.run(&["upload", "--table", "patients"]).await.code, Some(0));
    host.configure(&table("900-00-0000"));
    host.run(&["upload", "--table", "patients", "--force"]).await.assert_refused(1, &["its canary row is not found"]);
    assert_eq!(host.asked(Operation::Lookup), 2);
}

#[tokio::test]
async fn a_schema_that_disagrees_with_the_data_store_costs_no_session() {
    let host = Host::new().await;
    let schema = std::fs::read_to_string(host.path("patients.xml")).unwrap();
    host.write("patients.xml", &schema.replacen("caseInsensitive=\"true\"", "caseInsensitive=\"false\"", 1));

    let refused = host.run(&["upload", "--table", "patients"]).await;

    let differs = "column PatientID has caseInsensitive=\"false\", in the data store \"true\"";
    refused.assert_refused(78, &[differs, "stores schema PatientRecords", "allow_drift"]);
    assert_eq!(host.asked(Operation::Create), 0, "no session was spent on it");
    host.configure("when = \"manual\"\nrows_per_block = 20\nallow_drift = true\n");
    assert_eq!(host.run(&["upload", "--table", "patients"]).await.code, Some(0));
}
