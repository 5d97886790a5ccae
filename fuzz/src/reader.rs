//! Tables: any bytes are read alike wherever they are cut, in bounded memory,
//! and every place that is named lies in them.

use std::io::Read;

use edm_agent::adapters::bundle::{Input, Piece, Pieces};
use edm_agent::table::reader::encoding::Encoding;
use edm_agent::table::reader::records::Records;
use edm_agent::table::reader::{Dialect, Quotes, Separator, count_breaks};
use edm_agent::table::rejects::Fault;

/// Limits small enough for a fuzzer to reach.
const ROW_LIMIT: usize = 64;
const FIELD_LIMIT: usize = 24;

/// The most bytes that are read: what is packed may come to anything.
const UNPACKED: u64 = 1 << 20;

const SEPARATORS: [Separator; 4] = [Separator::COMMA, Separator::TAB, Separator::PIPE, Separator::SEMICOLON];
const QUOTES: [Quotes; 4] = [Quotes::Double, Quotes::Single, Quotes::Microsoft, Quotes::None];
const ENCODINGS: [Encoding; 4] = [Encoding::Auto, Encoding::Utf8, Encoding::Utf16, Encoding::Latin1];

/// What was read of a table: its rows, then what is wrong with it and where.
type Seen = (Vec<Vec<Vec<u8>>>, Vec<(u64, u64, Fault)>, Option<(u64, u64)>);

/// Takes the first byte as the dialect and the rest as a table.
pub fn check(data: &[u8]) {
    let Some((choice, table)) = data.split_first() else { return };
    let pick = |shift: u8| usize::from(choice >> shift & 3);
    let base = Dialect::new(SEPARATORS[pick(0)]).quoted_by(QUOTES[pick(2)]);
    let dialect = Dialect { row_limit: ROW_LIMIT, field_limit: FIELD_LIMIT, ..base };
    let encoding = ENCODINGS[pick(4)];
    // Packed or refused, or the bytes as they are: it must only not fail otherwise.
    if let Ok(input) = Input::new(table) {
        drop(read(input.take(UNPACKED), dialect, encoding, 1 << 10));
    }
    let whole = read(table, dialect, encoding, 1 << 12);
    for size in [1, 7, 100] {
        assert_eq!(read(table, dialect, encoding, size), whole, "in pieces of {size}");
    }
    let Some((rows, bad, unclosed)) = whole else { return };
    assert!(rows.iter().flatten().all(|value| value.len() <= FIELD_LIMIT));
    assert!(bad.iter().map(|(_, offset, _)| *offset).chain(unclosed.map(|(_, offset)| offset)).is_sorted());
    let most = count_breaks(table) + 1;
    let places = bad.iter().map(|(line, offset, _)| (*line, *offset)).chain(unclosed);
    for (line, offset) in places {
        assert!(offset < table.len() as u64, "byte {offset} of {}", table.len());
        assert!(line <= most || encoding != Encoding::Utf8, "line {line} of {most}");
    }
}

/// Reads a table; nothing if it cannot be read to its end.
fn read(input: impl Read, dialect: Dialect, encoding: Encoding, size: usize) -> Option<Seen> {
    let mut pieces = Pieces::with_size(input, dialect, encoding, size).ok()?;
    let dialect = pieces.dialect();
    let (mut rows, mut bad, mut lines) = (Vec::new(), Vec::new(), 0);
    let mut buffer = Default::default();
    while let Some(piece) = pieces.advance(&mut buffer).ok()? {
        assert!(buffer.capacity() <= size.max(ROW_LIMIT + 3), "{} bytes are held", buffer.capacity());
        match piece {
            Piece::Records { offset } => {
                let mut records = Records::new(dialect, &buffer, 0);
                while let Some(row) = records.advance() {
                    let place = row.offset;
                    let Some((fault, _)) = row.fault else {
                        rows.push(row.fields.iter().map(|field| field.value(&mut Vec::new()).to_vec()).collect());
                        continue;
                    };
                    let line = lines + records.breaks_before(place) + 1;
                    bad.push((line, offset + records.source_before(place), fault));
                }
                lines += count_breaks(&buffer);
            }
            Piece::TooLong { offset, breaks, .. } => {
                bad.push((lines + 1, offset, Fault::TooLong));
                lines += breaks;
            }
            Piece::Unclosed { offset, breaks } => return Some((rows, bad, Some((lines + breaks + 1, offset)))),
        }
    }
    Some((rows, bad, None))
}
