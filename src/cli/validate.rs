//! `validate`: what a table is, and whether it could be hashed.
//!
//! *Invariant:* nothing of the table is said but counts, lengths and places; of
//! its header only names that the schema has too.

use std::path::Path;

use serde_json::{Value, json};

use super::args::InputArguments;
use super::input::{Chosen, Stdin, Watch, is_stdin};
use super::output::{say, say_json, table};
use crate::adapters::bundle::{self, HashOrder, Validation};
use crate::agent::exit::{Exit, Trouble, hash_trouble};
use crate::agent::settings::Settings;
use crate::agent::tables::hash_order;
use crate::table::rejects::{Fault, Reject};
use crate::table::survey::{ColumnFound, Found, LineEnds};

/// Bad rows of each reason that are shown.
const SHOWN: usize = 5;

pub(crate) async fn validate(
    arguments: InputArguments,
    settings: impl FnOnce() -> Result<Settings, Trouble>,
    json: bool,
) -> Result<Exit, Trouble> {
    let Chosen { table, schema, settings } = Chosen::find(&arguments, settings)?;
    let order = hash_order(&table, settings.upload.block_size, schema, Path::new(""))?;
    let watch = Watch::default();
    let Watch { progress, stop } = watch.clone();
    let reading = move || {
        let validation = match is_stdin(&order.source) {
            true => bundle::validate_stream(&order, Stdin(stop.clone()), &progress, &stop),
            false => bundle::validate(&order, &progress, &stop),
        };
        let validation = validation.map_err(|error| hash_trouble(&order.table, &error))?;
        Ok((order, validation))
    };
    let (order, validation) = watch.over(&table.name, "validating", reading).await?;
    let problems = problems(&order, &validation);
    if json {
        say_json(&as_json(&order, &validation, &problems));
    } else {
        say(&as_text(&order, &validation, &problems));
    }
    Ok(if problems.is_empty() { Exit::Done } else { Exit::BadData })
}

/// Returns why the table could not be hashed as it is.
fn problems(order: &HashOrder, validation: &Validation) -> Vec<String> {
    let header = &validation.header;
    let mut problems = Vec::new();
    if !header.missing.is_empty() {
        problems.push(format!("the header lacks {}", header.missing.join(", ")));
    }
    if !header.twice.is_empty() {
        problems.push(format!("the header names {} more than once", header.twice.join(", ")));
    }
    if !header.unknown.is_empty() {
        let places: Vec<String> = header.unknown.iter().map(usize::to_string).collect();
        problems.push(format!("the schema has no column for number {} of the header", places.join(", ")));
    }
    if let Some((line, offset)) = validation.unclosed {
        problems.push(format!("the quote on line {line} (byte {offset}) is never closed: what follows was not read"));
    }
    if validation.has_too_many_bad_rows(order.allowed_bad_lines_percent) {
        let allowed = order.allowed_bad_lines_percent;
        problems.push(format!("more rows are bad than the {allowed} % that are allowed"));
    }
    if validation.found.as_ref().is_some_and(|found| found.rows == 0) {
        problems.push("there is no good row".to_owned());
    }
    problems
}

fn as_json(order: &HashOrder, validation: &Validation, problems: &[String]) -> Value {
    let (dialect, header) = (validation.dialect, &validation.header);
    let found = validation.found.as_ref();
    let by_reason = |found: &Found| -> Vec<Value> {
        let faults = Fault::ALL.into_iter().filter(|fault| found.rejects.of(*fault) > 0);
        let place = |reject: &Reject| {
            let column = Some(reject.column).filter(|column| *column > 0);
            json!({ "line": reject.line, "column": column, "byte_offset": reject.offset })
        };
        let reason = |fault: Fault| {
            let first: Vec<Value> = first(found, fault).map(place).collect();
            json!({ "reason": fault.code(), "rows": found.rejects.of(fault), "first": first })
        };
        faults.map(reason).collect()
    };
    let columns = |found: &Found| -> Vec<Value> {
        let column = |(field, column): (&crate::table::schema::Field, &ColumnFound)| {
            let (blank, duplicate) = rates(found.rows, column);
            json!({
                "name": field.name,
                "searchable": field.searchable,
                "blank": column.blank,
                "blank_percent": blank,
                "distinct_estimate": column.distinct(),
                "duplicate_percent_estimate": duplicate,
                "longest_bytes": column.longest,
            })
        };
        order.schema.fields().iter().zip(&found.columns).map(column).collect()
    };
    let ends = |LineEnds { lf, crlf, cr, none }: LineEnds| json!({ "lf": lf, "crlf": crlf, "cr": cr, "none": none });
    json!({
        "table": order.table,
        "ok": problems.is_empty(),
        "problems": problems,
        "bytes": validation.bytes,
        "dialect": {
            "separator": dialect.separator.name(),
            "quote": dialect.quotes.word(),
            "encoding": dialect.coding.name(),
            "byte_order_mark": validation.has_mark,
            "compression": validation.packing.name(),
            "line_ends": found.map(|found| ends(found.ends)),
        },
        "header": {
            "columns": header.count,
            "schema_columns": order.schema.fields().len(),
            "in_order": header.is_in_order,
            "missing": header.missing,
            "unknown": header.unknown,
            "twice": header.twice,
        },
        "rows": found.map(|found| found.rows),
        "bad_rows": found.map(|found| found.rejects.total()),
        "allowed_bad_lines_percent": order.allowed_bad_lines_percent,
        "bad_rows_by_reason": found.map(by_reason),
        "unclosed_quote": validation.unclosed.map(|(line, offset)| json!({ "line": line, "byte_offset": offset })),
        "longest_row_bytes": found.map(|found| found.longest_row),
        "columns": found.map(columns),
    })
}

fn as_text(order: &HashOrder, validation: &Validation, problems: &[String]) -> String {
    let (dialect, header) = (validation.dialect, &validation.header);
    let mark = if validation.has_mark { ", with a byte order mark" } else { "" };
    let wanted = order.schema.fields().len();
    let sequence = if header.is_in_order { "in the schema's order" } else { "in another order than the schema" };
    let mut lines = vec![
        format!("table {}, {} bytes", order.table, validation.bytes),
        format!("  separator    {}", dialect.separator.name()),
        format!("  quote        {}", dialect.quotes.word()),
        format!("  encoding     {}{mark}", dialect.coding.name()),
        format!("  compression  {}", validation.packing.name()),
        format!("  columns      {} for {wanted} of the schema, {sequence}", header.count),
    ];
    if let Some(found) = &validation.found {
        let bad = found.rejects.total();
        let share = percent(bad, found.rows + bad);
        lines.push(format!("  line ends    {}", line_ends(found.ends)));
        lines.push(format!(
            "  rows         {} good, {bad} bad ({share:.2} %, {} % are allowed)",
            found.rows, order.allowed_bad_lines_percent
        ));
        let field = found.columns.iter().map(|column| column.longest).max().unwrap_or_default();
        lines.push(format!("  longest      row {} bytes, field {field} bytes", found.longest_row));
        lines.push(String::new());
        lines.push(column_table(order, found));
        for fault in Fault::ALL.into_iter().filter(|fault| found.rejects.of(*fault) > 0) {
            lines.push(format!("\n{} {fault} ({})", found.rejects.of(fault), fault.code()));
            let place = |reject: &Reject| match reject.column {
                0 => format!("  line {}, byte {}", reject.line, reject.offset),
                column => format!("  line {}, column {column}, row at byte {}", reject.line, reject.offset),
            };
            lines.extend(first(found, fault).map(place));
        }
    }
    lines.push(String::new());
    match problems {
        [] => lines.push("good: it can be hashed as it is".to_owned()),
        _ => lines.extend(problems.iter().map(|problem| format!("BAD  {problem}"))),
    }
    lines.join("\n")
}

fn column_table(order: &HashOrder, found: &Found) -> String {
    let row = |(field, column): (&crate::table::schema::Field, &ColumnFound)| {
        let (blank, duplicate) = rates(found.rows, column);
        vec![
            field.name.clone(),
            if field.searchable { "yes" } else { "no" }.to_owned(),
            format!("{blank:.2} %"),
            format!("about {}", column.distinct()),
            format!("about {duplicate:.1} %"),
            column.longest.to_string(),
        ]
    };
    let rows: Vec<Vec<String>> = order.schema.fields().iter().zip(&found.columns).map(row).collect();
    table(&["column", "searchable", "blank", "distinct", "duplicate", "longest"], &rows)
}

fn line_ends(ends: LineEnds) -> String {
    let kinds = [("LF", ends.lf), ("CRLF", ends.crlf), ("CR", ends.cr)];
    let mut said: Vec<String> =
        kinds.iter().filter(|(_, count)| *count > 0).map(|(name, count)| format!("{count} {name}")).collect();
    if ends.none > 0 {
        said.push("none at the end".to_owned());
    }
    said.join(", ")
}

fn first(found: &Found, fault: Fault) -> impl Iterator<Item = &Reject> {
    found.rejects.named().iter().filter(move |reject| reject.fault == fault).take(SHOWN)
}

/// Returns which share of a column is blank, and about which share of the rest
/// repeats a value.
fn rates(rows: u64, column: &ColumnFound) -> (f64, f64) {
    let filled = rows - column.blank;
    (percent(column.blank, rows), percent(filled.saturating_sub(column.distinct()), filled))
}

fn percent(part: u64, whole: u64) -> f64 {
    part as f64 * 100.0 / whole.max(1) as f64
}
