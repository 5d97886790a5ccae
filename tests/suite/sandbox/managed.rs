//! The managed identities: of a machine, an App Service, and an Arc machine.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::Duration;

use edm_agent::sandbox::{CLIENT_ID, Operation, Quirks, SandboxSettings};
use reqwest::Response;
use serde_json::{Value, json};

use super::{Bench, answer};

const IMDS: &str = "metadata/identity/oauth2/token?api-version=2018-02-01&resource=https%3A%2F%2Fgraph.invalid";
const APP_SERVICE: &str = "msi/token?api-version=2019-08-01&resource=https%3A%2F%2Fgraph.invalid";
const ARC: &str = "arc/metadata/identity/oauth2/token?api-version=2020-06-01&resource=https%3A%2F%2Fgraph.invalid";

async fn get(bench: &Bench, path: &str, headers: &[(&str, &str)]) -> Response {
    let mut request = bench.http.get(format!("{}/{path}", bench.sandbox.origin()));
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    request.send().await.unwrap()
}

const METADATA: (&str, &str) = ("metadata", "true");

#[tokio::test]
async fn a_machines_identity_gives_a_token_with_numbers_as_texts() {
    let bench = Bench::new().await;
    let (status, granted) = answer(get(&bench, IMDS, &[METADATA]).await).await;
    assert_eq!(status, 200, "{granted}");
    let said = |name: &str| granted[name].as_str().unwrap().to_owned();
    assert_eq!((said("expires_in"), said("token_type")), ("3599".to_owned(), "Bearer".to_owned()));
    assert_eq!((said("expires_on"), said("not_before")), ("1772370999".to_owned(), "1772367400".to_owned()));
    assert_eq!(said("resource"), "https://graph.invalid");
    assert_eq!(bench.status_with(&said("access_token")).await, 200);
    let assigned = answer(get(&bench, &format!("{IMDS}&client_id={CLIENT_ID}"), &[METADATA]).await).await.1;
    assert_eq!(assigned["client_id"], CLIENT_ID);
    assert_ne!(granted["client_id"], CLIENT_ID);
    bench.clock.advance(Duration::from_secs(3_599));
    assert_eq!(bench.status_with(&said("access_token")).await, 401);
}

#[tokio::test]
async fn a_machines_identity_refuses_what_the_real_one_does() {
    let bench = Bench::new().await;
    let without = |part: &str| IMDS.replace(part, "");
    for (path, headers, breach) in [
        (IMDS.to_owned(), vec![], true),
        (IMDS.to_owned(), vec![("metadata", "yes")], true),
        (IMDS.to_owned(), vec![METADATA, ("x-forwarded-for", "10.0.0.1")], true),
        (IMDS.to_owned(), vec![METADATA, ("via", "1.1 proxy")], true),
        (without("api-version=2018-02-01&"), vec![METADATA], true),
        (IMDS.replace("2018", "1999"), vec![METADATA], true),
        (without("&resource=https%3A%2F%2Fgraph.invalid"), vec![METADATA], true),
        (format!("{IMDS}%2F.default"), vec![METADATA], true),
        (format!("{IMDS}&client_id=somebody"), vec![METADATA], false),
        (format!("{IMDS}&object_id=somebody"), vec![METADATA], false),
    ] {
        let (status, refused) = answer(get(&bench, &path, &headers).await).await;
        assert_eq!(status, 400, "{path} {headers:?} {refused}");
        assert!(refused["error"].is_string() && refused["error_description"].is_string(), "{refused}");
        let seen = bench.sandbox.journal().pop().unwrap();
        assert_eq!((seen.operation, seen.breach), (Operation::ImdsToken, breach), "{path} {headers:?}");
    }
    let posted = bench.http.post(format!("{}/{IMDS}", bench.sandbox.origin())).header("metadata", "true");
    assert_eq!(posted.send().await.unwrap().status(), 405);
}

#[tokio::test]
async fn a_machines_identity_is_not_reached_through_a_proxy() {
    let bench = Bench::new().await;
    // To a proxy, the whole address is written into the request.
    let proxy = reqwest::Proxy::http(bench.sandbox.origin()).unwrap();
    let http = reqwest::Client::builder().proxy(proxy).build().unwrap();
    let request = http.get(format!("http://169.254.169.254/{IMDS}")).header("metadata", "true");
    let (status, refused) = answer(request.send().await.unwrap()).await;
    assert_eq!(status, 400);
    assert!(refused["error_description"].as_str().unwrap().contains("proxy"), "{refused}");
}

#[tokio::test]
async fn a_script_lets_a_machines_identity_fail_as_it_does() {
    let script = "[[fault]]\noperation = \"imds-token\"\nnth = 1\nstatus = 410\n\
                  [[fault]]\noperation = \"imds-token\"\nnth = 2\nstatus = 429\nretry_after = \"1\"\n\
                  [[fault]]\noperation = [\"imds-token\", \"app-service-token\", \"arc-token\"]\nnth = 3\nbody = \"html\"\n";
    let bench = Bench::scripted(script).await;
    let gone = answer(get(&bench, IMDS, &[METADATA]).await).await;
    assert_eq!((gone.0, &gone.1["error"]), (410, &json!("gone")));
    let throttled = get(&bench, IMDS, &[METADATA]).await;
    assert_eq!((throttled.status().as_u16(), &throttled.headers()["retry-after"]), (429, &"1".parse().unwrap()));
    assert!(get(&bench, IMDS, &[METADATA]).await.text().await.unwrap().starts_with("<!DOCTYPE"));
    assert_eq!(get(&bench, IMDS, &[METADATA]).await.status(), 200);
}

#[tokio::test]
async fn an_app_services_identity_wants_its_header() {
    let bench = Bench::new().await;
    let header = ("x-identity-header", bench.sandbox.identity_header());
    let (status, granted) = answer(get(&bench, APP_SERVICE, &[header]).await).await;
    assert_eq!((status, &granted["expires_on"], &granted["expires_in"]), (200, &json!("1772370999"), &Value::Null));
    assert_eq!(bench.status_with(granted["access_token"].as_str().unwrap()).await, 200);
    for (path, headers, expected) in [
        (APP_SERVICE, vec![], 401),
        (APP_SERVICE, vec![METADATA], 401),
        (APP_SERVICE, vec![("x-identity-header", "wrong")], 401),
        (&*APP_SERVICE.replace("2019", "2017"), vec![header], 400),
        (&*APP_SERVICE.replace("resource", "scope"), vec![header], 400),
    ] {
        let (status, refused) = answer(get(&bench, path, &headers).await).await;
        assert_eq!((status, &refused["statusCode"]), (expected, &json!(expected)), "{path} {headers:?}");
    }
    let log = format!("{:?}", bench.sandbox.journal());
    assert!(!log.contains(bench.sandbox.identity_header()));
}

/// The file that an Arc challenge names.
async fn challenged(bench: &Bench, headers: &[(&str, &str)]) -> String {
    let response = get(bench, ARC, headers).await;
    assert_eq!(response.status(), 401);
    let header = response.headers()["www-authenticate"].to_str().unwrap();
    header.strip_prefix("Basic realm=").unwrap().to_owned()
}

#[tokio::test]
async fn an_arc_machines_identity_wants_to_see_a_key_and_sees_each_once() {
    let home = tempfile::tempdir().unwrap();
    let dir = home.path().join("tokens");
    let settings = SandboxSettings { arc_key_dir: Some(dir.clone()), ..SandboxSettings::default() };
    let bench = Bench::with(settings).await;
    let path = challenged(&bench, &[METADATA]).await;
    let file = Path::new(&path);
    assert_eq!((file.parent(), file.extension()), (Some(bench.sandbox.arc_key_dir()), Some("key".as_ref())));
    assert_eq!(bench.sandbox.arc_key_dir(), dir);
    let about = file.metadata().unwrap();
    assert!(about.permissions().mode() & 0o777 == 0o600 && (1..=4_096).contains(&about.len()));

    let shown = format!("Basic {}", std::fs::read_to_string(file).unwrap());
    let (status, granted) = answer(get(&bench, ARC, &[METADATA, ("authorization", &shown)]).await).await;
    assert_eq!((status, &granted["expires_in"]), (200, &json!("3599")), "{granted}");
    assert_eq!(bench.status_with(granted["access_token"].as_str().unwrap()).await, 200);
    assert!(!file.exists(), "it was of use once");
    let second = challenged(&bench, &[METADATA, ("authorization", &shown)]).await;
    assert_ne!(second, path);
    challenged(&bench, &[METADATA, ("authorization", "Basic wrong")]).await;
    assert_eq!(get(&bench, ARC, &[]).await.status(), 400, "without Metadata");
    assert_eq!(get(&bench, &ARC.replace("2020", "2018"), &[METADATA]).await.status(), 400);

    let log = format!("{:?}", bench.sandbox.journal());
    assert!(!log.contains(&shown) && !log.contains(shown.trim_start_matches("Basic ")));
    assert!(Path::new(&second).exists());
    bench.sandbox.stop().await;
    assert_eq!(std::fs::read_dir(&dir).unwrap().count(), 0, "keys that were never shown go with the sandbox");
}

#[tokio::test]
async fn an_arc_challenge_may_name_a_file_that_no_client_should_send() {
    let quirks = Quirks { arc_realm: Some("/etc/passwd".to_owned()), arc_key_size: Some(4_097), ..Quirks::default() };
    let bench = Bench::quirky(quirks).await;
    assert_eq!(challenged(&bench, &[METADATA]).await, "/etc/passwd");
    let mut keys = std::fs::read_dir(bench.sandbox.arc_key_dir()).unwrap();
    assert_eq!(keys.next().unwrap().unwrap().metadata().unwrap().len(), 4_097);
}

#[tokio::test]
async fn a_managed_identitys_token_is_never_asked_to_answer_claims() {
    let bench = Bench::new().await;
    bench.sandbox.demand_claims();
    let (_, granted) = answer(get(&bench, IMDS, &[METADATA]).await).await;
    assert_eq!(bench.status_with(granted["access_token"].as_str().unwrap()).await, 200);
}
