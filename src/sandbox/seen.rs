//! The request log: what was asked, what was answered, and why not.

use std::collections::VecDeque;
use std::sync::Mutex;

use chrono::{DateTime, Utc};

use super::operation::Operation;

/// Requests that are remembered; the oldest are forgotten first. An upload of
/// 50,000 blocks with its renewals and reports fits.
const REMEMBERED: usize = 100_000;

/// One request that was seen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seen {
    /// Its number, from 1.
    pub number: u64,
    /// What was asked.
    pub operation: Operation,
    /// The method.
    pub method: String,
    /// The path, without the query.
    pub path: String,
    /// The status it was answered with; `None` if the connection was cut.
    pub status: Option<u16>,
    /// The service's date when the request came.
    pub at: DateTime<Utc>,
    /// The body, in short and without secrets.
    pub body: String,
    /// Why it was refused, if it was, by the service or by a fault.
    pub refused: Option<String>,
    /// Whether the client broke the contract: a wrong method, body, content
    /// type or header, a property that is not the client's, a count that rises.
    /// What time or circumstances forbid (an expired signature, a session that
    /// ended, the quota) is refused without being a breach.
    pub breach: bool,
    /// Whether a fault of the script struck it.
    pub faulted: bool,
    /// The version it came in: `HTTP/1.0`, `HTTP/1.1` or `HTTP/2`.
    pub version: &'static str,
    /// The number of the connection it came over, from 1.
    pub connection: u64,
}

/// The log.
#[derive(Default)]
pub(super) struct SeenLog(Mutex<(u64, VecDeque<Seen>)>);

impl SeenLog {
    pub(super) fn record(&self, mut seen: Seen) {
        if let Some(reason) = &seen.refused {
            let Seen { operation, method, path, .. } = &seen;
            let status = seen.status.unwrap_or_default();
            if seen.breach {
                tracing::warn!(%operation, method, path, status, reason, "the client broke the contract");
            } else {
                tracing::info!(%operation, method, path, status, reason, faulted = seen.faulted, "refused a request");
            }
        } else {
            tracing::debug!(operation = %seen.operation, path = seen.path, status = seen.status, "answered a request");
        }
        let mut log = super::held(&self.0);
        let (count, kept) = &mut *log;
        *count += 1;
        seen.number = *count;
        if kept.len() == REMEMBERED {
            kept.pop_front();
        }
        kept.push_back(seen);
    }

    pub(super) fn snapshot(&self) -> Vec<Seen> {
        super::held(&self.0).1.iter().cloned().collect()
    }
}
