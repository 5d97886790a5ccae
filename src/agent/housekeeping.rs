//! Housekeeping: bundles nobody needs any more.
//!
//! The bundle of a live table is removed when its upload closes. What is left
//! are bundles of failed uploads, kept for a while, those of runs that died
//! between hashing and beginning, those that were never finished, and those whose
//! removal was cut short. An upload
//! that a gate holds keeps its bundle for as long, and is dropped then.

use std::path::{Path, PathBuf};
use std::time::Duration;

use chrono::TimeDelta;

use super::ask::Ask;
use super::intake::Intake;
use super::status::UploadView;
use crate::adapters::bundle::{PARTIAL_SUFFIX, REPORT_SUFFIX, remove_folder, remove_left_over};

/// How often bundles are looked over.
const SWEEP_EVERY: Duration = Duration::from_secs(3_600);

/// How long a bundle in the making is left alone that no process holds: one that
/// is begun just now may not have its lock yet.
const BEGINNING: Duration = Duration::from_secs(60);

/// Sweeps now and then, for ever.
pub async fn keep(intake: &Intake) -> std::convert::Infallible {
    loop {
        sweep(intake).await;
        intake.clock.sleep_until(intake.clock.now().moment + SWEEP_EVERY).await;
    }
}

/// Removes every bundle in the agent's own folder that no open upload needs,
/// and every report of rejected rows, that has not been touched for `bundles.retain_failed`;
/// and what a process left that died while it made a bundle.
pub async fn sweep(intake: &Intake) {
    let Ok(picture) = intake.asker.ask(Ask::Picture).await else { return };
    drop_held(intake, &picture.uploads).await;
    let needed: Vec<PathBuf> = picture.uploads.into_iter().filter_map(|view| view.bundle).collect();
    let settings = intake.settings.now();
    let dir = settings.bundle_dir();
    let (retain, now) = (settings.bundles.retain_failed, intake.clock.now().wall);
    let swept = tokio::task::spawn_blocking(move || {
        for path in old(&dir, BEGINNING, now.into()) {
            if path.to_string_lossy().ends_with(PARTIAL_SUFFIX) {
                match remove_left_over(&path) {
                    Ok(true) => tracing::info!(bundle = %path.display(), "removed a bundle that was never finished"),
                    Ok(false) => (),
                    Err(error) => tracing::debug!("remove {}: {error}", path.display()),
                }
            }
        }
        for path in old(&dir, retain, now.into()) {
            // One in the making is somebody's, however long that takes.
            if needed.contains(&path) || path.to_string_lossy().ends_with(PARTIAL_SUFFIX) {
                continue;
            }
            if path.to_string_lossy().ends_with(REPORT_SUFFIX) {
                match std::fs::remove_file(&path) {
                    Ok(()) => tracing::info!(report = %path.display(), "removed an old report of rejected rows"),
                    Err(error) => tracing::debug!("remove {}: {error}", path.display()),
                }
                continue;
            }
            match remove_folder(&path) {
                Ok(()) => tracing::info!(bundle = %path.display(), "removed a bundle nobody needs any more"),
                Err(error) => tracing::debug!("{error}"),
            }
        }
    });
    if swept.await.is_err() {
        tracing::debug!("sweeping bundles was cut short");
    }
}

/// Drops uploads that are held and that nobody released for `bundles.retain_failed`.
async fn drop_held(intake: &Intake, uploads: &[UploadView]) {
    let retain = TimeDelta::from_std(intake.settings.now().bundles.retain_failed).unwrap_or(TimeDelta::MAX);
    let now = intake.clock.now().wall;
    for held in uploads.iter().filter_map(|view| view.held.as_ref()) {
        if now - held.since >= retain {
            tracing::warn!(upload = held.upload, "dropped: it was held, and nobody released it");
            // Whoever released or cancelled it just now was quicker.
            let _ = intake.asker.ask(|reply| Ask::Cancel(held.upload.clone(), reply)).await;
        }
    }
}

/// Lists what is below `dir` last changed longer than `retain` ago.
fn old(dir: &Path, retain: Duration, now: std::time::SystemTime) -> Vec<PathBuf> {
    let Ok(entries) = std::fs::read_dir(dir) else { return Vec::new() };
    let is_old = |entry: &std::fs::DirEntry| {
        let changed = entry.metadata().and_then(|metadata| metadata.modified()).ok()?;
        now.duration_since(changed).ok().filter(|&age| age >= retain)
    };
    entries.flatten().filter(|entry| is_old(entry).is_some()).map(|entry| entry.path()).collect()
}
