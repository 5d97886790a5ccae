//! A strict reader of expositions: what `OpenMetrics` 1.0 wants and nothing it
//! merely allows, so that whatever reads metrics reads ours.

use std::collections::{BTreeMap, BTreeSet};

/// One family of metrics.
#[derive(Debug, Clone, Default)]
pub(crate) struct Family {
    pub(crate) name: String,
    pub(crate) kind: String,
    pub(crate) unit: String,
    /// Names of labels of any series, but those the kind brings.
    pub(crate) labels: BTreeSet<String>,
}

/// Everything one scrape brought.
#[derive(Debug, Clone, Default)]
pub(crate) struct Exposition {
    pub(crate) families: Vec<Family>,
    /// The value of each series, written `name{label="value",…}` as it came.
    pub(crate) series: BTreeMap<String, f64>,
}

impl Exposition {
    /// Reads a whole exposition.
    ///
    /// # Panics
    ///
    /// Where it is not as it should be.
    pub(crate) fn read(text: &str) -> Self {
        let body = text.strip_suffix("# EOF\n").expect("it ends with # EOF and a line feed");
        assert!(!body.contains("# EOF"), "the end comes once");
        let mut found = Self::default();
        for line in body.lines() {
            match line.strip_prefix("# ") {
                Some(described) => found.describe(described),
                None => found.sample(line),
            }
        }
        let names: BTreeSet<&str> = found.families.iter().map(|family| family.name.as_str()).collect();
        assert_eq!(names.len(), found.families.len(), "a family comes once");
        found.families.iter().for_each(|family| found.check(family));
        found
    }

    /// The value of a series; a missing one fails the test.
    pub(crate) fn value(&self, series: &str) -> f64 {
        self.get(series).unwrap_or_else(|| panic!("{series} is none of {:#?}", self.series.keys()))
    }

    /// The value of a series, if it is there.
    pub(crate) fn get(&self, series: &str) -> Option<f64> {
        self.series.get(series).copied()
    }

    /// The sum of all series of a sample name.
    pub(crate) fn sum(&self, name: &str) -> f64 {
        self.series.iter().filter(|(series, _)| bare(series) == name).map(|(_, value)| value).sum()
    }

    /// Every name a sample has.
    pub(crate) fn names(&self) -> BTreeSet<&str> {
        self.series.keys().map(|series| bare(series)).collect()
    }

    fn describe(&mut self, line: &str) {
        let (word, rest) = line.split_once(' ').unwrap();
        let (name, text) = rest.split_once(' ').unwrap_or((rest, ""));
        if word == "HELP" {
            assert!(is_name(name), "{name}");
            assert!(text.ends_with('.') && text.len() > 10 && !text.contains('\\'), "{name}: {text}");
            self.families.push(Family { name: name.to_owned(), ..Family::default() });
            return;
        }
        let family = self.families.last_mut().expect("HELP comes first");
        assert_eq!(family.name, name, "families do not interleave");
        assert!(!self.series.keys().any(|series| bare(series) == name), "{name} is described before its samples");
        match word {
            "TYPE" => {
                assert!(family.kind.is_empty() && family.unit.is_empty(), "{name}: HELP, TYPE, UNIT");
                assert!(["counter", "gauge", "histogram", "info"].contains(&text), "{name}: {text}");
                family.kind = text.to_owned();
            }
            "UNIT" => {
                assert!(!family.kind.is_empty() && family.unit.is_empty(), "{name}: HELP, TYPE, UNIT");
                assert!(name.ends_with(&format!("_{text}")), "{name} is in {text}");
                family.unit = text.to_owned();
            }
            other => panic!("{other} is no word of an exposition"),
        }
    }

    fn sample(&mut self, line: &str) {
        let (series, value) = line.rsplit_once(' ').unwrap_or_else(|| panic!("{line:?}"));
        let (name, labels) = series.split_once('{').map_or((series, ""), |(name, rest)| {
            (name, rest.strip_suffix('}').unwrap_or_else(|| panic!("{line:?}: braces")))
        });
        let family = self.families.last_mut().expect("a sample has a family");
        let suffixes: &[&str] = match family.kind.as_str() {
            "counter" => &["_total"],
            "histogram" => &["_bucket", "_sum", "_count"],
            "info" => &["_info"],
            _ => &[""],
        };
        let suffix = name.strip_prefix(family.name.as_str()).unwrap_or_else(|| panic!("{line:?} is of {family:?}"));
        assert!(suffixes.contains(&suffix), "{line:?}: {}", family.kind);
        for (label, _) in read_labels(labels) {
            let is_of_kind = label == "le" && suffix == "_bucket";
            assert!(is_name(&label) && !label.contains(':'), "{line:?}");
            if !is_of_kind {
                family.labels.insert(label);
            }
        }
        let value: f64 = value.parse().unwrap_or_else(|_| panic!("{line:?}"));
        assert!(value.is_finite(), "{line:?}");
        assert!(family.kind == "gauge" || value >= 0.0, "{line:?}");
        assert!(self.series.insert(series.to_owned(), value).is_none(), "{series} comes twice");
    }

    fn check(&self, family: &Family) {
        assert!(!family.kind.is_empty(), "{} has a type", family.name);
        for unit in ["seconds", "bytes", "ratio"] {
            let is_in = family.name.ends_with(&format!("_{unit}"));
            assert_eq!(is_in, family.unit == unit, "{} says its unit", family.name);
        }
        if family.kind != "histogram" {
            return;
        }
        // The buckets of one series stand together and ascend to all there are.
        let of = |suffix: &str| {
            let name = format!("{}{suffix}", family.name);
            self.series.iter().filter(move |(series, _)| bare(series) == name)
        };
        for (series, count) in of("_count") {
            let labels = series.split_once('{').map_or("", |(_, labels)| labels.trim_end_matches('}'));
            let mine = |other: &str| {
                let rest = other.split_once('{').unwrap().1.trim_end_matches('}');
                rest.split_once("le=\"").map(|(before, after)| {
                    let after = after.split_once('"').unwrap().1.trim_start_matches(',');
                    format!("{before}{after}").trim_end_matches(',').to_owned()
                })
            };
            let buckets = of("_bucket").filter(|(other, _)| mine(other).as_deref() == Some(labels));
            let mut buckets: Vec<(f64, f64)> = buckets.map(|(other, value)| (bound(other), *value)).collect();
            buckets.sort_by(|one, next| one.0.total_cmp(&next.0));
            assert!(buckets.is_sorted_by(|one, next| one.0 < next.0 && one.1 <= next.1), "{series}: {buckets:?}");
            assert_eq!(buckets.last(), Some(&(f64::INFINITY, *count)), "{series}");
        }
    }
}

/// Reads `name="value",…`, with the three escapes there are.
fn read_labels(text: &str) -> Vec<(String, String)> {
    let mut labels = Vec::new();
    let mut rest = text;
    while !rest.is_empty() {
        let (name, after) = rest.split_once("=\"").unwrap_or_else(|| panic!("{text:?}"));
        let (mut value, mut characters) = (String::new(), after.char_indices());
        let end = loop {
            match characters.next().unwrap_or_else(|| panic!("{text:?}: no end")) {
                (at, '"') => break at,
                (_, '\\') => match characters.next() {
                    Some((_, 'n')) => value.push('\n'),
                    Some((_, other @ ('\\' | '"'))) => value.push(other),
                    other => panic!("{text:?}: {other:?}"),
                },
                (_, other) => value.push(other),
            }
        };
        labels.push((name.to_owned(), value));
        rest = &after[end + 1..];
        if let Some(more) = rest.strip_prefix(',') {
            assert!(!more.is_empty(), "{text:?}: a comma is followed by a label");
            rest = more;
        } else {
            assert!(rest.is_empty(), "{text:?}");
        }
    }
    labels
}

fn bare(series: &str) -> &str {
    series.split('{').next().unwrap_or_default()
}

fn bound(series: &str) -> f64 {
    let text = series.split_once("le=\"").unwrap().1.split('"').next().unwrap();
    if text == "+Inf" { f64::INFINITY } else { text.parse().unwrap() }
}

fn is_name(text: &str) -> bool {
    let mut characters = text.chars();
    let first = characters.next().is_some_and(|first| first.is_ascii_lowercase());
    first && characters.all(|other| other.is_ascii_lowercase() || other.is_ascii_digit() || other == '_')
}
