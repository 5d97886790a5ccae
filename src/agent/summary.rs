//! How everything stands in one line, for `systemctl status`.
//!
//! What moves first, then the sessions kept, then what is in the way. No secret
//! and no value: only what [`super::status`] shows.

use std::time::Duration;

use super::board::TableView;
use super::reload::ConfigurationView;
use super::status::{Picture, UploadView};
use crate::ground::units::Span;

/// Uploads and tables named one by one; more are counted.
const NAMED: usize = 3;

/// Returns how everything stands in one line.
pub fn summary(picture: &Picture, tables: &[TableView]) -> String {
    let mut line = moving(picture, tables);
    if let Some(trouble) = trouble(picture, tables) {
        line.push_str(&format!("; {trouble}"));
    }
    line
}

/// Returns what moves and what is kept, without what is in the way.
pub fn moving(picture: &Picture, tables: &[TableView]) -> String {
    let hashing = tables.iter().filter(|table| table.doing == "hashing").map(hashing);
    let uploads = picture.uploads.iter().filter(|view| !view.tracked).map(uploading);
    let moving: Vec<String> = hashing.chain(uploads).collect();
    let mut parts = Vec::new();
    if moving.is_empty() {
        parts.push(idle(tables));
    }
    parts.extend(moving.iter().take(NAMED).cloned());
    if moving.len() > NAMED {
        parts.push(format!("{} more", moving.len() - NAMED));
    }
    parts.extend(sessions(&picture.uploads));
    parts.join(", ")
}

fn hashing(table: &TableView) -> String {
    match percent(table.read_bytes, table.source_bytes) {
        Some(percent) => format!("{} hashing {percent} %", table.table),
        None => format!("{} hashing", table.table),
    }
}

fn uploading(view: &UploadView) -> String {
    let table = &view.table;
    match (view.phase.as_str(), view.waiting.as_deref()) {
        (_, Some(waiting)) => format!("{table} waits for {}", waited_for(waiting)),
        ("uploading", None) => {
            let percent = percent(view.stored_blocks.into(), view.total_blocks.into()).unwrap_or(0);
            format!("{table} uploading {percent} %")
        }
        (phase, None) => format!("{table} {phase}"),
    }
}

fn waited_for(waiting: &str) -> &str {
    match waiting {
        "service" | "throttled" => "the service",
        "quota" => "tomorrow's quota",
        "permission" => "a permission",
        "store" => "the store",
        other => other,
    }
}

fn idle(tables: &[TableView]) -> String {
    match tables.iter().filter_map(|table| Some((table.next_run?, &table.table))).min() {
        Some((at, table)) => format!("idle, next {table} at {}", at.format("%a %H:%MZ")),
        None => "idle".to_owned(),
    }
}

/// Returns how many sessions are kept, and when the next is renewed.
fn sessions(uploads: &[UploadView]) -> Option<String> {
    let kept = uploads.iter().filter(|view| view.session.is_some()).count();
    let renewal = uploads.iter().filter_map(|view| view.renew_in).min_by(f64::total_cmp);
    let sessions = match kept {
        0 => return None,
        1 => "1 session".to_owned(),
        kept => format!("{kept} sessions"),
    };
    let span = renewal.and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
    Some(span.map_or_else(|| sessions.clone(), |span| format!("{sessions}, next renewal in {}", Span(span))))
}

fn trouble(picture: &Picture, tables: &[TableView]) -> Option<String> {
    let of_uploads = picture.uploads.iter().filter_map(|view| Some((&view.table, view.trouble.as_ref()?)));
    let of_tables = tables.iter().filter_map(|table| Some((&table.table, table.trouble.as_ref()?)));
    let first = of_uploads.chain(of_tables).next().map(|(table, trouble)| format!("{table}: {trouble}"));
    let sign_in = picture.sign_in.as_ref().map(|trouble| format!("not signed in: {trouble}"));
    let refused = picture.configuration.as_ref().and_then(ConfigurationView::refused);
    let refused = refused.map(|reason| format!("the old configuration stays: {reason}"));
    picture.journal.clone().or(sign_in).or(refused).or(first)
}

fn percent(done: u64, total: u64) -> Option<u64> {
    (total > 0).then(|| u64::try_from(u128::from(done) * 100 / u128::from(total)).unwrap_or(100).min(100))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::agent::reload::LastReload;

    fn upload(table: &str, phase: &str) -> UploadView {
        UploadView { table: table.to_owned(), phase: phase.to_owned(), ..UploadView::default() }
    }

    #[test]
    fn an_agent_with_nothing_to_do_says_when_it_will_have() {
        assert_eq!(summary(&Picture::default(), &[]), "idle");
        let next_run = Some("2027-03-05T02:30:00Z".parse().unwrap());
        let table = TableView { table: "patients".to_owned(), next_run, ..TableView::default() };
        assert_eq!(summary(&Picture::default(), &[table]), "idle, next patients at Fri 02:30Z");
    }

    #[test]
    fn an_upload_says_how_far_it_is_and_when_its_session_is_renewed() {
        let session = Some("s".to_owned());
        let half = UploadView {
            stored_blocks: 49,
            total_blocks: 120,
            session: session.clone(),
            renew_in: Some(252.0),
            ..upload("patients", "uploading")
        };
        let theirs = UploadView { session, renew_in: Some(900.0), tracked: true, ..upload("", "uploading") };
        let picture = Picture { uploads: vec![half, theirs], ..Picture::default() };
        assert_eq!(summary(&picture, &[]), "patients uploading 40 %, 2 sessions, next renewal in 4m 12s");
    }

    #[test]
    fn what_is_in_the_way_is_said_last_and_the_disk_before_all_else() {
        let trouble = Some("the service refused it".to_owned());
        let waits = UploadView { waiting: Some("permission".to_owned()), trouble, ..upload("patients", "planned") };
        let mut picture = Picture { uploads: vec![waits], ..Picture::default() };
        assert_eq!(summary(&picture, &[]), "patients waits for a permission; patients: the service refused it");
        let at = "2027-03-05T02:30:00Z".parse().unwrap();
        let last_reload = Some(LastReload { at, ok: false, reason: Some("unknown key `a.b`".to_owned()) });
        picture.configuration = Some(ConfigurationView { generation: 1, loaded_at: at, last_reload });
        let line = summary(&picture, &[]);
        assert_eq!(line, "patients waits for a permission; the old configuration stays: unknown key `a.b`");
        picture.journal = Some("the volume is full".to_owned());
        assert_eq!(summary(&picture, &[]), "patients waits for a permission; the volume is full");
    }

    #[test]
    fn an_upload_that_is_held_says_so_and_why() {
        let held = UploadView { trouble: Some("it has 3 rows".to_owned()), ..upload("patients", "held") };
        let picture = Picture { uploads: vec![held], ..Picture::default() };
        assert_eq!(summary(&picture, &[]), "patients held; patients: it has 3 rows");
    }

    #[test]
    fn many_uploads_are_counted() {
        let uploads = (0..9).map(|number| upload(&format!("t{number}"), "processing")).collect();
        let line = summary(&Picture { uploads, ..Picture::default() }, &[]);
        assert_eq!(line, "t0 processing, t1 processing, t2 processing, 6 more");
    }
}
