//! `validate` and `hash -`, as a person gives them.

use std::io::Write;
use std::process::{Command, Output, Stdio};

use edm_agent::adapters::bundle::{self, HashError, HashProgress};
use proptest::prelude::*;
use serde_json::Value;
use std::sync::atomic::AtomicBool;

use super::packed::gzip;
use super::{Desk, SALT};

/// A value that must never be seen in what a command says.
const CANARY: &str = "4929-canary";

const SCHEMA: &str = r#"<EdmSchema xmlns="http://schemas.microsoft.com/office/2018/edm"><DataStore name="Letters">
<Field name="A" searchable="true"/><Field name="B"/></DataStore></EdmSchema>"#;

/// Gives a command about the table of a desk; `input` is what `--input` says.
fn given(desk: &Desk, command: &str, input: &str, rest: &[&str], stdin: &[u8]) -> (i32, String, String) {
    std::fs::write(desk.path("letters.xml"), SCHEMA).unwrap();
    let mut child = Command::new(env!("CARGO_BIN_EXE_edm-agent"))
        .current_dir(desk.dir.path())
        .args([command, "--input", input, "--schema", "letters.xml"])
        .args(rest)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // A command that refuses does not read to the end.
    let _ = child.stdin.take().unwrap().write_all(stdin);
    let Output { status, stdout, stderr } = child.wait_with_output().unwrap();
    let (stdout, stderr) = (String::from_utf8(stdout).unwrap(), String::from_utf8(stderr).unwrap());
    assert!(!stdout.contains(CANARY) && !stderr.contains(CANARY), "{stdout}{stderr}");
    (status.code().unwrap(), stdout, stderr)
}

fn report(desk: &Desk, rest: &[&str]) -> (i32, Value) {
    let (code, stdout, stderr) = given(desk, "validate", "table.csv", &[rest, &["--json"]].concat(), b"");
    (code, serde_json::from_str(&stdout).unwrap_or_else(|_| panic!("{stdout}{stderr}")))
}

#[test]
fn a_report_says_the_dialect_the_columns_and_every_bad_row_and_no_value() {
    let desk = Desk::with(
        b"\xef\xbb\xbfB,A\r\n4929-canary,x\n,x\r\n4929-canary\n\"4929-canary\",\xff\r\n4929-canary,y".as_slice(),
    );
    let (code, report) = report(&desk, &["--allowed-bad-lines-percent", "50"]);

    assert_eq!((code, &report["ok"]), (0, &Value::Bool(true)), "{report}");
    let dialect = &report["dialect"];
    assert_eq!(dialect["separator"], "comma");
    assert_eq!(dialect["quote"], "double");
    assert_eq!(dialect["encoding"], "utf-8");
    assert_eq!(dialect["byte_order_mark"], true);
    assert_eq!(dialect["compression"], "none");
    assert_eq!(dialect["line_ends"], serde_json::json!({ "lf": 2, "crlf": 3, "cr": 0, "none": 1 }));
    assert_eq!(report["header"]["in_order"], false);
    assert_eq!((&report["rows"], &report["bad_rows"]), (&3.into(), &2.into()));
    let reasons = &report["bad_rows_by_reason"];
    assert_eq!(reasons[0]["reason"], "column-count");
    assert_eq!(reasons[0]["first"][0], serde_json::json!({ "line": 4, "column": null, "byte_offset": 26 }));
    assert_eq!(reasons[1]["first"][0], serde_json::json!({ "line": 5, "column": 2, "byte_offset": 38 }));
    let (a, b) = (&report["columns"][0], &report["columns"][1]);
    assert_eq!((&a["name"], &a["searchable"], &a["blank"]), (&"A".into(), &true.into(), &0.into()));
    assert_eq!((&a["distinct_estimate"], &b["distinct_estimate"], &b["blank"]), (&2.into(), &1.into(), &1.into()));
    assert_eq!(b["duplicate_percent_estimate"], 50.0);
    assert_eq!(b["longest_bytes"], 11);

    let before = desk.names();
    let (code, text, _) = given(&desk, "validate", "table.csv", &[], b"");
    assert_eq!(code, 65);
    assert!(text.contains("BAD  more rows are bad than the 0 % that are allowed"), "{text}");
    assert!(text.contains("2 CRLF") || text.contains("3 CRLF"), "{text}");
    assert_eq!(desk.names(), before, "it writes nothing");
}

#[test]
fn a_header_that_does_not_fit_is_compared_and_not_quoted() {
    let desk = Desk::with("A,4929-canary,x\n1,2,3\n");
    let (code, report) = report(&desk, &[]);
    assert_eq!(code, 65);
    assert_eq!(report["header"]["missing"], serde_json::json!(["B"]));
    assert_eq!(report["header"]["unknown"], serde_json::json!([2, 3]));
    assert_eq!(report["rows"], Value::Null);
}

#[test]
fn an_open_quote_and_a_table_without_rows_are_bad_and_named() {
    let (code, open) = report(&Desk::with("A,B\n1,2\n3,\"4929-canary\n"), &[]);
    assert_eq!((code, &open["unclosed_quote"]["line"]), (65, &3.into()));
    let (code, none) = report(&Desk::with("A,B\n"), &[]);
    assert_eq!((code, &none["problems"][0]), (65, &"there is no good row".into()));
}

#[test]
fn a_setting_on_the_command_line_says_how_to_read() {
    let desk = Desk::with(gzip(b"A;B\n'x;y';\xe9\n"));
    let (code, report) = report(&desk, &["--separator", "semicolon", "--quote", "single", "--encoding", "latin-1"]);
    assert_eq!(code, 0, "{report}");
    assert_eq!(report["dialect"]["compression"], "gzip");
    assert_eq!(report["dialect"]["encoding"], "latin-1");
    assert_eq!(report["rows"], 1);
    for (flag, word) in [("--separator", "x"), ("--quote", "\""), ("--encoding", "utf-7")] {
        let (code, ..) = given(&desk, "validate", "table.csv", &[flag, word], b"");
        assert!([2, 78].contains(&code), "{flag} {word}: {code}");
    }
}

#[test]
fn stdin_is_validated_and_hashed_and_only_digests_are_written() {
    let desk = Desk::with("");
    let table = format!("A,B\n{CANARY},x\n1,2\n3\n");
    let comma = ["--separator", "comma", "--allowed-bad-lines-percent", "40"];
    let (code, text, _) = given(&desk, "validate", "-", &comma, table.as_bytes());
    assert_eq!(code, 0, "{text}");
    assert!(text.contains("2 good, 1 bad"), "{text}");

    let rest = [&comma[..], &["--output", "made", "--salt-file", "fixed-salt"]].concat();
    let (code, text, stderr) = given(&desk, "hash", "-", &rest, table.as_bytes());
    assert_eq!(code, 0, "{stderr}");
    assert!(text.contains("2 rows (1 rejected)") && text.contains("made.rejects.csv"), "{text}");
    for entry in walk(&desk) {
        let bytes = std::fs::read(&entry).unwrap();
        assert!(!bytes.windows(CANARY.len()).any(|window| window == CANARY.as_bytes()), "{}", entry.display());
    }
    let bundle = bundle::Bundle::open(&desk.path("made")).unwrap();
    assert_eq!(bundle.salt().expose_text(), SALT);
    bundle.verify().unwrap();
    let (code, _, stderr) = given(&desk, "hash", "-", &["--output", "other"], table.as_bytes());
    assert_eq!(code, 78, "nothing tells the separator: {stderr}");
}

fn walk(desk: &Desk) -> Vec<std::path::PathBuf> {
    let made = desk.path("made").read_dir().unwrap().map(|entry| entry.unwrap().path());
    let top = desk.dir.path().read_dir().unwrap().map(|entry| entry.unwrap().path());
    top.filter(|path| path.is_file()).chain(made).collect()
}

#[test]
fn a_command_that_waits_for_a_silent_pipe_ends_when_it_is_asked_to() {
    let desk = Desk::with("");
    std::fs::write(desk.path("letters.xml"), SCHEMA).unwrap();
    let mut child = Command::new(env!("CARGO_BIN_EXE_edm-agent"))
        .current_dir(desk.dir.path())
        .args(["hash", "--input", "-", "--separator", "comma", "--schema", "letters.xml", "--output", "made"])
        .stdin(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    stdin.write_all(&b"A,B\n1,2\n".repeat(100_000)).unwrap();
    let pid = rustix::process::Pid::from_child(&child);
    rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
    let status = child.wait().unwrap();
    assert_eq!(status.code(), Some(75));
    assert_eq!(desk.names(), ["fixed-salt", "letters.xml", "table.csv"]);
    drop(stdin);
}

/// A field, now and then a bad one.
fn field() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        6 => "[a-c]{0,2}".prop_map(String::into_bytes),
        1 => Just(b"\"q\n\"\"\"".to_vec()),
        1 => prop::sample::select(vec![b"\xff".to_vec(), b"x\"".to_vec(), b"\0".to_vec(), b"1,2".to_vec()]),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]
    #[test]
    fn what_is_validated_is_taken_and_rejected_as_it_is_hashed(rows in prop::collection::vec((field(), field()), 0..40)) {
        let mut table = b"A,B\n".to_vec();
        for (a, b) in &rows {
            table.extend_from_slice(&[a, &b","[..], b, b"\n"].concat());
        }
        let desk = Desk::with(&table);
        let validation = bundle::validate(&desk.order, &HashProgress::default(), &AtomicBool::new(false)).unwrap();
        let found = validation.found.unwrap();
        match desk.hash() {
            Ok(bundle) => {
                prop_assert_eq!((found.rows, found.rejects.total()), (bundle.manifest().rows, 0));
            }
            Err(HashError::TooManyBadRows { rows, rejects, .. }) => {
                prop_assert_eq!((found.rows, &found.rejects), (rows, &*rejects));
            }
            Err(HashError::NoRows) => prop_assert_eq!(found.rows, 0),
            Err(error) => prop_assert!(validation.unclosed.is_some(), "{}", error),
        }
    }
}

#[test]
fn distinct_values_are_estimated_as_they_are_normalised() {
    let rows: String = (0..20_000).map(|row| format!("V-{},v{}\n", row % 5_000, row)).collect();
    let desk = Desk::with(format!("A,B\n{rows}"));
    let validation = bundle::validate(&desk.order, &HashProgress::default(), &AtomicBool::new(false)).unwrap();
    let found = validation.found.unwrap();
    for (column, wanted) in found.columns.iter().zip([5_000u64, 20_000]) {
        assert!(column.distinct().abs_diff(wanted) * 100 <= wanted * 4, "{} for {wanted}", column.distinct());
    }
}

#[test]
fn a_row_over_the_limit_has_its_line_end_counted_like_any_other() {
    // Twice as long, so that what ends it comes in another read than what begins it.
    let long = "x".repeat(2 << 20);
    for (table, wanted) in [
        (format!("A,B\n{long},1\n2,3\n"), [3, 0, 0, 0]),
        (format!("A,B\r\n{long},1\r\n2,3\r\n"), [0, 3, 0, 0]),
        (format!("A,B\r{long},1\r2,3\r{long}\r"), [0, 0, 4, 0]),
        (format!("A,B\n2,3\n{long}"), [2, 0, 0, 1]),
    ] {
        let desk = Desk::with(table);
        let validation = bundle::validate(&desk.order, &HashProgress::default(), &AtomicBool::new(false)).unwrap();
        let ends = validation.found.unwrap().ends;
        assert_eq!([ends.lf, ends.crlf, ends.cr, ends.none], wanted);
    }
}
