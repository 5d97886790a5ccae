//! A refusal of the authority, understood: what it said, whether asking again
//! helps, and what a person should do.
//!
//! The authority explains itself in an OAuth 2.0 error (RFC 6749, section 5.2)
//! with Entra's numbers beside it (Entra documentation, "AADSTS error codes").
//! The numbers decide; texts change.

use chrono::TimeDelta;
use serde::Deserialize;

use crate::adapters::http::exchange::Reply;
use crate::adapters::http::text::scrub;
use crate::ground::units::Span;

/// The longest explanation passed on, in characters: more is for a browser.
const LONGEST: usize = 240;

/// Numbers that mean "not now" whatever the status: overload and outages.
const PASSING: [u64; 4] = [90_033, 90_055, 50_196, 700_017];

/// A refusal.
pub(super) struct Refusal {
    status: u16,
    error: String,
    code: Option<u64>,
    said: String,
}

/// What the authority answers when it refuses.
#[derive(Deserialize, Default)]
#[serde(default)]
struct OAuthError {
    error: String,
    error_description: String,
    error_codes: Vec<u64>,
    trace_id: String,
    correlation_id: String,
}

impl Refusal {
    /// Reads an answer that is no success. `secrets` are what was sent that
    /// must not come back.
    pub(super) fn read(reply: &Reply, secrets: &[&str]) -> Self {
        let status = reply.status.as_u16();
        let parsed = reply.body.as_ref().ok().and_then(|body| serde_json::from_slice::<OAuthError>(body).ok());
        let Some(body) = parsed.filter(|body| !body.error.is_empty()) else {
            let said = match (status, &reply.body) {
                (300..=399, _) => {
                    format!("a redirect to {}, and redirects are never followed", reply.redirect_host())
                }
                (_, Ok(body)) if body.is_empty() => "no explanation".to_owned(),
                (_, Ok(_)) => format!("an explanation that is not JSON ({})", reply.content_type()),
                (_, Err(broken)) => broken.clone(),
            };
            let said = scrub(&format!("status {status}, {said}"), secrets);
            return Self { status, error: String::new(), code: None, said };
        };
        let code = body.error_codes.first().copied().or_else(|| number(&body.error_description));
        let said = match explanation(&body.error_description) {
            "" => format!("status {status}, {}", body.error),
            text => format!("status {status}, {}: {text}", body.error),
        };
        let mut said = scrub(&said, secrets);
        if let Some((end, _)) = said.char_indices().nth(LONGEST) {
            said.truncate(end);
            said.push('…');
        }
        let ids = format!(" (trace id {}, correlation id {})", body.trace_id, body.correlation_id);
        said.push_str(&scrub(&ids, secrets));
        Self { status, error: body.error, code, said }
    }

    /// Returns what was said, free of secrets.
    pub(super) fn said(&self) -> &str {
        &self.said
    }

    /// Returns whether asking again may bring another answer without anybody
    /// having mended anything.
    pub(super) fn is_passing(&self) -> bool {
        let by_status = matches!(self.status, 408 | 429 | 500..=599);
        let by_word = ["temporarily_unavailable", "server_error"].contains(&self.error.as_str());
        by_status || by_word || self.code.is_some_and(|code| PASSING.contains(&code))
    }

    /// Returns what to do about it, to follow what was said; `ahead` is how far
    /// this host's clock is ahead of the authority's, if that is notable.
    pub(super) fn advice(&self, ahead: Option<TimeDelta>) -> String {
        let clock = || match ahead {
            None => "check this host's clock".to_owned(),
            Some(ahead) => {
                let span = Span(ahead.abs().to_std().unwrap_or_default());
                let way = if ahead < TimeDelta::zero() { "behind" } else { "ahead of" };
                format!("this host's clock is {span} {way} the authority's: mend its time synchronisation")
            }
        };
        let advice = match (self.code, self.status) {
            (_, 300..=399) => "check auth.authority and the proxy",
            (Some(7_000_215), _) => "put the secret's value, not its id, into the file",
            (Some(7_000_222), _) => "the secret has expired: make a new one and put it into the file",
            (Some(700_016), _) => "check auth.client_id, auth.tenant_id and graph.cloud",
            (Some(7_000_112), _) => "the application is switched off in its tenant: have it switched on",
            (Some(90_002 | 900_023 | 900_382), _) => {
                "check auth.tenant_id, and graph.cloud: a tenant is known in its own cloud only"
            }
            (Some(700_027), _) => {
                "add the certificate to the application's registration, or point at the one that is registered"
            }
            (Some(700_024), _) => return format!("; {}", clock()),
            (Some(700_023 | 50_013), _) => "the statement was not taken: check auth.authority, and the clock",
            (Some(70_021 | 700_211 | 700_212 | 700_213 | 700_222), _) => {
                "compare issuer, subject and audience of the token in the file with the application's federated credentials"
            }
            (Some(70_011 | 500_011 | 1_002_012 | 650_057), _) => "check auth.scope and graph.cloud",
            (Some(53_000..=53_999 | 530_000..=530_999), _) => {
                "conditional access keeps this identity out: ask whoever keeps its policies"
            }
            _ if self.is_passing() => return String::new(),
            (Some(code), _) => return format!("; look up AADSTS{code}"),
            (None, _) if self.error.is_empty() => "check auth.authority, graph.ca_file and graph.proxy",
            (None, _) => "check the [auth] settings",
        };
        format!("; {advice}")
    }
}

/// Returns the explanation without the names of the exchange at its end.
fn explanation(description: &str) -> &str {
    let end = ["Trace ID:", "\r", "\n"].iter().filter_map(|mark| description.find(mark)).min();
    description[..end.unwrap_or(description.len())].trim()
}

/// Returns the number in a text that begins with `AADSTS`.
fn number(description: &str) -> Option<u64> {
    let digits = description.strip_prefix("AADSTS")?;
    digits[..digits.find(|character: char| !character.is_ascii_digit())?].parse().ok()
}

#[cfg(test)]
mod tests {
    use reqwest::StatusCode;
    use reqwest::header::HeaderMap;

    use super::*;

    fn refusal(status: u16, body: &str) -> Refusal {
        let body = Ok(bytes::Bytes::copy_from_slice(body.as_bytes()));
        let reply = Reply { status: StatusCode::from_u16(status).unwrap(), headers: HeaderMap::new(), body };
        Refusal::read(&reply, &["canary"])
    }

    fn coded(code: u64) -> String {
        format!(
            r#"{{"error":"invalid_client","error_description":"AADSTS{code}: No, canary. Trace ID: t Correlation ID: c","error_codes":[{code}],"trace_id":"t1","correlation_id":"c1"}}"#
        )
    }

    #[test]
    fn the_number_decides_what_to_do_and_what_was_sent_does_not_come_back() {
        for (code, advice) in [
            (7_000_215, "value, not its id"),
            (7_000_222, "expired"),
            (700_016, "client_id"),
            (90_002, "tenant_id"),
            (700_027, "certificate"),
            (700_213, "federated"),
            (70_011, "scope"),
            (53_003, "conditional access"),
            (123_456, "AADSTS123456"),
        ] {
            let refusal = refusal(400, &coded(code));
            assert!(!refusal.is_passing(), "{code}");
            let text = format!("{}{}", refusal.said(), refusal.advice(None));
            assert!(text.contains(advice) && text.contains(&format!("AADSTS{code}")), "{text}");
            assert!(text.contains("trace id t1") && !text.contains("canary") && !text.contains("Trace ID"), "{text}");
        }
    }

    #[test]
    fn a_statement_out_of_its_time_is_about_the_clock() {
        let refusal = refusal(401, &coded(700_024));
        assert!(refusal.advice(None).contains("clock"));
        let advice = refusal.advice(Some(TimeDelta::days(-1)));
        assert!(advice.contains("1d behind"), "{advice}");
    }

    #[test]
    fn what_passes_by_itself_is_told_apart() {
        for (status, body) in
            [(429, ""), (503, "<html>"), (400, r#"{"error":"temporarily_unavailable"}"#), (400, &*coded(90_033))]
        {
            assert!(refusal(status, body).is_passing(), "{status} {body}");
        }
        for (status, body) in [(400, ""), (401, "<html>"), (302, ""), (400, r#"{"error":"invalid_scope"}"#)] {
            let refusal = refusal(status, body);
            assert!(!refusal.is_passing() && !refusal.advice(None).is_empty(), "{status} {body}");
        }
    }

    proptest::proptest! {
        #[test]
        fn no_answer_breaks_it(status in 300u16..600, body in ".{0,200}") {
            let refusal = refusal(status, &body);
            let _ = (refusal.is_passing(), refusal.advice(None));
            proptest::prop_assert!(!refusal.said().contains("canary"));
        }
    }
}
