//! `run`: the service.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;

use super::args::RunArguments;
use super::local::Local;
use super::manager;
use crate::agent::control::{self, Control};
use crate::agent::dispatcher::Volume;
use crate::agent::exit::{Exit, Trouble};
use crate::agent::notify::Notifier;
use crate::agent::probes::Probes;
use crate::agent::registration::register;
use crate::agent::serve::serve;
use crate::agent::settings::Settings;
use crate::agent::signals::{self, Wish};
use crate::agent::{housekeeping, schedule, sign_in};

/// The waits until registering this host is tried again.
const REGISTER_FIRST: Duration = Duration::from_secs(60);
const REGISTER_LONGEST: Duration = Duration::from_secs(6 * 3_600);
/// How long the start waits for it: a session opened before it carries no
/// agent, and could not be told for ours were the journal lost.
const REGISTER_PATIENCE: Duration = Duration::from_secs(5);

pub(crate) async fn run(settings: Settings, arguments: &RunArguments) -> Result<Exit, Trouble> {
    let mut wishes =
        signals::listen().map_err(|error| Trouble::new(Exit::LocalIo, format!("listen for signals: {error}")))?;
    match serve_until_stopped(settings, arguments.grace, &mut wishes).await {
        Err(trouble) if arguments.exit_zero_on_sigterm && is_stop_waiting(&mut wishes) => {
            tracing::warn!("stopped as asked, and not cleanly: {trouble}");
            Ok(Exit::Done)
        }
        ended => ended,
    }
}

async fn serve_until_stopped(
    settings: Settings,
    grace: Duration,
    wishes: &mut mpsc::Receiver<Wish>,
) -> Result<Exit, Trouble> {
    let settings = Arc::new(settings);
    let notifier = Arc::new(Notifier::from_environment());
    let mut local = manager::patiently(&notifier, || Local::start(Arc::clone(&settings)))?;
    if !local.is_registered {
        let patience = local.clock.now().moment + REGISTER_PATIENCE;
        local.is_registered = tokio::select! {
            done = register(local.intake.service.as_ref(), &local.agent.asker, &settings) => done,
            () = local.clock.sleep_until(patience) => false,
        };
    }
    let socket = &settings.control.socket;
    let listener = control::bind(socket).await.map_err(|error| {
        let message = format!("take the control socket {}: {error}; set control.socket", socket.display());
        Trouble::new(Exit::BadConfiguration, message)
    })?;
    let mut tasks = JoinSet::new();
    let control = Control {
        intake: local.intake.clone(),
        notices: local.agent.notices.clone(),
        tokens: Arc::clone(&local.tokens),
        state_dir: settings.state_dir.clone(),
    };
    tasks.spawn(serve(listener, Arc::clone(&local.clock), move |request| control.clone().handle(request)));
    probe(&settings, &local, &mut tasks).await;
    let watching = manager::watch(&local, &notifier);
    notifier.ready(&manager::line(&local).await.unwrap_or_default());
    tracing::info!(version = env!("CARGO_PKG_VERSION"), state_dir = %settings.state_dir.display(), "ready");

    let mut volume = local.agent.volume.clone();
    let ended = tokio::select! {
        () = stop_wished(wishes) => Ok(Exit::Done),
        reason = failed(&mut volume) => Err(Trouble::new(Exit::LocalIo, reason)),
        trouble = work(&local, &settings) => Err(trouble),
        never = sign_in::keep(
            Arc::clone(&local.tokens), Arc::clone(&local.intake.service), Arc::clone(&local.clock),
        ) => match never {},
        () = manager::keep_told(&local, &notifier) => unreachable!("the service manager is told for ever"),
    };
    notifier.stopping();
    tracing::info!("stopping: blocks in flight finish, sessions stay alive at the service");
    // What it looks at ends now.
    drop(watching);
    tokio::select! {
        () = local.stop(grace) => (),
        () = stop_wished(wishes) => tracing::warn!("asked to stop twice: ending at once"),
        () = manager::extend(&notifier, grace + manager::STOP_MOST) => unreachable!("it is said for ever"),
    }
    drop(tasks);
    // Another agent may have taken the socket's place only after this one let the lock go.
    let _ = std::fs::remove_file(socket);
    ended
}

/// Everything the service does of itself.
async fn work(local: &Local, settings: &Arc<Settings>) -> Trouble {
    let registered = async {
        if !local.is_registered {
            keep_trying(local, settings).await;
        }
        std::future::pending::<Infallible>().await
    };
    tokio::select! {
        never = registered => match never {},
        never = housekeeping::keep(&local.intake) => match never {},
        kept = schedule::keep(local.intake.clone()) => match kept {
            Ok(never) => match never {},
            Err(trouble) => trouble,
        },
    }
}

/// Registers this host as an upload agent, however long that takes: the grant it
/// needs may come later.
async fn keep_trying(local: &Local, settings: &Settings) {
    let mut wait = REGISTER_FIRST;
    while !register(local.intake.service.as_ref(), &local.agent.asker, settings).await {
        local.clock.sleep_until(local.clock.now().moment + wait).await;
        wait = (wait * 2).min(REGISTER_LONGEST);
    }
}

/// Answers probes, if it can: a taken port is no reason not to upload.
async fn probe(settings: &Settings, local: &Local, tasks: &mut JoinSet<()>) {
    let listen = &settings.http.listen;
    if listen.is_empty() {
        return;
    }
    let probes = Probes {
        clock: Arc::clone(&local.clock),
        beat: local.agent.beat.clone(),
        volume: local.agent.volume.clone(),
        asker: local.agent.asker.clone(),
        tokens: Arc::clone(&local.tokens),
        stopping: Arc::clone(&local.stop),
    };
    match TcpListener::bind(listen).await {
        Ok(listener) => {
            tasks.spawn(serve(listener, Arc::clone(&local.clock), move |request| probes.clone().handle(request)));
        }
        Err(error) => tracing::warn!("listen for probes on {listen}: {error}; set http.listen to a free address"),
    }
}

/// Waits for a wish to stop.
async fn stop_wished(wishes: &mut mpsc::Receiver<Wish>) {
    loop {
        match wishes.recv().await {
            Some(Wish::Stop) | None => return,
            Some(Wish::Reload) => tracing::warn!("this build reads its configuration at the start only: restart it"),
        }
    }
}

/// Returns whether a stop is wished that nobody has taken in yet.
fn is_stop_waiting(wishes: &mut mpsc::Receiver<Wish>) -> bool {
    std::iter::from_fn(|| wishes.try_recv().ok()).any(|wish| wish == Wish::Stop)
}

/// Waits until the journal's volume has failed for good.
pub(crate) async fn failed(volume: &mut watch::Receiver<Volume>) -> String {
    let seen = volume.wait_for(|volume| matches!(volume, Volume::Failed(_))).await.map(|volume| volume.clone());
    match seen {
        Ok(Volume::Failed(reason)) => reason,
        Ok(Volume::Sound | Volume::Stalled(_)) | Err(_) => "the dispatcher ended unexpectedly: start again".to_owned(),
    }
}
