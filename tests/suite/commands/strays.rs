//! Upload URIs that lead elsewhere: the program ends, says why, and reaches
//! nobody.

use std::net::TcpListener;

use edm_agent::sandbox::{Operation, Phase, SandboxSettings};
use serde_json::json;

use super::harness::{Host, seen};

const UPLOAD: &[&str] = &["upload", "--table", "patients"];

/// A listener of somebody else on this host, which nobody must reach.
struct Evil(TcpListener);

impl Evil {
    fn new() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        Self(listener)
    }

    fn port(&self) -> u16 {
        self.0.local_addr().unwrap().port()
    }

    fn assert_alone(&self, case: &str) {
        let came = self.0.accept();
        assert!(came.is_err_and(|error| error.kind() == std::io::ErrorKind::WouldBlock), "{case}: somebody came");
    }
}

#[tokio::test]
async fn an_upload_uri_that_leads_elsewhere_is_refused_by_name_and_the_session_is_cancelled() {
    let evil = Evil::new();
    let port = evil.port();
    for (origin, reason) in [
        (format!("http://127.0.0.1:{port}"), format!("names port {port} of 127.0.0.1: add 127.0.0.1:{port}")),
        (format!("http://localhost:{port}"), "names the host localhost: add it".to_owned()),
        (format!("http://2130706433:{port}"), "writes 127.0.0.1 in another form".to_owned()),
        (format!("http://acct.blob.core.windows.net@127.0.0.1:{port}"), "of 127.0.0.1 carries a user name".to_owned()),
        (format!("http://evil.test:{port}"), "names evil.test without TLS".to_owned()),
        (format!("https://10.0.0.1:{port}"), "names the address 10.0.0.1".to_owned()),
    ] {
        let host = Host::scripted(&format!("[quirks]\nuri_origin = \"{origin}\"\n")).await;

        let ended = host.run(UPLOAD).await;

        ended.assert_refused(1, &[&reason]);
        assert!(!ended.stderr.contains("sig=") && !ended.stdout.contains("sig="), "{ended:?}");
        assert_eq!((host.opened(), host.only_session().phase), (1, Phase::Cancelled), "{origin}");
        assert_eq!(host.asked(Operation::PutBlock), 0, "{origin}");
        evil.assert_alone(&origin);
    }
}

#[tokio::test]
async fn a_renewal_that_leads_elsewhere_ends_the_upload_and_nothing_follows_it() {
    let evil = Evil::new();
    let uri = format!("http://127.0.0.1:{}/blobs?sr=b&si=upload&sig=canary", evil.port());
    let body = json!({ "dataUploadURI": uri }).to_string();
    let settings = SandboxSettings { session_ttl: std::time::Duration::from_secs(3), ..SandboxSettings::default() };
    let script = format!(
        "[[fault]]\noperation = \"renew\"\nalways = true\nbody_text = {}\n[quirks]\nbandwidth = \"5KiB\"\n",
        json!(body)
    );
    let host = Host::with(&script, settings).await;

    let ended = host.run(UPLOAD).await;

    ended.assert_refused(1, &["names port", "of 127.0.0.1"]);
    assert!(!ended.stderr.contains("canary") && !ended.stdout.contains("canary"), "{ended:?}");
    assert_eq!(host.only_session().phase, Phase::Cancelled);
    evil.assert_alone("renewal");
}

#[tokio::test]
async fn a_renewal_that_is_of_another_data_store_is_asked_for_again_and_its_uri_is_not_used() {
    let evil = Evil::new();
    let body = |host: &str| {
        let uri = format!("http://{host}/blobs?sr=b&si=upload&sig=canary");
        json!({"dataStoreId": "7b1f0a52-0000-4000-8000-0000000000ff", "dataUploadURI": uri}).to_string()
    };
    let settings = SandboxSettings { session_ttl: std::time::Duration::from_secs(4), ..SandboxSettings::default() };
    let script = format!(
        "[[fault]]\noperation = \"renew\"\nnth = 1\nbody_text = {}\n[quirks]\nbandwidth = \"5KiB\"\n",
        json!(body(&format!("127.0.0.1:{}", evil.port())))
    );
    let mut host = Host::with(&script, settings).await;
    // The host may be asked: it is the session that is another.
    host.set(
        "upload.allowed_hosts",
        &json!([host.sandbox.address(), format!("127.0.0.1:{}", evil.port())]).to_string(),
    );

    let ended = host.run(UPLOAD).await;

    assert_eq!(ended.code, Some(0), "{ended:?}");
    seen("it was renewed again", || (host.asked(Operation::Renew) > 1).then_some(())).await;
    host.assert_uploaded_once("a renewal of another data store").await;
    evil.assert_alone("another data store");
}
