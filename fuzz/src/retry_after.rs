//! The headers that speak of time: whatever they say, nobody waits longer than
//! the cap, and no absurd date is believed.

use std::time::Duration;

use chrono::{DateTime, Utc};
use edm_agent::adapters::http::headers::{BELIEVABLE, retry_after, server_date};
use reqwest::header::{DATE, HeaderMap, HeaderValue, RETRY_AFTER};

const CAP: Duration = Duration::from_secs(3_600);

/// Takes each line as a `Retry-After`, and the first as the `Date` too.
pub fn check(data: &[u8]) {
    let now: DateTime<Utc> = DateTime::from_timestamp(784_900_800, 0).expect("15 November 1994");
    let mut headers = HeaderMap::new();
    for value in data.split(|&byte| byte == b'\n').filter_map(|line| HeaderValue::from_bytes(line).ok()) {
        if !headers.contains_key(DATE) {
            headers.insert(DATE, value.clone());
        }
        headers.append(RETRY_AFTER, value);
    }
    let delay = retry_after(&headers, now, CAP);
    assert!(delay.is_none_or(|delay| delay <= CAP), "{delay:?}");
    let date = server_date(&headers, now);
    assert!(date.is_none_or(|date| (date - now).abs() <= BELIEVABLE), "{date:?}");
}
