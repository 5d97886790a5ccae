//! Headers that speak of time: `Date` and `Retry-After`.
//!
//! Both come from outside and steer waiting, so nonsense is dropped rather
//! than obeyed: an absurd date is no date, rubbish is no delay, and no delay is
//! longer than the cap.

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use reqwest::header::{DATE, HeaderMap, RETRY_AFTER};

/// The longest `Retry-After` believed by default: longer ones are more likely
/// a mistake than a plan, and asking once an hour harms nobody.
pub const RETRY_AFTER_CAP: Duration = Duration::from_secs(3_600);

/// How far a server's date may lie from this host's and still be believed.
pub const BELIEVABLE: TimeDelta = TimeDelta::days(1);

/// Returns the server's `Date`, unless it is missing, unreadable or more than
/// a day away from this host's.
pub fn server_date(headers: &HeaderMap, wall: DateTime<Utc>) -> Option<DateTime<Utc>> {
    let date = http_date(headers.get(DATE)?.to_str().ok()?)?;
    (date.signed_duration_since(wall).abs() <= BELIEVABLE).then_some(date)
}

/// Returns how long the server asked to be left alone, if it said so in words
/// that make sense, at most `cap`. Of several headers the longest counts.
///
/// A date is measured against the server's own `now`; one in the past asks for
/// nothing.
pub fn retry_after(headers: &HeaderMap, now: DateTime<Utc>, cap: Duration) -> Option<Duration> {
    let readable = headers.get_all(RETRY_AFTER).iter().filter_map(|value| value.to_str().ok());
    readable.filter_map(|text| delay(text.trim(), now)).max().map(|delay| delay.min(cap))
}

/// Reads seconds, whole or with a fraction (rounded up), or a date.
fn delay(text: &str, now: DateTime<Utc>) -> Option<Duration> {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, "0"));
    let digits = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
    if digits(whole) && digits(fraction) {
        // A number too long for 64 bits asks for as good as for ever; the cap decides.
        let seconds = whole.parse().unwrap_or(u64::MAX);
        let begun = fraction.bytes().any(|byte| byte != b'0');
        return Some(Duration::from_secs(seconds.saturating_add(begun.into())));
    }
    let until = http_date(text)?;
    until.signed_duration_since(now).to_std().ok().filter(|delay| !delay.is_zero())
}

/// Reads the one date form HTTP still allows to be sent (RFC 9110, 5.6.7).
fn http_date(text: &str) -> Option<DateTime<Utc>> {
    DateTime::parse_from_rfc2822(text).ok().map(|date| date.to_utc())
}

#[cfg(test)]
mod tests {
    use super::*;

    const CAP: Duration = Duration::from_secs(3_600);

    fn noon() -> DateTime<Utc> {
        http_date("Tue, 15 Nov 1994 12:00:00 GMT").unwrap()
    }

    fn asked(values: &[&str]) -> Option<Duration> {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(RETRY_AFTER, value.parse().unwrap());
        }
        retry_after(&headers, noon(), CAP)
    }

    #[test]
    fn a_delay_is_read_as_seconds_a_fraction_or_a_date() {
        for (text, seconds) in [
            ("30", 30),
            ("0", 0),
            ("2.128", 3),
            ("2.000", 2),
            ("Tue, 15 Nov 1994 12:00:45 GMT", 45),
            ("31536000", 3_600),
            ("99999999999999999999999999", 3_600),
        ] {
            assert_eq!(asked(&[text]), Some(Duration::from_secs(seconds)), "{text}");
        }
    }

    #[test]
    fn rubbish_and_dates_in_the_past_ask_for_nothing() {
        for text in ["", "soon", "-5", "1e3", "2.", ".5", "1.2.3", "Tue, 15 Nov 1994 11:00:00 GMT", "NaN"] {
            assert_eq!(asked(&[text]), None, "{text}");
        }
    }

    proptest::proptest! {
        #[test]
        fn nothing_asks_for_longer_than_the_cap(text in "[ -~]{0,40}|[0-9.]{0,40}") {
            proptest::prop_assert!(asked(&[&text]).is_none_or(|delay| delay <= CAP));
        }
    }

    #[test]
    fn of_two_delays_the_longer_counts_and_rubbish_beside_it_does_not() {
        assert_eq!(asked(&["soon", "10", "20"]), Some(Duration::from_secs(20)));
    }

    #[test]
    fn a_date_more_than_a_day_away_is_not_believed() {
        let mut headers = HeaderMap::new();
        headers.insert(DATE, "Tue, 15 Nov 1994 12:00:00 GMT".parse().unwrap());
        assert_eq!(server_date(&headers, noon() + TimeDelta::hours(23)), Some(noon()));
        assert_eq!(server_date(&headers, noon() - TimeDelta::hours(25)), None);
        headers.insert(DATE, "yesterday".parse().unwrap());
        assert_eq!(server_date(&headers, noon()), None);
    }
}
