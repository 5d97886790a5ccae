//! The status page: how everything stands, for a person with a browser.
//!
//! One page without scripts and without anything from elsewhere. It shows what
//! [`super::status`] shows and less: no session's id, no bundle, no secret. Every
//! text is escaped, and has passed the net of [`crate::ground::redact`].

use std::fmt::{self, Display, Write};
use std::time::Duration;

use chrono::{DateTime, Utc};

use super::board::TableView;
use super::overview::{Overview, given_up, is_held};
use super::registration::description;
use super::status::{Picture, UploadView};
use super::summary::moving;
use crate::ground::redact::redact;
use crate::ground::units::{Size, Span};

/// How often a browser asks again, in seconds.
const REFRESH: u32 = 10;
/// Rows of each table that are shown; more are counted.
const ROWS: usize = 100;
/// Closed uploads that are shown.
const CLOSED: usize = 10;

const STYLE: &str = "\
:root{color-scheme:light dark}\
body{font:15px/1.5 system-ui,sans-serif;max-width:70rem;margin:2rem auto;padding:0 1rem}\
h1{font-size:1.3rem;margin:0}h2{font-size:1rem;margin:2rem 0 .5rem}\
p{margin:.3rem 0}small,footer,th{color:GrayText}\
table{border-collapse:collapse;width:100%}\
th,td{text-align:left;padding:.3rem .8rem .3rem 0;border-bottom:1px solid color-mix(in srgb,GrayText 30%,transparent);\
vertical-align:top;font-variant-numeric:tabular-nums}th{font-weight:normal}\
b{padding:.1rem .6rem;border-radius:1rem;color:#fff}.good{background:#2b7a3d}.bad{background:#b3261e}.wait{background:#8a6100}\
progress{width:8rem;vertical-align:middle}li{margin:.2rem 0}footer{margin-top:2rem}";

/// A text as it stands in a page.
struct Text<'a>(&'a str);

impl Display for Text<'_> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        for character in redact(self.0).chars() {
            match character {
                '&' => out.write_str("&amp;")?,
                '<' => out.write_str("&lt;")?,
                '>' => out.write_str("&gt;")?,
                '"' => out.write_str("&quot;")?,
                '\'' => out.write_str("&#39;")?,
                other => out.write_char(other)?,
            }
        }
        Ok(())
    }
}

/// Draws the page.
pub fn page(overview: &Overview) -> String {
    let mut page = String::new();
    draw(&mut page, overview).expect("a text takes whatever is written to it");
    page
}

fn draw(page: &mut String, overview: &Overview) -> fmt::Result {
    let name = description(&overview.settings);
    write!(
        page,
        "<!DOCTYPE html><html lang=\"en\"><head><meta charset=\"utf-8\"><title>edm-agent {name}</title>\
         <meta name=\"viewport\" content=\"width=device-width\"><meta http-equiv=\"refresh\" content=\"{REFRESH}\">\
         <style>{STYLE}</style></head><body><h1>edm-agent on {name}</h1>",
        name = Text(&name),
    )?;
    let (class, word) = verdict(overview);
    let line = overview.picture.as_ref().map(|picture| moving(picture, &overview.tables));
    let line = line.unwrap_or_else(|| "the dispatcher does not answer".to_owned());
    write!(page, "<p><b class=\"{class}\">{word}</b> {}</p>", Text(&line))?;
    let troubles = troubles(overview);
    if !troubles.is_empty() {
        page.push_str("<h2>In the way</h2><ul>");
        for trouble in troubles.iter().take(ROWS) {
            write!(page, "<li>{}</li>", Text(trouble))?;
        }
        page.push_str("</ul>");
    }
    tables(page, overview)?;
    if let Some(picture) = &overview.picture {
        uploads(page, picture)?;
        closed(page, picture)?;
    }
    room(page, overview)?;
    writeln!(
        page,
        "<footer>version {}, {}, up {}; this page asks again every {REFRESH} s; \
         <a href=\"/metrics\">metrics</a>, <a href=\"/readyz?verbose\">checks</a></footer></body></html>",
        env!("CARGO_PKG_VERSION"),
        date(Some(overview.now.wall)),
        age(Some(overview.started), overview.now.wall),
    )
}

fn verdict(overview: &Overview) -> (&'static str, &'static str) {
    let is_ready = overview.readiness().iter().all(|(_, trouble)| trouble.is_none());
    match (overview.is_live, overview.is_stopping, is_ready) {
        (false, _, _) => ("bad", "not alive"),
        (true, true, _) => ("wait", "stopping"),
        (true, false, false) => ("bad", "not ready"),
        (true, false, true) => ("good", "ready"),
    }
}

/// Returns everything that is in the way, the agent's own first.
fn troubles(overview: &Overview) -> Vec<String> {
    let [_, journal, sign_in] = overview.readiness();
    let mut troubles: Vec<String> = [journal, sign_in].into_iter().filter_map(|(_, trouble)| trouble).collect();
    let picture = overview.picture.as_deref();
    if let Some(seconds) = picture.and_then(|picture| picture.throttled_for) {
        troubles.push(format!("the service asked for quiet: {} more", Span(Duration::from_secs(seconds))));
    }
    let of_table = |view: &TableView| {
        let (name, trouble) = (&view.table, view.trouble.as_ref()?);
        let is_named = trouble.starts_with(&format!("table {name}:"));
        Some(if is_named { trouble.clone() } else { format!("table {name}: {trouble}") })
    };
    troubles.extend(overview.tables.iter().filter_map(of_table));
    let of_gate = |view: &TableView| Some(format!("{}: held: {}", view.table, view.held.as_ref()?.advice()));
    troubles.extend(overview.tables.iter().filter_map(of_gate));
    let of_given_up = |view: &TableView| Some(format!("{}: {}", view.table, given_up(view, overview.uploads())?));
    troubles.extend(overview.tables.iter().filter(|view| view.trouble.is_none()).filter_map(of_given_up));
    let of_upload = |view: &UploadView| {
        let trouble = view.trouble.as_deref();
        let waiting = view.waiting.as_ref().map(|waiting| format!("waiting for {waiting}"));
        let text = [waiting.as_deref(), trouble].into_iter().flatten().collect::<Vec<_>>().join(": ");
        (!text.is_empty()).then(|| format!("{}, upload {}: {text}", view.table, view.upload))
    };
    // What a gate holds is said of its table.
    let uploads = overview.uploads().iter().filter(|view| view.held.is_none());
    troubles.extend(uploads.filter_map(of_upload));
    troubles
}

fn tables(page: &mut String, overview: &Overview) -> fmt::Result {
    let head = ["table", "data store", "doing", "last live", "age", "last upload", "taken", "next"];
    begin(page, "Tables", &head)?;
    for view in overview.tables.iter().take(ROWS) {
        let doing = match (view.doing.as_str(), view.source_bytes) {
            ("hashing", total @ 1..) => format!("hashing {} %", view.read_bytes.saturating_mul(100) / total),
            _ if is_held(view, overview.uploads()) => "held".to_owned(),
            (doing, _) => doing.to_owned(),
        };
        row(
            page,
            &[
                &Text(&view.table),
                &Text(&view.data_store),
                &Text(&doing),
                &date(view.last_good),
                &age(view.last_good, overview.now.wall),
                &Text(view.last_outcome.as_deref().unwrap_or("-")),
                &Text(&view.when),
                &date(view.next_run),
            ],
        )?;
    }
    end(page, overview.tables.len(), "no table is configured")
}

fn uploads(page: &mut String, picture: &Picture) -> fmt::Result {
    begin(page, "Open uploads", &["upload", "table", "phase", "blocks", "lease", "renewal in", "renewals"])?;
    let span = |seconds: Option<f64>| {
        let shown = seconds.map(|seconds| Span(Duration::from_secs_f64(seconds.max(0.0))).to_string());
        shown.unwrap_or_else(|| "-".to_owned())
    };
    for view in picture.uploads.iter().take(ROWS) {
        let kind = if view.tracked { " <small>tracked</small>" } else { "" };
        let (stored, total) = (view.stored_blocks, view.total_blocks);
        let bar = format!("<progress value=\"{stored}\" max=\"{}\"></progress> {stored} of {total}", total.max(1));
        row(
            page,
            &[
                &Text(&view.upload),
                &format_args!("{}{kind}", Text(&view.table)),
                &Text(&view.phase),
                &bar,
                &span(view.lease_left),
                &span(view.renew_in),
                &view.renewals,
            ],
        )?;
    }
    end(page, picture.uploads.len(), "none")
}

fn closed(page: &mut String, picture: &Picture) -> fmt::Result {
    if picture.closed.is_empty() {
        return Ok(());
    }
    begin(page, "Lately", &["ended", "table", "outcome", "why"])?;
    for view in picture.closed.iter().take(CLOSED) {
        let outcome = Text(view.outcome.as_deref().unwrap_or("-"));
        let reason = Text(view.reason.as_deref().unwrap_or_default());
        row(page, &[&date(view.closed), &Text(&view.table), &outcome, &reason])?;
    }
    page.push_str("</table>");
    Ok(())
}

fn room(page: &mut String, overview: &Overview) -> fmt::Result {
    begin(page, "Sessions of the last 24 hours", &["data store", "had", "may have", "left", "for people only"])?;
    let quotas = overview.quotas();
    for view in quotas.iter().take(ROWS) {
        row(page, &[&Text(&view.data_store), &view.used, &view.limit(), &view.left, &view.reserved])?;
    }
    end(page, quotas.len(), "none")?;
    page.push_str("<p><small>");
    for &(place, bytes) in &overview.rooms {
        write!(page, "Room for {place}: {}. ", Size(bytes))?;
    }
    page.push_str("</small></p>");
    Ok(())
}

fn begin(page: &mut String, title: &str, head: &[&str]) -> fmt::Result {
    write!(page, "<h2>{title}</h2><table><tr>")?;
    head.iter().try_for_each(|name| write!(page, "<th>{name}</th>"))?;
    page.push_str("</tr>");
    Ok(())
}

fn row(page: &mut String, cells: &[&dyn Display]) -> fmt::Result {
    page.push_str("<tr>");
    cells.iter().try_for_each(|cell| write!(page, "<td>{cell}</td>"))?;
    page.push_str("</tr>");
    Ok(())
}

fn end(page: &mut String, rows: usize, none: &str) -> fmt::Result {
    page.push_str("</table>");
    match rows.checked_sub(ROWS) {
        _ if rows == 0 => write!(page, "<p><small>{none}</small></p>"),
        Some(more @ 1..) => write!(page, "<p><small>and {more} more</small></p>"),
        Some(0) | None => Ok(()),
    }
}

fn date(date: Option<DateTime<Utc>>) -> String {
    date.map_or_else(|| "-".to_owned(), |date| date.format("%Y-%m-%d %H:%M:%SZ").to_string())
}

fn age(date: Option<DateTime<Utc>>, now: DateTime<Utc>) -> String {
    date.map_or_else(|| "-".to_owned(), |date| Span((now - date).to_std().unwrap_or_default()).to_string())
}
