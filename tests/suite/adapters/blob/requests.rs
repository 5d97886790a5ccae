//! Every request to the store to the letter.

use std::fs::File;
use std::io::Write;
use std::sync::Arc;

use edm_agent::adapters::blob::{NEWEST_VERSION, PLAIN_VERSION};
use edm_agent::adapters::graph::settings::{ContractSettings, Integrity};
use edm_agent::ports::blobs::{BlobStore, WholePut, WholeTarget};
use edm_agent::upload::uri::UploadUri;

use super::{PATIENCE, block, client, client_with, of_container, of_list, uri};
use crate::support::mock::{Captured, Mock, Reply};

/// The check value of CRC-64/NVME, 0xAE8B14860A799888, in little-endian bytes.
const CRC64: &str = "iJh5CoYUi64=";
/// RFC 1321, appendix A.5.
const MD5: &str = "JfnnlDI7RTiF9RgfG2JNCw==";
const DIGITS: &str = "123456789";
const SIGNED: &str = "sv=2022-11-02&se=2027-01-01T00%3A00%3a00Z&sr=b&sp=cw&sig=a%2Bb/c%3D";

fn signed(mock: &Mock) -> UploadUri {
    uri(&format!("{}/acct/c/blob?{SIGNED}", mock.url()))
}

fn whole(target: WholeTarget, content: &[u8]) -> WholePut {
    let mut file: File = tempfile::tempfile().unwrap();
    file.write_all(content).unwrap();
    WholePut { target, file: Arc::new(file), length: content.len() as u64, patience: PATIENCE }
}

/// Asserts the headers, besides the one that is random.
fn headers(request: &Captured, expected: &[(&str, &str)]) {
    let mut names: Vec<&str> = expected.iter().map(|(name, _)| *name).collect();
    names.extend(["accept", "x-ms-client-request-id"]);
    names.sort_unstable();
    assert_eq!(request.header_names(), names);
    for (name, value) in expected {
        assert_eq!(request.header(name), Some(*value), "{name}");
    }
    assert_eq!(request.header("x-ms-client-request-id").unwrap().len(), 36);
}

#[tokio::test]
async fn a_block_is_put_under_its_id_with_its_length_and_its_check() {
    for (integrity, check) in [
        (Integrity::Auto, Some(("x-ms-content-crc64", CRC64))),
        (Integrity::Crc64, Some(("x-ms-content-crc64", CRC64))),
        (Integrity::Md5, Some(("content-md5", MD5))),
        (Integrity::None, None),
    ] {
        let mock = Mock::start().await;
        mock.then(Reply::status(201));
        client(integrity).put(signed(&mock), block(of_list("QUJD+/8="), DIGITS)).await.unwrap();
        let request = mock.take_one();
        assert_eq!(request.method, "PUT");
        assert_eq!(request.target, format!("/acct/c/blob?{SIGNED}&comp=block&blockid=QUJD%2B%2F8%3D"));
        assert_eq!(request.body, DIGITS.as_bytes());
        let expected: Vec<_> =
            [("content-length", "9"), ("x-ms-version", "2022-11-02")].into_iter().chain(check).collect();
        headers(&request, &expected);
    }
}

#[tokio::test]
async fn a_block_of_a_container_is_a_block_blob_below_it() {
    let mock = Mock::start().await;
    mock.then(Reply::status(201));
    client(Integrity::Auto).put(signed(&mock), block(of_container("b 1"), DIGITS)).await.unwrap();
    let request = mock.take_one();
    assert_eq!(format!("{} {}", request.method, request.target), format!("PUT /acct/c/blob/b%201?{SIGNED}"));
    let version = ("x-ms-version", "2022-11-02");
    let kind = ("x-ms-blob-type", "BlockBlob");
    headers(&request, &[("content-length", "9"), ("x-ms-content-crc64", CRC64), kind, version]);
}

#[tokio::test]
async fn the_block_list_is_read_and_written_under_comp_blocklist() {
    let mock = Mock::start().await;
    let store = client(Integrity::Auto);
    mock.then(Reply::status(201));
    store.put_list(signed(&mock), vec!["QQ==".to_owned(), "Qg==".to_owned()], PATIENCE).await.unwrap();
    let request = mock.take_one();
    assert_eq!(format!("{} {}", request.method, request.target), format!("PUT /acct/c/blob?{SIGNED}&comp=blocklist"));
    let body =
        "<?xml version=\"1.0\" encoding=\"utf-8\"?><BlockList><Latest>QQ==</Latest><Latest>Qg==</Latest></BlockList>";
    assert_eq!(String::from_utf8_lossy(&request.body), body);
    let length = body.len().to_string();
    headers(
        &request,
        &[("content-length", &length), ("content-type", "application/xml"), ("x-ms-version", "2022-11-02")],
    );

    mock.then(Reply::content(200, "application/xml", "<BlockList/>"));
    assert_eq!(store.stored(signed(&mock), PATIENCE).await.unwrap(), []);
    let request = mock.take_one();
    let target = format!("/acct/c/blob?{SIGNED}&comp=blocklist&blocklisttype=all");
    assert_eq!((request.method.as_str(), request.target), ("GET", target));
}

#[tokio::test]
async fn a_bundle_is_streamed_with_its_length_and_bare_to_a_plain_address() {
    let mock = Mock::start().await;
    let content: Vec<u8> = (0..3_000_000u32).map(|index| index.to_le_bytes()[1]).collect();
    let length = content.len().to_string();
    mock.then(Reply::status(201)).then(Reply::status(200));

    client(Integrity::Auto).put_whole(signed(&mock), whole(WholeTarget::Blob, &content)).await.unwrap();
    let request = mock.take_one();
    assert!(request.body == content);
    assert_eq!(request.target, format!("/acct/c/blob?{SIGNED}"));
    headers(&request, &[("content-length", &length), ("x-ms-blob-type", "BlockBlob"), ("x-ms-version", "2022-11-02")]);

    let plain = uri(&format!("{}/drop/here", mock.url()));
    client(Integrity::Auto).put_whole(plain, whole(WholeTarget::Plain, &content)).await.unwrap();
    let request = mock.take_one();
    assert!(request.body == content);
    assert_eq!((request.method.as_str(), request.target.as_str()), ("PUT", "/drop/here"));
    assert_eq!(request.header_names(), ["accept", "content-length"]);
}

#[tokio::test]
async fn the_storage_version_is_the_settings_or_the_signatures_up_to_the_newest_known() {
    let mock = Mock::start().await;
    for (setting, query, sent) in [
        ("", "?sv=2019-12-12&sr=b&si=p&sig=x", "2019-12-12"),
        ("", "?sv=2099-01-01&sr=b&si=p&sig=x", NEWEST_VERSION),
        ("", "", PLAIN_VERSION),
        ("2020-02-10", "?sv=2022-11-02&sr=b&si=p&sig=x", "2020-02-10"),
    ] {
        mock.then(Reply::status(201));
        let store = client_with(&ContractSettings { ms_version: setting.to_owned(), ..ContractSettings::default() });
        store.put(uri(&format!("{}/b{query}", mock.url())), block(of_list("QQ=="), "x")).await.unwrap();
        assert_eq!(mock.take_one().header("x-ms-version"), Some(sent), "{setting} {query}");
    }
}

#[tokio::test]
async fn a_store_without_crc64_gets_the_block_again_at_once_by_md5_and_the_next_only_so() {
    let store = client(Integrity::Auto);
    for (status, code) in [(500, "FeatureNotSupported"), (400, "UnsupportedHeader")] {
        let mock = Mock::start().await;
        mock.then(Reply::status(status).header("x-ms-error-code", code))
            .then(Reply::status(201))
            .then(Reply::status(201));
        store.put(signed(&mock), block(of_list("QQ=="), DIGITS)).await.unwrap();
        store.put(signed(&mock), block(of_list("Qg=="), DIGITS)).await.unwrap();
        let requests = mock.take();
        let check = |request: &Captured| {
            (request.header("x-ms-content-crc64").is_some(), request.header("content-md5").is_some())
        };
        let checks: Vec<_> = requests.iter().map(check).collect();
        assert_eq!(checks, [(true, false), (false, true), (false, true)], "each store is asked once");
        assert_eq!(requests[0].target, requests[1].target);
        assert_eq!(requests[1].body, DIGITS.as_bytes());
    }
}

#[tokio::test]
async fn a_store_told_to_take_crc64_is_not_sent_md5_instead() {
    let mock = Mock::start().await;
    mock.then(Reply::status(500).header("x-ms-error-code", "FeatureNotSupported"));
    client(Integrity::Crc64).put(signed(&mock), block(of_list("QQ=="), DIGITS)).await.unwrap_err();
    assert_eq!(mock.take().len(), 1);
}
