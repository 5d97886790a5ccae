//! `docs/openapi.yaml` against the code: no route, no field and no event is
//! missing on either side. What the program answers is held to it in
//! `commands::openapi`.

use std::collections::BTreeSet;

use edm_agent::agent::board::TableView;
use edm_agent::agent::routes::{Found, ROUTES, Route, find};
use edm_agent::agent::status::{Picture, UploadView};
use hyper::Method;
use serde_json::{Value, json};

use crate::support::openapi::{PAGE, Page};
use crate::support::tree;

/// Asserts that two sets are the same, and says of each difference what to write where.
fn assert_same<T: Ord + std::fmt::Debug>(code: &BTreeSet<T>, page: &BTreeSet<T>, from: &str, place: &str) {
    let missing: Vec<_> = code.difference(page).collect();
    assert!(missing.is_empty(), "{from} has {missing:?}: describe it in {PAGE}, under `{place}`");
    let surplus: Vec<_> = page.difference(code).collect();
    assert!(
        surplus.is_empty(),
        "{PAGE} describes {surplus:?} under `{place}`, which {from} does not have: remove it there"
    );
}

#[test]
fn every_route_is_described_and_every_description_is_a_route() {
    let routes = ROUTES.iter().map(|(method, path, _)| (method.to_string(), (*path).to_owned())).collect();
    let described = Page::read().operations().into_keys().collect();
    assert_same(&routes, &described, "src/agent/routes.rs", "paths:");
}

#[test]
fn a_route_is_found_by_its_path_and_a_path_without_the_method_says_which_it_has() {
    assert_eq!(find(&Method::GET, "/v1/sessions/a/upload-uri"), Found::Route(Route::UploadUri, "a"));
    assert_eq!(find(&Method::GET, "/v1/status/"), Found::Route(Route::Status, ""));
    assert_eq!(find(&Method::DELETE, "/v1/sessions"), Found::OtherMethods("GET, POST".to_owned()));
    for nowhere in ["/", "/v1", "/v1/sessions//renew", "/v1/sessions/a/b", "/v1/uploads/a/renew", "/v2/status"] {
        assert_eq!(find(&Method::GET, nowhere), Found::Nothing, "{nowhere}");
    }
}

fn keys(value: &Value) -> BTreeSet<String> {
    value.as_object().unwrap().keys().cloned().collect()
}

#[test]
fn every_field_is_described_and_required() {
    let page = Page::read();
    let picture = serde_json::to_value(Picture::default()).unwrap();
    // What `control` adds to the picture is seen by asking the program.
    let status = keys(&page.schema("Status")["properties"]);
    let missing: Vec<_> = keys(&picture).difference(&status).cloned().collect();
    assert!(missing.is_empty(), "describe {missing:?} in {PAGE}, under `components: schemas: Status: properties:`");
    for (name, shown) in
        [("Upload", serde_json::to_value(UploadView::default())), ("Table", serde_json::to_value(TableView::default()))]
    {
        let place = format!("components: schemas: {name}: properties:");
        let from = format!("{name}View of src/agent");
        assert_same(&keys(&shown.unwrap()), &keys(&page.schema(name)["properties"]), &from, &place);
    }
    for name in ["Status", "Upload", "Table"] {
        let required = page.schema(name)["required"].as_array().unwrap().iter();
        let required = required.map(|name| name.as_str().unwrap().to_owned()).collect();
        let place = format!("components: schemas: {name}: required:");
        assert_same(&keys(&page.schema(name)["properties"]), &required, "its own properties", &place);
    }
}

#[test]
fn every_event_is_described() {
    let slots = tree::read("src/upload/record.rs");
    let slots = slots.lines().filter(|line| line.trim_start().starts_with("Self::") && line.contains("=> \""));
    // The two things a gate does share a slot, and are told apart in what is told.
    let gates = tree::read("src/agent/dispatcher/slot.rs");
    let gates = gates.lines().filter(|line| line.trim_start().starts_with("Record::Gate") && line.contains("=> \""));
    let slots = slots.filter(|line| !line.contains("Self::Gate")).chain(gates);
    let slots: Vec<String> = slots.map(str::to_owned).collect();
    let reloads = tree::read("src/agent/reload.rs");
    let reloads = reloads.lines().filter(|line| line.contains("(\"configuration-")).map(str::to_owned);
    let reloads: Vec<String> = reloads.collect();
    let said = tree::rust("src/agent").into_iter().flat_map(|source| {
        let said = source.text.replace("\\\"", "\"");
        let lines = said.lines().filter(|line| line.contains("event: \"") || line.contains("\"event\":\""));
        lines.map(|line| line.split_once("event").unwrap().1.replacen("\":\"", "\"", 1)).collect::<Vec<String>>()
    });
    let quoted = |line: String| line.split('"').nth(1).unwrap().to_owned();
    let told: BTreeSet<String> = slots.into_iter().chain(said).chain(reloads).map(quoted).collect();
    assert!(
        ["opened", "released", "throttled", "lagged", "configuration-refused"].iter().all(|&kind| told.contains(kind)),
        "{told:?}"
    );

    let page = Page::read();
    let kinds = page.schema("Event")["oneOf"].as_array().unwrap().iter().flat_map(|kind| {
        let name = kind["$ref"].as_str().unwrap().rsplit('/').next().unwrap();
        page.schema(name)["properties"]["event"]["enum"].as_array().unwrap().clone()
    });
    let kinds = kinds.map(|kind| kind.as_str().unwrap().to_owned()).collect();
    assert_same(&told, &kinds, "the agent", "components: schemas: Event: oneOf: (a schema whose `event` has it)");
}

/// A judge that finds nothing wrong proves nothing.
#[test]
fn what_is_not_as_described_is_found() {
    let page = Page::read();
    let good = json!({ "error": { "status": 404, "message": "not here", "exit": null } });
    let wrong = |schema: &str, value: &Value| page.wrong(page.schema(schema), value, "it");
    assert_eq!(wrong("Refused", &good), Vec::<String>::new());
    for (change, at) in [
        (json!({ "error": { "status": "404", "message": "", "exit": null } }), "it.error.status"),
        (json!({ "error": { "status": 404, "message": null, "exit": null } }), "it.error.message"),
        (json!({ "error": { "status": 404, "message": "" } }), "`exit` is not there"),
        (json!({ "error": { "status": 404, "message": "", "exit": 1, "more": 1 } }), "schemas: Refusal: properties:"),
        (json!({ "error": [] }), "it.error"),
    ] {
        let found = wrong("Refused", &change).join("\n");
        assert!(found.contains(at), "{at:?} is not in {found:?}");
    }
    let at = "2027-03-04T05:06:07Z";
    let event = |event: &str, at: &str, detail: Value| json!({ "at": at, "event": event, "upload": "u", "table": "t", "detail": detail });
    let end = json!({ "outcome": "failed", "reason": null });
    assert_eq!(wrong("Event", &event("closed", at, end.clone())), Vec::<String>::new());
    for bad in [
        event("closed", "yesterday", end.clone()),
        event("stored", at, end),
        event("closed", at, json!({ "outcome": "lost", "reason": null })),
        event("exploded", at, json!({})),
    ] {
        assert_ne!(wrong("Event", &bad), Vec::<String>::new(), "{bad}");
    }
    let undescribed = page.wrong_answer("GET", "/v1/status", 418, "application/json", &json!({}));
    assert!(undescribed[0].contains("paths: /v1/status: get: responses:"), "{undescribed:?}");
    assert_eq!(page.wrong_answer("GET", "/v1/status", 503, "text/plain", &good).len(), 1, "another type");
    assert_eq!(page.wrong_request("PUT", "/v1/sessions/{id}/progress", &json!({ "uploaded": [[1]] })).len(), 1);
}
