//! The routes of the local API: the one place that lists them.
//!
//! `docs/openapi.yaml` describes each, and a test compares the two; whatever is
//! not here is not found, and a method that is not here is not allowed.

use hyper::Method;

/// What a request asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Route {
    /// How everything stands.
    Status,
    /// Every upload that has a session.
    Sessions,
    /// Track a session.
    Track,
    /// How one upload stands.
    View,
    /// Where the blocks go now.
    UploadUri,
    /// Take progress in.
    Progress,
    /// Renew a session now.
    Renew,
    /// Hand the blocks over.
    Commit,
    /// End an upload.
    Cancel,
    /// Every upload.
    Uploads,
    /// Begin an upload.
    Upload,
    /// Let an upload pass that a gate holds.
    Release,
    /// What happens from now on.
    Events,
    /// Read the configuration again.
    Reload,
}

/// Every route, its path as `docs/openapi.yaml` writes it: `{id}` stands for
/// one segment.
pub const ROUTES: [(Method, &str, Route); 17] = [
    (Method::GET, "/v1/status", Route::Status),
    (Method::GET, "/v1/sessions", Route::Sessions),
    (Method::POST, "/v1/sessions", Route::Track),
    (Method::GET, "/v1/sessions/{id}", Route::View),
    (Method::GET, "/v1/sessions/{id}/upload-uri", Route::UploadUri),
    (Method::PUT, "/v1/sessions/{id}/progress", Route::Progress),
    (Method::POST, "/v1/sessions/{id}/renew", Route::Renew),
    (Method::POST, "/v1/sessions/{id}/commit", Route::Commit),
    (Method::POST, "/v1/sessions/{id}/cancel", Route::Cancel),
    (Method::POST, "/v1/sessions/{id}/release", Route::Release),
    (Method::GET, "/v1/uploads", Route::Uploads),
    (Method::POST, "/v1/uploads", Route::Upload),
    (Method::GET, "/v1/uploads/{id}", Route::View),
    (Method::POST, "/v1/uploads/{id}/cancel", Route::Cancel),
    (Method::POST, "/v1/uploads/{id}/release", Route::Release),
    (Method::GET, "/v1/events", Route::Events),
    (Method::POST, "/v1/reload", Route::Reload),
];

/// Where a request leads.
#[derive(Debug, PartialEq, Eq)]
pub enum Found<'p> {
    /// To a route, with the `{id}` of its path, or nothing.
    Route(Route, &'p str),
    /// To a path that has other methods, parted by commas.
    OtherMethods(String),
    /// Nowhere.
    Nothing,
}

/// Finds where a method and a path lead.
pub fn find<'p>(method: &Method, path: &'p str) -> Found<'p> {
    let mut others = Vec::new();
    for (allowed, pattern, route) in &ROUTES {
        match matched(pattern, path) {
            Some(id) if allowed == method => return Found::Route(*route, id),
            Some(_) => others.push(allowed.as_str()),
            None => (),
        }
    }
    if others.is_empty() { Found::Nothing } else { Found::OtherMethods(others.join(", ")) }
}

/// Returns the `{id}` of a path that is like the pattern.
fn matched<'p>(pattern: &str, path: &'p str) -> Option<&'p str> {
    let (mut wanted, mut found) = (segments(pattern), segments(path));
    let mut id = "";
    loop {
        match (wanted.next(), found.next()) {
            (None, None) => return Some(id),
            (Some("{id}"), Some(segment)) if !segment.is_empty() => id = segment,
            (Some(wanted), Some(segment)) if wanted == segment => (),
            _ => return None,
        }
    }
}

fn segments(path: &str) -> std::str::Split<'_, char> {
    path.trim_matches('/').split('/')
}
