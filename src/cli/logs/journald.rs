//! Lines for the journal of systemd: a priority prefix (sd-daemon(3)), and no
//! time, which the journal adds itself.

use std::fmt;

use tracing::{Event, Level, Subscriber};
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields};
use tracing_subscriber::registry::LookupSpan;

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
    use std::io::{self, Read, Seek, SeekFrom};

    use tracing_subscriber::layer::SubscriberExt;

    use super::*;

    #[test]
    fn an_event_is_one_line_with_its_priority_and_no_time() {
        let mut file = tempfile::tempfile().unwrap();
        let writer = file.try_clone().unwrap();
        let layer = tracing_subscriber::fmt::layer().with_ansi(false).event_format(Lines).with_writer(move || {
            let writer: Box<dyn io::Write> = Box::new(writer.try_clone().unwrap());
            writer
        });
        tracing::subscriber::with_default(tracing_subscriber::registry().with(layer), || {
            tracing::warn!(table = "patients", "bad\n<0>forged");
            tracing::info!("fine");
        });

        let mut page = String::new();
        file.seek(SeekFrom::Start(0)).unwrap();
        file.read_to_string(&mut page).unwrap();
        assert_eq!(page, "<4>bad <0>forged table=\"patients\"\n<6>fine\n");
    }
}
