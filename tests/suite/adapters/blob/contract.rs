//! What a blob store must do for this agent, whoever's store it is.
//!
//! [`blob_contract`] is run against each store there is a [`SuiteTarget`] for.

use std::fs::File;
use std::io::Write;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use edm_agent::ports::Task;
use edm_agent::ports::blobs::{BlobError, BlobStore, BlockPut, StoredBlock, WholePut, WholeTarget};
use edm_agent::upload::fault::BlobFault;
use edm_agent::upload::uri::{UploadUri, UriKind};

use super::{PATIENCE, block, of_container, of_list};

/// How long an upload URI holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Holds {
    /// Long enough for the test.
    Now,
    /// It has ended.
    Ended,
    /// It has a signature that was never right.
    Forged,
}

/// A store under test: mints upload URIs and shows what they led to.
pub(crate) trait SuiteTarget: Send + Sync {
    /// Returns an upload URI for a fresh container of this name, or for a blob
    /// named `blob` in it, with rights as in `sp`. A container is made on its
    /// first use, unless its name begins with `missing`.
    fn mint<'a>(&'a self, container: &'a str, kind: UriKind, rights: &'a str, holds: Holds) -> Task<'a, UploadUri>;

    /// Returns the committed bytes of a blob, if it has any.
    fn read<'a>(&'a self, container: &'a str, blob: &'a str) -> Task<'a, Option<Vec<u8>>>;

    /// Returns whether the store verifies CRC-64.
    fn knows_crc64(&self) -> bool;
}

/// Runs the whole contract: `auto` is a client left to find out what the store
/// can verify, `md5` and `crc64` are told.
pub(crate) async fn blob_contract(
    target: &dyn SuiteTarget,
    auto: &dyn BlobStore,
    md5: &dyn BlobStore,
    crc64: &dyn BlobStore,
) {
    for store in [auto, md5] {
        blocks_make_the_blob_their_list_names(target, store).await;
        blocks_of_a_container_are_blobs_of_their_own(target, store).await;
        a_bundle_is_stored_in_one_request(target, store).await;
    }
    block_again_replaces_itself(target, auto).await;
    the_list_shows_what_is_stored(target, auto).await;
    a_list_naming_an_unknown_block_says_blocks_are_lost(target, auto).await;
    ids_of_two_lengths_are_refused(target, auto).await;
    a_uri_allows_only_what_it_says_for_as_long_as_it_says(target, auto).await;
    a_missing_container_is_not_found(target, auto).await;
    if target.knows_crc64() {
        a_block_that_changed_on_the_way_is_not_stored(target, crc64).await;
    } else {
        a_store_without_crc64_refuses_it(target, crc64).await;
    }
}

async fn blocks_make_the_blob_their_list_names(target: &dyn SuiteTarget, store: &dyn BlobStore) {
    let container = fresh("blocks");
    let uri = target.mint(&container, UriKind::Blob, "cw", Holds::Now).await;
    let bodies = [filled(b'a', 300_000), filled(b'b', 1), filled(b'c', 70_000)];
    for index in [2, 0, 1] {
        store.put(uri.clone(), block(of_list(&id(index)), bodies[index].clone())).await.unwrap();
    }
    assert_eq!(target.read(&container, "blob").await, None, "blocks alone make no blob");
    store.put_list(uri, (0..3).map(id).collect(), PATIENCE).await.unwrap();
    assert!(target.read(&container, "blob").await.unwrap() == bodies.concat(), "the bytes, in the list's order");
}

async fn blocks_of_a_container_are_blobs_of_their_own(target: &dyn SuiteTarget, store: &dyn BlobStore) {
    let container = fresh("each");
    let uri = target.mint(&container, UriKind::Container, "cw", Holds::Now).await;
    for (name, body) in [("block-0001", "one"), ("block-0002", "two"), ("block-0001", "one")] {
        store.put(uri.clone(), block(of_container(name), body)).await.unwrap();
    }
    assert_eq!(target.read(&container, "block-0001").await.unwrap(), b"one");
    assert_eq!(target.read(&container, "block-0002").await.unwrap(), b"two");
}

async fn a_bundle_is_stored_in_one_request(target: &dyn SuiteTarget, store: &dyn BlobStore) {
    let container = fresh("whole");
    let uri = target.mint(&container, UriKind::Blob, "cw", Holds::Now).await;
    let mut file = tempfile::tempfile().unwrap();
    let content: Vec<u8> = (0..5_000_001u32).map(|index| (index.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
    file.write_all(&content).unwrap();
    store.put_whole(uri.clone(), whole(file, content.len() as u64)).await.unwrap();
    assert!(target.read(&container, "blob").await.unwrap() == content);
    store.put_whole(uri, whole(tempfile::tempfile().unwrap(), 0)).await.unwrap();
    assert_eq!(target.read(&container, "blob").await.unwrap(), b"");
}

async fn block_again_replaces_itself(target: &dyn SuiteTarget, store: &dyn BlobStore) {
    let container = fresh("again");
    let uri = target.mint(&container, UriKind::Blob, "rcw", Holds::Now).await;
    for _ in 0..3 {
        store.put(uri.clone(), block(of_list(&id(0)), "same")).await.unwrap();
    }
    assert_eq!(store.stored(uri.clone(), PATIENCE).await.unwrap().len(), 1);
    for _ in 0..2 {
        store.put_list(uri.clone(), vec![id(0)], PATIENCE).await.unwrap();
    }
    assert_eq!(target.read(&container, "blob").await.unwrap(), b"same");
}

async fn the_list_shows_what_is_stored(target: &dyn SuiteTarget, store: &dyn BlobStore) {
    let uri = target.mint(&fresh("listed"), UriKind::Blob, "rcw", Holds::Now).await;
    assert_eq!(store.stored(uri.clone(), PATIENCE).await.unwrap(), [], "a blob that is not there holds none");
    store.put(uri.clone(), block(of_list(&id(0)), "four")).await.unwrap();
    store.put_list(uri.clone(), vec![id(0)], PATIENCE).await.unwrap();
    store.put(uri.clone(), block(of_list(&id(1)), "seven..")).await.unwrap();
    let mut stored = store.stored(uri, PATIENCE).await.unwrap();
    stored.sort_by_key(|block| block.length);
    assert_eq!(stored, [StoredBlock { id: id(0), length: 4 }, StoredBlock { id: id(1), length: 7 }]);
}

async fn a_list_naming_an_unknown_block_says_blocks_are_lost(target: &dyn SuiteTarget, store: &dyn BlobStore) {
    let uri = target.mint(&fresh("lost"), UriKind::Blob, "cw", Holds::Now).await;
    store.put(uri.clone(), block(of_list(&id(0)), "here")).await.unwrap();
    let refused = store.put_list(uri, vec![id(0), id(1)], PATIENCE).await.unwrap_err();
    assert_eq!(refused.fault, BlobFault::BlocksLost, "{refused}");
}

async fn ids_of_two_lengths_are_refused(target: &dyn SuiteTarget, store: &dyn BlobStore) {
    let uri = target.mint(&fresh("lengths"), UriKind::Blob, "cw", Holds::Now).await;
    store.put(uri.clone(), block(of_list(&id(0)), "one")).await.unwrap();
    let refused = store.put(uri, block(of_list("QUJD"), "two")).await.unwrap_err();
    assert_eq!(refused.fault, BlobFault::Refused { status: 400 }, "{refused}");
}

async fn a_uri_allows_only_what_it_says_for_as_long_as_it_says(target: &dyn SuiteTarget, store: &dyn BlobStore) {
    let container = fresh("rights");
    let mint = |rights, holds| target.mint(&container, UriKind::Blob, rights, holds);
    let put = || block(of_list(&id(0)), "body");

    let written = mint("cw", Holds::Now).await;
    store.put(written.clone(), put()).await.unwrap();
    forbidden(store.stored(written, PATIENCE).await);
    for holds in [Holds::Ended, Holds::Forged] {
        let void = mint("rcw", holds).await;
        forbidden(store.put(void.clone(), put()).await);
        forbidden(store.put_list(void.clone(), vec![id(0)], PATIENCE).await);
        forbidden(store.stored(void.clone(), PATIENCE).await);
        forbidden(store.put_whole(void, whole(tempfile::tempfile().unwrap(), 0)).await);
    }
    assert_eq!(target.read(&container, "blob").await, None);
}

async fn a_missing_container_is_not_found(target: &dyn SuiteTarget, store: &dyn BlobStore) {
    let name = fresh("missing");
    let uri = target.mint(&name, UriKind::Container, "rcw", Holds::Now).await;
    let refused = store.put(uri, block(of_container("block"), "body")).await.unwrap_err();
    assert_eq!(refused.fault, BlobFault::NotFound, "{refused}");
    let uri = target.mint(&name, UriKind::Blob, "rcw", Holds::Now).await;
    let refused = store.stored(uri, PATIENCE).await.unwrap_err();
    assert_eq!(refused.fault, BlobFault::NotFound, "no container is not the same as no blob: {refused}");
}

async fn a_block_that_changed_on_the_way_is_not_stored(target: &dyn SuiteTarget, store: &dyn BlobStore) {
    let uri = target.mint(&fresh("changed"), UriKind::Blob, "rcw", Holds::Now).await;
    let good = block(of_list(&id(0)), "body");
    let changed = BlockPut { crc64: good.crc64 ^ 1, ..good };
    store.put(uri.clone(), changed).await.unwrap_err();
    assert_eq!(store.stored(uri, PATIENCE).await.unwrap(), []);
}

/// That `auto` stored its blocks on such a store shows that it fell back.
async fn a_store_without_crc64_refuses_it(target: &dyn SuiteTarget, store: &dyn BlobStore) {
    let uri = target.mint(&fresh("crc64"), UriKind::Blob, "rcw", Holds::Now).await;
    let refused = store.put(uri.clone(), block(of_list(&id(0)), "body")).await.unwrap_err();
    assert!(matches!(refused.fault, BlobFault::Refused { .. }), "{refused}");
    assert_eq!(store.stored(uri, PATIENCE).await.unwrap(), []);
}

#[track_caller]
fn forbidden<T>(answer: Result<T, BlobError>) {
    let refused = answer.err().expect("the URI does not allow this");
    assert_eq!(refused.fault, BlobFault::Forbidden, "{refused}");
    assert!(!refused.to_string().contains("sig="), "{refused}");
}

fn whole(file: File, length: u64) -> WholePut {
    let patience = Duration::from_secs(5);
    WholePut { target: WholeTarget::Blob, file: Arc::new(file), length, patience }
}

/// Returns a block id; all have one length.
pub(super) fn id(index: usize) -> String {
    use base64::Engine;
    base64::engine::general_purpose::STANDARD.encode(format!("block/{index:08}"))
}

fn filled(byte: u8, length: usize) -> Bytes {
    vec![byte; length].into()
}

/// Returns a container name no other case uses.
fn fresh(what: &str) -> String {
    use std::sync::atomic::{AtomicUsize, Ordering};
    static NUMBER: AtomicUsize = AtomicUsize::new(0);
    format!("{what}-{}", NUMBER.fetch_add(1, Ordering::Relaxed))
}
