//! `run`: the service.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinSet;

use super::args::RunArguments;
use super::local::Local;
use super::manager;
use crate::adapters::lookout::Inotify;
use crate::agent::control::{self, Control};
use crate::agent::dispatcher::Volume;
use crate::agent::exit::{Exit, Trouble};
use crate::agent::intake::Intake;
use crate::agent::notify::Notifier;
use crate::agent::overview::Lookout;
use crate::agent::probes::Probes;
use crate::agent::registration::{Attempting, FirstAttempt, keep_trying, register};
use crate::agent::reload::{Load, ReloadParts, Reloader};
use crate::agent::serve::serve;
use crate::agent::settings::Settings;
use crate::agent::signals::{self, Wish, Wishes};
use crate::agent::{housekeeping, quotas, schedule, sign_in};

/// Serves until it is asked to stop; `load` reads the configuration again as
/// `settings` were.
pub(crate) async fn run(settings: Settings, load: Load, arguments: &RunArguments) -> Result<Exit, Trouble> {
    let mut wishes =
        signals::listen().map_err(|error| Trouble::new(Exit::LocalIo, format!("listen for signals: {error}")))?;
    match serve_until_stopped(settings, load, arguments.grace, &mut wishes).await {
        Err(trouble) if arguments.exit_zero_on_sigterm && wishes.is_stop_waiting() => {
            tracing::warn!("stopped as asked, and not cleanly: {trouble}");
            Ok(Exit::Done)
        }
        ended => ended,
    }
}

async fn serve_until_stopped(
    settings: Settings,
    load: Load,
    grace: Duration,
    wishes: &mut Wishes,
) -> Result<Exit, Trouble> {
    let settings = Arc::new(settings);
    let notifier = Arc::new(Notifier::from_environment());
    let mut local = manager::patiently(&notifier, || Local::start(Arc::clone(&settings)))?;
    // The start waits for no word of the service; what begins an upload does.
    let attempting = (!local.is_registered).then(|| {
        let (attempting, first) = FirstAttempt::begin();
        local.intake.registering = first;
        attempting
    });
    let socket = &settings.control.socket;
    let listener = control::bind(socket).await.map_err(|error| {
        let message = format!("take the control socket {}: {error}; set control.socket", socket.display());
        Trouble::new(Exit::BadConfiguration, message)
    })?;
    let (reloader, reloads) = Reloader::new(ReloadParts {
        load,
        in_force: local.intake.settings.clone(),
        asker: local.agent.asker.clone(),
        board: local.agent.board.clone(),
        notices: local.agent.notices.clone(),
        metrics: local.intake.metrics.clone(),
        clock: Arc::clone(&local.clock),
    });
    let mut tasks = JoinSet::new();
    let control = Control {
        intake: local.intake.clone(),
        notices: local.agent.notices.clone(),
        tokens: Arc::clone(&local.tokens),
        reloads: reloads.clone(),
        state_dir: settings.state_dir.clone(),
    };
    tasks.spawn(serve(listener, Arc::clone(&local.clock), move |request| control.clone().handle(request)));
    probe(&settings, &local, &mut tasks).await;
    let watching = manager::watch(&local, &notifier);
    notifier.ready(&manager::line(&local, &reloads).await.unwrap_or_default());
    tracing::info!(version = env!("CARGO_PKG_VERSION"), state_dir = %settings.state_dir.display(), "ready");

    let mut volume = local.agent.volume.clone();
    let ended = tokio::select! {
        () = stop_wished(wishes, || _ = reloads.wish()) => Ok(Exit::Done),
        reason = failed(&mut volume) => Err(Trouble::new(Exit::LocalIo, reason)),
        trouble = work(&local, attempting.as_ref()) => Err(trouble),
        never = manager::reload(&local, &reloads, reloader, &notifier) => match never {},
        never = sign_in::keep(
            Arc::clone(&local.tokens), Arc::clone(&local.intake.service), Arc::clone(&local.clock),
        ) => match never {},
        () = manager::keep_told(&local, &reloads, &notifier) => unreachable!("the service manager is told for ever"),
    };
    notifier.stopping();
    tracing::info!("stopping: blocks in flight finish, sessions stay alive at the service");
    // What it looks at ends now.
    drop(watching);
    tokio::select! {
        () = local.stop(grace) => (),
        () = stop_wished(wishes, || tracing::warn!("the configuration is not read again: the agent is stopping")) =>
            tracing::warn!("asked to stop twice: ending at once"),
        () = manager::extend(&notifier, grace + manager::STOP_MOST) => unreachable!("it is said for ever"),
    }
    drop(tasks);
    // Another agent may have taken the socket's place only after this one let the lock go.
    let _ = std::fs::remove_file(socket);
    ended
}

/// Everything the service does of itself.
async fn work(local: &Local, attempting: Option<&Attempting>) -> Trouble {
    let registered = async {
        if let Some(attempting) = attempting {
            let Intake { service, asker, settings, .. } = &local.intake;
            let attempt = async || register(service.as_ref(), asker, &settings.now()).await;
            keep_trying(attempting, local.clock.as_ref(), attempt).await;
        }
        std::future::pending::<Infallible>().await
    };
    tokio::select! {
        never = registered => match never {},
        never = housekeeping::keep(&local.intake) => match never {},
        never = quotas::keep(&local.intake, &local.tokens) => match never {},
        kept = schedule::keep(local.intake.clone(), Box::new(Inotify::new())) => match kept {
            Ok(never) => match never {},
            Err(trouble) => trouble,
        },
    }
}

/// Answers probes, if it can: a taken port is no reason not to upload.
async fn probe(settings: &Settings, local: &Local, tasks: &mut JoinSet<()>) {
    let listen = &settings.http.listen;
    if listen.is_empty() {
        return;
    }
    let probes = Probes::new(Lookout {
        clock: Arc::clone(&local.clock),
        settings: local.intake.settings.clone(),
        asker: local.agent.asker.clone(),
        beat: local.agent.beat.clone(),
        volume: local.agent.volume.clone(),
        board: local.agent.board.clone(),
        tokens: Arc::clone(&local.tokens),
        stopping: Arc::clone(&local.stop),
        metrics: local.intake.metrics.clone(),
        seen: Arc::default(),
    });
    match TcpListener::bind(listen).await {
        Ok(listener) => {
            tasks.spawn(serve(listener, Arc::clone(&local.clock), move |request| probes.clone().handle(request)));
        }
        Err(error) => tracing::warn!("listen for probes on {listen}: {error}; set http.listen to a free address"),
    }
}

/// Waits for a wish to stop, and hands on those to reload.
async fn stop_wished(wishes: &mut Wishes, reload: impl Fn()) {
    while wishes.recv().await == Some(Wish::Reload) {
        reload();
    }
}

/// Waits until the journal's volume has failed for good.
pub(crate) async fn failed(volume: &mut watch::Receiver<Volume>) -> String {
    let seen = volume.wait_for(|volume| matches!(volume, Volume::Failed(_))).await.map(|volume| volume.clone());
    match seen {
        Ok(Volume::Failed(reason)) => reason,
        Ok(Volume::Sound | Volume::Stalled(_)) | Err(_) => "the dispatcher ended unexpectedly: start again".to_owned(),
    }
}
