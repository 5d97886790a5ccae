//! How fast a table becomes a bundle: every figure beside what it is compared
//! with, measured in turns in one run.
//!
//! `cargo bench --bench hashing` prints the tables of `docs/PERFORMANCE.md`;
//! `cargo bench --bench hashing -- 10000000` takes a table of so many rows.
//!
//! What is compared by is CPU time, because a machine is rarely idle: the
//! median of several rounds, and for ratios the median of each round's ratio.
//! Nothing here passes or fails.

#![expect(clippy::print_stdout, reason = "what it prints is what it is for")]

use std::fs::File;
use std::hint::black_box;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;

use edm_agent::adapters::bundle::{self, HashOrder, HashProgress, Limits, SaltSource};
use edm_agent::adapters::clock::SystemClock;
use edm_agent::ports::clock::Clock;
use edm_agent::table::digest::{CellBatch, CellDigest, CellHasher};
use edm_agent::table::header::Columns;
use edm_agent::table::layout::PREFERRED_BLOCK;
use edm_agent::table::normalise::Normaliser;
use edm_agent::table::reader::encoding::Encoding;
use edm_agent::table::reader::records::Records;
use edm_agent::table::reader::{Dialect, Quotes, Separator};
use edm_agent::table::rows::RowHasher;
use edm_agent::table::salt::Salt;
use edm_agent::table::schema::{Field, Schema};
use edm_agent::table::sha256::{Kernel, Twin};
use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};
use rustix::time::{ClockId, clock_gettime};
use sha2::{Digest, Sha256};

/// Rows of the table, if nothing else is said.
const ROWS: usize = 1_000_000;
const COLUMNS: usize = 8;
const CELL_BYTES: usize = 12;
/// Rounds of what takes milliseconds, and of whole tables.
const ROUNDS: usize = 31;
const TABLES: usize = 5;

const SALT: &str = "0123456789abcdefghijklmnopqrstuvwxyz0123456789abcdefghijklmnopqr";

fn main() {
    let rows = std::env::args().filter_map(|word| word.parse().ok()).next().unwrap_or(ROWS);
    let kernel = if Kernel::best().is_portable() { "portable only" } else { "SHA instructions of x86-64" };
    println!("Kernel: {kernel}. Medians of {ROUNDS} rounds in turns, CPU time.");
    cells();
    bulk();
    stages();
    tables(rows, false);
    tables(rows, true);
}

fn salt() -> Salt {
    Salt::parse(SALT).expect("it is one")
}

/// Seconds a clock of the system has counted.
fn seconds(clock: ClockId) -> f64 {
    let time = clock_gettime(clock);
    time.tv_sec as f64 + time.tv_nsec as f64 / 1e9
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

/// One of the ways to do the same, and how often it does it.
type Way<'a> = (&'a str, Box<dyn FnMut() + 'a>);

/// Runs all ways in turns, and prints how often each does `unit` in a second
/// and how that compares with the first.
fn compare(title: &str, unit: &str, count: usize, mut ways: Vec<Way<'_>>) {
    let mut taken: Vec<Vec<f64>> = vec![Vec::new(); ways.len()];
    for _ in 0..ROUNDS {
        for (times, (_, way)) in taken.iter_mut().zip(&mut ways) {
            let before = seconds(ClockId::ThreadCPUTime);
            way();
            times.push(seconds(ClockId::ThreadCPUTime) - before);
        }
    }
    println!("\n| {title} | {unit} | ratio |\n|---|---|---|");
    for (times, (name, _)) in taken.iter().zip(&ways) {
        let rate = count as f64 / median(times.clone()) / 1e6;
        let ratio = median(taken[0].iter().zip(times).map(|(first, own)| first / own).collect());
        println!("| {name} | {rate:.2} | {ratio:.2} |");
    }
}

/// Cells of one length, hashed by the crate and by us.
fn cells() {
    const COUNT: usize = 40_960;
    for length in [CELL_BYTES, 55, 100] {
        let text = |number: usize| format!("{number:0length$}").into_bytes();
        let values: Vec<Vec<u8>> = (0..COUNT).map(text).collect();
        let salt = salt();
        let salted = Sha256::new_with_prefix(salt.expose());
        let batched = |kernel| {
            let (values, mut batch) = (&values, CellBatch::new(CellHasher::with(kernel, CellDigest::Sha256, &salt)));
            let mut digests = Vec::new();
            Box::new(move || {
                digests.clear();
                for value in values {
                    if batch.is_full_for(1) {
                        batch.drain_into(&mut digests);
                    }
                    batch.push(value);
                }
                batch.drain_into(&mut digests);
                black_box(&digests);
            })
        };
        let compressions = if length > 55 { 2 } else { 1 };
        let title = format!("cells of {length} bytes: {compressions} behind the salt");
        let ways: Vec<Way<'_>> = vec![
            (
                "`sha2`, state behind the salt kept and cloned",
                Box::new(|| {
                    for value in &values {
                        black_box(salted.clone().chain_update(value).finalize());
                    }
                }),
            ),
            (
                "`sha2`, salt and value each time",
                Box::new(|| {
                    for value in &values {
                        black_box(Sha256::new().chain_update(salt.expose()).chain_update(value).finalize());
                    }
                }),
            ),
            ("ours, portable", batched(Kernel::portable())),
            ("ours", batched(Kernel::best())),
        ];
        compare(&title, "M cells/s", COUNT, ways);
    }
}

/// The two digests of the output: of its block and of the whole.
fn bulk() {
    /// As much as a piece of a table gives.
    const LENGTH: usize = 340 << 10;
    let bytes = vec![0x5a; LENGTH];
    let twin = |kernel| {
        let (bytes, mut twin) = (&bytes, Twin::new(kernel));
        // The whole is not where the part is, as behind the header of a block.
        twin.whole.update(&bytes[..16]);
        Box::new(move || twin.update(black_box(bytes)))
    };
    let ways: Vec<Way<'_>> = vec![
        (
            "`sha2`, twice",
            Box::new(|| {
                black_box((Sha256::digest(&bytes), Sha256::digest(black_box(&bytes))));
            }),
        ),
        (
            "`sha2`, once",
            Box::new(|| {
                black_box(Sha256::digest(&bytes));
            }),
        ),
        ("ours, portable", twin(Kernel::portable())),
        ("ours", twin(Kernel::best())),
    ];
    compare("block and whole digested", "MB/s", LENGTH, ways);
}

fn schema() -> Schema {
    let fields = (0..COLUMNS).map(|column| Field::named(&format!("C{column}"))).collect();
    Schema::from_fields("Numbers", fields).expect("it is within the limits")
}

fn row(number: usize) -> String {
    let cells: Vec<String> = (0..COLUMNS).map(|column| format!("{:0CELL_BYTES$}", number * 7_919 + column)).collect();
    cells.join(",") + "\n"
}

/// The parts of what a hashing thread does.
fn stages() {
    const COUNT: usize = 1_300;
    let dialect = Dialect::new(Separator::COMMA);
    let piece: String = (0..COUNT).map(row).collect();
    let piece = piece.as_bytes();
    let schema = schema();
    let rule = Normaliser::of(&schema.fields()[0]);
    let names: Vec<&[u8]> = schema.fields().iter().map(|field| field.name.as_bytes()).collect();
    let columns = Columns::of(&names, COLUMNS, &schema).expect("they are the same");
    let mut hasher = RowHasher::new(dialect, &schema, &columns, &salt(), CellDigest::Sha256);
    let (mut cells, mut unquoted, mut scratch) = (Vec::new(), Vec::new(), Vec::new());
    let fields: Vec<&[u8]> = piece.split(|byte| b",\n".contains(byte)).collect();
    let ways: Vec<Way<'_>> = vec![
        (
            "parsed, normalised, hashed",
            Box::new(|| {
                cells.clear();
                black_box(hasher.hash(piece, 0, 0, &mut cells));
            }),
        ),
        (
            "parsed",
            Box::new(|| {
                let mut records = Records::new(dialect, piece, 0);
                while let Some(row) = records.advance() {
                    for field in row.fields {
                        black_box(field.value(&mut unquoted));
                    }
                }
            }),
        ),
        (
            "normalised",
            Box::new(|| {
                for field in &fields {
                    black_box(rule.apply_ascii(field, &mut scratch));
                }
            }),
        ),
    ];
    compare(&format!("rows of {COLUMNS} columns of {CELL_BYTES} bytes"), "M rows/s", COUNT, ways);
}

/// Whole tables to whole bundles, on one core and on two; with the digest of their
/// content, as the service makes them, or without, as `hash` on another host.
fn tables(rows: usize, is_digested: bool) {
    let dir = tempfile::tempdir().expect("there is room for a folder");
    let key = is_digested.then(|| bundle::make_content_key(dir.path()).expect("there is room for a key"));
    let source = dir.path().join("table.csv");
    write_table(&source, rows);
    let with = if is_digested { ", content digested" } else { "" };
    println!("\n| {rows} rows to a bundle{with} | M rows/CPU-s | M rows/s | most memory, MiB |\n|---|---|---|---|");
    let all = sched_getaffinity(None).expect("the system says on which cores this may run");
    let cores: Vec<usize> = (0..CpuSet::MAX_CPU).filter(|core| all.is_set(*core)).collect();
    let mut runs = [Vec::new(), Vec::new()];
    for _ in 0..TABLES {
        for (threads, runs) in (1..=cores.len().min(2)).zip(&mut runs) {
            let mut used = CpuSet::new();
            cores[..threads].iter().for_each(|core| used.set(*core));
            sched_setaffinity(None, &used).expect("it may run on fewer cores");
            runs.push(run(dir.path(), &source, key.clone(), rows, threads));
            sched_setaffinity(None, &all).expect("it ran on all before");
        }
    }
    for (runs, name) in runs.iter().zip(["1 core", "2 cores"]).filter(|(runs, _)| !runs.is_empty()) {
        let of = |figure: fn(&Run) -> f64| median(runs.iter().map(figure).collect());
        println!("| {name} | {:.2} | {:.2} | {:.0} |", of(|run| run.by_cpu), of(|run| run.by_wall), of(|run| run.peak));
    }
    if runs[1].len() == runs[0].len() {
        let ratios = runs[1].iter().zip(&runs[0]).map(|(two, one)| two.by_wall / one.by_wall);
        println!("| 2 cores to 1 | | ×{:.2} | |", median(ratios.collect()));
    }
}

/// What hashing one table took.
struct Run {
    /// Millions of rows in a second of CPU time, the system's part included.
    by_cpu: f64,
    /// Millions of rows in a second, until everything was durable.
    by_wall: f64,
    /// The most memory, in MiB.
    peak: f64,
}

fn run(dir: &Path, source: &Path, content_key: Option<PathBuf>, rows: usize, threads: usize) -> Run {
    let order = HashOrder {
        table: "numbers".to_owned(),
        source: source.to_owned(),
        schema: schema(),
        separator: Some(Separator::COMMA),
        quotes: Quotes::Double,
        encoding: Encoding::Auto,
        digest: CellDigest::Sha256,
        rows_per_block: None,
        block_size: PREFERRED_BLOCK,
        allowed_bad_lines_percent: 0.0,
        allow_drift: false,
        allow_empty: false,
        content_key,
        salt: SaltSource::Given(salt()),
        output: dir.join("bundle"),
        limits: Limits::default(),
        threads,
    };
    // Forgets the most memory there was before, where the system can.
    drop(std::fs::write("/proc/self/clear_refs", "5"));
    let (began, before) = (SystemClock.now().moment, seconds(ClockId::ProcessCPUTime));
    let bundle = bundle::hash(&order, &SystemClock, &HashProgress::default(), &AtomicBool::new(false));
    let used = seconds(ClockId::ProcessCPUTime) - before;
    let wall = SystemClock.now().moment.since(began).as_secs_f64();
    let peak = peak();
    bundle.expect("the table is a good one").remove().expect("it can go");
    let rate = |seconds: f64| rows as f64 / seconds / 1e6;
    Run { by_cpu: rate(used), by_wall: rate(wall), peak }
}

/// The most memory this process had, in MiB.
fn peak() -> f64 {
    let status = std::fs::read_to_string("/proc/self/status").expect("this is Linux");
    let line = status.lines().find(|line| line.starts_with("VmHWM")).expect("it says the most memory");
    line.split_whitespace().nth(1).and_then(|kib| kib.parse::<f64>().ok()).expect("it is a number") / 1024.0
}

fn write_table(path: &Path, rows: usize) {
    let mut table = BufWriter::new(File::create(path).expect("there is room for a table"));
    let header: Vec<String> = schema().names();
    writeln!(table, "{}", header.join(",")).expect("there is room for a header");
    for number in 0..rows {
        table.write_all(row(number).as_bytes()).expect("there is room for a row");
    }
    table.into_inner().expect("all of it was written").sync_all().expect("the disk took it");
}
