//! Following an upload until it is over, wherever the agent runs.

use std::sync::Arc;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};
use serde_json::Value;

use super::output::{is_watched, tell};
use crate::agent::ask::{Ask, AskRefused};
use crate::agent::client::Client;
use crate::agent::exit::{Exit, Trouble};
use crate::agent::intake::Intake;
use crate::agent::status::UploadView;
use crate::ground::moment::Moment;
use crate::ground::units::{Size, Span};
use crate::ports::clock::Clock;

/// How often the upload is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(200);
/// How often a line is written when nobody watches.
const LINE_EVERY: Duration = Duration::from_secs(5);

/// Where an upload is looked at.
pub(crate) enum Source {
    /// In this process.
    Here(Box<Intake>),
    /// At the agent of this host.
    There(Client),
}

impl Source {
    async fn look(&self, id: &str) -> Result<UploadView, Trouble> {
        match self {
            Self::Here(intake) => {
                if let Some(view) = intake.board.intake(id) {
                    return Ok(view);
                }
                let asked = intake.asker.ask(|reply| Ask::View(id.to_owned(), reply)).await;
                asked.and_then(|view| view).map_err(|refused| match refused {
                    AskRefused::Stopping => Trouble::new(Exit::TryLater, refused.to_string()),
                    AskRefused::Unknown(_) | AskRefused::Conflict(_) => Trouble::new(Exit::Failed, refused.to_string()),
                })
            }
            Self::There(client) => {
                let value = client.get(&format!("v1/uploads/{id}")).await?;
                read_view(value)
            }
        }
    }
}

/// Reads the picture of an upload out of an answer of the local API.
pub(crate) fn read_view(value: Value) -> Result<UploadView, Trouble> {
    serde_json::from_value(value).map_err(|error| {
        Trouble::new(Exit::Failed, format!("read the agent's answer: {error}; is it of this version?"))
    })
}

/// What ends the following of an upload that goes on.
pub(crate) struct Limits {
    /// How long it may be without progress.
    pub(crate) give_up_after: Duration,
}

/// Follows an upload until it is over or a gate holds it, showing how far it has come. An upload
/// that waits for a permission or for tomorrow's quota is not waited for.
pub(crate) async fn follow(
    source: &Source,
    id: &str,
    limits: &Limits,
    clock: &Arc<dyn Clock>,
) -> Result<UploadView, Trouble> {
    let mut screen = Screen::new(clock.now().moment);
    loop {
        let view = source.look(id).await?;
        let now = clock.now().moment;
        if view.is_closed() || view.held.is_some() {
            screen.clear();
            return Ok(view);
        }
        screen.draw(&view, now);
        if let Some(trouble) = stuck(&view, limits) {
            screen.clear();
            return Err(trouble);
        }
        clock.sleep_until(now + LOOK_EVERY).await;
    }
}

/// Returns why an upload is not worth waiting for now.
fn stuck(view: &UploadView, limits: &Limits) -> Option<Trouble> {
    let last = view.trouble.clone().unwrap_or_else(|| "see `edm-agent status`".to_owned());
    let goes_on = "nothing is lost, the same command goes on with it";
    match view.waiting.as_deref() {
        Some("permission") => Some(Trouble::new(Exit::NotPermitted, format!("{last}; {goes_on}"))),
        Some("quota") => {
            let message = format!("data store {} has had its sessions for the day: {last}; {goes_on}", view.data_store);
            Some(Trouble::new(Exit::TryLater, message))
        }
        waiting if view.stuck_for >= limits.give_up_after.as_secs_f64() => {
            let exit = if waiting == Some("throttled") { Exit::TryLater } else { Exit::Unreachable };
            let span = Span(Duration::from_secs_f64(view.stuck_for));
            Some(Trouble::new(exit, format!("no progress for {span}: {last}; {goes_on}")))
        }
        _ => None,
    }
}

/// How far an upload has come, as a bar or as lines.
struct Screen {
    bar: Option<ProgressBar>,
    started: Option<(Moment, u64)>,
    last_line: Moment,
    last_phase: String,
}

impl Screen {
    fn new(now: Moment) -> Self {
        let bar = is_watched().then(|| {
            let bar = ProgressBar::new(0);
            let style = ProgressStyle::with_template("{prefix:<10} [{bar:32}] {msg}").expect("the template is valid");
            bar.set_style(style.progress_chars("=> "));
            bar
        });
        Self { bar, started: None, last_line: now, last_phase: String::new() }
    }

    fn draw(&mut self, view: &UploadView, now: Moment) {
        let text = self.describe(view, now);
        if let Some(bar) = &self.bar {
            let (done, total) = extent(view);
            bar.set_length(total.max(1));
            bar.set_position(done);
            bar.set_prefix(view.phase.clone());
            bar.set_message(text);
        } else if self.last_phase != view.phase || now.since(self.last_line) >= LINE_EVERY {
            self.last_line = now;
            tell(&format!("{}: {}: {text}", view.table, view.phase));
        }
        self.last_phase.clone_from(&view.phase);
    }

    fn clear(&self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }

    fn describe(&mut self, view: &UploadView, now: Moment) -> String {
        let mut parts = Vec::new();
        let (done, total) = extent(view);
        match view.phase.as_str() {
            "hashing" => parts.push(format!("{} rows", view.rows)),
            "verifying" => parts.push("is the bundle what its manifest says".to_owned()),
            "processing" => {
                if let (Some(left), Some(total)) = (view.remaining_jobs, view.total_jobs) {
                    parts.push(format!("{} of {total} jobs done", total.saturating_sub(left)));
                }
                if !view.state.is_empty() {
                    parts.push(format!("state {}", view.state));
                }
            }
            _ => parts.push(format!("{}/{} blocks", view.stored_blocks, view.total_blocks)),
        }
        let (since, before) = *self.started.get_or_insert((now, done));
        let seconds = now.since(since).as_secs_f64();
        if matches!(view.phase.as_str(), "hashing" | "uploading") && seconds > 0.5 && done > before {
            let rate = (done - before) as f64 / seconds;
            parts.push(format!("{}/s", Size(rate as u64)));
            let left = total.saturating_sub(done) as f64 / rate;
            parts.push(format!("{} left", Span(Duration::from_secs_f64(left))));
        }
        if view.phase == "hashing" {
            self.started = self.started.filter(|_| done < total);
        }
        if let Some(lease) = view.lease_left.filter(|_| view.phase == "uploading") {
            parts.push(format!("lease {}", Span(Duration::from_secs_f64(lease))));
        }
        if let Some(waiting) = &view.waiting {
            parts.push(format!("waiting for {waiting}"));
        }
        parts.join("  ")
    }
}

/// Returns how much is done, and of how much.
fn extent(view: &UploadView) -> (u64, u64) {
    match view.phase.as_str() {
        "processing" | "checking" => match (view.remaining_jobs, view.total_jobs) {
            (Some(left), Some(total)) => (u64::from(total.saturating_sub(left)), u64::from(total)),
            _ => (0, 1),
        },
        _ => (view.stored_bytes, view.bytes),
    }
}
