//! Collections, data stores and upload agents.

use edm_agent::sandbox::Quirks;
use reqwest::Method;
use serde_json::{Value, json};

use super::{Bench, STORE, draft, path_of, sessions};

#[tokio::test]
async fn a_list_comes_in_pages_whose_links_lead_to_all_of_it() {
    let bench = Bench::quirky(Quirks { page_size: Some(2), ..Quirks::default() }).await;
    for name in ["b", "c", "d", "e"] {
        let (status, _) = bench.call(Method::POST, "exactMatchDataStores", Some(json!({"displayName": name}))).await;
        assert_eq!(status, 201);
    }
    let mut names = Vec::new();
    let mut next = Some(bench.url("exactMatchDataStores"));
    let mut pages = 0;
    while let Some(url) = next {
        let request = bench.http.get(&url).bearer_auth(bench.sandbox.bearer()).header("client-request-id", "1");
        let (status, page) = super::answer(request.send().await.unwrap()).await;
        assert_eq!(status, 200, "{page}");
        names.extend(page["value"].as_array().unwrap().iter().map(|store| store["displayName"].to_string()));
        next = page["@odata.nextLink"].as_str().map(str::to_owned);
        pages += 1;
    }
    names.sort();
    assert_eq!((pages, names.join(" ")), (3, "\"Patients\" \"b\" \"c\" \"d\" \"e\"".to_owned()));
    assert_eq!(bench.get("exactMatchDataStores/$count").await, (200, json!(5)));
}

#[tokio::test]
async fn a_next_link_can_lead_astray() {
    let quirks =
        Quirks { page_size: Some(1), next_link_origin: Some("http://evil.test".to_owned()), ..Quirks::default() };
    let bench = Bench::quirky(quirks).await;
    bench.open(draft(b"")).await;
    bench.open(draft(b"")).await;
    let (_, page) = bench.get(&sessions()).await;
    assert!(page["@odata.nextLink"].as_str().unwrap().starts_with("http://evil.test/"));
}

#[tokio::test]
async fn a_filter_is_honoured_only_where_it_is_known() {
    let ask = "exactMatchDataStores?$filter=displayName%20eq%20'Patients'";
    let bench = Bench::new().await;
    assert_eq!(bench.get(ask).await.0, 400);
    assert_eq!(bench.get("exactMatchDataStores?$nonsense=1").await.0, 400);
    let bench = Bench::quirky(Quirks { filter: true, ..Quirks::default() }).await;
    bench.call(Method::POST, "exactMatchDataStores", Some(json!({"displayName": "other"}))).await;
    let (_, found) = bench.get(ask).await;
    assert_eq!(found["value"].as_array().unwrap().len(), 1);
    assert_eq!(found["value"][0]["id"], STORE);
}

#[tokio::test]
async fn data_stores_can_be_made_changed_and_removed() {
    let bench = Bench::new().await;
    let body = json!({"displayName": "Staff", "columns": [{"name": "Badge", "isSearchable": true}]});
    let (_, made) = bench.call(Method::POST, "exactMatchDataStores", Some(body)).await;
    let path = format!("exactMatchDataStores/{}", made["id"].as_str().unwrap());
    let (status, changed) = bench.call(Method::PATCH, &path, Some(json!({"description": "new"}))).await;
    assert_eq!(
        (status, &changed["description"], &changed["columns"][0]["name"]),
        (200, &json!("new"), &json!("Badge"))
    );
    let own = json!({"dataLastUpdatedDateTime": "2026-01-01T00:00:00Z"});
    assert_eq!(bench.call(Method::PATCH, &path, Some(own)).await.0, 400);
    assert_eq!(bench.call(Method::DELETE, &path, None).await, (204, Value::Null));
    assert_eq!(bench.get(&path).await.0, 404);
    assert_eq!(bench.get(&format!("{path}/sessions")).await.0, 404);
}

#[tokio::test]
async fn an_upload_agent_is_registered_once_and_named_by_sessions() {
    let bench = Bench::new().await;
    let agents = "exactMatchUploadAgents";
    assert_eq!(bench.call(Method::POST, agents, Some(json!({"creationDateTime": "x"}))).await.0, 400);
    let (status, made) = bench.call(Method::POST, agents, Some(json!({"description": "host-1"}))).await;
    assert_eq!(status, 201);
    let id = made["id"].as_str().unwrap();
    let mut unknown = draft(b"");
    unknown["uploadAgentId"] = json!("nobody");
    assert_eq!(bench.call(Method::POST, &sessions(), Some(unknown)).await.0, 400);
    let mut known = draft(b"");
    known["uploadAgentId"] = json!(id);
    let (session, _) = bench.open(known).await;
    let of_session = format!("{}/uploadAgent", path_of(&session));
    assert_eq!(bench.get(&of_session).await, (200, made.clone()));
    let patched = bench.call(Method::PATCH, &format!("{agents}/{id}"), Some(json!({"description": "host-2"}))).await;
    assert_eq!((patched.0, &patched.1["description"]), (200, &json!("host-2")));
    assert_eq!(bench.get(&format!("{agents}/$count")).await.1, json!(1));
    assert_eq!(bench.call(Method::DELETE, &format!("{agents}/{id}"), None).await.0, 204);
    assert_eq!(bench.get(&of_session).await.0, 404);
    assert_eq!(bench.get(agents).await.1["value"], json!([]));
}
