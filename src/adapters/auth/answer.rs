//! Reads the answer that hands out a token, an authority's and a machine's
//! alike.
//!
//! A life that makes no sense would have the agent ask without end, or use a
//! token for ever: one that is nearly over is an error, one above a day is a
//! day, and one that nobody names is short. The token is moved from the parsed
//! answer into its keeper, and no error shows what was in the answer.

use std::time::Duration;

use bytes::Bytes;
use chrono::{DateTime, Utc};
use serde::{Deserialize, Deserializer};
use serde_json::Value;
use zeroize::Zeroize;

use crate::adapters::http::text::scrub;
use crate::ground::secret::Secret;

/// The longest token accepted, in bytes; real ones stay under 10 KiB.
const LONGEST_TOKEN: usize = 64 << 10;

/// The longest life believed: what a server claims beyond a day is not worth
/// finding out.
const LONGEST_LIFE: Duration = Duration::from_secs(24 * 3_600);

/// The life of a token that says nothing of it.
const UNNAMED_LIFE: Duration = Duration::from_secs(300);

/// A life up to this is over before it has begun: a request takes half of it.
const TOO_SHORT: Duration = Duration::from_secs(60);

/// The longest word of a server that is passed on, in characters.
const LONGEST_WORD: usize = 40;

/// What is read of the answer; the rest is nobody's business.
#[derive(Deserialize)]
struct Answer {
    #[serde(default, deserialize_with = "secret")]
    access_token: Option<Secret>,
    #[serde(default)]
    token_type: Value,
    #[serde(default)]
    expires_in: Value,
    #[serde(default)]
    expires_on: Value,
}

/// Reads a token and its life, counted from when it was asked for.
///
/// `date` is what it was when it was asked: the server's, where that can be
/// believed, else the host's. `kind` is the content type, for the error.
///
/// # Errors
///
/// Says what is wrong with the answer, to come after whose it was.
pub(super) fn read(body: &[u8], kind: &str, date: DateTime<Utc>) -> Result<(Secret, Duration), String> {
    // What the parser says can hold what it read.
    let answer: Answer = serde_json::from_slice(body).map_err(|error| {
        let kind: String = scrub(kind, &[]).chars().take(LONGEST_WORD).collect();
        if error.is_data() {
            format!("the answer is JSON ({kind}), but not a token's")
        } else {
            format!("the answer is not JSON ({kind})")
        }
    })?;
    match &answer.token_type {
        Value::Null => (),
        Value::String(named) if named.eq_ignore_ascii_case("bearer") => (),
        Value::String(named) => {
            let named: String = scrub(named, &[]).chars().take(LONGEST_WORD).collect();
            return Err(format!("the token is of the type {named}, which is of no use here: it must be Bearer"));
        }
        Value::Bool(_) | Value::Number(_) | Value::Array(_) | Value::Object(_) => {
            return Err("the type of the token is no text: it must be Bearer".to_owned());
        }
    }
    let token = answer.access_token.ok_or("the answer holds no access_token")?;
    check(token.expose())?;
    Ok((token, life(&answer.expires_in, &answer.expires_on, date)?))
}

/// Wipes the body of an answer, if nobody else holds it.
pub(super) fn wipe(body: Bytes) {
    if let Ok(mut body) = body.try_into_mut() {
        body.as_mut().zeroize();
    }
}

/// Says what is wrong with a token, without showing it.
fn check(token: &str) -> Result<(), &'static str> {
    if token.is_empty() {
        return Err("the token is empty");
    }
    if token.len() > LONGEST_TOKEN {
        return Err("the token is far longer than any");
    }
    if !token.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err("the token holds characters that no token has");
    }
    Ok(())
}

/// Returns how long a token is good for. What cannot be read counts as unsaid:
/// a token whose life nobody understands still opens doors for a while.
fn life(expires_in: &Value, expires_on: &Value, date: DateTime<Utc>) -> Result<Duration, String> {
    let seconds = match (number(expires_in), number(expires_on)) {
        (Some(seconds), _) => seconds,
        (None, Some(epoch)) => epoch - date.timestamp() as f64,
        (None, None) => return Ok(UNNAMED_LIFE),
    };
    if seconds <= TOO_SHORT.as_secs_f64() {
        return Err(format!(
            "the token is good for {seconds:.0} s only; look whether this host's clock is right, and ask again later"
        ));
    }
    Ok(Duration::from_secs_f64(seconds.min(LONGEST_LIFE.as_secs_f64())))
}

/// Reads a number, or a text that is one.
fn number(value: &Value) -> Option<f64> {
    let number = match value {
        Value::Number(number) => number.as_f64(),
        Value::String(text) => text.trim().parse().ok(),
        Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => None,
    };
    number.filter(|number| number.is_finite())
}

fn secret<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Secret>, D::Error> {
    Ok(Option::<String>::deserialize(deserializer)?.map(Secret::new))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn noon() -> DateTime<Utc> {
        DateTime::from_timestamp(1_800_000_000, 0).unwrap()
    }

    fn told(body: &str) -> Result<(String, Duration), String> {
        let (token, life) = read(body.as_bytes(), "application/json", noon())?;
        Ok((token.expose().to_owned(), life))
    }

    /// Returns the life in seconds of a token answered with such fields.
    fn seconds(fields: &str) -> Result<f64, String> {
        let (token, life) = told(&format!(r#"{{"access_token":"abc.def"{fields}}}"#))?;
        assert_eq!(token, "abc.def");
        Ok(life.as_secs_f64())
    }

    #[test]
    fn a_life_is_read_from_numbers_and_texts_and_from_a_date_where_none_is_named() {
        for (fields, expected) in [
            (r#","expires_in":3599"#, 3_599.0),
            (r#","expires_in":"3599""#, 3_599.0),
            (r#","expires_in":3599.5"#, 3_599.5),
            (r#","expires_in":"3599.5","expires_on":"1""#, 3_599.5),
            (r#","expires_on":1800003600"#, 3_600.0),
            (r#","expires_on":"1800003600""#, 3_600.0),
            (r#","expires_in":null,"expires_on":"1800003600""#, 3_600.0),
            (r#","expires_in":61"#, 61.0),
            ("", 300.0),
            (r#","expires_in":"soon","expires_on":"01/01/2027 00:00:00 +00:00""#, 300.0),
            (r#","expires_in":"NaN""#, 300.0),
            (r#","expires_in":31536000"#, 86_400.0),
            (r#","expires_in":99999999999999999999999999"#, 86_400.0),
            (r#","expires_on":"9999999999999""#, 86_400.0),
        ] {
            assert_eq!(seconds(fields), Ok(expected), "{fields}");
        }
    }

    #[test]
    fn a_life_that_is_nearly_over_is_an_error_that_says_the_number() {
        for (fields, named) in [
            (r#","expires_in":0"#, "0 s"),
            (r#","expires_in":-5"#, "-5 s"),
            (r#","expires_in":"-5""#, "-5 s"),
            (r#","expires_in":60"#, "60 s"),
            (r#","expires_on":"1800000030""#, "30 s"),
            (r#","expires_on":1799999000"#, "-1000 s"),
        ] {
            let said = seconds(fields).unwrap_err();
            assert!(said.contains(named), "{fields}: {said}");
        }
    }

    #[test]
    fn only_a_bearer_token_in_visible_characters_is_taken() {
        let ok = |body: &str| told(body).is_ok();
        assert!(ok(r#"{"access_token":"a","token_type":"bearer"}"#));
        assert!(ok(r#"{"access_token":"a","token_type":null,"more":{"x":[1]}}"#));
        for (body, said) in [
            (r#"{"access_token":"canary","token_type":"pop"}"#.to_owned(), "pop"),
            (r#"{"access_token":"canary","token_type":7}"#.to_owned(), "Bearer"),
            (r#"{"token_type":"Bearer"}"#.to_owned(), "no access_token"),
            (r#"{"access_token":null}"#.to_owned(), "no access_token"),
            (r#"{"access_token":""}"#.to_owned(), "empty"),
            (r#"{"access_token":"canary canary"}"#.to_owned(), "no token has"),
            (r#"{"access_token":"canary\ncanary"}"#.to_owned(), "no token has"),
            (format!(r#"{{"access_token":"{}"}}"#, "a".repeat(65_537)), "longer"),
            (r#"{"access_token":["canary"]}"#.to_owned(), "not a token's"),
            (r#""canary""#.to_owned(), "not a token's"),
            (r#"{"access_token":"canary"#.to_owned(), "not JSON"),
            (String::new(), "not JSON"),
        ] {
            let error = told(&body).unwrap_err();
            assert!(error.contains(said) && !error.contains("canary"), "{error}");
        }
    }

    #[test]
    fn a_page_for_people_is_named_by_its_kind() {
        let said = read(b"<html>canary", "text/html", noon()).err().unwrap();
        assert_eq!(said, "the answer is not JSON (text/html)");
    }

    proptest::proptest! {
        #[test]
        fn whatever_is_answered_no_life_is_short_or_above_a_day(
            into in r#"[0-9eE.+-]{1,25}|"[ -!#-\[\]-~]{0,25}"|null|\[\]"#,
            on in r#"[0-9eE.+-]{1,25}|"[ -!#-\[\]-~]{0,25}"|null|\{\}"#,
        ) {
            if let Ok(life) = seconds(&format!(r#","expires_in":{into},"expires_on":{on}"#)) {
                proptest::prop_assert!(life > 60.0 && life <= 86_400.0, "{}", life);
            }
        }

        #[test]
        fn no_bytes_break_the_reading(body in proptest::collection::vec(proptest::prelude::any::<u8>(), 0..200)) {
            if let Ok((token, life)) = read(&body, "x", noon()) {
                proptest::prop_assert!(!token.expose().is_empty() && life <= LONGEST_LIFE);
            }
        }
    }
}
