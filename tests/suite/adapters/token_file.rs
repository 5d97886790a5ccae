//! A bearer token in a file, kept.

use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use edm_agent::adapters::auth::keeper::Keeper;
use edm_agent::adapters::auth::token_file::TokenFile;
use edm_agent::ports::clock::Clock;
use edm_agent::ports::tokens::TokenProvider;

use crate::support::clock::TokioClock;

fn keeper(path: &Path) -> Keeper {
    let clock = Arc::new(TokioClock::start());
    Keeper::new(Box::new(TokenFile::new(path.to_owned(), clock.clone())), clock, 1)
}

fn write(path: &Path, token: &str) {
    std::fs::write(path, token).unwrap();
    std::fs::set_permissions(path, Permissions::from_mode(0o600)).unwrap();
}

/// Lets time pass, and whatever is under way go on.
async fn pass(span: Duration) {
    let clock = TokioClock::start();
    clock.sleep_until(clock.now().moment + span).await;
}

async fn told(keeper: &Keeper) -> String {
    match keeper.token().await {
        Ok(token) => token.expose().to_owned(),
        Err(none) => format!("none: {none}"),
    }
}

#[tokio::test(start_paused = true)]
async fn a_changed_token_file_is_noticed_within_seconds_once_it_has_settled_and_soon_after_a_refusal() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("token");
    let keeper = keeper(&path);

    write(&path, "first\n");
    assert_eq!(told(&keeper).await, "first");
    write(&path, "second\n");
    assert_eq!(told(&keeper).await, "first", "the file is not looked at for every request");
    pass(Duration::from_secs(5)).await;
    assert_eq!(told(&keeper).await, "first", "nobody waits until the new one has settled");
    pass(Duration::from_secs(2)).await;
    assert_eq!(told(&keeper).await, "second");

    let second = keeper.token().await.unwrap();
    write(&path, "third\n");
    keeper.refused(&second, None);
    assert_eq!(told(&keeper).await, "third");
}

#[tokio::test(start_paused = true)]
async fn half_a_token_is_not_taken_for_a_new_one() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("token");
    let keeper = keeper(&path);
    write(&path, "whole");
    told(&keeper).await;

    // Its writer empties it first, as `cp` does, and is slow.
    write(&path, "");
    pass(Duration::from_secs(6)).await;
    assert_eq!(told(&keeper).await, "whole");
    pass(Duration::from_secs(2)).await;
    assert_eq!(told(&keeper).await, "whole", "an empty file is no token");
    write(&path, "next");
    pass(Duration::from_secs(6)).await;
    told(&keeper).await;
    pass(Duration::from_secs(2)).await;
    assert_eq!(told(&keeper).await, "next");
}

#[tokio::test(start_paused = true)]
async fn a_token_file_that_is_no_use_says_so_by_name_and_shows_nothing_of_it() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("token");
    for content in [None, Some(""), Some("Bearer canary"), Some("canary\ncanary\n")] {
        if let Some(content) = content {
            write(&path, content);
        }
        let said = told(&keeper(&path)).await;
        assert!(said.starts_with("none: ") && said.contains(path.to_str().unwrap()), "{said}");
        assert!(!said.contains("canary"), "{said}");
    }
    assert!(told(&keeper(Path::new("/dev/null"))).await.contains("not a regular file"));
}

/// Puts a token where a cluster puts a secret: a file that is a link into a
/// folder that is itself a link, swapped whole.
fn project(volume: &Path, version: &str, token: &str) {
    let folder = volume.join(version);
    std::fs::create_dir(&folder).unwrap();
    write(&folder.join("token"), token);
    let beside = volume.join("..data_tmp");
    std::os::unix::fs::symlink(version, &beside).unwrap();
    std::fs::rename(&beside, volume.join("..data")).unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_mounted_secret_that_is_swapped_is_followed() {
    let volume = tempfile::tempdir().unwrap();
    project(volume.path(), "..2026_01", "first");
    let path = volume.path().join("token");
    std::os::unix::fs::symlink("..data/token", &path).unwrap();
    let keeper = keeper(&path);
    assert_eq!(told(&keeper).await, "first");

    project(volume.path(), "..2026_02", "second");
    std::fs::remove_dir_all(volume.path().join("..2026_01")).unwrap();
    pass(Duration::from_secs(6)).await;
    told(&keeper).await;
    pass(Duration::from_secs(2)).await;
    assert_eq!(told(&keeper).await, "second");
}
