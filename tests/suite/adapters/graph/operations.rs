//! Every operation to the letter: method, path, headers, body.

use std::time::Duration;

use edm_agent::adapters::graph::settings::{
    ActionForm, BodilessBody, BodilessContentType, ContractSettings, CreateProperty, SendDataStoreId, StoreLookup,
};
use edm_agent::ports::contract::SessionChanges;
use edm_agent::ports::service::{LookupQuery, SessionService};
use serde_json::{Value, json};

use super::{client, client_with, draft, key};
use crate::support::mock::{Captured, Mock, Reply};

const SESSION: &str = r#"{"id":"s/2","state":"UploadInProgress","remainingBlockCount":3}"#;
const STORE: &str = "/beta/dataClassification/exactMatchDataStores/store%201";
const PATIENCE: Duration = Duration::from_secs(5);

/// Asserts what every request has in common, and returns what it does not.
fn shape(request: &Captured) -> (String, Option<Value>) {
    assert_eq!(request.header("authorization"), Some("Bearer token-0"));
    assert_eq!(request.header("accept"), Some("application/json"));
    assert_eq!(request.header("client-request-id").unwrap().len(), 36);
    assert!(request.header("user-agent").unwrap().starts_with("edm-agent/"));
    let mut names = vec!["accept", "authorization", "client-request-id"];
    let line = format!("{} {}", request.method, request.target);
    if request.method == "POST" || request.method == "PATCH" {
        names.push("content-length");
    }
    if request.body.is_empty() {
        names.sort_unstable();
        assert_eq!(request.header_names(), names, "{line}");
        return (line, None);
    }
    names.push("content-type");
    names.sort_unstable();
    assert_eq!(request.header_names(), names, "{line}");
    assert_eq!(request.header("content-type"), Some("application/json"));
    (line, Some(request.json()))
}

#[tokio::test]
async fn reading_asks_for_exactly_the_documented_addresses() {
    let mock = Mock::start().await;
    let service = client(&mock);
    let object = || Reply::json(200, r#"{"id":"1"}"#);
    let root = "GET /beta/dataClassification";

    mock.then(Reply::json(200, r#"{"value":[]}"#));
    service.stores().await.unwrap();
    assert_eq!(shape(&mock.take_one()), (format!("{root}/exactMatchDataStores"), None));
    mock.then(object());
    service.store("store 1").await.unwrap();
    assert_eq!(shape(&mock.take_one()), (format!("GET {STORE}"), None));
    mock.then(Reply::json(200, r#"{"value":[]}"#));
    service.sessions("store 1").await.unwrap();
    assert_eq!(shape(&mock.take_one()), (format!("GET {STORE}/sessions"), None));
    mock.then(object());
    service.session(&key()).await.unwrap();
    assert_eq!(shape(&mock.take_one()), (format!("GET {STORE}/sessions/s%2F2"), None));
    mock.then(object());
    service.session_upload_agent(&key()).await.unwrap();
    assert_eq!(shape(&mock.take_one()), (format!("GET {STORE}/sessions/s%2F2/uploadAgent"), None));
    mock.then(Reply::json(200, r#"{"value":[]}"#));
    service.upload_agents().await.unwrap();
    assert_eq!(shape(&mock.take_one()), (format!("{root}/exactMatchUploadAgents"), None));
    mock.then(object());
    service.upload_agent("a?b").await.unwrap();
    assert_eq!(shape(&mock.take_one()), (format!("{root}/exactMatchUploadAgents/a%3Fb"), None));
}

#[tokio::test]
async fn changing_sends_exactly_the_documented_bodies() {
    let mock = Mock::start().await;
    let service = client(&mock);

    mock.then(Reply::json(201, SESSION));
    assert_eq!(service.create("store 1", draft()).await.unwrap().value.id, "s/2");
    let body = json!({"fileName": "patients-1.EdmHash", "fields": ["Name", "SSN"], "checksum": "ab12", "rowsPerBlock": 1000,
        "totalBlockCount": 15, "remainingBlockCount": 15, "salt": "the-salt", "uploadAgentId": "agent-1"});
    assert_eq!(shape(&mock.take_one()), (format!("POST {STORE}/sessions"), Some(body)));

    mock.then(Reply::json(200, SESSION));
    let changes =
        SessionChanges { remaining_block_count: Some(0), total_block_count: Some(3), ..SessionChanges::default() };
    assert_eq!(service.update(&key(), changes).await.unwrap().value.remaining_block_count, Some(3));
    let body = json!({"remainingBlockCount": 0, "totalBlockCount": 3});
    assert_eq!(shape(&mock.take_one()), (format!("PATCH {STORE}/sessions/s%2F2"), Some(body)));

    mock.then(Reply::json(200, SESSION));
    service.restate(&key(), draft()).await.unwrap();
    let body = json!({"fields": ["Name", "SSN"], "checksum": "ab12", "rowsPerBlock": 1000, "totalBlockCount": 15, "salt": "the-salt"});
    assert_eq!(shape(&mock.take_one()), (format!("PATCH {STORE}/sessions/s%2F2"), Some(body)));

    mock.then(Reply::json(200, r#"{"value":["row 1","row 2"]}"#));
    let query =
        LookupQuery { key: "SSN".to_owned(), values: vec!["aa".to_owned()], result_columns: vec!["Name".to_owned()] };
    assert_eq!(service.lookup("store 1", query).await.unwrap().value, ["row 1", "row 2"]);
    let body = json!({"key": "SSN", "values": ["aa"], "resultColumnNames": ["Name"]});
    assert_eq!(shape(&mock.take_one()), (format!("POST {STORE}/lookup"), Some(body)));

    mock.then(Reply::json(201, r#"{"id":"agent-9"}"#));
    assert_eq!(service.create_upload_agent("host a").await.unwrap().value.id, "agent-9");
    let line = "POST /beta/dataClassification/exactMatchUploadAgents".to_owned();
    assert_eq!(shape(&mock.take_one()), (line, Some(json!({"description": "host a"}))));
}

#[tokio::test]
async fn actions_and_removals_carry_no_body_and_no_content_type() {
    let mock = Mock::start().await;
    let service = client(&mock);

    mock.then(Reply::json(200, SESSION));
    assert_eq!(service.renew(&key(), PATIENCE).await.unwrap().value.state, "UploadInProgress");
    let renew = mock.take_one();
    assert_eq!(renew.header("content-length"), Some("0"));
    assert_eq!(shape(&renew), (format!("POST {STORE}/sessions/s%2F2/renew"), None));
    mock.then(Reply::status(204));
    service.commit(&key()).await.unwrap();
    assert_eq!(shape(&mock.take_one()), (format!("POST {STORE}/sessions/s%2F2/commit"), None));
    mock.then(Reply::status(204));
    service.cancel(&key()).await.unwrap();
    assert_eq!(shape(&mock.take_one()), (format!("POST {STORE}/sessions/s%2F2/cancel"), None));
    mock.then(Reply::status(204));
    service.delete(&key()).await.unwrap();
    assert_eq!(shape(&mock.take_one()), (format!("DELETE {STORE}/sessions/s%2F2"), None));
    mock.then(Reply::status(204));
    service.delete_upload_agent("a").await.unwrap();
    assert_eq!(shape(&mock.take_one()), ("DELETE /beta/dataClassification/exactMatchUploadAgents/a".to_owned(), None));
}

#[tokio::test]
async fn every_request_has_an_id_of_its_own() {
    let mock = Mock::start().await;
    let service = client(&mock);
    mock.then(Reply::json(200, SESSION)).then(Reply::json(200, SESSION));
    service.session(&key()).await.unwrap();
    service.session(&key()).await.unwrap();
    let requests = mock.take();
    assert_ne!(requests[0].header("client-request-id"), requests[1].header("client-request-id"));
}

#[tokio::test]
async fn each_setting_of_the_contract_changes_what_is_sent() {
    let mock = Mock::start().await;
    let contract = ContractSettings {
        action_form: ActionForm::Qualified,
        send_datastore_id: SendDataStoreId::Old,
        send_odata_type: true,
        create_properties: vec![CreateProperty::FileName],
        bodiless_content_type: BodilessContentType::Json,
        ..ContractSettings::default()
    };
    let service = client_with(&mock, contract);

    mock.then(Reply::json(201, SESSION));
    service.create("store 1", draft()).await.unwrap();
    let expected = json!({"@odata.type": "#microsoft.graph.exactMatchSession", "datastoreId": "store 1",
        "fileName": "patients-1.EdmHash"});
    assert_eq!(mock.take_one().json(), expected);
    mock.then(Reply::json(200, SESSION));
    service
        .update(&key(), SessionChanges { state: Some("Done".to_owned()), ..SessionChanges::default() })
        .await
        .unwrap();
    let expected =
        json!({"@odata.type": "#microsoft.graph.exactMatchSession", "datastoreId": "store 1", "state": "Done"});
    assert_eq!(mock.take_one().json(), expected);
    mock.then(Reply::json(200, SESSION));
    service.renew(&key(), PATIENCE).await.unwrap();
    let renew = mock.take_one();
    assert_eq!(renew.target, format!("{STORE}/sessions/s%2F2/microsoft.graph.renew"));
    assert_eq!((renew.header("content-type"), renew.body.len()), (Some("application/json"), 0));
    assert_eq!(renew.header("content-length"), Some("0"));
    mock.then(Reply::json(200, r#"{"value":[]}"#));
    let query = LookupQuery { key: String::new(), values: Vec::new(), result_columns: Vec::new() };
    service.lookup("store 1", query).await.unwrap();
    assert_eq!(mock.take_one().target, format!("{STORE}/microsoft.graph.lookup"));
    mock.then(Reply::json(201, r#"{"id":"a"}"#));
    service.create_upload_agent("host").await.unwrap();
    assert_eq!(mock.take_one().json()["@odata.type"], "#microsoft.graph.exactMatchUploadAgent");
}

#[tokio::test]
async fn a_bodiless_post_can_carry_an_empty_object() {
    let mock = Mock::start().await;
    let contract = ContractSettings { bodiless_body: BodilessBody::Object, ..ContractSettings::default() };
    mock.then(Reply::status(204));
    client_with(&mock, contract).commit(&key()).await.unwrap();
    let commit = mock.take_one();
    assert_eq!((commit.header("content-type"), commit.body.as_slice()), (Some("application/json"), &b"{}"[..]));
}

#[tokio::test]
async fn an_entity_tag_is_sent_where_one_was_seen_unless_switched_off() {
    let mock = Mock::start().await;
    let tagged = || SessionChanges { if_match: Some("W/\"7\"".to_owned()), ..SessionChanges::default() };
    for (if_match, sent) in [(true, Some("W/\"7\"")), (false, None)] {
        let contract = ContractSettings { if_match, ..ContractSettings::default() };
        mock.then(Reply::json(200, SESSION));
        client_with(&mock, contract).update(&key(), tagged()).await.unwrap();
        assert_eq!(mock.take_one().header("if-match"), sent);
    }
}

#[tokio::test]
async fn a_data_store_is_found_by_name_in_the_list_or_by_a_filter() {
    let stores = r#"{"value":[{"id":"1","displayName":"Other"},{"id":"2","displayName":"O'Brien & Co"}]}"#;
    for (store_lookup, query) in
        [(StoreLookup::List, ""), (StoreLookup::Filter, "?$filter=displayName%20eq%20%27O%27%27Brien%20%26%20Co%27")]
    {
        let mock = Mock::start().await;
        let service = client_with(&mock, ContractSettings { store_lookup, ..ContractSettings::default() });
        mock.then(Reply::json(200, stores));
        let found = service.stores_named("O'Brien & Co").await.unwrap().value;
        assert_eq!(found.iter().map(|store| store.id.as_str()).collect::<Vec<_>>(), ["2"]);
        assert_eq!(mock.take_one().target, format!("/beta/dataClassification/exactMatchDataStores{query}"));
    }
}

#[tokio::test]
async fn an_id_that_would_climb_to_another_object_is_refused_before_any_byte() {
    let mock = Mock::start().await;
    let service = client(&mock);
    for id in ["", ".", ".."] {
        service.store(id).await.err().unwrap();
        service.delete_upload_agent(id).await.err().unwrap();
    }
    assert_eq!(mock.connections(), 0);
}
