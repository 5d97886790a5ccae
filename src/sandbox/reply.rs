//! Answers and refusals, and how each side of the service words them.

use serde_json::{Value, json};

use super::payload::Payload;
use super::quirks::{ErrorSpelling, Quirks};
use super::route::Side;
use super::times;

/// An answer.
pub(super) struct Reply {
    pub(super) status: u16,
    pub(super) headers: Vec<(&'static str, String)>,
    pub(super) payload: Payload,
}

impl Reply {
    /// An answer without a body.
    pub(super) fn bare(status: u16) -> Self {
        Self { status, headers: Vec::new(), payload: Payload::Text(None) }
    }

    /// An answer that is one JSON value.
    pub(super) fn json(status: u16, value: &Value) -> Self {
        let payload = Payload::text(value.to_string());
        Self { status, headers: vec![("content-type", JSON.to_owned())], payload }
    }

    /// An answer that is one JSON value, outside OData.
    pub(super) fn plain_json(status: u16, value: &Value) -> Self {
        Self::text(status, "application/json; charset=utf-8", value.to_string())
    }

    /// An answer of another type.
    pub(super) fn text(status: u16, content_type: &str, text: String) -> Self {
        Self { status, headers: vec![("content-type", content_type.to_owned())], payload: Payload::text(text) }
    }

    pub(super) fn with(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.headers.push((name, value.into()));
        self
    }
}

const JSON: &str = "application/json;odata.metadata=minimal;odata.streaming=true;IEEE754Compatible=false;charset=utf-8";

/// A refusal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Refusal {
    pub(super) status: u16,
    pub(super) code: String,
    pub(super) message: String,
    pub(super) breach: bool,
    pub(super) header: Option<(&'static str, String)>,
}

impl Refusal {
    /// The client broke the contract.
    pub(super) fn breach(status: u16, code: &str, message: impl Into<String>) -> Self {
        Self { status, code: code.to_owned(), message: message.into(), breach: true, header: None }
    }

    /// Time or circumstances forbid it.
    pub(super) fn no(status: u16, code: &str, message: impl Into<String>) -> Self {
        Self { breach: false, ..Self::breach(status, code, message) }
    }

    pub(super) fn with(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.header = Some((name, value.into()));
        self
    }

    /// Words the refusal as this side of the service would.
    pub(super) fn reply(&self, side: Side, ids: &Ids, quirks: &Quirks) -> Reply {
        let reply = match side {
            Side::Api => Reply::json(self.status, &self.odata(ids, quirks)),
            Side::Token => Reply::plain_json(self.status, &self.oauth(ids)),
            Side::Metadata => {
                Reply::plain_json(self.status, &json!({"error": self.code, "error_description": self.message}))
            }
            Side::AppService => {
                Reply::plain_json(self.status, &json!({"statusCode": self.status, "message": self.message}))
            }
            Side::Blob => {
                let text = format!(
                    "\u{feff}<?xml version=\"1.0\" encoding=\"utf-8\"?><Error><Code>{}</Code><Message>{}\nRequestId:{}\nTime:{}</Message></Error>",
                    quick_xml::escape::escape(&self.code),
                    quick_xml::escape::escape(&self.message),
                    ids.request,
                    times::property(ids.date, &Quirks::default()),
                );
                Reply::text(self.status, "application/xml", text).with("x-ms-error-code", &*self.code)
            }
        };
        match &self.header {
            Some((name, value)) => reply.with(name, &**value),
            None => reply,
        }
    }

    fn odata(&self, ids: &Ids, quirks: &Quirks) -> Value {
        let date = ids.date.format("%Y-%m-%dT%H:%M:%S").to_string();
        let (name, inner) = match quirks.error_spelling {
            ErrorSpelling::InnerError => {
                ("innerError", json!({"date": date, "request-id": ids.request, "client-request-id": ids.client}))
            }
            ErrorSpelling::Innererror => {
                ("innererror", json!({"Date": date, "requestId": ids.request, "clientRequestId": ids.client}))
            }
        };
        json!({"error": {"code": self.code, "message": self.message, name: inner}})
    }

    fn oauth(&self, ids: &Ids) -> Value {
        // The number of an AADSTS code is what people search for.
        let number: u64 =
            self.message.trim_start_matches("AADSTS").split(':').next().and_then(|text| text.parse().ok()).unwrap_or(0);
        json!({
            "error": self.code,
            "error_description": format!("{} Trace ID: {} Correlation ID: {}", self.message, ids.request, ids.client),
            "error_codes": [number],
            "timestamp": ids.date.format("%Y-%m-%d %H:%M:%SZ").to_string(),
            "trace_id": ids.request,
            "correlation_id": ids.client,
        })
    }
}

/// What identifies an exchange.
pub(super) struct Ids {
    /// The service's name for it.
    pub(super) request: String,
    /// The client's name for it, or the service's own.
    pub(super) client: String,
    /// The service's date when it came.
    pub(super) date: chrono::DateTime<chrono::Utc>,
}
