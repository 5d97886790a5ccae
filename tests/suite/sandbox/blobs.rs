//! The blob endpoint, as Azure Storage would answer.

use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use edm_agent::sandbox::quirks::{Integrity, UriForm};
use edm_agent::sandbox::{Phase, Quirks, SandboxSettings};
use md5::Digest;
use reqwest::Method;
use serde_json::json;

use super::{Bench, block_uri, draft, refusal, table};

fn refused(status: u16, code: &str) -> (u16, String) {
    (status, code.to_owned())
}

#[tokio::test]
async fn a_block_list_makes_the_blob_and_drops_what_it_does_not_name() {
    let bench = Bench::new().await;
    let (session, uri) = bench.open(draft(b"")).await;
    let list = |kind: &'static str| {
        let request = bench.http.get(format!("{uri}&comp=blocklist&blocklisttype={kind}"));
        async { request.send().await.unwrap().text().await.unwrap() }
    };
    assert_eq!(
        refusal(bench.http.get(format!("{uri}&comp=blocklist")).send().await.unwrap()),
        refused(404, "BlobNotFound")
    );
    for (id, bytes) in [("AAAA", "one"), ("AAAB", "second"), ("AAAC", "third"), ("AAAB", "two")] {
        assert_eq!(bench.put_block(&uri, id, bytes.as_bytes()).await.0, 201);
    }
    let staged = list("uncommitted").await;
    assert!(staged.contains("<Block><Name>AAAB</Name><Size>3</Size></Block>"), "an id put again replaces: {staged}");
    assert!(!staged.contains("CommittedBlocks><") && list("all").await.contains("<CommittedBlocks />"));

    assert_eq!(bench.put_list(&uri, &["AAAB", "AAAA"]).await.0, 201);

    let all = list("all").await;
    assert!(
        all.contains("<CommittedBlocks><Block><Name>AAAB</Name>") && all.contains("<UncommittedBlocks />"),
        "{all}"
    );
    let blob = bench.http.get(&uri).send().await.unwrap();
    assert_eq!(blob.content_length(), Some(6));
    assert_eq!(blob.text().await.unwrap(), "twoone");
    assert_eq!(bench.put_list(&uri, &["AAAA", "AAAC"]).await, refused(400, "InvalidBlockList"), "AAAC was dropped");
    assert_eq!(bench.put_list(&uri, &["AAAA"]).await.0, 201, "a committed block can be named again");
    let tally = bench.sandbox.session(&session).unwrap().tally;
    assert_eq!((tally.puts["AAAB"], tally.block_lists), (2, 2));
}

#[tokio::test]
async fn a_blob_put_whole_drops_staged_blocks_and_needs_its_type() {
    let bench = Bench::new().await;
    let (_, uri) = bench.open(draft(b"")).await;
    bench.put_block(&uri, "AAAA", b"staged").await;
    assert_eq!(bench.put(&uri, "whole").await, refused(400, "MissingRequiredHeader"));
    let put = || bench.http.put(&uri).header("x-ms-blob-type", "BlockBlob").body("whole");
    assert_eq!(put().send().await.unwrap().status(), 201);
    assert_eq!(bench.put_list(&uri, &["AAAA"]).await, refused(400, "InvalidBlockList"));
    let again = put().header("if-none-match", "*").send().await.unwrap();
    assert_eq!(refusal(again), refused(409, "BlobAlreadyExists"));
    assert_eq!(bench.http.get(&uri).send().await.unwrap().text().await.unwrap(), "whole");
}

#[tokio::test]
async fn block_ids_are_base64_short_and_all_of_one_length() {
    let bench = Bench::new().await;
    let (_, uri) = bench.open(draft(b"")).await;
    let longest = STANDARD.encode([7; 64]);
    assert_eq!(bench.put_block(&uri, &STANDARD.encode([7; 65]), b"x").await, refused(400, "OutOfRangeInput"));
    assert_eq!(bench.put_block(&uri, "not base64!", b"x").await, refused(400, "InvalidQueryParameterValue"));
    assert_eq!(bench.put_block(&uri, "", b"x").await, refused(400, "OutOfRangeInput"));
    assert_eq!(bench.put(&format!("{uri}&comp=block"), "x").await, refused(400, "InvalidQueryParameterValue"));
    assert_eq!(bench.put_block(&uri, &longest, b"x").await.0, 201);
    assert_eq!(bench.put_block(&uri, "AAAA", b"x").await, refused(400, "InvalidBlobOrBlock"));
    assert_eq!(bench.put_list(&uri, &[&longest]).await.0, 201);
    assert_eq!(bench.put_block(&uri, "AAAA", b"x").await, refused(400, "InvalidBlobOrBlock"), "committed ones count");
}

#[tokio::test]
async fn digests_of_a_block_are_checked_and_echoed() {
    let bench = Bench::new().await;
    let (session, uri) = bench.open(draft(b"")).await;
    let body = b"some bytes";
    let mut crc = crc64fast_nvme::Digest::new();
    crc.write(body);
    let md5 = STANDARD.encode(md5::Md5::digest(body));
    let crc64 = STANDARD.encode(crc.sum64().to_le_bytes());
    let big_endian = STANDARD.encode(crc.sum64().to_be_bytes());
    let put = |headers: &[(&'static str, &str)]| {
        let mut request = bench.http.put(block_uri(&uri, "AAAA")).body(body.to_vec());
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        async { request.send().await.unwrap() }
    };
    let stored = put(&[("content-md5", &md5)]).await;
    assert_eq!((stored.status().as_u16(), stored.headers()["content-md5"].to_str().unwrap()), (201, &*md5));
    let stored = put(&[("x-ms-content-crc64", &crc64)]).await;
    assert_eq!((stored.status().as_u16(), stored.headers()["x-ms-content-crc64"].to_str().unwrap()), (201, &*crc64));
    for (headers, code) in [
        (vec![("content-md5", "AAAAAAAAAAAAAAAAAAAAAA==")], "Md5Mismatch"),
        (vec![("x-ms-content-crc64", &*big_endian)], "Crc64Mismatch"),
        (vec![("content-md5", &*md5), ("x-ms-content-crc64", &*crc64)], "BothCrc64AndMd5HeaderPresent"),
    ] {
        assert_eq!(refusal(put(&headers).await), refused(400, code));
    }
    assert_eq!(bench.sandbox.session(&session).unwrap().tally.puts["AAAA"], 2, "a refused block is not stored");
}

#[tokio::test]
async fn a_digest_nobody_announced_is_answered_all_the_same() {
    let bench = Bench::new().await;
    let (_, uri) = bench.open(draft(b"")).await;
    let mut crc = crc64fast_nvme::Digest::new();
    crc.write(b"bytes");
    let block = bench.http.put(block_uri(&uri, "AAAA")).body("bytes").send().await.unwrap();
    assert_eq!(block.headers()["x-ms-content-crc64"].to_str().unwrap(), STANDARD.encode(crc.sum64().to_le_bytes()));
    let blob = bench.http.put(&uri).header("x-ms-blob-type", "BlockBlob").body("bytes").send().await.unwrap();
    assert_eq!(blob.headers()["content-md5"].to_str().unwrap(), STANDARD.encode(md5::Md5::digest("bytes")));
}

#[tokio::test]
async fn a_blob_may_be_empty_and_a_block_may_not() {
    let bench = Bench::new().await;
    let (_, uri) = bench.open(draft(b"")).await;
    let empty = |uri: String| bench.http.put(uri).header("content-length", "0");
    let block = empty(block_uri(&uri, "AAAA")).send().await.unwrap();
    assert_eq!(refusal(block), refused(400, "InvalidHeaderValue"));
    let blob = empty(uri.clone()).header("x-ms-blob-type", "BlockBlob").send().await.unwrap();
    assert_eq!(blob.status(), 201);
    let blob = bench.http.get(&uri).send().await.unwrap();
    assert_eq!((blob.status().as_u16(), blob.text().await.unwrap()), (200, String::new()));
}

#[tokio::test]
async fn the_crc64_is_the_nvme_one() {
    let mut crc = crc64fast_nvme::Digest::new();
    crc.write(b"123456789");
    assert_eq!(crc.sum64(), 0xAE8B_1486_0A79_9888, "the catalogue's check value");
}

#[tokio::test]
async fn a_signature_admits_only_what_was_signed() {
    let bench = Bench::new().await;
    let (_, uri) = bench.open(draft(b"")).await;
    let (path, query) = uri.split_once('?').unwrap();
    let authentication = refused(403, "AuthenticationFailed");
    let longer_life = uri.replace("se=2026", "se=2036");
    let wider_rights = uri.replace("sp=rcw", "sp=rcwdl");
    let other_kind = uri.replace("sr=b", "sr=c");
    let other_blob = format!("{path}x?{query}");
    let below = format!("{path}/below?{query}");
    let unknown = uri.replace("sig=", "sig=x");
    for tampered in [longer_life, wider_rights, other_kind, other_blob, below, unknown] {
        assert_eq!(bench.put_block(&tampered, "AAAA", b"x").await, authentication, "{tampered}");
    }
    assert_eq!(
        bench.put_block(&format!("{path}?a=b"), "AAAA", b"x").await,
        refused(401, "NoAuthenticationInformation")
    );
    assert_eq!(bench.put_block(&uri, "AAAA", b"x").await.0, 201);
    // The order of the parameters is not part of what is signed.
    let (first, rest) = query.split_once('&').unwrap();
    assert_eq!(bench.put_block(&format!("{path}?{rest}&{first}"), "AAAA", b"x").await.0, 201);
}

#[tokio::test]
async fn rights_that_were_not_given_are_missing() {
    let writer = Bench::quirky(Quirks { uri_rights: "w".to_owned(), ..Quirks::default() }).await;
    let (_, uri) = writer.open(draft(b"")).await;
    assert_eq!(writer.put_block(&uri, "AAAA", b"x").await.0, 201);
    let list = writer.http.get(format!("{uri}&comp=blocklist&blocklisttype=all")).send().await.unwrap();
    assert_eq!(refusal(list), refused(403, "AuthorizationPermissionMismatch"));

    let creator = Bench::quirky(Quirks { uri_rights: "c".to_owned(), ..Quirks::default() }).await;
    let (_, uri) = creator.open(draft(b"")).await;
    creator.put_block(&uri, "AAAA", b"x").await;
    assert_eq!(creator.put_list(&uri, &["AAAA"]).await.0, 201);
    assert_eq!(creator.put_list(&uri, &["AAAA"]).await, refused(403, "UnauthorizedBlobOverwrite"));

    let reader = Bench::quirky(Quirks { uri_rights: "r".to_owned(), ..Quirks::default() }).await;
    let (_, uri) = reader.open(draft(b"")).await;
    assert_eq!(reader.put_block(&uri, "AAAA", b"x").await, refused(403, "AuthorizationPermissionMismatch"));
}

#[tokio::test]
async fn a_body_needs_a_length_and_a_list_needs_to_be_one() {
    let bench = Bench::new().await;
    let (_, uri) = bench.open(draft(b"")).await;
    let address = bench.sandbox.address();
    let path = block_uri(&uri, "AAAA").replace(bench.sandbox.origin(), "");
    let request =
        format!("PUT {path} HTTP/1.1\r\nhost: {address}\r\ntransfer-encoding: chunked\r\n\r\n1\r\nx\r\n0\r\n\r\n");
    let reply = super::faults::raw(address, &request).await;
    assert!(reply.starts_with("HTTP/1.1 411") && reply.contains("MissingContentLengthHeader"), "{reply}");
    for xml in
        [" ", "<BlockList>", "<Other/>", "<BlockList><Latest><b/></Latest></BlockList>", "<BlockList>AAAA</BlockList>"]
    {
        let answer = bench.put(&format!("{uri}&comp=blocklist"), xml).await;
        assert_eq!(answer, refused(400, "InvalidXmlDocument"), "{xml}");
    }
}

#[tokio::test]
async fn one_blob_per_block_becomes_the_table_in_the_order_of_names() {
    for uri_form in [UriForm::Container, UriForm::Directory] {
        let bench = Bench::quirky(Quirks { uri: uri_form, ..Quirks::default() }).await;
        let blocks = [table(&[["1", "a"]]), table(&[["2", "b"]])];
        let mut second = blocks[1].clone();
        second[12] = 1;
        let (session, uri) = bench.open(json!({"totalBlockCount": 2, "fields": ["Id", "Name"]})).await;
        let (path, query) = uri.split_once('?').unwrap();
        let put = |name: &str, body: &[u8]| {
            let request = bench.http.put(format!("{path}/{name}?{query}")).header("x-ms-blob-type", "BlockBlob");
            let request = request.body(body.to_vec());
            async { request.send().await.unwrap().status().as_u16() }
        };
        assert_eq!(put("block-1", &second).await, 201);
        assert_eq!(bench.act(&session, "commit").await.0, 409, "one of two");
        assert_eq!(put("block-0", &blocks[0]).await, 201);
        assert_eq!(bench.put(&uri, "x").await.0, 403, "the container itself is no blob");
        assert_eq!(bench.act(&session, "commit").await.0, 204);
        let seen = bench.processed(&session).await;
        assert_eq!((seen.phase, seen.seal.unwrap().rows), (Phase::Completed, 2), "{:?}", seen.error);
        assert_eq!(bench.sandbox.live_bytes(super::STORE).unwrap(), [blocks[0].clone(), second].concat());
    }
}

#[tokio::test]
async fn an_address_without_a_signature_takes_a_plain_put() {
    let bench = Bench::quirky(Quirks { uri: UriForm::Plain, ..Quirks::default() }).await;
    let bytes = table(&[["1", "a"]]);
    let (session, uri) = bench.open(draft(&bytes)).await;
    assert!(!uri.contains('?'));
    assert_eq!(bench.put(&format!("{uri}x"), bytes.clone()).await.0, 404);
    assert_eq!(bench.put(&uri, bytes).await.0, 201);
    let (_, renewed) = bench.act(&session, "renew").await;
    assert_eq!(renewed["dataUploadURI"], uri.as_str());
    assert_eq!(bench.act(&session, "commit").await.0, 204);
    assert_eq!(bench.processed(&session).await.phase, Phase::Completed);
}

#[tokio::test]
async fn the_key_of_a_signature_may_end_before_it_and_a_policy_may_hide_the_end() {
    let key = Quirks { uri_key_ttl: Some(Duration::from_secs(5)), ..Quirks::default() };
    let bench = Bench::quirky(key).await;
    let (_, uri) = bench.open(draft(b"")).await;
    assert!(uri.contains("ske=2026-03-01T12%3A16%3A46Z") && uri.contains("se=2026-03-01T12%3A17%3A11Z"), "{uri}");
    bench.clock.advance(Duration::from_secs(6));
    assert_eq!(bench.put_block(&uri, "AAAA", b"x").await, refused(403, "AuthenticationFailed"));

    let bench = Bench::quirky(Quirks { uri_stored_policy: true, ..Quirks::default() }).await;
    let (_, uri) = bench.open(draft(b"")).await;
    assert!(uri.contains("si=upload") && !uri.contains("se=") && !uri.contains("sp="), "{uri}");
    assert_eq!(bench.put_block(&uri, "AAAA", b"x").await.0, 201);
    bench.clock.advance(Duration::from_secs(31));
    assert_eq!(bench.put_block(&uri, "AAAA", b"x").await, refused(403, "AuthenticationFailed"));
}

#[tokio::test]
async fn integrity_headers_and_versions_can_be_demanded_or_unknown() {
    let bench = Bench::quirky(Quirks { no_crc64: true, ..Quirks::default() }).await;
    let (_, uri) = bench.open(draft(b"")).await;
    let put = bench.http.put(block_uri(&uri, "AAAA")).header("x-ms-content-crc64", "AAAAAAAAAAA=").body("x");
    assert_eq!(refusal(put.send().await.unwrap()), refused(500, "FeatureNotSupported"));

    for integrity in [Integrity::Md5, Integrity::Crc64] {
        let bench = Bench::quirky(Quirks { integrity, ..Quirks::default() }).await;
        let (_, uri) = bench.open(draft(b"")).await;
        assert_eq!(bench.put_block(&uri, "AAAA", b"x").await, refused(400, "MissingRequiredHeader"));
    }
    let bench = Bench::quirky(Quirks { ms_version: Some("2019-12-12".to_owned()), ..Quirks::default() }).await;
    let (_, uri) = bench.open(draft(b"")).await;
    assert_eq!(bench.put_block(&uri, "AAAA", b"x").await, refused(400, "InvalidHeaderValue"));
    let put = bench.http.put(block_uri(&uri, "AAAA")).header("x-ms-version", "2019-12-12").body("x");
    assert_eq!(put.send().await.unwrap().status(), 201);
}

#[tokio::test]
async fn the_bandwidth_is_shared_and_takes_its_time() {
    let bench = Bench::with(SandboxSettings { bandwidth: Some(1 << 20), ..SandboxSettings::default() }).await;
    let (session, uri) = bench.open(draft(b"")).await;
    let before = bench.clock.elapsed();
    for id in ["AAAA", "AAAB"] {
        assert_eq!(bench.put_block(&uri, id, &vec![0; 5 << 20]).await.0, 201);
        bench.act(&session, "renew").await;
    }
    let took = (bench.clock.elapsed() - before).as_secs_f64();
    assert!((9.9..10.1).contains(&took), "10 MiB at 1 MiB/s took {took} s");
}

#[tokio::test]
async fn a_block_whose_sender_vanishes_is_not_stored() {
    let home = tempfile::tempdir().unwrap();
    let settings = SandboxSettings { directory: Some(home.path().to_owned()), ..SandboxSettings::default() };
    let bench = Bench::with(settings).await;
    let (session, uri) = bench.open(draft(b"")).await;
    let path = block_uri(&uri, "AAAA").replace(bench.sandbox.origin(), "");
    let address = bench.sandbox.address();
    super::faults::send_and_hang_up(
        address,
        &format!("PUT {path} HTTP/1.1\r\nhost: x\r\ncontent-length: 100\r\n\r\nhalf"),
    )
    .await;
    // A later exchange on the same runtime comes after the end of the first.
    for _ in 0..20 {
        bench.call(Method::GET, &super::sessions(), None).await;
    }
    assert!(bench.sandbox.session(&session).unwrap().tally.puts.is_empty());
    let directory = std::fs::read_dir(home.path()).unwrap().next().unwrap().unwrap().path();
    assert_eq!(std::fs::read_dir(directory).unwrap().count(), 0, "nor is its file kept");
}
