//! Bad rows and bad tables: counted, named by place, never shown.

use std::fmt::Write;
use std::sync::atomic::AtomicBool;

use edm_agent::adapters::bundle::{self, ExitClass, HashError, HashProgress};
use edm_agent::table::header::HeaderError;
use edm_agent::table::rejects::{Fault, NAMED_LIMIT, Reject, Rejects};

use super::Desk;

/// A value that must never be seen in a message.
const CANARY: &str = "4929-canary";

/// Hashes a table none of whose rows may be bad, and returns what was.
fn rejects(table: impl AsRef<[u8]>) -> (u64, Rejects) {
    let error = Desk::with(table).hash().unwrap_err();
    assert!(!format!("{error} {error:?}").contains(CANARY), "{error}");
    assert_eq!(error.class(), ExitClass::BadData);
    let HashError::TooManyBadRows { rows, rejects, .. } = error else { panic!("{error}") };
    (rows, *rejects)
}

#[test]
fn every_reason_is_counted_and_named_by_line_and_byte() {
    let table = [
        b"A,B\n4929-canary\n4929-canary,2,3\nx,\"y\nz\"\n".as_slice(),
        b"4929-canary,\xff\n4929-canary\",x\n4929-canary,\0\nx,y\n",
        &b"4929-canary,".iter().chain(&vec![b'x'; 1 << 20]).copied().collect::<Vec<u8>>(),
        b"\nlast,row",
    ];

    let (rows, rejects) = rejects(table.concat());

    assert_eq!(rows, 3);
    let expected = [
        (2, 0, 4, Fault::ColumnCount),
        (3, 0, 16, Fault::ColumnCount),
        (6, 2, 40, Fault::NotUtf8),
        (7, 1, 54, Fault::StrayQuote),
        (8, 2, 69, Fault::NulByte),
        (10, 0, 87, Fault::TooLong),
    ];
    assert_eq!(rejects.named(), expected.map(|(line, column, offset, fault)| Reject { line, column, offset, fault }));
    assert_eq!(rejects.of(Fault::ColumnCount), 2);
    let shown = rejects.to_string();
    assert!(shown.starts_with("2 wrong column count, 1 not UTF-8, ") && shown.contains("line 2 (byte 4)"), "{shown}");
}

#[test]
fn lines_are_right_in_every_piece_and_all_are_counted_though_few_are_named() {
    let mut table = String::from("A,B\r\n");
    for row in 0..50_000 {
        let bad = if row % 4 == 3 { ",surplus" } else { "" };
        write!(table, "\"some\nvalue\",{row}{bad}\r\n").unwrap();
    }

    let (rows, rejects) = rejects(table);

    assert_eq!((rows, rejects.total()), (37_500, 12_500));
    let lines: Vec<u64> = rejects.named().iter().map(|reject| reject.line).collect();
    let expected: Vec<u64> = (1..=NAMED_LIMIT as u64).map(|number| 2 + 2 * (4 * number - 1)).collect();
    assert_eq!(lines, expected);
}

#[test]
fn as_many_bad_rows_as_are_allowed_are_left_out_and_no_more() {
    for (bad, is_allowed) in [(0, true), (5, true), (6, false)] {
        let rows: String = (0..100).map(|row| if row < bad { "x\n" } else { "x,y\n" }).collect();
        let mut desk = Desk::with(format!("A,B\n{rows}"));
        desk.order.allowed_bad_lines_percent = 5.0;
        let result = desk.hash();
        assert_eq!(result.is_ok(), is_allowed, "{bad}");
        if let Ok(bundle) = result {
            assert_eq!((bundle.manifest().rows, bundle.manifest().rejected_rows), (100 - bad, bad));
        } else {
            assert_eq!(desk.names(), ["bundle.rejects.csv", "fixed-salt", "table.csv"]);
        }
    }
}

#[test]
fn the_report_of_an_earlier_run_goes_however_the_next_one_ends() {
    for next in ["A,B\n1,2\n3,\"4\n", "\"A,B\n1,2\n", "A,C\n1,2\n", "A,B\n", ""] {
        let desk = Desk::with("A,B\nx\n");
        desk.hash().unwrap_err();
        assert!(desk.path("bundle.rejects.csv").exists());

        std::fs::write(desk.path("table.csv"), next).unwrap();
        desk.hash().unwrap_err();

        assert_eq!(desk.names(), ["fixed-salt", "table.csv"], "{next:?}");
    }
}

#[test]
fn a_percentage_that_is_none_is_refused() {
    for percent in [-1.0, 100.1, f64::NAN] {
        let mut desk = Desk::rows(1);
        desk.order.allowed_bad_lines_percent = percent;
        assert_eq!(desk.hash().unwrap_err().class(), ExitClass::Configuration);
        let validated = bundle::validate(&desk.order, &HashProgress::default(), &AtomicBool::new(false));
        assert_eq!(validated.unwrap_err().class(), ExitClass::Configuration, "and so says `validate`");
    }
}

#[test]
fn a_bad_row_changes_nothing_about_the_others() {
    let clean = super::blocks(&Desk::with("A,B\n1,2\n3,4\n").hash().unwrap());
    let mut desk = Desk::with(b"B,A\n2,1\nx\n\xff,y\ny,\xff\n4,3\n");
    desk.order.allowed_bad_lines_percent = 100.0;
    assert_eq!(super::blocks(&desk.hash().unwrap()), clean);
}

#[test]
fn a_header_that_does_not_fit_is_refused_before_anything_is_written() {
    for (table, what) in [
        ("", "empty"),
        ("\n\r\n", "empty"),
        ("4929-canary,x\n1,2\n", "separator"),
        ("A,4929-canary\n1,2\n", "missing (B)"),
        ("A,B,4929-canary\n1,2,3\n", "number 3"),
        ("A,B,a,A\n", "twice"),
        ("A,B\"\n1,2\n", "stray quote"),
        ("\"A,B\n4929-canary", "line 1"),
    ] {
        let desk = Desk::with(table);
        let error = desk.hash().unwrap_err();
        assert!(error.to_string().contains(what) && !error.to_string().contains(CANARY), "{table:?}: {error}");
        assert_eq!(error.class(), ExitClass::BadData);
        assert_eq!(desk.names(), ["fixed-salt", "table.csv"]);
    }
    let endless = format!("A,{}", "x".repeat(2 << 20));
    assert!(matches!(Desk::with(endless).hash(), Err(HashError::Header(HeaderError::Unreadable(Fault::TooLong)))));
}

#[test]
fn a_quote_that_is_never_closed_is_an_error_with_its_line_whatever_is_allowed() {
    let rows: String = (0..60_000).map(|row| format!("a{row},b\n")).collect();
    let mut desk = Desk::with(format!("A,B\n{rows}x,\"4929-canary\n{rows}"));
    desk.order.allowed_bad_lines_percent = 100.0;

    let error = desk.hash().unwrap_err();

    assert!(matches!(error, HashError::Unclosed { line: 60_002, .. }), "{error}");
    assert_eq!(desk.names(), ["fixed-salt", "table.csv"]);
}
