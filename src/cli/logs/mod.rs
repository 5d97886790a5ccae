//! Logs: what the agent says on stderr while it works.
//!
//! The form follows the reader: a person at a terminal, the journal of systemd,
//! or a collector that wants one JSON object a line, as in a container.
//!
//! # Invariants
//!
//! - Other crates log warnings and errors only, at any level: what they say
//!   below that may hold whole requests.
//! - A line is written whole, free of what looks like a secret, in one write; an
//!   event of the journal is one datagram.
//! - A stderr that is closed, or a full disk behind it, costs lines, which are
//!   counted, never the agent.

mod journald;

use std::io::{self, IsTerminal, Write};
use std::path::Path;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};

use tracing::Subscriber;
use tracing::level_filters::LevelFilter;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::{Layer, Registry, reload};

use crate::agent::settings::{LogFormat, LogSettings};
use crate::ground::redact::redact;

use journald::Journal;

/// The crate whose level the settings decide.
const OURS: &str = "edm_agent";

/// What is let through, where it can be changed.
type Levels = reload::Handle<Targets, Registry>;

/// The levels of what [`init`] began.
static LEVELS: OnceLock<Levels> = OnceLock::new();

/// Lines that could not be written since the start.
static DROPPED: AtomicU64 = AtomicU64::new(0);

/// The form of a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Form {
    Text { colours: bool },
    Json,
    Journald,
}

/// Sends everything that is logged from now on to stderr. Only the first call
/// has an effect.
pub fn init(settings: &LogSettings) {
    let is_terminal = io::stderr().is_terminal();
    let has_colours = is_terminal && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
    let form = form(settings.format, is_terminal, has_colours, is_journal());
    let (subscriber, levels) = subscriber(form, level(&settings.level), &settings.journal_socket, io::stderr);
    // A second one would have to replace what others log to already.
    if tracing::subscriber::set_global_default(subscriber).is_ok() {
        let _ = LEVELS.set(levels);
    }
}

/// Changes the least level of what is logged from now on; `word` is one of
/// `log.level`.
pub fn set_level(word: &str) {
    if let Some(levels) = LEVELS.get() {
        // It fails only once nothing is logged any more.
        let _ = levels.reload(targets(level(word)));
    }
}

/// Returns how many lines could not be written since the start.
pub fn dropped() -> u64 {
    DROPPED.load(Ordering::Relaxed)
}

fn count_dropped() {
    DROPPED.fetch_add(1, Ordering::Relaxed);
}

/// Returns a text without what looks like a secret, for other places that show
/// a line.
pub(crate) fn redacted(text: &str) -> String {
    redact(text).into_owned()
}

/// Returns whether stderr is the socket of systemd's journal, not merely
/// inherited the variable that names it.
fn is_journal() -> bool {
    let named = std::env::var("JOURNAL_STREAM").ok();
    let stderr = rustix::fs::fstat(io::stderr()).ok();
    let Some((named, stderr)) = named.zip(stderr) else { return false };
    named == format!("{}:{}", stderr.st_dev, stderr.st_ino)
}

fn form(format: LogFormat, is_terminal: bool, colours: bool, is_journal: bool) -> Form {
    match format {
        LogFormat::Text => Form::Text { colours },
        LogFormat::Json => Form::Json,
        LogFormat::Journald => Form::Journald,
        LogFormat::Auto if is_terminal => Form::Text { colours },
        LogFormat::Auto if is_journal => Form::Journald,
        LogFormat::Auto => Form::Json,
    }
}

/// Returns a level by its word, which was checked when it was read.
fn level(word: &str) -> LevelFilter {
    word.parse().unwrap_or(LevelFilter::INFO)
}

fn targets(level: LevelFilter) -> Targets {
    Targets::new().with_default(level.min(LevelFilter::WARN)).with_target(OURS, level)
}

fn subscriber<W>(
    form: Form,
    level: LevelFilter,
    journal: &Path,
    writer: W,
) -> (impl Subscriber + Send + Sync + use<W>, Levels)
where
    W: for<'w> MakeWriter<'w> + Send + Sync + 'static,
{
    let (filter, levels) = reload::Layer::new(targets(level));
    // Its complaints about a closed stderr would go to stderr, and panic there.
    let layer = tracing_subscriber::fmt::layer().with_writer(Careful(writer)).log_internal_errors(false);
    let layer: Box<dyn Layer<Registry> + Send + Sync> = match form {
        Form::Text { colours } => Box::new(layer.with_ansi(colours).with_target(false)),
        Form::Json => Box::new(layer.json().flatten_event(true).with_current_span(false).with_span_list(false)),
        Form::Journald => Box::new(Journal::new(journal, layer.with_ansi(false).event_format(journald::Lines))),
    };
    (tracing_subscriber::registry().with(layer.with_filter(filter)), levels)
}

/// Makes writers that take secrets out and never fail.
struct Careful<W>(W);

impl<'w, W: MakeWriter<'w>> MakeWriter<'w> for Careful<W> {
    type Writer = CarefulWriter<W::Writer>;

    fn make_writer(&'w self) -> Self::Writer {
        CarefulWriter(self.0.make_writer())
    }
}

struct CarefulWriter<W>(W);

impl<W: Write> Write for CarefulWriter<W> {
    /// Takes a whole line at a time, which is how lines come.
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        let text = String::from_utf8_lossy(line);
        if self.0.write_all(redact(&text).as_bytes()).is_err() {
            count_dropped();
        }
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        // What cannot be flushed cannot be written, and is counted there.
        let _ = self.0.flush();
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use super::*;

    #[derive(Clone, Default)]
    struct Page(Arc<Mutex<Vec<u8>>>);

    impl Write for Page {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    struct Closed;

    impl Write for Closed {
        fn write(&mut self, _: &[u8]) -> io::Result<usize> {
            Err(io::ErrorKind::BrokenPipe.into())
        }

        fn flush(&mut self) -> io::Result<()> {
            Err(io::ErrorKind::BrokenPipe.into())
        }
    }

    fn logged(form: Form, level: LevelFilter, log: impl FnOnce()) -> String {
        let page = Page::default();
        let writer = page.clone();
        tracing::subscriber::with_default(
            subscriber(form, level, Path::new("/nowhere"), move || writer.clone()).0,
            log,
        );
        let bytes = page.0.lock().unwrap().clone();
        String::from_utf8(bytes).unwrap()
    }

    #[test]
    fn the_form_follows_the_reader() {
        let auto = |terminal, journal| form(LogFormat::Auto, terminal, terminal, journal);
        assert_eq!(auto(true, true), Form::Text { colours: true });
        assert_eq!(auto(false, true), Form::Journald);
        assert_eq!(auto(false, false), Form::Json);
        assert_eq!(form(LogFormat::Text, false, false, true), Form::Text { colours: false });
    }

    #[test]
    fn json_is_one_object_a_line() {
        let page = logged(Form::Json, LevelFilter::INFO, || tracing::info!(table = "patients", "two\nlines"));

        let line: serde_json::Value = serde_json::from_str(page.trim_end()).unwrap();
        assert_eq!(
            (page.matches('\n').count(), &line["message"], &line["table"]),
            (1, &"two\nlines".into(), &"patients".into())
        );
        assert!(line["timestamp"].is_string() && line["level"] == "INFO");
    }

    #[test]
    fn other_crates_are_held_at_warnings_however_low_the_level() {
        let page = logged(Form::Text { colours: false }, LevelFilter::TRACE, || {
            tracing::debug!(target: "hyper::proto", "a whole request");
            tracing::info!(target: "reqwest", "an address");
            tracing::warn!(target: "rustls", "an alert");
            tracing::trace!("ours");
        });

        assert!(page.contains("an alert") && page.contains("ours"), "{page}");
        assert!(!page.contains("request") && !page.contains("address"), "{page}");
        let page = logged(Form::Json, LevelFilter::ERROR, || tracing::warn!(target: "rustls", "an alert"));
        assert_eq!(page, "");
    }

    #[test]
    fn secrets_are_taken_out_of_every_form() {
        for form in [Form::Text { colours: true }, Form::Json, Form::Journald] {
            let page = logged(form, LevelFilter::INFO, || {
                tracing::info!(uri = "https://h/c?sp=w&sig=canary%2B1", r#"was {{"salt":"canary"}}"#);
            });
            assert!(!page.contains("canary") && page.contains("sp=w"), "{form:?}: {page}");
        }
    }

    #[test]
    fn a_closed_stderr_costs_lines_and_no_more() {
        let before = dropped();
        let closed = subscriber(Form::Json, LevelFilter::INFO, Path::new("/nowhere"), || Closed).0;
        tracing::subscriber::with_default(closed, || tracing::error!("nobody reads this"));
        assert!(dropped() > before);
    }
}
