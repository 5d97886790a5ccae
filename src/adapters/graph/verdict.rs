//! What an answer that is no success means, for the machine and for a person.

use chrono::{DateTime, Utc};

use super::odata::ODataError;
use super::wire::challenge;
use crate::adapters::http::exchange::Reply;
use crate::adapters::http::headers;
use crate::adapters::http::text::scrub;
use crate::upload::fault::Fault;

/// A refusal, understood.
pub(super) struct Verdict {
    /// What the machine should make of it.
    pub(super) fault: Fault,
    /// What a person should read.
    pub(super) detail: String,
    /// The service's name for the exchange, as its body or its headers give it.
    pub(super) request_id: Option<String>,
}

/// Judges an answer whose status is no success. `creates` says that the answer
/// is to the creation of a session, the one thing there is a quota for.
pub(super) fn judge(
    reply: &Reply,
    creates: bool,
    now: DateTime<Utc>,
    cap: std::time::Duration,
    secrets: &[&str],
) -> Verdict {
    let status = reply.status.as_u16();
    let error = reply.body.as_ref().ok().and_then(|body| ODataError::read(body));
    let retry_after = headers::retry_after(&reply.headers, now, cap);
    let said = error.as_ref().map_or_else(|| without_json(reply), ODataError::line);
    let request_id = reply.header("request-id").or_else(|| reply.header("x-ms-request-id")).map(str::to_owned);
    let request_id = request_id.or_else(|| error.as_ref().and_then(|error| error.request_id.clone()));
    let error = error.unwrap_or_default();
    let no_such_action = error.mentions("for the segment");
    let (fault, advice) = match status {
        300..=399 => {
            let detail = format!(
                "status {status}, a redirect to {}, and redirects are never followed: check graph.base_url and the proxy",
                scrub(&reply.redirect_host(), secrets)
            );
            return Verdict { fault: Fault::Refused { status }, detail, request_id };
        }
        400..=499 if creates && is_quota(status, &error) => (
            Fault::Quota { retry_after },
            "the data store has had its sessions for now: wait, or see quota.sessions_per_day",
        ),
        400 | 404 if no_such_action => (Fault::Refused { status }, "the other contract.action_form may be meant"),
        401 => (Fault::Unauthorised, claims(reply)),
        403 => (Fault::NotPermitted, "the identity lacks a permission: ask for access to the exact match data store"),
        404 | 410 => (Fault::Gone, ""),
        408 | 429 | 500..=599 => (Fault::Transient { retry_after }, ""),
        409 | 412 | 423 => (Fault::Conflict, ""),
        _ => (Fault::Refused { status }, ""),
    };
    let mut detail = format!("status {status}, {}", scrub(&said, secrets));
    if !advice.is_empty() {
        detail.push_str("; ");
        detail.push_str(advice);
    }
    Verdict { fault, detail, request_id }
}

/// Returns whether a refused creation was one session too many. A 429 that
/// merely speaks of throttling is the ordinary kind, which passes in seconds;
/// taking it for the quota would cost hours.
fn is_quota(status: u16, error: &ODataError) -> bool {
    error.mentions("maxcountofsuccessfulsessions")
        || error.mentions("session creation is throttled")
        || status != 429 && error.mentions("throttled")
}

fn without_json(reply: &Reply) -> String {
    match &reply.body {
        Ok(body) if body.is_empty() => "no explanation".to_owned(),
        Ok(_) => format!("an explanation that is not JSON ({})", reply.content_type()),
        Err(broken) => broken.clone(),
    }
}

/// Returns what to do about a refused token.
fn claims(reply: &Reply) -> &'static str {
    if challenge(reply).is_some() {
        return "conditional access asks for claims this identity was not given: ask whoever keeps its policies";
    }
    "the token was refused, a fresh one too: check the [auth] settings and that the token is for this cloud"
}
