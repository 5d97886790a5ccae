//! The forms of a session's checksum, from the setting to the service that
//! compares it with the bytes it got.

use edm_agent::sandbox::Phase;

use super::harness::Host;

const UPLOAD: &[&str] = &["upload", "--table", "patients"];

async fn host(taken: &str, sent: &str) -> Host {
    let mut host = Host::scripted(&format!("[quirks]\nchecksum = \"{taken}\"\n")).await;
    host.set("contract.checksum", sent);
    host
}

#[tokio::test]
async fn each_form_of_the_checksum_is_taken_by_a_service_that_wants_it() {
    for form in ["md5-hex", "md5-base64", "sha256-hex", "sha256-base64", "sha512-hex", "sha512-base64"] {
        let host = host(form, form).await;
        let ended = host.run(UPLOAD).await;
        assert_eq!(ended.code, Some(0), "{form}: {ended:?}");
        assert!(host.only_session().checksum.is_some(), "{form}: without one nothing is compared");
    }
}

#[tokio::test]
async fn a_checksum_of_another_form_fails_the_upload_and_the_service_says_why() {
    let host = host("sha512-hex", "sha512-base64").await;
    let ended = host.run(UPLOAD).await;
    assert_ne!(ended.code, Some(0), "{ended:?}");
    assert_eq!(host.only_session().phase, Phase::Failed);
    assert!(ended.stderr.contains("ChecksumMismatch"), "{}", ended.stderr);
}

#[tokio::test]
async fn a_session_is_opened_without_a_checksum_where_none_is_wanted() {
    let host = host("any", "none").await;
    assert_eq!(host.run(UPLOAD).await.code, Some(0));
    assert_eq!(host.only_session().checksum, None);
}
