//! What is a record, what is a field, and that it does not depend on the cuts.

use std::io::{BufRead, BufReader, Read, Write};
use std::process::Stdio;

use edm_agent::adapters::bundle::{Piece, Pieces};
use edm_agent::table::reader::encoding::Encoding;
use edm_agent::table::reader::records::Records;
use edm_agent::table::reader::{Dialect, Quotes, Separator, count_breaks};
use edm_agent::table::rejects::Fault;
use proptest::prelude::*;
use serde_json::{Value, json};
use zeroize::Zeroizing;

use super::{python, separators, suite_file};

/// What a table is read as.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Seen {
    pub(super) rows: Vec<Vec<Vec<u8>>>,
    /// The line, offset and fault of each bad row.
    pub(super) bad: Vec<(u64, u64, Fault)>,
    /// The line and offset of a quote that is never closed.
    pub(super) unclosed: Option<(u64, u64)>,
}

/// Gives so many bytes at each read.
pub(super) struct Trickle<'a>(pub(super) &'a [u8], pub(super) usize);

impl Read for Trickle<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let count = self.1.min(buffer.len());
        self.0.read(&mut buffer[..count])
    }
}

fn read(input: impl Read, dialect: Dialect, size: usize) -> Seen {
    read_as(input, dialect, Encoding::Auto, size)
}

pub(super) fn read_as(input: impl Read, dialect: Dialect, encoding: Encoding, size: usize) -> Seen {
    let mut seen = Seen::default();
    let mut pieces = Pieces::with_size(input, dialect, encoding, size).unwrap();
    let dialect = pieces.dialect();
    let mut buffer = Zeroizing::new(Vec::new());
    let mut lines = 0;
    while let Some(piece) = pieces.advance(&mut buffer).unwrap() {
        assert!(buffer.capacity() <= size.max(dialect.row_limit + 3), "{} bytes are held", buffer.capacity());
        match piece {
            Piece::Records { offset } => {
                let mut records = Records::new(dialect, &buffer, 0);
                while let Some(row) = records.advance() {
                    let place = row.offset;
                    let Some((fault, _)) = row.fault else {
                        let fields = row.fields.iter().map(|field| field.value(&mut Vec::new()).to_vec());
                        seen.rows.push(fields.collect());
                        continue;
                    };
                    let line = lines + records.breaks_before(place) + 1;
                    seen.bad.push((line, offset + records.source_before(place), fault));
                }
                lines += count_breaks(&buffer);
            }
            Piece::TooLong { offset, breaks, .. } => {
                seen.bad.push((lines + 1, offset, Fault::TooLong));
                lines += breaks;
            }
            Piece::Unclosed { offset, breaks } => {
                seen.unclosed = Some((lines + breaks + 1, offset));
                break;
            }
        }
    }
    seen
}

pub(super) fn whole(text: &[u8], dialect: Dialect) -> Seen {
    read(text, dialect, 1 << 12)
}

const COMMA: Dialect = Dialect::new(Separator::COMMA);

fn rows(text: &str) -> Vec<Vec<String>> {
    let seen = whole(text.as_bytes(), COMMA);
    assert_eq!((seen.bad, seen.unclosed), (vec![], None));
    let text = |field: Vec<u8>| String::from_utf8(field).unwrap();
    seen.rows.into_iter().map(|row| row.into_iter().map(text).collect()).collect()
}

#[test]
fn line_breaks_of_any_kind_a_byte_order_mark_and_a_missing_last_break_change_nothing() {
    let expected = [["a", "b"], ["c", "d\ne"]];
    for text in [
        "a,b\nc,\"d\ne\"\n",
        "a,b\r\nc,\"d\ne\"\r\n",
        "a,b\rc,\"d\ne\"\r",
        "a,b\r\nc,\"d\ne\"",
        "\u{feff}a,b\n\n\r\n\"c\",\"d\ne\"",
        "\u{feff}\"a\",b\n\r\r\nc,\"d\ne\"\n\n",
    ] {
        assert_eq!(rows(text), expected, "{text:?}");
    }
    assert!(rows("\u{feff}").is_empty());
    assert!(rows("").is_empty());
}

#[test]
fn quotes_are_taken_off_and_doubled_ones_halved() {
    assert_eq!(rows("\"\"\"\",\"a\"\"b\"\"\",\"\"\n"), [["\"", "a\"b\"", ""]]);
    assert_eq!(rows("\"a,b\",\"\r\n\"\n,\n"), [["a,b", "\r\n"], ["", ""]]);
}

#[test]
fn a_stray_quote_costs_its_own_row_and_no_other() {
    let text = b"a,b\n5\" pipe,x\nc,d\n\"e\"f,g\nh, \"i\"\n\"j\nk\"l,\"m\nn\"\no,p\n";
    let seen = whole(text, COMMA);
    assert_eq!(seen.rows.len(), 3, "{seen:?}");
    let lines: Vec<u64> = seen.bad.iter().map(|bad| bad.0).collect();
    assert_eq!(lines, [2, 4, 5, 6]);
    assert!(seen.bad.iter().all(|bad| bad.2 == Fault::StrayQuote));
}

#[test]
fn a_quote_that_is_never_closed_is_named_by_its_line() {
    let seen = whole(b"a,b\nc,d\ne,\"f\ng,h\ni,j\n", COMMA);
    assert_eq!((seen.rows.len(), seen.unclosed), (2, Some((3, 10))));
}

#[test]
fn a_row_over_the_limit_is_dropped_and_counted_and_the_next_one_is_read() {
    let dialect = Dialect { row_limit: 10, ..COMMA };
    let text = b"a,b\n0123456789\n01234567890\n\"0123\n45678\n\",x\r\nc,d\n";
    for (size, step) in [(1, 1), (3, 2), (64, 64)] {
        let seen = read(Trickle(text, step), dialect, size);
        assert_eq!(seen.rows.len(), 3, "{seen:?}");
        assert_eq!(seen.bad, [(3, 15, Fault::TooLong), (4, 27, Fault::TooLong)]);
    }
}

#[test]
fn an_endless_row_or_quote_is_read_in_bounded_memory() {
    // `read` asserts what the buffer holds; 16 MiB go through it.
    for (head, unclosed) in [("a,b\nx", false), ("a,b\nc,\"", true)] {
        let input = head.as_bytes().chain(std::io::repeat(b'y').take(16 << 20));
        let seen = read(input, COMMA, 1 << 18);
        assert_eq!(seen.rows.len(), 1);
        assert_eq!(seen.unclosed.is_some(), unclosed);
        assert_eq!(seen.bad.len(), usize::from(!unclosed));
    }
}

/// Bytes that matter to a reader, and some that do not.
fn awkward() -> impl Strategy<Value = Vec<u8>> {
    let byte = prop_oneof![
        3 => Just(b'"'),
        2 => Just(b'\''),
        3 => Just(b','),
        2 => Just(b'\n'),
        1 => Just(b'\r'),
        3 => b'a'..=b'c',
        1 => Just(0),
        1 => Just(0xff),
    ];
    prop::collection::vec(byte, 0..40)
}

proptest! {
    #[test]
    fn any_bytes_are_read_alike_wherever_they_are_cut(
        text in awkward(),
        row_limit in prop_oneof![Just(8), Just(1000)],
        quotes in prop::sample::select(vec![Quotes::Double, Quotes::Single, Quotes::Microsoft, Quotes::None]),
    ) {
        let dialect = Dialect { row_limit, quotes, ..COMMA };
        let expected = whole(&text, dialect);
        for size in 1..=text.len() + 1 {
            for step in [1, 2, 7, 1000] {
                prop_assert_eq!(&read(Trickle(&text, step), dialect, size), &expected, "size {}, step {}", size, step);
            }
        }
    }
}

/// One field as a person or a program may write it.
#[derive(Debug, Clone)]
struct Written {
    value: String,
    is_quoted: bool,
}

fn table() -> impl Strategy<Value = (Dialect, String)> {
    let value = prop::collection::vec(
        prop::sample::select(vec!["a", "7", " ", "\"", "'", ",", "\t", "|", ";", "\n", "\r", "\r\n", "ë", "😀"]),
        0..6,
    );
    let field = (value, any::<bool>()).prop_map(|(parts, is_quoted)| Written { value: parts.concat(), is_quoted });
    let rows = (1usize..5)
        .prop_flat_map(move |columns| prop::collection::vec(prop::collection::vec(field.clone(), columns), 0..6));
    let line_break = prop::sample::select(vec!["\n", "\r\n", "\r"]);
    let quotes = prop::sample::select(vec![Quotes::Double, Quotes::Single, Quotes::Microsoft, Quotes::None]);
    (rows, prop::sample::select(separators().to_vec()), quotes, line_break, any::<bool>()).prop_map(
        |(rows, separator, quotes, line_break, ends)| {
            let dialect = Dialect::new(separator).quoted_by(quotes);
            let lines: Vec<String> = rows.iter().map(|row| line(row, dialect)).collect();
            let mut text = lines.join(line_break);
            if ends && !text.is_empty() {
                text.push_str(line_break);
            }
            (dialect, text)
        },
    )
}

fn line(row: &[Written], dialect: Dialect) -> String {
    let separator = char::from(dialect.separator.byte());
    let quotes: &[char] = match dialect.quotes {
        Quotes::Double => &['"'],
        Quotes::Single => &['\''],
        Quotes::Microsoft => &['"', '\''],
        Quotes::None => &[],
    };
    let needs = |value: &str| value.contains(quotes) || value.contains(['\n', '\r', separator]);
    let fields = row.iter().map(|Written { value, is_quoted }| {
        // A line without a byte is no record, so a lone empty field is quoted.
        let is_lone = row.len() == 1 && value.is_empty();
        match quotes {
            [] if is_lone => "x".to_owned(),
            [] => value.replace(['\n', '\r', separator], ""),
            [first, ..] if *is_quoted || needs(value) || is_lone => {
                let quote = quotes.iter().find(|quote| !value.contains(**quote)).unwrap_or(first).to_string();
                format!("{quote}{}{quote}", value.replace(&quote, &quote.repeat(2)))
            }
            _ => value.clone(),
        }
    });
    let line = fields.collect::<Vec<_>>().join(&separator.to_string());
    if line.is_empty() { "x".to_owned() } else { line }
}

#[test]
fn well_formed_tables_are_read_as_python_reads_them() {
    let Some(mut python) = python(&suite_file("golden.py")) else { return };
    let mut child = python.arg("--csv").stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let mut asked = child.stdin.take().unwrap();
    let mut answers = BufReader::new(child.stdout.take().unwrap());
    let asking = std::cell::RefCell::new((&mut asked, &mut answers));

    let mut runner = proptest::test_runner::TestRunner::new(ProptestConfig::with_cases(500));
    let result = runner.run(&table(), |(dialect, text)| {
        let mut both = asking.borrow_mut();
        let question = json!({
            "text": text, "separator": char::from(dialect.separator.byte()), "quote": dialect.quotes.word(),
        });
        writeln!(both.0, "{question}").unwrap();
        let mut answer = String::new();
        both.1.read_line(&mut answer).unwrap();
        let theirs: Value = serde_json::from_str(&answer).unwrap();
        let seen = whole(text.as_bytes(), dialect);
        let utf8 = |field: Vec<u8>| String::from_utf8(field).unwrap();
        let ours: Vec<Vec<String>> = seen.rows.into_iter().map(|row| row.into_iter().map(utf8).collect()).collect();
        prop_assert_eq!((seen.bad, seen.unclosed), (vec![], None));
        prop_assert_eq!(json!(ours), theirs);
        Ok(())
    });

    drop(asked);
    child.wait().unwrap();
    result.unwrap();
}
