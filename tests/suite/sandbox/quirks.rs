//! Quirks: the other answers to what the contract leaves open.

use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use edm_agent::sandbox::quirks::{
    ActionForm, ChecksumForm, Envelope, ErrorSpelling, LookupTakes, Offset, RenewedUri, StoreIdSpelling, Wanted, Words,
};
use edm_agent::sandbox::{Phase, Quirks};
use md5::Digest;
use reqwest::Method;
use serde_json::{Value, json};

use super::{Bench, STORE, draft, path_of, sessions, table};

#[tokio::test]
async fn a_renewal_can_answer_in_five_ways_and_always_has_its_effect() {
    for (answer, status) in [
        (Envelope::Bare, 200),
        (Envelope::Value, 200),
        (Envelope::Null, 200),
        (Envelope::Empty, 200),
        (Envelope::NoContent, 204),
    ] {
        let bench = Bench::quirky(Quirks { renew_answer: answer, ..Quirks::default() }).await;
        let (session, uri) = bench.open(draft(b"")).await;
        let (said, body) = bench.act(&session, "renew").await;
        assert_eq!(said, status, "{answer:?}");
        let found = match answer {
            Envelope::Bare => body["id"].clone(),
            Envelope::Value => body["value"]["id"].clone(),
            Envelope::Null | Envelope::Empty | Envelope::NoContent => body,
        };
        let has_body = matches!(answer, Envelope::Bare | Envelope::Value);
        assert_eq!(found, if has_body { json!(session) } else { Value::Null });
        let (_, read) = bench.get(&path_of(&session)).await;
        assert_ne!(read["dataUploadURI"], json!(uri), "a read brings the fresh URI");
    }
}

#[tokio::test]
async fn sessions_can_come_in_an_envelope() {
    let bench = Bench::quirky(Quirks { envelope: Envelope::Value, ..Quirks::default() }).await;
    let (_, made) = bench.call(Method::POST, &sessions(), Some(draft(b""))).await;
    let session = made["value"]["id"].as_str().unwrap();
    assert_eq!(bench.get(&path_of(session)).await.1["value"]["id"], session);
    assert_eq!(bench.report(session, json!({"remainingBlockCount": 0})).await.1["value"]["id"], session);
}

#[tokio::test]
async fn old_spellings_are_answered_and_asked_for() {
    let quirks = Quirks {
        datastore_id: StoreIdSpelling::DatastoreId,
        require_datastore_id: true,
        error_spelling: ErrorSpelling::Innererror,
        ..Quirks::default()
    };
    let bench = Bench::quirky(quirks).await;
    let (status, error) = bench.call(Method::POST, &sessions(), Some(json!({"dataStoreId": STORE}))).await;
    assert_eq!(status, 400);
    let inner = &error["error"]["innererror"];
    assert!(inner["Date"].is_string() && inner["requestId"].is_string(), "{error}");
    let (status, made) = bench.call(Method::POST, &sessions(), Some(json!({"datastoreId": STORE}))).await;
    assert_eq!((status, &made["datastoreId"], &made["dataStoreId"]), (201, &json!(STORE), &Value::Null));
}

#[tokio::test]
async fn actions_are_known_by_one_form_or_both() {
    for (action_form, short, qualified) in
        [(ActionForm::Both, 200, 200), (ActionForm::Short, 200, 400), (ActionForm::Qualified, 400, 200)]
    {
        let bench = Bench::quirky(Quirks { action_form, ..Quirks::default() }).await;
        let (session, _) = bench.open(draft(b"")).await;
        assert_eq!(bench.act(&session, "renew").await.0, short, "{action_form:?}");
        let (status, error) = bench.act(&session, "microsoft.graph.renew").await;
        assert_eq!(status, qualified, "{action_form:?}");
        if qualified == 400 {
            let message = "Resource not found for the segment 'microsoft.graph.renew'.";
            assert_eq!(error["error"]["message"], message);
        }
    }
}

#[tokio::test]
async fn a_content_type_without_a_body_can_be_required_or_refused() {
    for (wanted, without, with) in [(Wanted::Required, 415, 200), (Wanted::Refused, 200, 400)] {
        let bench = Bench::quirky(Quirks { bodiless_content_type: wanted, ..Quirks::default() }).await;
        let (session, _) = bench.open(draft(b"")).await;
        assert_eq!(bench.act(&session, "renew").await.0, without);
        let request = bench.request(Method::POST, &format!("{}/renew", path_of(&session)));
        let request = request.header("content-type", "application/json").header("content-length", "0");
        assert_eq!(request.send().await.unwrap().status(), with);
    }
}

#[tokio::test]
async fn properties_and_types_can_be_required_or_refused_on_create() {
    let quirks = Quirks {
        require_odata_type: true,
        required_on_create: vec!["fileName".to_owned()],
        refused_on_create: vec!["salt".to_owned()],
        ..Quirks::default()
    };
    let bench = Bench::quirky(quirks).await;
    let kind = "#microsoft.graph.exactMatchSession";
    for (body, status) in [
        (json!({"fileName": "f"}), 400),
        (json!({"@odata.type": kind}), 400),
        (json!({"@odata.type": kind, "fileName": "f", "salt": "s"}), 400),
        (json!({"@odata.type": kind, "fileName": "f"}), 201),
    ] {
        assert_eq!(bench.call(Method::POST, &sessions(), Some(body.clone())).await.0, status, "{body}");
    }
}

#[tokio::test]
async fn reports_can_be_refused_for_their_word_or_altogether() {
    let words = Quirks { accepted_states: Some(vec!["Uploading".to_owned()]), ..Quirks::default() };
    let bench = Bench::quirky(words).await;
    let (session, _) = bench.open(json!({"totalBlockCount": 5})).await;
    let report = |state: &str| json!({"remainingBlockCount": 4, "state": state});
    assert_eq!(bench.report(&session, report("UploadInProgress")).await.0, 400);
    assert_eq!(bench.report(&session, json!({"remainingBlockCount": 4})).await.0, 200);
    assert_eq!(bench.report(&session, report("Uploading")).await.0, 200);
    for status in [400, 403, 405, 422] {
        let bench = Bench::quirky(Quirks { refuse_reports: Some(status), ..Quirks::default() }).await;
        let (session, _) = bench.open(json!({"totalBlockCount": 5})).await;
        assert_eq!(bench.report(&session, json!({"remainingBlockCount": 4})).await.0, status);
        assert_eq!(bench.sandbox.session(&session).unwrap().remaining_blocks, None);
    }
}

#[tokio::test]
async fn states_can_be_named_otherwise() {
    let words = Words { processing: "Indexing".to_owned(), completed: "Done".to_owned(), ..Words::default() };
    let bench = Bench::quirky(Quirks { words, ..Quirks::default() }).await;
    let session = bench.upload(&[["1", "a"]]).await;
    assert_eq!(bench.get(&path_of(&session)).await.1["state"], "Indexing");
    assert_eq!(bench.processed(&session).await.phase, Phase::Completed);
    assert_eq!(bench.get(&path_of(&session)).await.1["state"], "Done");
}

#[tokio::test]
async fn times_take_the_digits_and_the_zone_they_are_told() {
    for (digits, zone, expected) in [
        (7, 0, "12:16:40.5000000Z"),
        (1, 180, "15:16:40.5+03:00"),
        (0, -330, "06:46:40-05:30"),
        (9, 0, "12:16:40.500000000Z"),
    ] {
        let bench = Bench::quirky(Quirks { time_digits: digits, time_zone_minutes: zone, ..Quirks::default() }).await;
        let (session, _) = bench.open(draft(b"")).await;
        let (_, read) = bench.get(&path_of(&session)).await;
        assert_eq!(read["creationDateTime"], format!("2026-03-01T{expected}"));
    }
}

#[tokio::test]
async fn the_services_clock_can_be_off_and_its_date_untold() {
    for (clock_offset, date, end) in [
        (Offset::Ahead(Duration::from_secs(3_600)), "13:16:40", "13%3A17%3A11Z"),
        (Offset::Behind(Duration::from_secs(60)), "12:15:40", "12%3A16%3A11Z"),
    ] {
        let bench = Bench::quirky(Quirks { clock_offset, ..Quirks::default() }).await;
        let (_, uri) = bench.open(draft(b"")).await;
        assert!(uri.contains(&format!("se=2026-03-01T{end}")), "signatures end by the same clock: {uri}");
        assert_eq!(bench.put_block(&uri, "AAAA", b"x").await.0, 201);
        let answer = bench.request(Method::GET, &sessions()).send().await.unwrap();
        assert_eq!(answer.headers()["date"], format!("Sun, 01 Mar 2026 {date} GMT"));
    }
    let bench = Bench::quirky(Quirks { no_date: true, ..Quirks::default() }).await;
    let answer = bench.request(Method::GET, &sessions()).send().await.unwrap();
    assert!(!answer.headers().contains_key("date"));
}

#[tokio::test]
async fn a_checksum_can_be_of_another_form() {
    let bytes = table(&[["1", "a"]]);
    let md5 = STANDARD.encode(md5::Md5::digest(&bytes));
    for (checksum, phase) in [(md5, Phase::Completed), ("AAAA".to_owned(), Phase::Failed)] {
        let bench = Bench::quirky(Quirks { checksum: ChecksumForm::Md5Base64, ..Quirks::default() }).await;
        let mut body = draft(&bytes);
        body["checksum"] = json!(checksum);
        let (session, uri) = bench.open(body).await;
        bench.put_block(&uri, "AAAA", &bytes).await;
        bench.put_list(&uri, &["AAAA"]).await;
        bench.act(&session, "commit").await;
        assert_eq!(bench.processed(&session).await.phase, phase);
    }
}

#[tokio::test]
async fn a_lookup_can_take_clear_values() {
    let bench = Bench::quirky(Quirks { lookup_takes: LookupTakes::Clear, ..Quirks::default() }).await;
    let session = bench.upload(&[["1", "a"]]).await;
    bench.processed(&session).await;
    let body = json!({"key": "Name", "values": ["a"], "resultColumnNames": ["Id"]});
    let (status, found) = bench.call(Method::POST, &format!("exactMatchDataStores/{STORE}/lookup"), Some(body)).await;
    assert_eq!((status, found["value"].as_array().unwrap().len()), (200, 1));
}

#[tokio::test]
async fn a_renewal_can_move_the_uri_keep_it_or_leave_it_out() {
    let bench = Bench::quirky(Quirks { uri_moves_at_renewals: vec![2], ..Quirks::default() }).await;
    let (session, first) = bench.open(draft(b"")).await;
    let place = |uri: &Value| uri.as_str().unwrap().split('?').next().unwrap().to_owned();
    let mut places = vec![place(&json!(first))];
    for _ in 0..3 {
        places.push(place(&bench.act(&session, "renew").await.1["dataUploadURI"]));
    }
    assert_eq!(places[0], places[1]);
    assert_ne!(places[1], places[2]);
    assert_eq!(places[2], places[3]);
    bench.put_block(&first, "AAAA", b"x").await;
    assert_eq!(bench.put_list(&first, &["AAAA"]).await.0, 201, "the old place still takes what it is sent");
    assert_eq!(bench.act(&session, "commit").await.0, 409, "and it does not count");

    for (renewed_uri, expected) in [(RenewedUri::Same, true), (RenewedUri::Missing, false)] {
        let bench = Bench::quirky(Quirks { renewed_uri, ..Quirks::default() }).await;
        let (session, uri) = bench.open(draft(b"")).await;
        let (_, renewed) = bench.act(&session, "renew").await;
        assert_eq!(renewed["dataUploadURI"], if expected { json!(uri) } else { Value::Null });
    }
}

#[tokio::test]
async fn entity_tags_guard_a_report_where_they_are_given() {
    let bench = Bench::quirky(Quirks { etags: true, ..Quirks::default() }).await;
    let (session, _) = bench.open(json!({"totalBlockCount": 5})).await;
    let (_, read) = bench.get(&path_of(&session)).await;
    let report = |tag: &str| {
        let request = bench.request(Method::PATCH, &path_of(&session)).header("if-match", tag);
        let request = request.header("content-type", "application/json").body("{\"remainingBlockCount\":4}");
        async { request.send().await.unwrap().status().as_u16() }
    };
    let tag = read["@odata.etag"].as_str().unwrap();
    assert_eq!(report(tag).await, 200);
    assert_eq!(report(tag).await, 412, "the report itself has changed the session");
    assert_eq!(report("*").await, 200);
}

#[tokio::test]
async fn unheard_of_properties_lists_and_versions_can_be_answered() {
    let quirks = Quirks {
        extra_properties: true,
        upload_agent_list: true,
        version: Some("v1.0".to_owned()),
        quota_status: 400,
        sessions_per_day: Some(0),
        ..Quirks::default()
    };
    let bench = Bench::quirky(quirks).await;
    assert_eq!(bench.get("exactMatchDataStores").await.0, 400, "beta is not known here");
    let url = bench.url("exactMatchDataStores").replace("/beta/", "/v1.0/");
    let request = |method: Method, url: String| {
        let request = bench.http.request(method, url).bearer_auth(bench.sandbox.bearer());
        request.header("client-request-id", "1").header("content-type", "application/json")
    };
    let (_, stores) = super::answer(request(Method::GET, url.clone()).send().await.unwrap()).await;
    assert!(stores["value"][0]["shardMap"].is_array());
    let create = request(Method::POST, format!("{url}/{STORE}/sessions")).body("{}");
    let (status, error) = super::answer(create.send().await.unwrap()).await;
    assert_eq!(status, 400);
    assert!(error["error"]["message"].as_str().unwrap().contains("MaxCountOfSuccessfulSessions is 0"));
    assert!(bench.sandbox.settings_toml(std::path::Path::new("/t")).contains("/v1.0\"\n"));
}
