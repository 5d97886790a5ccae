//! Every dialect and every encoding, against other programs and against itself.

use csv::{QuoteStyle, ReaderBuilder, Terminator, WriterBuilder};
use edm_agent::adapters::bundle::{HashError, InputError};
use edm_agent::table::reader::encoding::Encoding;
use edm_agent::table::reader::{Dialect, Quotes, Separator};
use edm_agent::table::rejects::Fault;
use proptest::prelude::*;

use super::packed::gzip;
use super::reading::{read_as, whole};
use super::{Desk, blocks, corpus, golden, python, said, separators, suite_file};

/// What the csv crate reads; its rows only if all are what it calls equal.
fn theirs(bytes: &[u8], separator: u8, quote: Option<u8>) -> Vec<Vec<Vec<u8>>> {
    let mut builder = ReaderBuilder::new();
    builder.has_headers(false).flexible(true).delimiter(separator);
    match quote {
        Some(quote) => builder.quote(quote),
        None => builder.quoting(false),
    };
    let records = builder.from_reader(bytes).into_byte_records();
    records.map(|record| record.unwrap().iter().map(<[u8]>::to_vec).collect()).collect()
}

#[test]
fn the_good_corpus_is_read_as_the_csv_crate_reads_it() {
    for (name, bytes) in corpus("good") {
        let separator = Separator::for_path(name.as_ref()).unwrap();
        let seen = whole(&bytes, Dialect::new(separator));
        assert_eq!((seen.bad, seen.unclosed), (vec![], None), "{name}");
        assert_eq!(seen.rows, theirs(&bytes, separator.byte(), Some(b'"')), "{name}");
    }
}

#[test]
fn of_the_bad_corpus_the_good_rows_are_read_and_the_others_are_told() {
    let told = |name: &str| {
        let (_, bytes) = corpus("bad").into_iter().find(|(found, _)| found == name).unwrap();
        let seen = whole(&bytes, Dialect::new(Separator::COMMA));
        (seen.rows.len(), seen.bad, seen.unclosed)
    };
    assert_eq!(told("stray-inside.csv"), (2, vec![(2, 4, Fault::StrayQuote)], None));
    assert_eq!(told("stray-behind.csv").1.len(), 2);
    assert_eq!(told("stray-before.csv"), (2, vec![(2, 4, Fault::StrayQuote)], None));
    assert_eq!(told("unclosed.csv"), (2, vec![], Some((3, 10))));
    assert_eq!(told("only-quote.csv"), (0, vec![], Some((1, 0))));
    assert_eq!(told("only-mark.csv"), (0, vec![], None));
    assert_eq!(told("nul.csv"), (2, vec![(2, 4, Fault::NulByte), (4, 14, Fault::NulByte)], None));
    assert_eq!(told("utf16-no-mark.csv").0, 0, "every row of it holds NUL bytes");
}

/// Records of any texts, all of one width.
fn records() -> impl Strategy<Value = Vec<Vec<String>>> {
    let part = prop::sample::select(vec!["a", "7", " ", "\"", "'", ",", "\t", "|", ";", "\n", "\r", "ë", "\u{1f}"]);
    let value = prop::collection::vec(part, 0..6).prop_map(|parts| parts.concat());
    (1usize..5).prop_flat_map(move |columns| prop::collection::vec(prop::collection::vec(value.clone(), columns), 0..8))
}

proptest! {
    #[test]
    fn what_the_csv_crate_writes_is_read_as_it_was(
        records in records(),
        separator in prop::sample::select(separators().to_vec()),
        quotes in prop::sample::select(vec![Quotes::Double, Quotes::Single, Quotes::Microsoft]),
        style in prop::sample::select(vec![QuoteStyle::Always, QuoteStyle::Necessary, QuoteStyle::NonNumeric]),
        end in prop::sample::select(vec![Terminator::CRLF, Terminator::Any(b'\n'), Terminator::Any(b'\r')]),
    ) {
        let quote = if quotes == Quotes::Single { b'\'' } else { b'"' };
        // The crate does not know that an apostrophe is a quote to Microsoft.
        let style = if quotes == Quotes::Microsoft { QuoteStyle::Always } else { style };
        let mut writer = WriterBuilder::new()
            .delimiter(separator.byte()).quote(quote).quote_style(style).terminator(end).from_writer(Vec::new());
        for record in &records {
            writer.write_record(record).unwrap();
        }
        let bytes = writer.into_inner().unwrap();
        let seen = whole(&bytes, Dialect::new(separator).quoted_by(quotes));
        let wanted: Vec<Vec<Vec<u8>>> =
            records.iter().map(|record| record.iter().map(|value| value.clone().into_bytes()).collect()).collect();
        prop_assert_eq!((seen.bad, seen.unclosed), (vec![], None));
        prop_assert_eq!(seen.rows, wanted);
    }

    #[test]
    fn without_quotes_lines_are_read_as_the_csv_crate_reads_them(
        text in "[ab\"',;\n\r]{0,40}", separator in prop::sample::select(vec![Separator::COMMA, Separator::SEMICOLON]),
    ) {
        let seen = whole(text.as_bytes(), Dialect::new(separator).quoted_by(Quotes::None));
        prop_assert_eq!(seen.rows, theirs(text.as_bytes(), separator.byte(), None));
    }

    #[test]
    fn another_encoding_changes_neither_rows_nor_faults_nor_lines(text in "[abé\"',\n\r\u{1f600}]{0,40}", le: bool) {
        let dialect = Dialect { row_limit: 12, field_limit: 8, ..Dialect::new(Separator::COMMA) };
        let unit = |unit: u16| if le { unit.to_le_bytes() } else { unit.to_be_bytes() };
        let utf16: Vec<u8> = std::iter::once('\u{feff}').chain(text.chars()).collect::<String>().encode_utf16().flat_map(unit).collect();
        let plain = whole(text.as_bytes(), dialect);
        for (size, step) in [(1, 1), (5, 3), (1 << 16, 1 << 16)] {
            let other = read_as(super::reading::Trickle(&utf16, step), dialect, Encoding::Auto, size);
            prop_assert_eq!(&other.rows, &plain.rows);
            let lines = |bad: &[(u64, u64, Fault)]| bad.iter().map(|(line, _, fault)| (*line, *fault)).collect::<Vec<_>>();
            prop_assert_eq!(lines(&other.bad), lines(&plain.bad));
            // A place in the source is that of the same character.
            let place = |offset: u64| 2 + 2 * text[..usize::try_from(offset).unwrap()].encode_utf16().count() as u64;
            let places: Vec<u64> = plain.bad.iter().map(|bad| place(bad.1)).collect();
            prop_assert_eq!(other.bad.iter().map(|bad| bad.1).collect::<Vec<_>>(), places);
            prop_assert_eq!(other.unclosed, plain.unclosed.map(|(line, offset)| (line, place(offset))));
        }
    }
}

#[test]
fn the_form_microsoft_documents_is_read_as_its_page_says() {
    let mut desk = Desk::with("A,B\n'Main St, 5',\"O'Neil, Pat\"\n'5\" pipe',\"'s-Gravenhage\"\nplain,7\n");
    desk.order.quotes = Quotes::Microsoft;
    let ours = blocks(&desk.hash().unwrap());
    let plain = "A,B\n\"Main St, 5\",\"O'Neil, Pat\"\n\"5\"\" pipe\",'s-Gravenhage\nplain,7\n";
    assert_eq!(ours, blocks(&Desk::with(plain).hash().unwrap()));

    let mut desk = Desk::with("A,B\nO'Neil,7\nok,ok\n");
    desk.order.quotes = Quotes::Microsoft;
    let error = desk.hash().unwrap_err();
    assert!(error.to_string().contains("1 stray quote; the first on line 2"), "{error}");
    let mut desk = Desk::with("A,B\n's-Gravenhage,7\nok,ok\n");
    desk.order.quotes = Quotes::Microsoft;
    assert!(matches!(desk.hash(), Err(HashError::Unclosed { line: 2, .. })));
}

#[test]
fn latin_1_is_read_strictly_and_only_where_it_is_set() {
    let mut desk = Desk::with(b"A,B\nZo\xeb,\xa3\nx,\x80\nok,\xff\n");
    assert!(matches!(desk.hash(), Err(HashError::TooManyBadRows { .. })), "it is no UTF-8");
    desk.order.encoding = Encoding::Latin1;
    desk.order.allowed_bad_lines_percent = 50.0;
    let bundle = desk.hash().unwrap();
    assert_eq!(blocks(&bundle), blocks(&Desk::with("A,B\nZoë,£\nok,ÿ\n").hash().unwrap()));
    let report = std::fs::read_to_string(desk.path("bundle.rejects.csv")).unwrap();
    assert_eq!(report, "line,column,reason,byte_offset\n3,2,not-utf8,10\n");
}

#[test]
fn an_encoding_that_the_bytes_contradict_is_refused() {
    let utf16 = super::utf16("A,B\n1,2\n");
    for (encoding, bytes) in [
        (Encoding::Utf8, utf16.clone()),
        (Encoding::Latin1, utf16),
        (Encoding::Utf16, b"A,B\n1,2\n".to_vec()),
        (Encoding::Utf16, "\u{feff}A,B\n1,2\n".into()),
        (Encoding::Auto, corpus("bad").into_iter().find(|(name, _)| name == "utf32.csv").unwrap().1),
    ] {
        let mut desk = Desk::with(bytes);
        desk.order.encoding = encoding;
        let error = desk.hash().unwrap_err();
        assert!(matches!(error, HashError::Content { problem: InputError::Encoding(_), .. }), "{encoding:?}: {error}");
        assert_eq!(error.class().code(), 65);
    }
}

/// The golden table in other words: what it is, and what it has to be read with.
fn golden_forms() -> Vec<(&'static str, Vec<u8>, Separator, Quotes, Encoding)> {
    let bytes = std::fs::read(suite_file("golden/patients.csv")).unwrap();
    let text = String::from_utf8(bytes.clone()).unwrap();
    let text = text.trim_start_matches('\u{feff}');
    let rows = whole(text.as_bytes(), Dialect::new(Separator::COMMA)).rows;
    let write = |separator: u8, quote: u8| {
        let mut writer = WriterBuilder::new()
            .delimiter(separator)
            .quote(quote)
            .quote_style(QuoteStyle::Always)
            .from_writer(Vec::new());
        rows.iter().for_each(|row| writer.write_record(row).unwrap());
        writer.into_inner().unwrap()
    };
    let (auto, comma) = (Encoding::Auto, Separator::COMMA);
    vec![
        ("plain", bytes.clone(), comma, Quotes::Double, auto),
        ("pipe", write(b'|', b'"'), Separator::PIPE, Quotes::Double, auto),
        ("semicolon", write(b';', b'\''), Separator::SEMICOLON, Quotes::Single, auto),
        ("either", write(b'\t', b'\''), Separator::TAB, Quotes::Microsoft, auto),
        ("utf16", super::utf16(text), comma, Quotes::Double, Encoding::Utf16),
        ("gzip", gzip(&bytes), comma, Quotes::Double, auto),
        ("gzip of utf16", gzip(&super::utf16(text)), comma, Quotes::Double, Encoding::Utf16),
    ]
}

#[test]
fn a_table_gives_the_same_blocks_however_it_is_written_and_packed() {
    let (mut desk, bundle) = golden::golden();
    let wanted = blocks(&bundle);
    for (name, bytes, separator, quotes, encoding) in golden_forms() {
        desk.order.source = desk.path(name);
        std::fs::write(&desk.order.source, &bytes).unwrap();
        (desk.order.separator, desk.order.quotes, desk.order.encoding) = (Some(separator), quotes, encoding);
        assert_eq!(blocks(&desk.hash_to(&format!("bundle of {name}"))), wanted, "{name}");
        let piped = super::hash_piped(&desk, &bytes, &format!("piped {name}")).unwrap();
        assert_eq!(blocks(&piped), wanted, "{name}, piped");
        assert_eq!(piped.manifest().source.identity.bytes, bytes.len() as u64);
    }
}

#[test]
fn another_program_reads_the_same_out_of_every_form() {
    let (desk, bundle) = golden::golden();
    for (name, bytes, separator, quotes, encoding) in golden_forms() {
        let Some(mut python) = python(&suite_file("golden.py")) else { return };
        let table = desk.path(name);
        std::fs::write(&table, bytes).unwrap();
        let encoding = if encoding == Encoding::Utf16 { "utf-16" } else { "utf-8" };
        let rest = [golden::ROWS_PER_BLOCK.to_string(), char::from(separator.byte()).to_string()];
        let files = [suite_file("golden/patients.xml"), suite_file("golden/salt")];
        let output = python.arg(table).args(files).args(rest).args([quotes.word(), encoding]).output().unwrap();
        assert_eq!(said(&output), bundle.manifest().sha256, "{name}");
    }
}
