//! Refusals of the store and faults of the network, and what is made of each.

use std::io::Write;
use std::sync::Arc;
use std::time::Duration;

use edm_agent::adapters::graph::settings::Integrity;
use edm_agent::ports::blobs::{BlobError, BlobStore, BlockPut, WholePut, WholeTarget};
use edm_agent::ports::clock::Clock;
use edm_agent::upload::fault::BlobFault;
use edm_agent::upload::uri::UploadUri;

use super::{PATIENCE, block, client, of_list, uri};
use crate::support::clock::TokioClock;
use crate::support::mock::{Mock, Reply};

const TRANSIENT: BlobFault = BlobFault::Transient { retry_after: None };

fn signed(mock: &Mock) -> UploadUri {
    uri(&format!(
        "{}/c/b?sv=2022-11-02&st=2025-12-31T23:00:00Z&se=2026-01-01T01:00:00Z&sr=b&sp=cw&sig=canary",
        mock.url()
    ))
}

/// A refusal as the store writes it, with a body that repeats what was signed.
fn refusal(status: u16, code: &str) -> Reply {
    let body = format!("<?xml version=\"1.0\"?><Error><Code>{code}</Code><Message>canary</Message></Error>");
    Reply::content(status, "application/xml", body).header("x-ms-request-id", "req-7")
}

async fn refused(reply: Reply) -> BlobError {
    let mock = Mock::start().await;
    mock.then(reply);
    let error = client(Integrity::Md5).put(signed(&mock), block(of_list("QQ=="), "body")).await.unwrap_err();
    assert!(!format!("{error} {error:?}").contains("canary"), "{error:?}");
    error
}

#[tokio::test]
async fn each_answer_of_the_store_means_one_thing_to_the_machine() {
    for (status, code, fault) in [
        (400, "InvalidBlockList", BlobFault::BlocksLost),
        (400, "InvalidBlobOrBlock", BlobFault::Refused { status: 400 }),
        (400, "Md5Mismatch", TRANSIENT),
        (400, "Crc64Mismatch", TRANSIENT),
        (401, "NoAuthenticationInformation", BlobFault::Forbidden),
        (403, "AuthenticationFailed", BlobFault::Forbidden),
        (403, "AuthorizationPermissionMismatch", BlobFault::Forbidden),
        (404, "ContainerNotFound", BlobFault::NotFound),
        (404, "BlobNotFound", BlobFault::NotFound),
        (408, "", TRANSIENT),
        (409, "BlockCountExceedsLimit", BlobFault::Refused { status: 409 }),
        (411, "MissingContentLengthHeader", BlobFault::Refused { status: 411 }),
        (413, "RequestBodyTooLarge", BlobFault::Refused { status: 413 }),
        (429, "", TRANSIENT),
        (500, "FeatureNotSupported", BlobFault::Refused { status: 500 }),
        (500, "InternalError", TRANSIENT),
        (503, "ServerBusy", TRANSIENT),
    ] {
        let in_body = refused(refusal(status, code)).await;
        let in_header = refused(Reply::status(status).header("x-ms-error-code", code)).await;
        assert_eq!((&in_body.fault, &in_header.fault), (&fault, &fault), "{status} {code}");
        assert!(in_body.detail.contains(code) && in_header.detail.contains(code), "{in_body}");
        assert!(in_body.detail.contains("req-7"), "{in_body}");
    }
}

#[tokio::test]
async fn how_long_the_store_wants_to_be_left_alone_is_passed_on() {
    let busy = refused(refusal(503, "ServerBusy").header("Retry-After", "7")).await;
    assert_eq!(busy.fault, BlobFault::Transient { retry_after: Some(Duration::from_secs(7)) });
}

#[tokio::test]
async fn a_refused_signature_says_whether_it_had_begun_and_ended_by_the_stores_clock() {
    let at = |date| refusal(403, "AuthenticationFailed").header("Date", date);
    let ended = refused(at("Thu, 01 Jan 2026 02:00:00 GMT")).await;
    assert!(ended.detail.contains("ended at 2026-01-01T01:00:00"), "{ended}");
    let wrong = refused(at("Thu, 01 Jan 2026 00:00:00 GMT")).await;
    assert!(wrong.detail.contains("signature or rights are wrong"), "{wrong}");
    let early = refused(at("Wed, 31 Dec 2025 22:59:00 GMT")).await;
    assert!(early.detail.contains("holds only from 2025-12-31T23:00:00"), "{early}");
}

#[tokio::test]
async fn a_redirect_of_the_store_is_not_followed() {
    let evil = Mock::start().await;
    for status in [301, 307] {
        let error = refused(Reply::status(status).header("Location", &format!("{}/?canary", evil.url()))).await;
        assert_eq!(error.fault, BlobFault::Refused { status });
        assert!(error.detail.contains("redirect to 127.0.0.1"), "{error}");
    }
    assert_eq!(evil.connections(), 0);
}

#[tokio::test]
async fn a_block_the_store_read_otherwise_is_not_stored() {
    let mock = Mock::start().await;
    for (integrity, name) in [(Integrity::Md5, "Content-MD5"), (Integrity::Crc64, "x-ms-content-crc64")] {
        let store = client(integrity);
        let put = || store.put(signed(&mock), block(of_list("QQ=="), "body"));
        mock.then(Reply::status(201));
        put().await.unwrap();
        let sent = mock.take_one().header(&name.to_ascii_lowercase()).unwrap().to_owned();
        mock.then(Reply::status(201).header(name, &sent)).then(Reply::status(201).header(name, "AAAAAAAAAAA="));
        put().await.unwrap();
        let error = put().await.unwrap_err();
        assert_eq!(error.fault, TRANSIENT, "{error}");
        mock.take();
    }
}

#[tokio::test]
async fn a_connection_that_breaks_settles_nothing() {
    for reply in [Reply::lost(), Reply::status(201).cut_after(5)] {
        let error = refused(reply).await;
        assert_eq!(error.fault, TRANSIENT);
        assert!(error.detail.starts_with("no answer"), "{error}");
    }
    let mock = Mock::start().await;
    let address = signed(&mock);
    drop(mock);
    tokio::task::yield_now().await;
    let error = client(Integrity::None).put(address, block(of_list("QQ=="), "x")).await.unwrap_err();
    assert_eq!(error.fault, TRANSIENT);
    assert!(error.detail.starts_with("no connection") && !error.to_string().contains("canary"), "{error}");
}

#[tokio::test]
async fn an_early_refusal_is_heard_while_the_block_is_still_being_sent() {
    let mock = Mock::start().await;
    mock.then(refusal(403, "AuthenticationFailed").early()).then(Reply::status(201));
    let store = client(Integrity::None);
    let error = store.put(signed(&mock), block(of_list("QQ=="), vec![0; 32 << 20])).await.unwrap_err();
    assert_eq!(error.fault, BlobFault::Forbidden, "{error}");
    store.put(signed(&mock), block(of_list("QQ=="), "x")).await.unwrap();
    let connections: Vec<_> = mock.take().iter().map(|request| request.connection).collect();
    assert_eq!(connections, [0, 1], "what is stuck half sent is not used again");
}

#[tokio::test]
async fn patience_ends_a_block_that_is_never_answered() {
    let mock = Mock::start().await;
    mock.then(Reply::held());
    let put = BlockPut { patience: Duration::from_millis(100), ..block(of_list("QQ=="), "x") };
    let error = client(Integrity::None).put(signed(&mock), put).await.unwrap_err();
    assert_eq!(error.fault, TRANSIENT, "{error}");
}

#[tokio::test]
async fn a_block_list_that_is_a_login_page_is_no_empty_list() {
    let mock = Mock::start().await;
    mock.then(Reply::content(200, "text/html", "<html>canary</html>"))
        .then(Reply::status(404))
        .then(refusal(404, "BlobNotFound"));
    let store = client(Integrity::None);
    let error = store.stored(signed(&mock), PATIENCE).await.unwrap_err();
    assert_eq!(error.fault, TRANSIENT, "{error}");
    let error = store.stored(signed(&mock), PATIENCE).await.unwrap_err();
    assert_eq!(error.fault, BlobFault::NotFound, "only the store itself can say that there is no blob: {error}");
    assert_eq!(store.stored(signed(&mock), PATIENCE).await.unwrap(), []);
}

fn whole(bytes: usize, length: u64, patience: Duration) -> WholePut {
    let mut file = tempfile::tempfile().unwrap();
    file.write_all(&vec![7; bytes]).unwrap();
    WholePut { target: WholeTarget::Blob, file: Arc::new(file), length, patience }
}

#[tokio::test]
async fn a_bundle_shorter_than_its_manifest_says_is_not_the_stores_fault() {
    let mock = Mock::start().await;
    mock.then(Reply::status(201));
    let error = client(Integrity::None).put_whole(signed(&mock), whole(300_000, 300_001, PATIENCE)).await.unwrap_err();
    assert_eq!(error.fault, BlobFault::Bundle, "{error}");
    assert!(mock.take().is_empty(), "the request never became whole");
}

#[tokio::test]
async fn a_bundle_may_take_any_time_while_it_moves_and_none_when_it_does_not() {
    let patience = Duration::from_secs(1);
    let mock = Mock::start().await;
    mock.then(Reply::status(201).sipping(Duration::from_millis(5)));
    let length = 24 << 20;
    let clock = TokioClock::start();
    let started = clock.now().moment;
    client(Integrity::None).put_whole(signed(&mock), whole(length, length as u64, patience)).await.unwrap();
    assert_eq!(mock.take_one().body.len(), length);
    assert!(started.until(clock.now().moment) > patience, "it took longer than it may stand still");

    mock.then(Reply::held());
    let patience = Duration::from_millis(50);
    let error = client(Integrity::None).put_whole(signed(&mock), whole(1_000, 1_000, patience)).await.unwrap_err();
    assert_eq!(error.fault, TRANSIENT);
    assert!(error.detail.contains("no byte moved"), "{error}");
}
