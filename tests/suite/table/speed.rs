//! A look at speed and memory, for a person to read:
//! `cargo test --release --test suite table::speed -- --ignored --nocapture`

use std::io::{BufWriter, Write};

use edm_agent::table::schema::{Field, Schema};

use super::Desk;

const ROWS: usize = 4_000_000;
const COLUMNS: usize = 8;

/// The most resident memory this process has had, in KiB.
fn peak() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmHWM")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

/// User and system time of this process so far, in seconds.
fn cpu() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap();
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap().split_whitespace().collect();
    (fields[11].parse::<f64>().unwrap() + fields[12].parse::<f64>().unwrap()) / 100.0
}

#[test]
#[ignore = "a measurement, not a check"]
#[expect(clippy::print_stdout, reason = "it is there to be read")]
#[expect(clippy::disallowed_methods, clippy::disallowed_types, reason = "it measures real time")]
fn four_million_rows_of_eight_columns() {
    let mut desk = Desk::with("");
    let fields = (0..COLUMNS).map(|column| Field::named(&format!("C{column}"))).collect();
    desk.order.schema = Schema::from_fields("Numbers", fields).unwrap();
    let mut table = BufWriter::new(std::fs::File::create(&desk.order.source).unwrap());
    writeln!(table, "C0,C1,C2,C3,C4,C5,C6,C7").unwrap();
    for row in 0..ROWS {
        let cells: Vec<String> = (0..COLUMNS).map(|column| format!("{:011}", row * 7_919 + column)).collect();
        writeln!(table, "{}", cells.join(",")).unwrap();
    }
    table.into_inner().unwrap().sync_all().unwrap();
    let bytes = desk.order.source.metadata().unwrap().len();

    for threads in [1, 2] {
        desk.order.threads = threads;
        let (begin, before) = (std::time::Instant::now(), cpu());
        let bundle = desk.hash_to(&format!("bundle-{threads}"));
        let (wall, used) = (begin.elapsed().as_secs_f64(), cpu() - before);
        println!(
            "{threads} hashing threads: {ROWS} rows ({} MiB in, {} MiB out) in {wall:.2} s, {used:.2} CPU-s: \
             {:.2} M rows/s, {:.2} M rows per CPU-s, peak {} MiB",
            bytes >> 20,
            bundle.manifest().bytes >> 20,
            ROWS as f64 / wall / 1e6,
            ROWS as f64 / used / 1e6,
            peak() >> 10,
        );
        bundle.remove().unwrap();
    }
}
