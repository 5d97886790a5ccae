//! Bundles on disk: private, whole or not there, and checked when they are read.

use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;
use std::process::Command;
use std::sync::mpsc::channel;

use edm_agent::adapters::bundle::{
    BLOCKS_FILE, BufferPool, Bundle, BundleError, ExitClass, HashError, MANIFEST_FILE, SALT_FILE, remove_folder,
};
use edm_agent::table::digest::{DigestKind, hex};

use super::{Desk, blocks};
use crate::support::skip::{Need, skip};

fn files(dir: &Path) -> Vec<String> {
    let mut names: Vec<String> =
        dir.read_dir().unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

/// A bundle of four blocks.
fn four_blocks() -> (Desk, Bundle) {
    let mut desk = Desk::rows(100);
    desk.order.rows_per_block = Some(30);
    let bundle = desk.hash().unwrap();
    (desk, bundle)
}

#[test]
fn a_bundle_is_private_to_its_owner_and_holds_no_clear_text() {
    let desk = Desk::with("A,B\ncanary-one,canary-two\n");
    let bundle = desk.hash().unwrap();

    assert_eq!(bundle.dir().metadata().unwrap().mode() & 0o777, 0o700);
    assert_eq!(files(bundle.dir()), [BLOCKS_FILE, MANIFEST_FILE, SALT_FILE]);
    for name in files(bundle.dir()) {
        let path = bundle.dir().join(name);
        assert_eq!(path.metadata().unwrap().mode() & 0o777, 0o600);
        let bytes = std::fs::read(&path).unwrap();
        assert!(!bytes.windows(6).any(|window| window == b"canary"), "{}", path.display());
    }
    assert!(!format!("{bundle:?}").contains(super::SALT));
}

#[test]
fn an_output_that_is_there_is_not_touched() {
    let desk = Desk::rows(1);
    std::fs::create_dir(desk.path("bundle")).unwrap();
    std::fs::write(desk.path("bundle/mine"), "x").unwrap();
    assert!(matches!(desk.hash(), Err(HashError::OutputExists(_))));
    assert_eq!(files(&desk.path("bundle")), ["mine"]);

    std::fs::remove_file(desk.path("bundle/mine")).unwrap();
    assert!(desk.hash().is_ok(), "an empty folder is as good as none");
}

#[test]
fn what_a_killed_process_left_is_replaced_and_what_a_living_one_writes_is_not() {
    let desk = Desk::rows(1);
    let partial = desk.path("bundle.partial");
    std::fs::create_dir(&partial).unwrap();
    std::fs::set_permissions(&partial, std::fs::Permissions::from_mode(0o755)).unwrap();
    std::fs::write(partial.join(BLOCKS_FILE), "left behind").unwrap();

    let held = std::fs::File::open(&partial).unwrap();
    rustix::fs::flock(&held, rustix::fs::FlockOperation::LockExclusive).unwrap();
    let error = desk.hash().unwrap_err();
    assert!(matches!(error, HashError::Busy(_)), "{error}");
    assert_eq!(files(&partial), [BLOCKS_FILE]);

    drop(held);
    let bundle = desk.hash().unwrap();
    bundle.verify().unwrap();
    assert_eq!(bundle.dir().metadata().unwrap().mode() & 0o777, 0o700);
    assert!(!partial.exists());
}

#[test]
fn a_missing_parent_folder_is_said_and_not_made() {
    let mut desk = Desk::rows(1);
    desk.order.output = desk.path("missing/bundle");
    let error = desk.hash().unwrap_err();
    assert!(error.to_string().contains("missing/bundle.partial"), "{error}");
    assert_eq!(error.class(), ExitClass::LocalIo);
}

#[test]
fn a_full_disk_is_told_from_other_failures_and_nothing_is_left_on_it() {
    let mut desk = Desk::rows(50_000);
    let volume = desk.path("volume");
    std::fs::create_dir(&volume).unwrap();
    let mount = Command::new("mount").args(["-t", "tmpfs", "-o", "size=1m", "none"]).arg(&volume).status();
    if !mount.is_ok_and(|status| status.success()) {
        skip(Need::Mount, "a small volume cannot be mounted here");
        return;
    }
    desk.order.output = volume.join("bundle");
    let result = desk.hash();
    let left = files(&volume);
    assert!(Command::new("umount").arg(&volume).status().unwrap().success());

    let error = result.unwrap_err();
    assert!(error.is_full(), "{error}");
    assert!(left.is_empty(), "{left:?}");
}

#[test]
fn a_byte_that_changed_is_found_before_the_block_is_used() {
    let (_desk, bundle) = four_blocks();
    let pool = BufferPool::new(1 << 20);
    let mut bytes = blocks(&bundle);
    let whole = bytes.clone();
    let second = usize::try_from(bundle.manifest().blocks[0].length).unwrap();
    bytes[second + 40] ^= 1;
    std::fs::write(bundle.dir().join(BLOCKS_FILE), &bytes).unwrap();

    assert_eq!(bundle.read_block(0, &pool).unwrap(), whole[..second]);
    assert!(matches!(bundle.read_block(1, &pool), Err(BundleError::Damaged { index: 1, .. })));
    assert!(matches!(bundle.read_block(4, &pool), Err(BundleError::Damaged { index: 4, .. })));
    assert!(matches!(bundle.verify(), Err(BundleError::Damaged { index: 1, .. })));
}

#[test]
fn a_digest_of_the_whole_is_made_once_and_never_of_other_bytes() {
    let (_desk, bundle) = four_blocks();
    let (mut bytes, clone) = (blocks(&bundle), bundle.clone());
    let whole = bundle.digest(DigestKind::Md5).unwrap();
    assert_eq!(hex(&bundle.digest(DigestKind::Sha256).unwrap()), bundle.manifest().sha256);
    bytes[40] ^= 1;
    std::fs::write(bundle.dir().join(BLOCKS_FILE), &bytes).unwrap();

    assert_eq!(clone.digest(DigestKind::Md5).unwrap(), whole, "it is known by now, to clones too");
    for bundle in [&bundle, &Bundle::open(bundle.dir()).unwrap()] {
        assert!(matches!(bundle.digest(DigestKind::Sha512), Err(BundleError::Damaged { index: 0, .. })));
    }
}

#[test]
fn files_that_do_not_belong_together_are_refused() {
    let (_desk, bundle) = four_blocks();
    let dir = bundle.dir();
    let manifest = std::fs::read_to_string(dir.join(MANIFEST_FILE)).unwrap();
    assert!(Bundle::open(dir).is_ok());
    for (from, to) in [
        ("edm-bundle/1", "edm-bundle/2"),
        ("edm-block/1", "edm-block/2"),
        ("\"normalisation\": 1", "\"normalisation\": 2"),
        ("\"rows\": 100", "\"rows\": 101"),
        ("\"rows_per_block\": 30", "\"rows_per_block\": 29"),
        ("\"rows_per_block\": 30", "\"rows_per_block\": 0"),
        ("\"rows\": 10,", "\"rows\": 11,"),
        ("\"A\",", ""),
        ("{", "["),
    ] {
        assert!(manifest.contains(from), "{from}");
        std::fs::write(dir.join(MANIFEST_FILE), manifest.replacen(from, to, 1)).unwrap();
        let error = Bundle::open(dir).unwrap_err();
        assert_eq!(error.class(), ExitClass::BadData, "{from} -> {to}: {error}");
    }
    std::fs::write(dir.join(MANIFEST_FILE), manifest.replacen('{', "{\"novel\": 1,", 1)).unwrap();
    assert!(Bundle::open(dir).is_ok(), "a property of a later version is passed over");

    std::fs::write(dir.join(SALT_FILE), "canary").unwrap();
    let error = Bundle::open(dir).unwrap_err();
    assert!(matches!(error, BundleError::Unusable { .. }) && !format!("{error:?}").contains("canary"));
    std::fs::write(dir.join(SALT_FILE), super::SALT).unwrap();
    std::fs::write(dir.join(BLOCKS_FILE), &blocks(&bundle)[1..]).unwrap();
    assert!(matches!(Bundle::open(dir), Err(BundleError::Unusable { .. })));
    std::fs::remove_file(dir.join(BLOCKS_FILE)).unwrap();
    assert!(matches!(Bundle::open(dir), Err(BundleError::Read { .. })));
}

#[test]
fn removing_a_bundle_takes_its_files_and_no_others() {
    let (desk, bundle) = four_blocks();
    bundle.remove().unwrap();
    assert!(!desk.path("bundle").exists());

    let bundle = desk.hash().unwrap();
    std::fs::write(desk.path("bundle/mine"), "x").unwrap();
    assert!(matches!(bundle.remove(), Err(BundleError::Remove { .. })));
    assert_eq!(files(&desk.path("bundle")), ["mine"]);
}

#[test]
fn a_folder_is_removed_by_its_name_and_never_what_a_link_leads_to() {
    let (desk, bundle) = four_blocks();
    let (folder, link) = (bundle.dir(), desk.path("link"));
    let whole = files(folder);
    std::os::unix::fs::symlink(folder, &link).unwrap();
    assert!(matches!(remove_folder(&link), Err(BundleError::Remove { .. })));
    assert_eq!(files(folder), whole);

    std::fs::rename(folder.join(BLOCKS_FILE), desk.path("blocks")).unwrap();
    std::os::unix::fs::symlink(desk.path("blocks"), folder.join(BLOCKS_FILE)).unwrap();
    assert!(matches!(remove_folder(folder), Err(BundleError::Remove { .. })));
    assert_eq!(files(folder), whole);
    std::fs::rename(desk.path("blocks"), folder.join(BLOCKS_FILE)).unwrap();

    let held = std::fs::File::open(folder).unwrap();
    rustix::fs::flock(&held, rustix::fs::FlockOperation::LockExclusive).unwrap();
    assert!(matches!(remove_folder(folder), Err(BundleError::Remove { .. })));
    assert_eq!(files(folder), whole);
    drop(held);

    remove_folder(folder).unwrap();
    assert!(!folder.exists());
    remove_folder(folder).unwrap();

    std::fs::create_dir(desk.path("open to all")).unwrap();
    std::fs::set_permissions(desk.path("open to all"), std::fs::Permissions::from_mode(0o755)).unwrap();
    assert!(remove_folder(&desk.path("open to all")).is_err(), "no bundle was ever so");
}

#[test]
fn buffers_are_recycled_and_never_over_the_limit() {
    let (_desk, bundle) = four_blocks();
    let length = usize::try_from(bundle.manifest().blocks[0].length).unwrap();
    let pool = BufferPool::new(2 * length);
    assert_eq!(pool.capacity_for(length), 2);
    let first = bundle.read_block(0, &pool).unwrap();
    let second = bundle.read_block(1, &pool).unwrap();
    let place = first.as_ptr();
    let (asked, asking) = channel();
    let (got, getting) = channel();

    std::thread::scope(|scope| {
        scope.spawn(|| {
            asked.send(()).unwrap();
            got.send(bundle.read_block(2, &pool).unwrap()).unwrap();
        });
        asking.recv().unwrap();
        assert!(getting.try_recv().is_err(), "a third buffer would be over the limit");
        drop(first);
        let third = getting.recv().unwrap();
        assert_eq!(third.as_ptr(), place, "the buffer that came back is used again");
    });

    drop(second);
    assert_eq!(pool.held(), 2 * length);
    pool.trim();
    assert_eq!(pool.held(), 0);
}
