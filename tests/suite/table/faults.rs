//! What goes wrong with tables, by its number in the list of faults to survive.
//!
//! | fault | shown by |
//! |---|---|
//! | 90 to 102, but 91 | `fault_NN_…` here |
//! | 91 | `fault_91_…` in `agent::schedule`, where files are waited for |
//!
//! Each is shown again, from closer by, in the other files of this folder.

use std::io::Write;
use std::process::{Command, Stdio};

use edm_agent::adapters::bundle::{ExitClass, HashError};
use edm_agent::table::header::HeaderError;
use edm_agent::table::reader::Separator;
use edm_agent::table::rejects::Fault;
use proptest::prelude::*;

use super::packed::gzip;
use super::sources::{CHANGES, change_meanwhile, make_fifo};
use super::{Desk, blocks, utf16};
use crate::support::skip::{Need, skip};

const CANARY: &str = "4929-canary";

/// The source is appended to, truncated, touched, replaced or removed while it
/// is hashed: refused, whether it is packed or not, and nothing is left.
#[test]
fn fault_90_a_source_that_changes_meanwhile_gives_no_bundle() {
    let rows: String = (0..30_000).map(|row| format!("a{row},b{row}\n")).collect();
    let table = format!("A,B\n{rows}").into_bytes();
    for bytes in [gzip(&table), table] {
        for (what, change) in CHANGES {
            let desk = Desk::with(&bytes);
            let error = change_meanwhile(&desk, change).expect_err(what);
            assert!(matches!(error, HashError::SourceChanged(_)), "{what}: {error}");
            assert_eq!(error.class(), ExitClass::TryLater);
            assert!(!desk.names().iter().any(|name| name.starts_with("bundle")), "{what}: {:?}", desk.names());
        }
    }
}

/// A link, FIFO, device, folder, socket or second name is refused without
/// waiting for it, and a table's name leads nowhere.
#[test]
fn fault_92_what_is_no_ordinary_file_is_refused_at_once() {
    let mut desk = Desk::rows(1);
    let path = |name: &str| desk.path(name);
    std::os::unix::fs::symlink(path("table.csv"), path("link.csv")).unwrap();
    std::fs::create_dir(path("folder.csv")).unwrap();
    make_fifo(&path("fifo.csv"));
    std::fs::write(path("twice.csv"), "A,B\n1,2\n").unwrap();
    std::fs::hard_link(path("twice.csv"), path("again.csv")).unwrap();
    for name in ["link.csv", "folder.csv", "fifo.csv", "twice.csv", "/dev/null", "/dev/zero"] {
        desk.order.source = desk.dir.path().join(name);
        desk.order.separator = Some(Separator::COMMA);
        let error = desk.hash().unwrap_err();
        assert!(matches!(error, HashError::SourceKind { .. }), "{name}: {error}");
    }
    desk.order.source = desk.path("table.csv");
    desk.order.table = "../../outside".to_owned();
    desk.hash().unwrap();
    assert!(!desk.dir.path().parent().unwrap().join("outside").exists());
}

/// What is no text is a bad row, named by its place in the file as it lies
/// there and never shown; NUL bytes too.
#[test]
fn fault_93_bytes_that_are_no_text_are_bad_rows_with_their_place() {
    let lone = [&[0xff, 0xfe][..], &utf16("A,B\n")[2..], &[0x00, 0xd8, b',', 0, b'x', 0], &utf16("\nok,ok\n")[2..]];
    let cases = [
        (b"A,B\n\xff,x\nok,ok\n".to_vec(), Fault::NotUtf8, 4, 1),
        (b"A,B\nok,ok\nx,\xc0\xaf\n".to_vec(), Fault::NotUtf8, 10, 2),
        (b"A,B\nok,ok\nx,\xed\xa0\x80\n".to_vec(), Fault::NotUtf8, 10, 2),
        (b"A,B\nok,ok\nZo\xeb,x\n".to_vec(), Fault::NotUtf8, 10, 1),
        (lone.concat(), Fault::NotUtf8, 10, 1),
        (b"A,B\nok,ok\n4929-canary,\0\n".to_vec(), Fault::NulByte, 10, 2),
        (utf16("A,B\nok,ok\nx,\0\n"), Fault::NulByte, 22, 2),
    ];
    for (table, fault, offset, column) in cases {
        let error = Desk::with(&table).hash().unwrap_err();
        assert!(!format!("{error} {error:?}").contains(CANARY));
        let HashError::TooManyBadRows { rows: 1, rejects, .. } = error else { panic!("{table:?}: {error}") };
        let [reject] = rejects.named() else { panic!("{rejects}") };
        assert_eq!((reject.fault, reject.offset, reject.column), (fault, offset, column), "{table:?}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]
    /// A byte order mark, any kind of line break, also mixed, and a last line
    /// without one give the hashes of the plain table.
    #[test]
    fn fault_94_marks_and_line_breaks_change_no_hash(
        mark: bool, last: bool, breaks in prop::collection::vec(prop::sample::select(vec!["\n", "\r\n", "\r"]), 21),
    ) {
        let rows: Vec<String> = (0..20).map(|row| format!("a{row},\"b\n{row}\"")).collect();
        let plain = format!("A,B\n{}\n", rows.join("\n"));
        let lines = std::iter::once("A,B").chain(rows.iter().map(String::as_str));
        let mut text: String = lines.zip(&breaks).map(|(line, end)| format!("{line}{end}")).collect();
        if !last {
            text.truncate(text.trim_end().len());
        }
        let text = if mark { format!("\u{feff}{text}") } else { text };
        prop_assert_eq!(blocks(&Desk::with(text).hash().unwrap()), blocks(&Desk::with(plain).hash().unwrap()));
    }
}

/// Quotes may span lines and hold doubled ones; one that is never closed is an
/// error that names its line, whatever is allowed.
#[test]
fn fault_95_quotes_span_lines_and_an_open_one_is_an_error_with_its_line() {
    let bundle = Desk::with("A,B\n\"1\n\"\"2\"\"\n\",x\n").hash().unwrap();
    assert_eq!(bundle.manifest().rows, 1);
    let mut desk = Desk::with(format!("A,B\n1,2\n3,\"{CANARY}\n{}", "x,y\n".repeat(500_000)));
    desk.order.allowed_bad_lines_percent = 100.0;
    let error = desk.hash().unwrap_err();
    assert!(matches!(error, HashError::Unclosed { line: 3, offset: 10 }), "{error}");
    assert!(!error.to_string().contains(CANARY));
    assert_eq!(desk.names(), ["fixed-salt", "table.csv"]);
}

/// A line far over the limit is one bad row, a field over its limit too, and
/// the process stays as small as it was.
#[test]
fn fault_96_a_huge_line_is_a_bad_row_in_flat_memory() {
    /// Bytes of the line: enough to show in a process that would hold it.
    const HUGE: usize = 128 << 20;
    let desk = Desk::with("");
    let schema = "<EdmSchema xmlns=\"http://schemas.microsoft.com/office/2018/edm\"><DataStore name=\"S\">\
                  <Field name=\"A\"/><Field name=\"B\"/></DataStore></EdmSchema>";
    std::fs::write(desk.path("s.xml"), schema).unwrap();
    let mut child = Command::new(env!("CARGO_BIN_EXE_edm-agent"))
        .current_dir(desk.dir.path())
        .args(["validate", "--json", "--input", "-", "--separator", "comma", "--schema", "s.xml"])
        .args(["--allowed-bad-lines-percent", "80"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    stdin.write_all(b"A,B\n1,2\nx,").unwrap();
    let chunk = vec![b'x'; 1 << 20];
    for _ in 0..HUGE >> 20 {
        stdin.write_all(&chunk).unwrap();
    }
    stdin.write_all(b"\ny,").unwrap();
    stdin.write_all(&chunk[..(64 << 10) + 1]).unwrap();
    stdin.write_all(b"\n3,4\n").unwrap();
    let status = std::fs::read_to_string(format!("/proc/{}/status", child.id())).unwrap();
    let peak = status.lines().find(|line| line.starts_with("VmHWM")).unwrap();
    let peak: u64 = peak.split_whitespace().nth(1).unwrap().parse().unwrap();
    drop(stdin);
    let output = child.wait_with_output().unwrap();
    let report: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!((&report["rows"], &report["bad_rows"]), (&2.into(), &2.into()), "{report}");
    let reasons: Vec<_> = (0..2).map(|at| report["bad_rows_by_reason"][at]["reason"].as_str().unwrap()).collect();
    assert_eq!(reasons, ["too-long", "field-too-long"]);
    assert!(peak < 64 << 10, "{peak} KiB");
}

/// Rows too short or too long are counted against what is allowed; a header
/// that does not fit is refused before anything is written, and a header alone
/// too.
#[test]
fn fault_97_columns_and_headers_that_do_not_fit_are_told_apart() {
    let error = Desk::with("A,B\n1\n1,2,3\n1,2\n").hash().unwrap_err();
    let HashError::TooManyBadRows { rows: 1, rejects, .. } = error else { panic!("{error}") };
    assert_eq!(rejects.of(Fault::ColumnCount), 2);
    type Expected = fn(&HashError) -> bool;
    let headers: [(&str, Expected); 5] = [
        ("A,A,B\n1,2,3\n", |error| matches!(error, HashError::Header(HeaderError::Twice { .. }))),
        ("A,B,C\n1,2,3\n", |error| matches!(error, HashError::Header(HeaderError::Unknown { .. }))),
        ("A\n1\n", |error| matches!(error, HashError::Header(HeaderError::Missing { .. }))),
        ("", |error| matches!(error, HashError::Header(HeaderError::Empty))),
        ("A,B\n", |error| matches!(error, HashError::NoRows)),
    ];
    for (table, is_expected) in headers {
        let desk = Desk::with(table);
        let error = desk.hash().unwrap_err();
        assert!(is_expected(&error), "{table:?}: {error}");
        assert_eq!((error.class(), desk.names().len()), (ExitClass::BadData, 2));
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]
    /// No row is refused; one, a full block and one more are laid out exactly.
    #[test]
    fn fault_98_any_number_of_rows_is_laid_out_exactly(rows in 0usize..40, per_block in 1u32..12) {
        let mut desk = Desk::rows(rows);
        desk.order.rows_per_block = Some(per_block);
        match desk.hash() {
            Err(error) => prop_assert!(rows == 0 && matches!(error, HashError::NoRows), "{}", error),
            Ok(bundle) => {
                let counts: Vec<u32> = bundle.manifest().blocks.iter().map(|block| block.rows).collect();
                let (full, rest) = (rows / per_block as usize, (rows % per_block as usize) as u32);
                let mut wanted = vec![per_block; full];
                wanted.extend(Some(rest).filter(|rest| *rest > 0));
                prop_assert_eq!(counts, wanted);
                bundle.verify().unwrap();
            }
        }
    }
}

/// The last row is the one too many: no bundle, so no session, and the numbers
/// are said; the report beside where it would be names the rows.
#[test]
fn fault_99_one_bad_row_too_many_at_the_end_leaves_numbers_and_no_bundle() {
    let good = "x,y\n".repeat(98);
    let mut desk = Desk::with(format!("A,B\n{CANARY}\n{good}{CANARY}"));
    desk.order.allowed_bad_lines_percent = 1.0;
    let error = desk.hash().unwrap_err();
    let said = error.to_string();
    assert!(said.contains("2 of 100 were rejected and 1 % are allowed"), "{said}");
    assert!(said.contains("bundle.rejects.csv names them") && !said.contains(CANARY), "{said}");
    assert_eq!(desk.names(), ["bundle.rejects.csv", "fixed-salt", "table.csv"]);
    let report = std::fs::read_to_string(desk.path("bundle.rejects.csv")).unwrap();
    assert_eq!(report, "line,column,reason,byte_offset\n2,,column-count,4\n101,,column-count,408\n");
    assert_eq!(std::fs::metadata(desk.path("bundle.rejects.csv")).unwrap().len(), report.len() as u64);
}

/// Two spellings that the page says are one value hash alike, and those that it
/// says are two do not; `normalisation.rs` has the vectors.
#[test]
fn fault_100_spellings_hash_alike_exactly_where_the_page_says_so() {
    let cell = |value: &str| blocks(&Desk::with(format!("A,B\n\"{value}\",\n")).hash().unwrap());
    for (one, other, alike) in [
        ("Zoe\u{308}", "Zo\u{eb}", true),
        (" x ", "x", true),
        ("\u{ff11}", "1", false),
        ("007", "7", false),
        ("a b", "ab", false),
        ("A", "a", false),
    ] {
        assert_eq!(cell(one) == cell(other), alike, "{one:?} {other:?}");
    }
}

/// Nothing is guessed: no separator from content, no formula computed, no NUL
/// passed over.
#[test]
fn fault_101_nothing_about_a_table_is_guessed() {
    let mut desk = Desk::rows(1);
    desk.order.source = desk.path("table.txt");
    std::fs::write(&desk.order.source, "A;B\n1;2\n").unwrap();
    assert!(matches!(desk.hash(), Err(HashError::Separator(_))));
    desk.order.separator = Some(Separator::COMMA);
    assert!(matches!(desk.hash(), Err(HashError::Header(HeaderError::None { .. }))));
    desk.order.separator = Some(Separator::SEMICOLON);
    assert_eq!(desk.hash().unwrap().manifest().rows, 1);

    let cell = |value: &str| blocks(&Desk::with(format!("A,B\n{value},x\n")).hash().unwrap());
    assert_ne!(cell("=1+1"), cell("2"));
    assert_eq!(cell("=1+1"), cell("\"=1+1\""));
}

/// A disk that fails while the source is read ends hashing with its own exit
/// code, and nothing is left; of a packed source it is not taken for damage.
#[test]
fn fault_102_a_disk_that_fails_while_reading_leaves_nothing() {
    let tried = Command::new("strace").args(["-qq", "-o", "/dev/null", "true"]).stderr(Stdio::null()).status();
    if !tried.is_ok_and(|status| status.success()) {
        return skip(Need::Strace, "strace cannot be used here");
    }
    let rows: String = (0..200_000).map(|row| format!("a{row},b{row}\n")).collect();
    let table = format!("A,B\n{rows}").into_bytes();
    for (name, bytes) in [("plain", table.clone()), ("packed", gzip(&table))] {
        let desk = Desk::with(bytes);
        let schema = "<EdmSchema xmlns=\"http://schemas.microsoft.com/office/2018/edm\"><DataStore name=\"S\">\
                      <Field name=\"A\"/><Field name=\"B\"/></DataStore></EdmSchema>";
        std::fs::write(desk.path("s.xml"), schema).unwrap();
        // The first reads are those of the look at its beginning.
        let output = Command::new("strace")
            .current_dir(desk.dir.path())
            .args(["-f", "-qq", "-o", "/dev/null", "-P"])
            .arg(desk.path("table.csv"))
            .args(["-e", "trace=read", "-e", "inject=read:error=EIO:when=8+"])
            .args([env!("CARGO_BIN_EXE_edm-agent"), "hash", "--input"])
            .arg(desk.path("table.csv"))
            .args(["--schema", "s.xml", "--output", "bundle"])
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(74), "{name}: {said}");
        assert!(said.contains("read table source") && said.contains("os error 5"), "{name}: {said}");
        assert_eq!(desk.names(), ["fixed-salt", "s.xml", "table.csv"], "{name}");
    }
}
