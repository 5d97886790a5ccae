//! `status`: how everything stands, at a glance.

use std::time::Duration;

use chrono::{DateTime, Utc};
use serde_json::Value;

use super::caller::{Caller, Desk};
use super::output::{say, say_json, table};
use crate::adapters::clock::SystemClock;
use crate::agent::board::TableView;
use crate::agent::exit::{Exit, Trouble};
use crate::agent::overview::{given_up, is_held};
use crate::agent::reload::ConfigurationView;
use crate::agent::settings::Settings;
use crate::agent::status::{Picture, QuotaView, UploadView};
use crate::ground::units::Span;
use crate::ports::clock::Clock;

pub(crate) async fn status(caller: Caller, json: bool) -> Result<Exit, Trouble> {
    let client = match caller.for_looking().await? {
        Desk::There(client) => client,
        Desk::Here(settings) => return offline(&settings, json),
    };
    let status = client.get("v1/status").await?;
    if json {
        say_json(&status);
        return Ok(Exit::Done);
    }
    let read = |error: serde_json::Error| Trouble::new(Exit::Failed, format!("read the agent's answer: {error}"));
    let tables: Vec<TableView> =
        serde_json::from_value(status.get("tables").cloned().unwrap_or_default()).map_err(read)?;
    let text =
        |key: &str| status.get(key).map_or_else(String::new, |value| value.to_string().trim_matches('"').to_owned());
    say(&format!("edm-agent {}, pid {}, state in {}", text("version"), text("pid"), text("state_dir")));
    let picture: Picture = serde_json::from_value(status.clone()).map_err(read)?;
    print(&picture, &tables, &status);
    Ok(Exit::Done)
}

/// Shows how things stood when the last agent stopped.
fn offline(settings: &Settings, json: bool) -> Result<Exit, Trouble> {
    let (picture, tables) = super::offline::read(settings)?;
    let mut status = serde_json::to_value(&picture).unwrap_or_default();
    status["tables"] = serde_json::json!(tables);
    status["running"] = Value::from(false);
    if json {
        say_json(&status);
        return Ok(Exit::Done);
    }
    say(&format!("no agent is at work in {}; this is what the journal says", settings.state_dir.display()));
    print(&picture, &tables, &status);
    Ok(Exit::Done)
}

fn print(picture: &Picture, tables: &[TableView], status: &Value) {
    if let Some(reason) = &picture.journal {
        say(&format!("journal: {reason}; hashing, new sessions and commits wait"));
    }
    if let Some(configuration) = &picture.configuration {
        self::configuration(configuration);
    }
    if let Some(trouble) = &picture.sign_in {
        say(&format!("not signed in: {trouble}"));
    }
    if let Some(seconds) = picture.throttled_for {
        say(&format!("the service asked for quiet: {} more", Span(Duration::from_secs(seconds))));
    }
    for view in &picture.quota {
        say(&quota(view, SystemClock.now().wall));
    }
    if !tables.is_empty() {
        say("");
        say(&table(
            &["TABLE", "WHEN", "DOING", "LAST GOOD", "LAST", "NEXT"],
            &tables.iter().map(|view| table_row(view, &picture.uploads)).collect::<Vec<_>>(),
        ));
        for view in tables {
            let given_up = given_up(view, &picture.uploads).filter(|_| view.trouble.is_none());
            for line in view.trouble.iter().chain(&view.why).chain(&given_up) {
                say(&format!("  {}: {line}", view.table));
            }
        }
        for view in tables {
            if let Some(seen) = view.unchanged {
                let seen = seen.format("%Y-%m-%d %H:%M:%SZ");
                say(&format!("  {}: unchanged: at {seen} it held what is live already", view.table));
            }
        }
    }
    let uploads = picture.uploads.as_slice();
    if uploads.is_empty() {
        say("\nno open sessions");
    } else {
        say("");
        say(&sessions(uploads));
        for view in uploads {
            troubles(view);
        }
    }
    let failed = picture.closed.iter().filter(|view| view.outcome.as_deref() == Some("failed"));
    for view in failed.take(5) {
        let at = view.closed.map(|date| date.format("%Y-%m-%d %H:%M:%SZ").to_string()).unwrap_or_default();
        say(&format!("\n{at}  {} failed: {}", view.table, view.reason.as_deref().unwrap_or_default()));
    }
    let hashing = status.get("hashing").and_then(Value::as_array).map_or(0, Vec::len);
    if hashing > 0 {
        say(&format!("\n{hashing} uploads asked for are being hashed or were refused: `status --json` shows them"));
    }
}

/// Shows which configuration is in force, once it was ever read again.
fn configuration(view: &ConfigurationView) {
    let date = |date: chrono::DateTime<chrono::Utc>| date.format("%Y-%m-%d %H:%M:%SZ").to_string();
    let Some(last) = &view.last_reload else { return };
    say(&format!("configuration {}, of {}", view.generation, date(view.loaded_at)));
    if let Some(reason) = &last.reason {
        say(&format!("  that of {} was refused: {reason}", date(last.at)));
    }
}

/// Lays open uploads out as a table.
pub(crate) fn sessions(uploads: &[UploadView]) -> String {
    let header = ["SESSION", "TABLE", "PHASE", "BLOCKS", "LEASE", "RENEW IN", "RENEWALS", "STATE"];
    let span = |seconds: Option<f64>| {
        seconds.map_or_else(|| "-".to_owned(), |seconds| Span(Duration::from_secs_f64(seconds.max(0.0))).to_string())
    };
    let rows = uploads.iter().map(|view| {
        let kind = if view.tracked { " (tracked)" } else { "" };
        vec![
            view.session.clone().unwrap_or_else(|| view.upload.clone()),
            format!("{}{kind}", view.table),
            view.phase.clone(),
            format!("{}/{}", view.stored_blocks, view.total_blocks),
            span(view.lease_left),
            span(view.renew_in),
            view.renewals.to_string(),
            if view.state.is_empty() { "-".to_owned() } else { view.state.clone() },
        ]
    });
    table(&header, &rows.collect::<Vec<_>>())
}

/// Says how many sessions a data store may still have, and how that is known.
fn quota(view: &QuotaView, now: DateTime<Utc>) -> String {
    let limit = view.limit();
    let is_today = |at: DateTime<Utc>| at.date_naive() == now.date_naive();
    let clock = |at: DateTime<Utc>| at.format(if is_today(at) { "%H:%MZ" } else { "%Y-%m-%d %H:%MZ" });
    let slot = view.awaited_slot().map_or_else(String::new, |at| format!(" (next slot {})", clock(at)));
    let learned = match view.learned {
        Some(_) => format!("; the service refused more, {} are configured", view.allowed),
        None => String::new(),
    };
    let known = if view.known_from == "service" { "" } else { "; known from the journal only" };
    format!("quota left {} of {limit}{slot}: data store {}{learned}{known}", view.left, view.data_store)
}

fn troubles(view: &UploadView) {
    let id = view.session.as_deref().unwrap_or(&view.upload);
    if let Some(waiting) = &view.waiting {
        say(&format!("  {id}: waiting for {waiting}: {}", view.trouble.as_deref().unwrap_or("no answer yet")));
    } else if let Some(trouble) = &view.trouble {
        say(&format!("  {id}: {trouble}"));
    }
    if view.reports != "full" {
        say(&format!("  {id}: the service refuses progress reports ({} are sent); the upload goes on", view.reports));
    }
}

/// Writes the next run by the wall clock of the table's zone and in UTC.
fn next_run(view: &TableView) -> String {
    let local = view.next_run_local.as_deref().and_then(|local| DateTime::parse_from_rfc3339(local).ok());
    match (view.next_run, local) {
        (None, _) => "-".to_owned(),
        (Some(next), Some(local)) if local.offset().local_minus_utc() != 0 => {
            format!("{} ({})", local.format("%Y-%m-%d %H:%M:%S%:z"), next.format("%H:%M:%SZ"))
        }
        (Some(next), _) => next.format("%Y-%m-%d %H:%M:%SZ").to_string(),
    }
}

fn table_row(view: &TableView, uploads: &[UploadView]) -> Vec<String> {
    let date = |date: Option<DateTime<Utc>>| {
        date.map_or_else(|| "-".to_owned(), |date| date.format("%Y-%m-%d %H:%M:%SZ").to_string())
    };
    vec![
        view.table.clone(),
        view.when.clone(),
        if is_held(view, uploads) { "held".to_owned() } else { view.doing.clone() },
        date(view.last_good),
        view.last_outcome.clone().unwrap_or_else(|| "-".to_owned()),
        next_run(view),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_next_slot_is_said_where_it_is_awaited_and_with_its_date_if_that_is_another() {
        let now: DateTime<Utc> = "2027-03-05T22:30:00Z".parse().unwrap();
        let view = |left, next: &str| QuotaView {
            data_store: "7f3e".to_owned(),
            allowed: 5,
            left,
            reserved: 1,
            next_slot: Some(next.parse().unwrap()),
            known_from: "service".to_owned(),
            ..QuotaView::default()
        };
        let line = |left, next| quota(&view(left, next), now);
        assert_eq!(line(4, "2027-03-05T23:03:00Z"), "quota left 4 of 5: data store 7f3e");
        assert_eq!(line(1, "2027-03-05T23:03:00Z"), "quota left 1 of 5 (next slot 23:03Z): data store 7f3e");
        assert_eq!(line(0, "2027-03-06T06:03:00Z"), "quota left 0 of 5 (next slot 2027-03-06 06:03Z): data store 7f3e");
    }
}
