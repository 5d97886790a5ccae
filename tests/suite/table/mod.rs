//! Tables and bundles: what is read, what is hashed, what is left on disk.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::atomic::AtomicBool;

use chrono::DateTime;
use edm_agent::adapters::bundle::{self, Bundle, HashError, HashOrder, HashProgress, Limits, SaltSource};
use edm_agent::ground::moment::{Moment, Now};
use edm_agent::ports::Task;
use edm_agent::ports::clock::Clock;
use edm_agent::table::digest::CellDigest;
use edm_agent::table::layout::PREFERRED_BLOCK;
use edm_agent::table::reader::encoding::Encoding;
use edm_agent::table::reader::{Quotes, Separator};
use edm_agent::table::schema::{Field, Schema};
use tempfile::TempDir;

use crate::support::private;
use crate::support::skip::{Need, skip};

mod content;
mod dialects;
mod faults;
mod fuzzing;
mod golden;
mod handoff;
mod hashing;
mod normalisation;
mod openssh;
mod packed;
mod reading;
mod rejecting;
mod sources;
mod stored;
mod validating;

const SALT: &str = "0123456789abcdefghijklmnopqrstuvwxyz0123456789abcdefghijklmnopqr";

/// A clock that stands still.
struct Stopped;

impl Clock for Stopped {
    fn now(&self) -> Now {
        Now { moment: Moment::default(), wall: DateTime::UNIX_EPOCH }
    }

    fn sleep_until(&self, _: Moment) -> Task<'static, ()> {
        Box::pin(std::future::pending())
    }
}

/// A folder with a table of the columns A and B in it.
struct Desk {
    dir: TempDir,
    order: HashOrder,
}

impl Desk {
    fn with(table: impl AsRef<[u8]>) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let path = |name: &str| dir.path().join(name);
        std::fs::write(path("table.csv"), table).unwrap();
        private::write(&path("fixed-salt"), SALT);
        let order = HashOrder {
            table: "letters".to_owned(),
            source: path("table.csv"),
            schema: Schema::from_fields("Letters", vec![Field::named("A"), Field::named("B")]).unwrap(),
            separator: None,
            quotes: Quotes::Double,
            encoding: Encoding::Auto,
            digest: CellDigest::Sha256,
            rows_per_block: None,
            block_size: PREFERRED_BLOCK,
            allowed_bad_lines_percent: 0.0,
            allow_drift: false,
            allow_empty: false,
            content_key: None,
            salt: SaltSource::File(path("fixed-salt")),
            output: path("bundle"),
            limits: Limits::default(),
            threads: 2,
        };
        Self { dir, order }
    }

    fn rows(count: usize) -> Self {
        let rows: String = (0..count).map(|row| format!("a{row},b{row}\n")).collect();
        Self::with(format!("A,B\n{rows}"))
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn hash(&self) -> Result<Bundle, HashError> {
        bundle::hash(&self.order, &Stopped, &HashProgress::default(), &AtomicBool::new(false))
    }

    /// Hashes under another output's name.
    fn hash_to(&self, output: &str) -> Bundle {
        let order = HashOrder { output: self.path(output), ..self.order.clone() };
        bundle::hash(&order, &Stopped, &HashProgress::default(), &AtomicBool::new(false)).unwrap()
    }

    /// The names in the folder, sorted.
    fn names(&self) -> Vec<String> {
        let entries = self.dir.path().read_dir().unwrap();
        let mut names: Vec<String> = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }
}

fn blocks(bundle: &Bundle) -> Vec<u8> {
    std::fs::read(bundle.dir().join(bundle::BLOCKS_FILE)).unwrap()
}

fn suite_file(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/suite/table").join(name)
}

/// The files of a folder by name, sorted.
fn files(folder: &Path) -> Vec<(String, Vec<u8>)> {
    let entries = folder.read_dir().unwrap().map(|entry| entry.unwrap().path());
    let mut files: Vec<_> = entries
        .map(|path| (path.file_name().unwrap().to_str().unwrap().to_owned(), std::fs::read(&path).unwrap()))
        .collect();
    files.sort();
    files
}

/// The tables of the corpus that are good, or bad.
fn corpus(kind: &str) -> Vec<(String, Vec<u8>)> {
    files(&suite_file("corpus").join(kind))
}

/// UTF-16 with a byte order mark, the low byte first.
fn utf16(text: &str) -> Vec<u8> {
    std::iter::once(0xfeff).chain(text.encode_utf16()).flat_map(u16::to_le_bytes).collect()
}

/// Hashes bytes that come through a pipe, under another output's name.
fn hash_piped(desk: &Desk, bytes: &[u8], output: &str) -> Result<Bundle, HashError> {
    let order = HashOrder { output: desk.path(output), ..desk.order.clone() };
    bundle::hash_stream(&order, bytes, &Stopped, &HashProgress::default(), &AtomicBool::new(false))
}

fn page(name: &str) -> String {
    std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("docs").join(name)).unwrap()
}

/// The lines of the fenced part of a page with this label.
fn fenced<'a>(page: &'a str, label: &str) -> Vec<&'a str> {
    let mut lines = page.lines().skip_while(|line| *line != format!("```{label}"));
    assert!(lines.next().is_some(), "the page has no part labelled {label}");
    lines.take_while(|line| *line != "```").collect()
}

/// A command of Python, or `None` where there is no Python.
fn python(script: &Path) -> Option<Command> {
    let found = Command::new("python3").arg("--version").output().is_ok_and(|output| output.status.success());
    if !found {
        skip(Need::Python, "there is no python3 to compare with");
        return None;
    }
    let mut command = Command::new("python3");
    command.arg("-B").arg(script);
    Some(command)
}

fn said(output: &Output) -> String {
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout.clone()).unwrap().trim().to_owned()
}

/// A separator for a property test to choose.
fn separators() -> [Separator; 5] {
    [Separator::COMMA, Separator::TAB, Separator::PIPE, Separator::SEMICOLON, Separator::of(0x1f).unwrap()]
}
