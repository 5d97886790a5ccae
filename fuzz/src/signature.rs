//! Signatures, and lists of whose count: one that is taken means the same when it
//! is written again, and no list can vouch for what its keys did not sign.

use std::path::Path;

use edm_agent::adapters::signature::{Signature, TrustedKeys, digest};

/// Takes the bytes as a signature, and as a list of trusted keys.
pub fn check(data: &[u8]) {
    let made = Signature::parse(data);
    if let Some(made) = &made {
        let written = made.armoured();
        assert_eq!(Signature::parse(written.as_bytes()).as_ref(), Some(made));
        let digest = digest(made, data).expect("bytes can be read");
        let keys = TrustedKeys::parse(LISTED).expect("the list is good");
        assert!(keys.check(made, &digest, Path::new("x")).is_err(), "no signature is one of itself");
    }
    let Ok(text) = std::str::from_utf8(data) else { return };
    assert!(made.is_none() || TrustedKeys::parse(text).is_err(), "a signature is no list");
}

/// The key that signed the seeds.
const LISTED: &str = concat!("x ", include_str!("../../tests/suite/table/handoff/signer.pub"));
