//! `sessions`: list, show and change sessions.
//!
//! The agent of this host does it if one answers; otherwise this process takes
//! the state directory for as long as it takes.

use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};

use super::args::{SessionCommand, Wait};
use super::caller::{Caller, Desk};
use super::follow::read_view;
use super::local::Local;
use super::output::{say, say_json, table, tell};
use super::status;
use crate::adapters::clock::SystemClock;
use crate::agent::ask::{Ask, AskRefused, Reply};
use crate::agent::client::Client;
use crate::agent::exit::service_trouble;
use crate::agent::exit::{Exit, Trouble};
use crate::agent::settings::Settings;
use crate::agent::status::UploadView;
use crate::agent::tables::find_store;
use crate::agent::{outside, sign_in};
use crate::ports::clock::Clock;
use crate::ports::contract::Session;
use crate::ports::service::SessionKey;

/// How long a wish may take to show at the service.
const PATIENCE: Duration = Duration::from_secs(60);
/// How often it is looked whether it does.
const LOOK_EVERY: Duration = Duration::from_millis(200);
/// How often it is looked whether a table is live: the service takes minutes.
const FOLLOW_EVERY: Duration = Duration::from_secs(1);
/// How long the agent may be away while it is waited for: its manager starts it
/// anew within seconds.
const ABSENCE: Duration = Duration::from_secs(300);
/// How long requests under way may take when this process lets go.
const GRACE: Duration = Duration::from_secs(5);

pub(crate) async fn sessions(caller: Caller, command: SessionCommand, json: bool) -> Result<Exit, Trouble> {
    match command {
        SessionCommand::List { data_store: Some(store) } => list_remote(&caller.settings()?, &store, json).await,
        SessionCommand::Show { id, data_store: Some(store) } => {
            show_remote(&caller.settings()?, &store, &id, json).await
        }
        SessionCommand::List { data_store: None } => {
            print_all(&list(caller).await?, json);
            Ok(Exit::Done)
        }
        SessionCommand::Show { id, data_store: None } => {
            let views = all(caller).await?;
            let found = views.into_iter().find(|view| view.upload == id || view.session.as_deref() == Some(&id));
            print(&found.ok_or_else(|| trouble(&AskRefused::Unknown(id)))?, json);
            Ok(Exit::Done)
        }
        SessionCommand::Track { data_store, session, total_blocks } => {
            let keeper = Keeper::find(caller).await?;
            let view = keeper.track(&data_store, session, total_blocks).await;
            if matches!(keeper, Keeper::Here(_)) {
                tell("no agent is at work: the session is noted, start `edm-agent run` to keep it alive");
            }
            keeper.done().await;
            print(&view?, json);
            Ok(Exit::Done)
        }
        SessionCommand::Renew { id } => wish(caller, &id, Wish::Renew, json).await,
        SessionCommand::Commit { id, wait: Wait::Committed } => wish(caller, &id, Wish::Commit, json).await,
        SessionCommand::Commit { id, wait: Wait::Live } => commit_until_live(caller, &id, json).await,
        SessionCommand::Release { id } => wish(caller, &id, Wish::Release, json).await,
        SessionCommand::Cancel { id } => wish(caller, &id, Wish::Cancel, json).await,
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Wish {
    Renew,
    Commit,
    Release,
    Cancel,
}

impl Wish {
    const fn word(self) -> &'static str {
        match self {
            Self::Renew => "renew",
            Self::Commit => "commit",
            Self::Release => "release",
            Self::Cancel => "cancel",
        }
    }

    /// Returns whether the session must have been seen before this is wished: a
    /// lease that is not known cannot be seen to change, nor can blocks that
    /// were not counted be committed. Who cancels must not wait: the upload goes
    /// on meanwhile.
    const fn waits_for_session(self) -> bool {
        matches!(self, Self::Renew | Self::Commit)
    }

    /// Returns whether it has shown.
    fn shows(self, before: &UploadView, now: &UploadView) -> bool {
        match self {
            Self::Renew => now.renewals > before.renewals,
            Self::Commit => is_committed(now),
            Self::Release => now.held.is_none(),
            // A session that was committed cannot be cancelled any more.
            Self::Cancel => is_committed(now),
        }
    }
}

/// Wishes something and waits until it shows.
async fn wish(caller: Caller, id: &str, wish: Wish, json: bool) -> Result<Exit, Trouble> {
    let keeper = Keeper::find(caller).await?;
    let result = wished(&keeper, id, wish).await;
    let is_here = matches!(keeper, Keeper::Here(_));
    keeper.done().await;
    let view = result?;
    if is_here && wish == Wish::Release && !view.is_closed() {
        let table = &view.table;
        tell(&format!(
            "no agent is at work: start `edm-agent run`, or `edm-agent upload --table {table}` goes on with it"
        ));
    }
    print(&view, json);
    let outcome = view.outcome.as_deref();
    if wish == Wish::Cancel && (is_committed(&view) || outcome == Some("completed")) {
        return Err(Trouble::new(Exit::Failed, too_late(id, &view)));
    }
    Ok(if view.is_closed() && outcome == Some("failed") { Exit::Failed } else { Exit::Done })
}

/// Returns whether the service has the commit, and the table is not yet live.
fn is_committed(view: &UploadView) -> bool {
    matches!(view.phase.as_str(), "processing" | "checking")
}

/// Says that what was to be cancelled goes live.
fn too_late(id: &str, view: &UploadView) -> String {
    let table = &view.table;
    match view.is_closed() {
        true => format!("cancel session {id}: it was committed before, and table {table} is live: upload it anew"),
        false => format!(
            "cancel session {id}: it was committed before, and table {table} will be live: \
             `edm-agent sessions show {id}` tells when; then upload it anew"
        ),
    }
}

async fn wished(keeper: &Keeper, id: &str, wish: Wish) -> Result<UploadView, Trouble> {
    let clock = SystemClock;
    let before = match wish.waits_for_session() {
        true => Some(keeper.settled_view(id, &clock).await?),
        false => None,
    };
    let wished = keeper.wish(id, wish).await?;
    let before = before.unwrap_or(wished);
    let deadline = clock.now().moment + PATIENCE;
    loop {
        let view = keeper.view(id).await?;
        if view.is_closed() || wish.shows(&before, &view) {
            return Ok(view);
        }
        if clock.now().moment >= deadline {
            let why = view.trouble.unwrap_or_else(|| "see `edm-agent status`".to_owned());
            let message = format!("{} session {id}: not done after {}s: {why}", wish.word(), PATIENCE.as_secs());
            return Err(Trouble::new(Exit::Unreachable, message));
        }
        clock.sleep_until(clock.now().moment + LOOK_EVERY).await;
    }
}

/// Commits and waits until the table is live, however long the service takes:
/// `processing.deadline` ends it. Where the agent is started anew meanwhile, it
/// is waited for.
async fn commit_until_live(caller: Caller, id: &str, json: bool) -> Result<Exit, Trouble> {
    let keeper = Keeper::find(caller).await?;
    let result = live(&keeper, id).await;
    keeper.done().await;
    let view = result?;
    print(&view, json);
    Ok(view.exit.and_then(Exit::of).unwrap_or(Exit::Failed))
}

async fn live(keeper: &Keeper, id: &str) -> Result<UploadView, Trouble> {
    let clock = SystemClock;
    if !keeper.settled_view(id, &clock).await?.is_closed() {
        keeper.wish(id, Wish::Commit).await?;
    }
    let mut answered = clock.now().moment;
    loop {
        let now = clock.now().moment;
        match keeper.view(id).await {
            Ok(view) if view.is_closed() => return Ok(view),
            Ok(_) => answered = now,
            Err(trouble) if trouble.exit == Exit::Unreachable && now.since(answered) < ABSENCE => (),
            Err(trouble) => return Err(trouble),
        }
        clock.sleep_until(now + FOLLOW_EVERY).await;
    }
}

/// Lists the sessions this host keeps, without disturbing them.
async fn list(caller: Caller) -> Result<Vec<UploadView>, Trouble> {
    let views = all(caller).await?;
    Ok(views.into_iter().filter(|view| view.session.is_some()).collect())
}

/// Lists all uploads, also those that have no session yet.
async fn all(caller: Caller) -> Result<Vec<UploadView>, Trouble> {
    match caller.for_looking().await? {
        Desk::There(client) => {
            let answer = client.get("v1/uploads").await?;
            let views = answer.get("value").and_then(Value::as_array).cloned().unwrap_or_default();
            views.into_iter().map(read_view).collect()
        }
        Desk::Here(settings) => {
            let (picture, _) = super::offline::read(&settings)?;
            Ok(picture.uploads.into_iter().chain(picture.closed).collect())
        }
    }
}

/// Whoever keeps the sessions: the agent of this host, or this process.
enum Keeper {
    There(Client),
    Here(Box<Local>),
}

impl Keeper {
    async fn find(caller: Caller) -> Result<Self, Trouble> {
        Ok(match caller.for_changing().await? {
            Desk::There(client) => Self::There(client),
            Desk::Here(settings) => Self::Here(Box::new(Local::start(Arc::new(*settings))?)),
        })
    }

    async fn view(&self, id: &str) -> Result<UploadView, Trouble> {
        match self {
            Self::There(client) => read_view(client.get(&format!("v1/sessions/{id}")).await?),
            Self::Here(local) => ask(local, |reply| Ask::View(id.to_owned(), reply)).await,
        }
    }

    /// Returns the view of an upload once its session has been seen, or is over.
    async fn settled_view(&self, id: &str, clock: &SystemClock) -> Result<UploadView, Trouble> {
        let deadline = clock.now().moment + PATIENCE;
        loop {
            let view = self.view(id).await?;
            if view.lease_left.is_some() || view.held.is_some() || view.is_closed() || clock.now().moment >= deadline {
                return Ok(view);
            }
            clock.sleep_until(clock.now().moment + LOOK_EVERY).await;
        }
    }

    async fn track(&self, store: &str, session: Option<String>, total: u32) -> Result<UploadView, Trouble> {
        match self {
            Self::There(client) => {
                let mut body = json!({ "data_store": store, "total_blocks": total });
                if let Some(session) = session {
                    body["session_id"] = Value::from(session);
                }
                read_view(client.post("v1/sessions", Some(&body)).await?)
            }
            Self::Here(local) => local.intake.track(store, session, total).await,
        }
    }

    async fn wish(&self, id: &str, wish: Wish) -> Result<UploadView, Trouble> {
        match self {
            Self::There(client) => read_view(client.post(&format!("v1/sessions/{id}/{}", wish.word()), None).await?),
            Self::Here(local) => {
                let question = |reply: Reply<Result<UploadView, AskRefused>>| match wish {
                    Wish::Renew => Ask::Renew(id.to_owned(), reply),
                    Wish::Commit => Ask::Commit(id.to_owned(), reply),
                    Wish::Release => Ask::Release(id.to_owned(), reply),
                    Wish::Cancel => Ask::Cancel(id.to_owned(), reply),
                };
                ask(local, question).await
            }
        }
    }

    async fn done(self) {
        match self {
            Self::There(_) => (),
            Self::Here(local) => local.stop(GRACE).await,
        }
    }
}

async fn ask(
    local: &Local,
    question: impl FnOnce(Reply<Result<UploadView, AskRefused>>) -> Ask,
) -> Result<UploadView, Trouble> {
    local.agent.asker.ask(question).await.and_then(|view| view).map_err(|refused| trouble(&refused))
}

fn trouble(refused: &AskRefused) -> Trouble {
    Trouble::new(Exit::Failed, refused.to_string())
}

async fn list_remote(settings: &Settings, store: &str, json: bool) -> Result<Exit, Trouble> {
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let service = outside::service(settings, &sign_in::tokens(settings, &clock)?, &clock)?;
    let store = find_store(service.as_ref(), store).await?;
    let sessions = service.sessions(&store.id).await.map_err(|error| service_trouble(&error))?.value;
    if json {
        say_json(&json!({ "value": sessions }));
        return Ok(Exit::Done);
    }
    let rows: Vec<Vec<String>> = sessions.iter().map(remote_row).collect();
    say(&table(&["SESSION", "STATE", "REMAINING", "TOTAL", "FILE", "CREATED"], &rows));
    Ok(Exit::Done)
}

async fn show_remote(settings: &Settings, store: &str, id: &str, json: bool) -> Result<Exit, Trouble> {
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let service = outside::service(settings, &sign_in::tokens(settings, &clock)?, &clock)?;
    let store = find_store(service.as_ref(), store).await?;
    let key = SessionKey { store: store.id, session: id.to_owned() };
    let session = service.session(&key).await.map_err(|error| service_trouble(&error))?.value;
    let value = serde_json::to_value(&session).unwrap_or_default();
    if json {
        say_json(&value);
        return Ok(Exit::Done);
    }
    for (name, value) in value.as_object().into_iter().flatten().filter(|(_, value)| !value.is_null()) {
        say(&format!("{name:<28} {}", value.to_string().trim_matches('"')));
    }
    Ok(Exit::Done)
}

fn remote_row(session: &Session) -> Vec<String> {
    let count = |count: Option<u32>| count.map_or_else(|| "-".to_owned(), |count| count.to_string());
    vec![
        session.id.clone(),
        session.state.clone(),
        count(session.remaining_block_count),
        count(session.total_block_count),
        session.file_name.clone(),
        session.creation_date_time.map_or_else(|| "-".to_owned(), |date| date.format("%Y-%m-%d %H:%M:%SZ").to_string()),
    ]
}

fn print_all(views: &[UploadView], json: bool) {
    if json {
        say_json(&json!({ "value": views }));
    } else if views.is_empty() {
        say("no sessions");
    } else {
        say(&status::sessions(views));
    }
}

fn print(view: &UploadView, json: bool) {
    if json {
        return say_json(&serde_json::to_value(view).unwrap_or_default());
    }
    say(&status::sessions(std::slice::from_ref(view)));
    if let Some(reason) = &view.reason {
        say(&format!("  {reason}"));
    } else if let Some(trouble) = view.trouble.as_ref().filter(|_| !view.is_closed()) {
        say(&format!("  {trouble}"));
    }
}
