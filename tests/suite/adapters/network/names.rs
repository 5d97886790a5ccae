//! Names: what cannot be found, and what leads where it must not.

use std::sync::Arc;
use std::time::Duration;

use edm_agent::adapters::http::HttpSettings;
use edm_agent::adapters::http::resolve::Reach;
use edm_agent::upload::fault::BlobFault;

use super::{UNSETTLED, ask, graph, list};
use crate::support::mock::Mock;
use crate::support::names::{Mute, Names};

fn outside(names: Names, this_host: &[&str]) -> HttpSettings {
    let this_host = this_host.iter().map(|&name| name.to_owned()).collect();
    let reach = Reach::Public { this_host };
    HttpSettings { reach, lookup: Arc::new(names), connect_timeout: Duration::from_secs(2), ..HttpSettings::default() }
}

#[tokio::test]
async fn an_upload_uri_whose_name_leads_inside_is_refused_before_anything_is_connected() {
    let mock = Mock::start().await;
    let port = mock.url().rsplit_once(':').unwrap().1.to_owned();
    for (addresses, kind) in [
        (["127.0.0.1"].as_slice(), "loopback"),
        (&["::ffff:127.0.0.1"], "loopback"),
        (&["127.0.0.1", "20.60.0.1"], "loopback"),
        (&["20.60.0.1", "10.0.0.4"], "private"),
        (&["169.254.169.254"], "link-local"),
        (&["fd00::1"], "unique local"),
    ] {
        let names = Names::new(&[("store.test", addresses)]);
        let error = list(&format!("https://store.test:{port}"), outside(names, &[])).await.unwrap_err();
        assert_eq!(error.fault, BlobFault::Forbidden, "{error}");
        for part in ["store.test", kind, "upload.allow_private_addresses = true"] {
            assert!(error.detail.contains(part), "`{part}` in `{error}`");
        }
        assert!(!format!("{error:?}").contains("canary"), "{error}");
    }
    assert_eq!(mock.connections(), 0);
}

#[tokio::test]
async fn a_private_address_is_reached_where_that_is_allowed_and_this_host_by_its_own_name() {
    let mock = Mock::start().await;
    let port = mock.url().rsplit_once(':').unwrap().1.to_owned();
    let anywhere = HttpSettings { reach: Reach::Anywhere, ..outside(Names::here(&["store.test"]), &[]) };
    let error = list(&format!("https://store.test:{port}"), anywhere).await.unwrap_err();
    assert_ne!(error.fault, BlobFault::Forbidden, "{error}");
    assert_eq!(mock.connections(), 1, "it was tried, though not with TLS: {error}");

    let local = outside(Names::here(&["localhost"]), &["localhost"]);
    let error = list(&format!("http://localhost:{port}"), local).await.unwrap_err();
    assert!(error.detail.contains("status 599"), "{error}");
    let not_listed = outside(Names::here(&["localhost"]), &[]);
    let error = list(&format!("http://localhost:{port}"), not_listed).await.unwrap_err();
    assert_eq!(error.fault, BlobFault::Forbidden, "{error}");
    assert_eq!(mock.connections(), 2);
}

#[tokio::test]
async fn a_name_that_is_unknown_is_told_from_one_that_takes_too_long() {
    let unknown = HttpSettings { lookup: Arc::new(Names::here(&[])), ..HttpSettings::default() };
    let error = ask(&graph("https://graph.test", unknown.clone())).await.unwrap_err();
    assert_eq!(error.fault, UNSETTLED);
    assert!(error.detail.starts_with("no connection: graph.test: the name graph.test is unknown"), "{error}");
    let error = list("https://store.test", unknown).await.unwrap_err();
    assert_eq!(error.fault, BlobFault::Transient { retry_after: None }, "{error}");

    tokio::time::pause();
    let mute = HttpSettings { lookup: Arc::new(Mute), ..HttpSettings::default() };
    let error = ask(&graph("https://graph.test", mute)).await.unwrap_err();
    assert_eq!(error.fault, UNSETTLED);
    assert!(error.detail.contains("the name graph.test was not resolved in time"), "{error}");
}

#[tokio::test]
async fn a_host_whose_first_addresses_are_dead_is_reached_by_its_other_one() {
    let mock = Mock::start().await;
    let port = mock.url().rsplit_once(':').unwrap().1.to_owned();
    // Nobody listens there: one is no way out of this host, one is this host.
    let names = Names::new(&[("store.test", &["2001:db8::1", "::1", "127.0.0.2", "127.0.0.1"])]);
    let http = HttpSettings { lookup: Arc::new(names), ..HttpSettings::default() };
    list(&format!("https://store.test:{port}"), http).await.unwrap_err();
    assert_eq!(mock.connections(), 1);
}
