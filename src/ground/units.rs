//! Durations and sizes as people write them: `500ms`, `30s`, `15m`, `64MiB`.

use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Deserializer};

/// Why a duration or size could not be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is not a {what}: write {example}")]
pub struct UnitError {
    text: String,
    what: &'static str,
    example: &'static str,
}

/// Reads a duration: a whole number and one of `ms`, `s`, `m`, `h`, `d`.
///
/// # Errors
///
/// Says what would be accepted.
pub fn parse_duration(text: &str) -> Result<Duration, UnitError> {
    let refused = || UnitError {
        text: text.to_owned(),
        what: "duration",
        example: "a number and a unit, such as 500ms, 30s, 15m, 24h or 90d",
    };
    let (number, unit) = split_unit(text).ok_or_else(refused)?;
    let milliseconds = match unit {
        "ms" => 1,
        "s" => 1_000,
        "m" => 60_000,
        "h" => 3_600_000,
        "d" => 86_400_000,
        _ => return Err(refused()),
    };
    number.checked_mul(milliseconds).map(Duration::from_millis).ok_or_else(refused)
}

/// Reads a size: a whole number and one of `B`, `KiB`, `MiB`, `GiB`, `TiB`.
///
/// # Errors
///
/// Says what would be accepted.
pub fn parse_size(text: &str) -> Result<u64, UnitError> {
    let refused = || UnitError {
        text: text.to_owned(),
        what: "size",
        example: "a number and a unit, such as 512KiB, 64MiB or 1GiB",
    };
    let (number, unit) = split_unit(text).ok_or_else(refused)?;
    let bytes = match unit {
        "B" => 1,
        "KiB" => 1 << 10,
        "MiB" => 1 << 20,
        "GiB" => 1 << 30,
        "TiB" => 1 << 40,
        _ => return Err(refused()),
    };
    number.checked_mul(bytes).ok_or_else(refused)
}

fn split_unit(text: &str) -> Option<(u64, &str)> {
    let unit_at = text.find(|character: char| !character.is_ascii_digit())?;
    let (number, unit) = text.split_at(unit_at);
    Some((number.parse().ok()?, unit.trim()))
}

/// Reads a duration out of a settings file, for `#[serde(deserialize_with)]`.
///
/// # Errors
///
/// As [`parse_duration`].
pub fn duration<'de, D: Deserializer<'de>>(input: D) -> Result<Duration, D::Error> {
    parse_duration(&String::deserialize(input)?).map_err(serde::de::Error::custom)
}

/// Reads a size in bytes out of a settings file, for `#[serde(deserialize_with)]`.
///
/// # Errors
///
/// As [`parse_size`].
pub fn size<'de, D: Deserializer<'de>>(input: D) -> Result<u64, D::Error> {
    parse_size(&String::deserialize(input)?).map_err(serde::de::Error::custom)
}

/// Reads a size that may be left empty, meaning none.
///
/// # Errors
///
/// As [`parse_size`].
pub fn optional_size<'de, D: Deserializer<'de>>(input: D) -> Result<Option<u64>, D::Error> {
    let text = String::deserialize(input)?;
    if text.is_empty() {
        return Ok(None);
    }
    parse_size(&text).map(Some).map_err(serde::de::Error::custom)
}

/// Shows a duration with its two largest units: `1h 05m`, `4m 12s`, `3.2s`.
pub struct Span(pub Duration);

impl fmt::Display for Span {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = self.0.as_secs();
        match seconds {
            0 if self.0.subsec_millis() < 950 => write!(out, "{}ms", self.0.subsec_millis()),
            0..10 => write!(out, "{:.1}s", self.0.as_secs_f64()),
            10..60 => write!(out, "{seconds}s"),
            60..3_600 => write!(out, "{}m {:02}s", seconds / 60, seconds % 60),
            3_600..86_400 => write!(out, "{}h {:02}m", seconds / 3_600, seconds / 60 % 60),
            _ => write!(out, "{}d {:02}h", seconds / 86_400, seconds / 3_600 % 24),
        }
    }
}

/// Shows a size with one decimal in the largest unit it fills: `128.0 MiB`.
pub struct Size(pub u64);

impl fmt::Display for Size {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        const UNITS: [&str; 4] = ["KiB", "MiB", "GiB", "TiB"];
        if self.0 < 1 << 10 {
            return write!(out, "{} B", self.0);
        }
        let mut value = self.0 as f64 / 1024.0;
        let mut unit = 0;
        while value >= 1024.0 && unit + 1 < UNITS.len() {
            value /= 1024.0;
            unit += 1;
        }
        write!(out, "{value:.1} {}", UNITS[unit])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_and_sizes_read_as_people_write_them() {
        assert_eq!(parse_duration("500ms"), Ok(Duration::from_millis(500)));
        assert_eq!(parse_duration("90d"), Ok(Duration::from_secs(90 * 86_400)));
        assert_eq!(parse_size("64MiB"), Ok(64 << 20));
        for rubbish in ["", "5", "s", "-1s", "1.5h", "99999999999999999999s", "5 parsecs"] {
            assert!(parse_duration(rubbish).is_err(), "{rubbish}");
        }
        assert!(parse_size("64MB").unwrap_err().to_string().contains("64MiB"));
    }

    #[test]
    fn spans_and_sizes_show_their_largest_units() {
        assert_eq!(Span(Duration::from_millis(3_240)).to_string(), "3.2s");
        assert_eq!(Span(Duration::from_secs(252)).to_string(), "4m 12s");
        assert_eq!(Span(Duration::from_secs(3_900)).to_string(), "1h 05m");
        assert_eq!(Size(134_217_728).to_string(), "128.0 MiB");
    }
}
