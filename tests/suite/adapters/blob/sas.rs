//! Shared access signatures, made as the Azure Storage reference says.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use edm_agent::adapters::http::text::encode;
use sha2::{Digest, Sha256};

/// The storage account of every development store, and its well-known key.
pub(crate) const ACCOUNT: &str = "devstoreaccount1";
const KEY: &str = "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw==";

/// The version the signatures are made for.
const VERSION: &str = "2022-11-02";

/// Returns the query of a service signature for a container (`sr=c`) or for a
/// blob in it (`sr=b`).
pub(crate) fn service(container: &str, blob: Option<&str>, rights: &str, expiry: &str) -> String {
    let (kind, resource) = match blob {
        None => ("c", format!("/blob/{ACCOUNT}/{container}")),
        Some(blob) => ("b", format!("/blob/{ACCOUNT}/{container}/{blob}")),
    };
    // Rights, start, expiry, resource, identifier, address, protocol, version,
    // kind, snapshot, encryption scope, and five response headers.
    let fields = [rights, "", expiry, &resource, "", "", "", VERSION, kind, "", "", "", "", "", "", ""];
    let signature = encode(&sign(&fields.join("\n")));
    format!("sv={VERSION}&se={}&sr={kind}&sp={rights}&sig={signature}", encode(expiry))
}

/// Returns the query of an account signature that may do everything to blobs.
pub(crate) fn account(expiry: &str) -> String {
    // Account, rights, services, resource types, start, expiry, address,
    // protocol, version, encryption scope, and an end.
    let fields = [ACCOUNT, "rwdlac", "b", "sco", "", expiry, "", "", VERSION, "", ""];
    let signature = encode(&sign(&fields.join("\n")));
    format!("sv={VERSION}&ss=b&srt=sco&sp=rwdlac&se={}&sig={signature}", encode(expiry))
}

fn sign(text: &str) -> String {
    STANDARD.encode(hmac(&STANDARD.decode(KEY).unwrap(), text.as_bytes()))
}

/// HMAC-SHA256 (RFC 2104) under a key of at most one block.
fn hmac(key: &[u8], text: &[u8]) -> [u8; 32] {
    let mut padded = [0; 64];
    padded[..key.len()].copy_from_slice(key);
    let inner = Sha256::digest([&padded.map(|byte| byte ^ 0x36)[..], text].concat());
    Sha256::digest([&padded.map(|byte| byte ^ 0x5C)[..], &inner[..]].concat()).into()
}

#[test]
fn a_signature_agrees_with_the_published_vector() {
    let digest = hmac(b"Jefe", b"what do ya want for nothing?");
    let hex: String = digest.iter().map(|byte| format!("{byte:02x}")).collect();
    assert_eq!(hex, "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843", "RFC 4231, case 2");
}
