//! The table a command reads: one of the configuration, a file, or stdin.

use std::io::{self, Read};
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};

use super::args::InputArguments;
use super::output::{is_watched, tell};
use crate::adapters::bundle::HashProgress;
use crate::adapters::clock::SystemClock;
use crate::agent::exit::{Exit, Trouble};
use crate::agent::settings::{BundleSettings, CatchUp, Settings, TableSettings};
use crate::agent::signals::{self, Wish};
use crate::agent::tables::{read_schema, separator};
use crate::ground::units::Size;
use crate::ports::clock::Clock;
use crate::table::digest::CellDigest;
use crate::table::reader::Quotes;
use crate::table::reader::encoding::Encoding;
use crate::table::schema::Schema;

/// How often a line is written.
const LINE_EVERY: Duration = Duration::from_secs(5);

/// How long stdin may be silent before it is asked whether to go on.
const SILENCE: Timespec = Timespec { tv_sec: 0, tv_nsec: 200_000_000 };

/// A table to read, its schema, and the settings it is read under.
pub(crate) struct Chosen {
    pub(crate) table: TableSettings,
    pub(crate) schema: Schema,
    pub(crate) settings: Settings,
}

impl Chosen {
    /// Finds the table and reads its schema; without `--table` no configuration
    /// is read.
    pub(crate) fn find(
        arguments: &InputArguments,
        settings: impl FnOnce() -> Result<Settings, Trouble>,
    ) -> Result<Self, Trouble> {
        let (mut table, settings) = match &arguments.table {
            Some(name) => {
                let settings = settings()?;
                let table = settings.find_table(name).cloned().ok_or_else(|| {
                    let message = format!("find table {name} in the configuration: it has none of this name");
                    Trouble::new(Exit::BadConfiguration, message)
                })?;
                (table, settings)
            }
            None => {
                let bundles = BundleSettings { min_free: 0, ..BundleSettings::default() };
                (unnamed(arguments)?, Settings { bundles, ..Settings::default() })
            }
        };
        if let Some(word) = &arguments.separator {
            table.separator.clone_from(word);
        }
        table.quote = arguments.quote.unwrap_or(table.quote);
        table.encoding = arguments.encoding.unwrap_or(table.encoding);
        table.allowed_bad_lines_percent =
            arguments.allowed_bad_lines_percent.unwrap_or(table.allowed_bad_lines_percent);
        if table.schema == "service" {
            let message = "read the table: its schema is \"service\", and this command asks no service; \
                           give an EdmSchema file";
            return Err(Trouble::new(Exit::BadConfiguration, message));
        }
        separator(&table.separator)?;
        let schema = read_schema(Path::new(&table.schema))?;
        Ok(Self { table, schema, settings })
    }
}

/// Returns whether a path stands for stdin.
pub(crate) fn is_stdin(path: &Path) -> bool {
    path == Path::new("-")
}

/// Makes the settings of a table no configuration names.
fn unnamed(arguments: &InputArguments) -> Result<TableSettings, Trouble> {
    let missing = || Trouble::new(Exit::Usage, "read what: give --table, or --input and --schema");
    let path = arguments.input.clone().ok_or_else(missing)?;
    let schema = arguments.schema.clone().ok_or_else(missing)?;
    let stem = path.file_stem().filter(|_| !is_stdin(&path));
    let name = stem.map_or_else(|| "table".to_owned(), |name| name.to_string_lossy().into_owned());
    Ok(TableSettings {
        name,
        data_store: String::new(),
        path,
        schema: schema.display().to_string(),
        separator: "auto".to_owned(),
        quote: Quotes::default(),
        encoding: Encoding::default(),
        digest: CellDigest::default(),
        rows_per_block: 0,
        allow_drift: false,
        min_rows_percent: 0.0,
        max_rows_percent: 0.0,
        max_blank_percent: 100.0,
        allow_empty: false,
        skip_unchanged: false,
        allowed_bad_lines_percent: 0.0,
        salt_file: PathBuf::new(),
        when: "manual".to_owned(),
        timezone: "UTC".to_owned(),
        catch_up: CatchUp::default(),
        jitter: Duration::ZERO,
        settle: TableSettings::SETTLE,
        done_marker: String::new(),
        canary: None,
    })
}

/// Stdin, given up when the command is asked to stop, however long its writer
/// is silent.
pub(crate) struct Stdin(pub(crate) Arc<AtomicBool>);

impl Read for Stdin {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let stdin = io::stdin();
        loop {
            if self.0.load(Ordering::Relaxed) {
                return Err(io::Error::other("stopped on request"));
            }
            let mut waiting = [PollFd::from_borrowed_fd(stdin.as_fd(), PollFlags::IN)];
            if poll(&mut waiting, Some(&SILENCE))? > 0 {
                // Past the standard library's buffer, which would keep clear text.
                return Ok(rustix::io::read(stdin.as_fd(), buffer)?);
            }
        }
    }
}

/// How far a reading has come, and whether it should go on.
#[derive(Clone, Default)]
pub(crate) struct Watch {
    pub(crate) progress: Arc<HashProgress>,
    pub(crate) stop: Arc<AtomicBool>,
}

impl Watch {
    /// Lets work that blocks go on by itself, says how far it has come, and has
    /// it stop when asked to.
    pub(crate) async fn over<T: Send + 'static>(
        self,
        table: &str,
        doing: &str,
        work: impl FnOnce() -> Result<T, Trouble> + Send + 'static,
    ) -> Result<T, Trouble> {
        let mut wishes =
            signals::listen().map_err(|error| Trouble::new(Exit::LocalIo, format!("listen for signals: {error}")))?;
        let clock = SystemClock;
        let working = tokio::task::spawn_blocking(work);
        tokio::pin!(working);
        loop {
            let line = clock.sleep_until(clock.now().moment + LINE_EVERY);
            tokio::select! {
                worked = &mut working => {
                    let cut = |_| Err(Trouble::new(Exit::Failed, format!("{doing} the table: the work was cut short")));
                    let worked = worked.unwrap_or_else(cut);
                    if worked.is_err() && self.stop.load(Ordering::Relaxed) {
                        let message = format!("{doing} the table: stopped on request; give the command again to go on");
                        return Err(Trouble::new(Exit::TryLater, message));
                    }
                    return worked;
                }
                wish = wishes.recv() => if wish != Some(Wish::Reload) {
                    self.stop.store(true, Ordering::Relaxed);
                },
                () = line => tell(&describe(table, doing, &self.progress)),
            }
        }
    }
}

fn describe(table: &str, doing: &str, progress: &HashProgress) -> String {
    let read = progress.bytes_read.load(Ordering::Relaxed);
    let total = progress.bytes_total.load(Ordering::Relaxed);
    let rows = progress.rows.load(Ordering::Relaxed);
    let rejected = progress.rejected.load(Ordering::Relaxed);
    let far = match total {
        0 => Size(read).to_string(),
        _ if is_watched() => format!("{} %", read * 100 / total),
        _ => format!("{} % of {}", read * 100 / total, Size(total)),
    };
    format!("{table}: {doing}: {far}, {rows} rows, {rejected} rejected")
}
