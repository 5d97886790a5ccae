//! TLS under an authority that is thrown away, and HTTP/2 over it.

use std::net::SocketAddr;

use edm_agent::sandbox::{CLIENT_SECRET, Operation, Phase, Quirks, SandboxSettings, TENANT_ID, parse_script};
use reqwest::{Certificate, Client, ClientBuilder, Version};

use super::{Bench, block_uri, draft, table};

fn settings() -> SandboxSettings {
    SandboxSettings { tls: true, ..SandboxSettings::default() }
}

async fn scripted(script: &str) -> Bench {
    let (faults, quirks) = parse_script(script).unwrap();
    Bench::with(SandboxSettings { faults, quirks, ..settings() }).await
}

fn trusting(bench: &Bench) -> ClientBuilder {
    let ca = Certificate::from_pem(bench.sandbox.ca_pem().unwrap().as_bytes()).unwrap();
    Client::builder().no_proxy().tls_certs_only([ca])
}

#[tokio::test]
async fn everything_goes_over_http2_to_who_offers_it() {
    let bench = Bench::with(settings()).await;
    assert!(bench.sandbox.origin().starts_with("https://127.0.0.1:"));
    let url = format!("{}/{TENANT_ID}/oauth2/v2.0/token", bench.sandbox.origin());
    assert_eq!(bench.ask_authority(&url, &[("client_secret", CLIENT_SECRET)]).await.0, 200);
    let bytes = table(&[["1", "Ada"], ["2", "Bob"]]);
    let (session, uri) = bench.open(draft(&bytes)).await;
    assert!(uri.starts_with(bench.sandbox.origin()));
    let put = bench.http.put(block_uri(&uri, "AAAA")).body(bytes).send().await.unwrap();
    assert_eq!((put.status().as_u16(), put.version()), (201, Version::HTTP_2));
    assert_eq!(bench.put_list(&uri, &["AAAA"]).await.0, 201);
    assert_eq!(bench.act(&session, "commit").await.0, 204);
    assert_eq!(bench.processed(&session).await.phase, Phase::Completed);
    let seen = bench.sandbox.journal();
    assert!(seen.iter().all(|seen| seen.version == "HTTP/2" && seen.connection == 1 && !seen.breach), "{seen:#?}");
}

#[tokio::test]
async fn a_large_block_goes_over_http2_whole() {
    let bench = Bench::with(settings()).await;
    let (session, uri) = bench.open(draft(b"")).await;
    assert_eq!(bench.put_block(&uri, "AAAA", &vec![7; 9 << 20]).await.0, 201);
    assert_eq!(bench.sandbox.session(&session).unwrap().tally.puts.values().sum::<u32>(), 1);
}

#[tokio::test]
async fn a_client_may_stay_with_http1_and_a_quirk_leaves_no_choice() {
    let bench = Bench::with(settings()).await;
    let old = trusting(&bench).http1_only().build().unwrap();
    assert_eq!(old.get(bench.sandbox.origin()).send().await.unwrap().version(), Version::HTTP_11);
    assert_eq!(bench.sandbox.journal()[0].version, "HTTP/1.1");
    let quirks = Quirks { no_http2: true, ..Quirks::default() };
    let bench = Bench::with(SandboxSettings { quirks, ..settings() }).await;
    assert_eq!(bench.http.get(bench.sandbox.origin()).send().await.unwrap().version(), Version::HTTP_11);
}

#[tokio::test]
async fn nobody_gets_through_who_does_not_trust_the_authority_or_expects_another_name() {
    let bench = Bench::with(SandboxSettings { names: vec!["graph.sandbox.test".to_owned()], ..settings() }).await;
    let port = bench.sandbox.address().port();
    let stranger = Client::builder().no_proxy().build().unwrap();
    assert!(stranger.get(bench.sandbox.origin()).send().await.is_err());
    let plain = bench.sandbox.origin().replace("https", "http");
    assert!(stranger.get(plain).send().await.is_err());
    for (name, passes) in [("localhost", true), ("graph.sandbox.test", true), ("other.sandbox.test", false)] {
        let there = SocketAddr::from(([127, 0, 0, 1], port));
        let client = trusting(&bench).resolve(name, there).build().unwrap();
        let answer = client.get(format!("https://{name}:{port}/")).send().await;
        assert_eq!(answer.is_ok(), passes, "{name}: {answer:?}");
    }
}

#[tokio::test]
async fn upload_uris_may_lead_to_another_name_of_the_sandbox_or_to_a_stranger() {
    let quirks = Quirks { uri_origin: Some("https://store.sandbox.test:8443".to_owned()), ..Quirks::default() };
    let names = vec!["store.sandbox.test".to_owned()];
    let bench = Bench::with(SandboxSettings { names, quirks, ..settings() }).await;
    let (session, uri) = bench.open(draft(b"")).await;
    assert!(uri.starts_with("https://store.sandbox.test:8443/blobs/"), "{uri}");
    let here = SocketAddr::from(([127, 0, 0, 1], bench.sandbox.address().port()));
    let client = trusting(&bench).resolve("store.sandbox.test", here).build().unwrap();
    // The name resolves to the sandbox, whose port is another.
    let uri = uri.replace(":8443", &format!(":{}", here.port()));
    assert_eq!(client.put(block_uri(&uri, "AAAA")).body("x").send().await.unwrap().status(), 201);
    assert_eq!(bench.act(&session, "renew").await.0, 200);
}

#[tokio::test]
async fn each_sandbox_has_an_authority_of_its_own_in_a_file_that_goes_with_it() {
    let home = tempfile::tempdir().unwrap();
    let path = home.path().join("ca.pem");
    let bench = Bench::with(SandboxSettings { ca_file: Some(path.clone()), ..settings() }).await;
    let other = Bench::with(settings()).await;
    assert_ne!(bench.sandbox.ca_pem(), other.sandbox.ca_pem());
    assert!(bench.http.get(other.sandbox.origin()).send().await.is_err());
    for bench in [&bench, &other] {
        let file = bench.sandbox.ca_file().unwrap();
        assert_eq!(Some(&*std::fs::read_to_string(file).unwrap()), bench.sandbox.ca_pem());
        let settings: toml::Table = bench.sandbox.settings_toml("/t".as_ref()).parse().unwrap();
        assert_eq!(settings["graph"]["ca_file"].as_str(), file.to_str());
        let host = bench.sandbox.origin().trim_start_matches("https://");
        assert_eq!(settings["upload"]["allowed_hosts"][0].as_str(), Some(host));
    }
    assert_eq!(bench.sandbox.ca_file(), Some(&*path));
    let in_its_own = other.sandbox.ca_file().unwrap().to_owned();
    bench.sandbox.stop().await;
    other.sandbox.stop().await;
    assert!(!path.exists() && !in_its_own.exists());
}

#[tokio::test]
async fn a_cut_takes_the_whole_connection_and_the_next_request_a_new_one() {
    for (what, happens) in [("cut = \"before\"", 0), ("cut = \"after-body\"", 0), ("lost_reply = true", 1)] {
        let bench = scripted(&format!("[[fault]]\noperation = \"create\"\nnth = 1\n{what}\n")).await;
        assert_eq!(bench.get("exactMatchDataStores").await.0, 200);
        let body = draft(b"").to_string();
        let request =
            bench.request(reqwest::Method::POST, &super::sessions()).header("content-type", "application/json");
        request.body(body).send().await.unwrap_err();
        assert_eq!(bench.sandbox.sessions().len(), happens, "{what}");
        assert_eq!(bench.get("exactMatchDataStores").await.0, 200);
        let connections: Vec<u64> = bench.sandbox.journal().iter().map(|seen| seen.connection).collect();
        assert_eq!(connections, [1, 1, 2], "{what}");
    }
}

#[tokio::test]
async fn an_answer_over_http2_can_drip_and_can_break_off() {
    let script = "[[fault]]\noperation = \"list-stores\"\nnth = 1\ndrip = \"1ms\"\n\
                  [[fault]]\noperation = \"list-stores\"\nnth = 2\ncut = \"mid-answer\"\n\
                  [[fault]]\noperation = \"put-block\"\nnth = 1\nearly_403 = true\n";
    let bench = scripted(script).await;
    assert_eq!(bench.get("exactMatchDataStores").await.0, 200);
    let request = bench.request(reqwest::Method::GET, "exactMatchDataStores");
    let broken = async { request.send().await?.bytes().await }.await;
    broken.unwrap_err();
    let (_, uri) = bench.open(draft(b"")).await;
    assert_eq!(bench.put_block(&uri, "AAAA", &vec![7; 4 << 20]).await.0, 403);
    assert_eq!(bench.put_block(&uri, "AAAA", b"x").await.0, 201);
    assert!(bench.sandbox.journal().iter().any(|seen| seen.operation == Operation::PutBlock && seen.faulted));
}
