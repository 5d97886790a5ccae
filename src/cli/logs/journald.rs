//! Events for the journal of systemd.
//!
//! By its native protocol (<https://systemd.io/JOURNAL_NATIVE_PROTOCOL>): one
//! datagram an event, with the fields of the event as fields of the journal, so
//! that `journalctl EDM_AGENT_TABLE=patients` finds them. `MESSAGE` holds them
//! too: it is what a person sees. The journal adds the time, the unit and the
//! process itself.
//!
//! Where nobody takes datagrams, the event is a line on stderr with a priority
//! before it (sd-daemon(3)).

use std::fmt::{self, Write as _};
use std::io;
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};

use tracing::field::{Field, Visit};
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::Layer;
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields};
use tracing_subscriber::layer::Context;
use tracing_subscriber::registry::LookupSpan;

use super::{count_dropped, redact};

/// The longest field, in bytes: all of an event fit into one datagram, which the
/// kernel takes up to some 200 KiB.
const LONGEST: usize = 16 << 10;

/// Sends each event to the journal, or hands it to `lines`.
pub(super) struct Journal<L> {
    socket: Option<UnixDatagram>,
    path: PathBuf,
    lines: L,
}

impl<L> Journal<L> {
    /// Names the journal's socket; it need not be there yet.
    pub(super) fn new(path: &Path, lines: L) -> Self {
        let socket = UnixDatagram::unbound().and_then(|socket| {
            // A journal that does not read must not hold the agent up.
            socket.set_nonblocking(true)?;
            Ok(socket)
        });
        Self { socket: socket.ok(), path: path.to_owned(), lines }
    }

    fn send(&self, event: &Event<'_>) -> io::Result<()> {
        let socket = self.socket.as_ref().ok_or(io::ErrorKind::NotConnected)?;
        // By its name each time: the journal may have been started anew.
        socket.send_to(&datagram(event), &self.path).map(drop)
    }
}

impl<S, L> Layer<S> for Journal<L>
where
    S: Subscriber,
    L: Layer<S>,
{
    fn on_event(&self, event: &Event<'_>, context: Context<'_, S>) {
        match self.send(event) {
            Ok(()) => (),
            // It is there, and has too much to read: stderr leads to the same place.
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => count_dropped(),
            Err(_) => self.lines.on_event(event, context),
        }
    }
}

/// Writes an event as the journal takes it.
fn datagram(event: &Event<'_>) -> Vec<u8> {
    let mut fields = Fields::default();
    event.record(&mut fields);
    let mut datagram = Vec::new();
    put(&mut datagram, "MESSAGE", &format!("{}{}", fields.message, fields.rest));
    put(&mut datagram, "PRIORITY", &priority(*event.metadata().level()).to_string());
    put(&mut datagram, "SYSLOG_IDENTIFIER", env!("CARGO_PKG_NAME"));
    for (name, value) in &fields.each {
        put(&mut datagram, name, value);
    }
    datagram
}

/// Adds a field, free of what looks like a secret.
fn put(datagram: &mut Vec<u8>, name: &str, value: &str) {
    let clean = redact(value);
    let value = &clean[..clean.floor_char_boundary(LONGEST)];
    datagram.extend_from_slice(name.as_bytes());
    // Always with its length, so that no line end in it can begin another field.
    datagram.push(b'\n');
    datagram.extend_from_slice(&(value.len() as u64).to_le_bytes());
    datagram.extend_from_slice(value.as_bytes());
    datagram.push(b'\n');
}

/// The fields of an event.
#[derive(Default)]
struct Fields {
    message: String,
    /// All others, as a person reads them.
    rest: String,
    /// The same, by their names in the journal.
    each: Vec<(String, String)>,
}

impl Fields {
    fn add(&mut self, field: &Field, value: String) {
        // A field whose name says that it is a secret is one in whatever form.
        let named = format!("{}={value}", field.name());
        let clean = redact(&named);
        let value = clean.split_once('=').map_or_else(String::new, |(_, value)| value.to_owned());
        let _ = write!(self.rest, " {clean}");
        self.each.push((format!("EDM_AGENT_{}", field.name().to_uppercase().replace(['.', '-'], "_")), value));
    }
}

impl Visit for Fields {
    fn record_str(&mut self, field: &Field, value: &str) {
        match field.name() {
            "message" => value.clone_into(&mut self.message),
            _ => self.add(field, value.to_owned()),
        }
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        match field.name() {
            "message" => self.message = format!("{value:?}"),
            _ => self.add(field, format!("{value:?}")),
        }
    }
}

/// Writes each event as one line, so that none can forge the prefix of another.
pub(super) struct Lines;

impl<S, N> FormatEvent<S, N> for Lines
where
    S: Subscriber + for<'s> LookupSpan<'s>,
    N: for<'w> FormatFields<'w> + 'static,
{
    fn format_event(&self, context: &FmtContext<'_, S, N>, mut out: Writer<'_>, event: &Event<'_>) -> fmt::Result {
        let mut line = String::new();
        context.format_fields(Writer::new(&mut line), event)?;
        writeln!(out, "<{}>{}", priority(*event.metadata().level()), line.replace(['\n', '\r'], " "))
    }
}

/// Returns the syslog priority of a level.
fn priority(level: Level) -> u8 {
    match level {
        Level::ERROR => 3,
        Level::WARN => 4,
        Level::INFO => 6,
        Level::DEBUG | Level::TRACE => 7,
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::sync::{Arc, Mutex};

    use tracing_subscriber::layer::SubscriberExt;

    use super::*;
    use crate::cli::logs::dropped;

    /// Reads a datagram as the journal does.
    fn read(mut datagram: &[u8]) -> BTreeMap<String, String> {
        let mut fields = BTreeMap::new();
        while let Some(end) = datagram.iter().position(|&byte| byte == b'\n') {
            let name = String::from_utf8(datagram[..end].to_vec()).unwrap();
            let (length, rest) = datagram[end + 1..].split_first_chunk::<8>().unwrap();
            let length = usize::try_from(u64::from_le_bytes(*length)).unwrap();
            fields.insert(name, String::from_utf8(rest[..length].to_vec()).unwrap());
            assert_eq!(rest[length], b'\n');
            datagram = &rest[length + 1..];
        }
        assert!(datagram.is_empty(), "{datagram:?}");
        fields
    }

    /// What was written to stderr.
    #[derive(Clone, Default)]
    struct Page(Arc<Mutex<Vec<u8>>>);

    impl io::Write for Page {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn logged(journal: &Path, log: impl FnOnce()) -> String {
        let page = Page::default();
        let writer = page.clone();
        let lines = tracing_subscriber::fmt::layer().with_ansi(false).event_format(Lines);
        let layer = Journal::new(journal, lines.with_writer(move || writer.clone()));
        tracing::subscriber::with_default(tracing_subscriber::registry().with(layer), log);
        let bytes = page.0.lock().unwrap().clone();
        String::from_utf8(bytes).unwrap()
    }

    #[test]
    fn an_event_is_one_datagram_with_fields_that_nothing_in_it_can_forge() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("socket");
        let journal = UnixDatagram::bind(&path).unwrap();
        let page = logged(&path, || {
            tracing::warn!(table = "patients", blocks = 7, "bad\nPRIORITY=0\n<0>forged");
            let long = "x".repeat(1 << 20);
            tracing::info!(uri = "https://h/c?sp=w&sig=canary%2B1", client_secret = "canary", "{long}");
        });

        assert_eq!(page, "", "nothing is said twice");
        let mut datagram = vec![0; 1 << 18];
        let length = journal.recv(&mut datagram).unwrap();
        let expected = [
            ("EDM_AGENT_BLOCKS", "7"),
            ("EDM_AGENT_TABLE", "patients"),
            ("MESSAGE", "bad\nPRIORITY=0\n<0>forged table=patients blocks=7"),
            ("PRIORITY", "4"),
            ("SYSLOG_IDENTIFIER", "edm-agent"),
        ];
        let fields = read(&datagram[..length]);
        assert_eq!(fields.iter().map(|(name, value)| (&**name, &**value)).collect::<Vec<_>>(), expected);
        let length = journal.recv(&mut datagram).unwrap();
        let fields = read(&datagram[..length]);
        assert!(fields["MESSAGE"].len() <= LONGEST && fields["EDM_AGENT_URI"].contains("sp=w"), "{fields:?}");
        assert!(fields.values().all(|value| !value.contains("canary")), "{fields:?}");
    }

    #[test]
    fn without_a_journal_an_event_is_one_line_with_its_priority_and_no_time() {
        let page = logged(Path::new("/nowhere"), || {
            tracing::warn!(table = "patients", "bad\n<0>forged");
            tracing::info!("fine");
        });
        assert_eq!(page, "<4>bad <0>forged table=\"patients\"\n<6>fine\n");
    }

    #[test]
    fn a_journal_that_reads_nothing_costs_events_and_holds_nobody_up() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("socket");
        let _deaf = UnixDatagram::bind(&path).unwrap();
        let before = dropped();
        let page = logged(&path, || (0..10_000).for_each(|number| tracing::info!(number, "nobody reads this")));
        assert!(page.is_empty() && dropped() > before, "{page}");
    }
}
