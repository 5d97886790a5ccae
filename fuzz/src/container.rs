//! What is inside a sealed bundle, as anybody who has the public key can make it:
//! no more is passed on than came, and only what the manifest says.

use std::sync::atomic::AtomicBool;

use edm_agent::adapters::bundle::{Contents, ROW_COUNT_LIMIT};

/// Takes the bytes as the inside of a sealed bundle.
pub fn check(data: &[u8]) {
    let Ok(contents) = Contents::read(data) else { return };
    let manifest = contents.manifest.clone();
    assert!(manifest.check().is_ok() && manifest.rows <= ROW_COUNT_LIMIT);
    assert!(contents.text.len() < data.len());
    let mut blocks = Vec::new();
    let copied = contents.copy_blocks(&mut blocks, &AtomicBool::new(false));
    assert!(blocks.len() < data.len() && blocks.len() as u64 <= manifest.bytes);
    if copied.is_ok() {
        assert_eq!(blocks.len() as u64, manifest.bytes);
        assert!(data.ends_with(&blocks), "nothing is made up, and nothing follows");
    }
}
