//! The gates: whether a hashed table should take the place of the one that is
//! live, judged by numbers before a session is spent on it.
//!
//! An upload replaces a data store whole, so an extract that went wrong erases
//! what protects people. What can be seen without a value: far fewer or far
//! more rows than the last good upload had, a searchable column that is blank,
//! and a table that holds just what is live already.

use std::collections::BTreeMap;
use std::fmt;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use super::manifest::Manifest;

/// What a hashed table came to, in numbers.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Figures {
    /// Its rows.
    pub rows: u64,
    /// Blank values by searchable column; nothing where they were not counted.
    #[serde(default)]
    pub blank: BTreeMap<String, u64>,
    /// Its content digest, if it has one: see [`super::content`].
    #[serde(default)]
    pub content: Option<String>,
}

/// What is remembered of a table's last good upload, seen live.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Good {
    /// What it came to.
    pub figures: Figures,
    /// The id of the data store it went to.
    pub store: String,
    /// When the data of the store last changed, by its own word, as read right
    /// after the table was live; nothing if it could not be read.
    #[serde(default)]
    pub updated: Option<DateTime<Utc>>,
}

/// The rules of one table.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Rules {
    /// The least rows, in percent of those of the last good upload; 0: any.
    pub min_rows_percent: f64,
    /// The most rows, in percent of those of the last good upload; 0: any.
    pub max_rows_percent: f64,
    /// The most blank values in a searchable column, in percent; 100: any.
    pub max_blank_percent: f64,
}

/// Why an upload is held.
#[derive(Debug, Clone, PartialEq)]
pub enum Reason {
    /// The table has far fewer rows than before.
    FewRows {
        /// Rows it has.
        rows: u64,
        /// Rows the last good upload had.
        before: u64,
        /// The setting.
        least: f64,
    },
    /// The table has far more rows than before.
    ManyRows {
        /// Rows it has.
        rows: u64,
        /// Rows the last good upload had.
        before: u64,
        /// The setting.
        most: f64,
    },
    /// A searchable column is mostly blank.
    Blank {
        /// Its name.
        column: String,
        /// Blank values.
        blank: u64,
        /// Rows of the table.
        rows: u64,
        /// Blank values and rows of the last good upload, if there was one.
        before: Option<(u64, u64)>,
        /// The setting.
        most: f64,
    },
}

impl Figures {
    /// Returns those of a bundle.
    pub fn of(manifest: &Manifest) -> Self {
        let counts = manifest.blank.as_deref().unwrap_or_default();
        let counted = manifest.columns.iter().zip(counts).filter(|(column, _)| column.searchable);
        Self {
            rows: manifest.rows,
            blank: counted.map(|(column, &blank)| (column.name.clone(), blank)).collect(),
            content: manifest.content.clone(),
        }
    }
}

impl Good {
    /// Returns whether a table holds what this upload put into the same data
    /// store. Whether the store still does is another question: see
    /// [`Good::is_current`].
    pub fn is_same(&self, figures: &Figures, store: &str) -> bool {
        self.store == store && figures.content.is_some() && self.figures.content == figures.content
    }

    /// Returns whether nobody changed the store's data since, by its own word.
    /// Any other date than the one that was seen, also an earlier one or none,
    /// says that somebody may have.
    pub fn is_current(&self, updated: Option<DateTime<Utc>>) -> bool {
        updated.is_some() && self.updated == updated
    }
}

/// Returns why an upload is to be held; nothing lets it pass. The first upload
/// of a table has no rows to be compared with.
pub fn judge(figures: &Figures, good: Option<&Good>, rules: Rules) -> Vec<Reason> {
    let rows = figures.rows;
    let before = good.map(|good| good.figures.rows).filter(|&before| before > 0);
    let share = before.map(|before| percent(rows, before));
    let mut reasons = Vec::new();
    if let (Some(before), Some(share)) = (before, share) {
        if share < rules.min_rows_percent {
            reasons.push(Reason::FewRows { rows, before, least: rules.min_rows_percent });
        } else if share > rules.max_rows_percent && rules.max_rows_percent > 0.0 {
            reasons.push(Reason::ManyRows { rows, before, most: rules.max_rows_percent });
        }
    }
    for (column, &blank) in &figures.blank {
        let before = good.and_then(|good| Some((*good.figures.blank.get(column)?, good.figures.rows)));
        if is_blank(blank, rows, before, rules.max_blank_percent) {
            let most = rules.max_blank_percent;
            reasons.push(Reason::Blank { column: column.clone(), blank, rows, before, most });
        }
    }
    reasons
}

/// A column that was over the limit in the last good upload may be so again,
/// unless not one value is left in it where there were some.
fn is_blank(blank: u64, rows: u64, before: Option<(u64, u64)>, most: f64) -> bool {
    let is_known = before.is_some_and(|(blank_before, rows_before)| {
        percent(blank_before, rows_before) > most && (blank < rows || blank_before == rows_before)
    });
    rows > 0 && percent(blank, rows) > most && !is_known
}

/// Returns a share in percent; of nothing it is none.
fn percent(part: u64, whole: u64) -> f64 {
    if whole == 0 { 0.0 } else { part as f64 * 100.0 / whole as f64 }
}

impl fmt::Display for Reason {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::FewRows { rows, before, least } => {
                let share = percent(*rows, *before);
                write!(out, "it has {rows} rows, {share:.1} % of the {before} of the last good upload; ")?;
                write!(out, "min_rows_percent is {least}")
            }
            Self::ManyRows { rows, before, most } => {
                let share = percent(*rows, *before);
                write!(out, "it has {rows} rows, {share:.1} % of the {before} of the last good upload; ")?;
                write!(out, "max_rows_percent is {most}")
            }
            Self::Blank { column, blank, rows, before, most } => {
                let share = percent(*blank, *rows);
                write!(out, "column {column} is blank in {blank} of {rows} rows, {share:.1} %")?;
                if let Some((blank, rows)) = before {
                    write!(out, ", after {:.1} % in the last good upload", percent(*blank, *rows))?;
                }
                write!(out, "; max_blank_percent is {most}")
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RULES: Rules = Rules { min_rows_percent: 80.0, max_rows_percent: 200.0, max_blank_percent: 50.0 };

    fn figures(rows: u64, blank: u64) -> Figures {
        Figures { rows, blank: BTreeMap::from([("A".to_owned(), blank)]), content: Some("c".to_owned()) }
    }

    fn good(rows: u64, blank: u64) -> Good {
        Good { figures: figures(rows, blank), store: "S".to_owned(), updated: None }
    }

    #[test]
    fn rows_are_compared_with_the_last_good_upload_from_limit_to_limit() {
        let held = |rows, before| judge(&figures(rows, 0), Some(&good(before, 0)), RULES).len();
        for (rows, before, expected) in
            [(80, 100, 0), (79, 100, 1), (0, 100, 1), (200, 100, 0), (201, 100, 1), (1_000, 0, 0), (0, 0, 0)]
        {
            assert_eq!(held(rows, before), expected, "{rows} after {before}");
        }
        assert!(judge(&figures(1, 0), None, RULES).is_empty(), "the first has nothing to be compared with");
        let off = Rules { min_rows_percent: 0.0, max_rows_percent: 0.0, ..RULES };
        for rows in [0, 1, 1_000_000] {
            assert!(judge(&figures(rows, 0), Some(&good(100, 0)), off).is_empty(), "{rows}");
        }
    }

    #[test]
    fn a_searchable_column_over_the_limit_is_held_unless_it_was_so_before() {
        let held = |blank, before: Option<u64>| {
            let before = before.map(|blank| good(100, blank));
            !judge(&figures(100, blank), before.as_ref(), RULES).is_empty()
        };
        assert!(!held(50, None) && held(51, None), "also the first time");
        assert!(!held(50, Some(0)) && held(51, Some(0)) && held(51, Some(50)));
        assert!(!held(99, Some(51)), "it was over the limit before");
        assert!(held(100, Some(99)), "nothing is left of it");
        assert!(!held(100, Some(100)));
        let off = Rules { max_blank_percent: 100.0, ..RULES };
        assert!(judge(&figures(100, 100), None, off).is_empty());
        assert!(judge(&figures(0, 0), None, RULES).is_empty(), "no rows are not blank ones");
    }

    #[test]
    fn a_reason_says_the_numbers_and_the_setting() {
        let collapsed = judge(&figures(3, 3), Some(&good(1_000, 10)), RULES);
        let said: Vec<String> = collapsed.iter().map(ToString::to_string).collect();
        assert_eq!(
            said,
            [
                "it has 3 rows, 0.3 % of the 1000 of the last good upload; min_rows_percent is 80",
                "column A is blank in 3 of 3 rows, 100.0 %, after 1.0 % in the last good upload; max_blank_percent is 50",
            ]
        );
        let grown = judge(&figures(250, 0), Some(&good(100, 0)), RULES);
        assert_eq!(
            grown[0].to_string(),
            "it has 250 rows, 250.0 % of the 100 of the last good upload; max_rows_percent is 200"
        );
    }

    #[test]
    fn the_same_content_in_the_same_store_is_unchanged_as_long_as_the_store_says_so() {
        let date = |text: &str| text.parse().ok();
        let seen = Good { updated: date("2027-03-05T02:30:00Z"), ..good(100, 0) };
        assert!(seen.is_same(&figures(100, 0), "S"));
        assert!(!seen.is_same(&figures(100, 0), "T"), "another data store");
        let other = Figures { content: Some("d".to_owned()), ..figures(100, 0) };
        assert!(!seen.is_same(&other, "S"));
        let none = Figures { content: None, ..figures(100, 0) };
        let unknown = Good { figures: none.clone(), ..seen.clone() };
        assert!(!unknown.is_same(&none, "S"), "two that nobody digested are not the same");
        assert!(seen.is_current(date("2027-03-05T02:30:00Z")));
        for other in [date("2027-03-05T02:30:01Z"), date("2027-03-05T02:29:59Z"), None] {
            assert!(!seen.is_current(other), "{other:?}");
        }
        assert!(!good(100, 0).is_current(None), "nobody saw when it changed");
    }
}
