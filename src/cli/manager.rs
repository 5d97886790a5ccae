//! What `run` tells the service manager: that it takes longer, how it is, and
//! that it lives.

use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::task::JoinSet;

use super::local::Local;
use super::logs;
use crate::adapters::clock::{SystemClock, monotonic};
use crate::agent::ask::Ask;
use crate::agent::notify::{Notifier, watchdog_of_environment};
use crate::agent::reload::{Reloader, Reloads};
use crate::agent::summary::summary;
use crate::agent::watchdog::feed;
use crate::ports::clock::Clock;

/// How often the service manager is told how things are.
const STATUS_EVERY: Duration = Duration::from_secs(15);
/// How often it is told that a start or a stop takes longer.
const EXTEND_EVERY: Duration = Duration::from_secs(5);
/// How much longer, each time: some words may be late on a busy host.
const EXTEND_BY: Duration = Duration::from_secs(30);
/// How long a start may take by such words. Reading ten thousand sessions takes
/// less than a second; what takes this long hangs.
const START_MOST: Duration = Duration::from_secs(1_800);
/// How long a stop may take by such words, besides the grace of blocks in
/// flight: the journal has ten seconds of its own.
pub(crate) const STOP_MOST: Duration = Duration::from_secs(60);

/// Takes up the journal, which may take a while: as long as it does, the
/// service manager is told to wait.
pub(crate) fn patiently<T>(notifier: &Arc<Notifier>, start: impl FnOnce() -> T) -> T {
    let mut telling = JoinSet::new();
    let notifier = Arc::clone(notifier);
    // On the workers: the start itself holds this thread.
    telling.spawn(async move { extend(&notifier, START_MOST).await });
    start()
}

/// Says again and again that what is under way takes longer, for at most `most`.
pub(crate) async fn extend(notifier: &Notifier, most: Duration) {
    let clock = SystemClock;
    let end = clock.now().moment + most;
    loop {
        clock.sleep_until(clock.now().moment + EXTEND_EVERY).await;
        if clock.now().moment >= end {
            return std::future::pending().await;
        }
        notifier.extend(EXTEND_BY);
    }
}

/// Feeds the watchdog, if there is one, on the workers, for as long as the
/// answer is held.
pub(crate) fn watch(local: &Local, notifier: &Arc<Notifier>) -> JoinSet<()> {
    let mut tasks = JoinSet::new();
    if let Some(period) = watchdog_of_environment() {
        tasks.spawn(feed(local.vitals(), Arc::clone(notifier), period));
    }
    tasks
}

/// Returns how everything stands in one line.
pub(crate) async fn line(local: &Local, reloads: &Reloads) -> Option<String> {
    let mut picture = local.agent.asker.ask(Ask::Picture).await.ok()?;
    picture.sign_in = local.tokens.sign_in().trouble;
    picture.configuration = Some(reloads.view());
    Some(logs::redacted(&summary(&picture, &local.agent.board.views())))
}

/// Says how things are, for ever.
pub(crate) async fn keep_told(local: &Local, reloads: &Reloads, notifier: &Notifier) {
    while !local.stop.load(Ordering::Relaxed) {
        local.clock.sleep_until(local.clock.now().moment + STATUS_EVERY).await;
        if let Some(line) = line(local, reloads).await {
            notifier.status(&line);
        }
    }
    std::future::pending::<()>().await;
}

/// Carries reloads out as they are wished, for ever, and tells the service
/// manager of each: that it began, and that it is over before whoever wished it
/// is answered.
pub(crate) async fn reload(
    local: &Local,
    reloads: &Reloads,
    mut reloader: Reloader,
    notifier: &Notifier,
) -> Infallible {
    loop {
        reloader.wait().await;
        notifier.reloading(monotonic());
        reloader.reload().await;
        logs::set_level(&local.intake.settings.now().log.level);
        notifier.ready(&line(local, reloads).await.unwrap_or_default());
        reloader.answer();
    }
}
