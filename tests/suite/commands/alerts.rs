//! The rules for alerts: whole, understood, about what is there, and with a
//! place that says what to do.

use std::collections::BTreeSet;

use serde_json::Value;

use super::harness::Host;
use super::metrics::{scrape, serve};
use crate::support::tree;
use crate::support::yaml::documents;

/// What an expression may hold besides metrics: functions, operators, and the
/// one metric that Prometheus makes itself.
const WORDS: [&str; 14] = [
    "abs",
    "and",
    "by",
    "group_left",
    "histogram_quantile",
    "increase",
    "max",
    "min",
    "on",
    "or",
    "rate",
    "sum",
    "time",
    "unless",
];
const MADE_BY_PROMETHEUS: &str = "up";

/// What is to be watched, whatever else is.
const NEEDED: [(&str, &str); 8] = [
    ("EdmAgentNotLive", "edm_agent_live"),
    ("EdmAgentLeaseSlackLow", "edm_agent_renew_slack_ratio_bucket"),
    ("EdmAgentTableOld", "edm_agent_table_live_age_seconds"),
    ("EdmAgentTableHeld", "edm_agent_table_held"),
    ("EdmAgentQuotaLow", "edm_agent_quota_left"),
    ("EdmAgentDiskLow", "edm_agent_disk_free_bytes"),
    ("EdmAgentSignInFailing", "edm_agent_sign_in_failing"),
    ("EdmAgentReloadRefused", "edm_agent_config_last_reload_success"),
];

fn rules() -> Vec<Value> {
    let file = documents("docs/alerts.yml").remove(0);
    let groups = file["groups"].as_array().unwrap().clone();
    assert!(groups.iter().all(|group| group["name"].is_string()));
    groups.iter().flat_map(|group| group["rules"].as_array().unwrap().clone()).collect()
}

fn text<'a>(rule: &'a Value, pointer: &str) -> &'a str {
    rule.pointer(pointer).and_then(Value::as_str).unwrap_or_else(|| panic!("{pointer} of {rule:#}"))
}

/// Reads an expression; returns the metrics in it.
///
/// # Panics
///
/// Where brackets, texts or label matchers are not whole, or a word is unknown.
fn metrics_of(expression: &str) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    let mut open = Vec::new();
    let mut rest = expression;
    let mut last = String::new();
    while let Some(next) = rest.chars().next() {
        let is_word = |character: char| character.is_ascii_alphanumeric() || character == '_' || character == ':';
        let length = match next {
            '{' => {
                let end = rest.find('}').unwrap_or_else(|| panic!("{expression}: no end of {{"));
                rest[1..end].split(',').for_each(|matcher| assert_matcher(matcher, expression));
                assert!(found.contains(&last), "{expression}: labels follow a metric");
                end + 1
            }
            '(' | '[' => {
                // What stands in these is a list of labels.
                open.push((next, next == '(' && ["by", "on", "group_left"].contains(&last.as_str())));
                1
            }
            ')' | ']' => {
                let (opened, _) = open.pop().unwrap_or_else(|| panic!("{expression}: nothing is open"));
                assert_eq!(opened, if next == ')' { '(' } else { '[' }, "{expression}");
                1
            }
            _ if is_word(next) => rest.find(|other| !is_word(other)).unwrap_or(rest.len()),
            _ => {
                assert!(" \n=!<>+-*/,.".contains(next), "{expression}: {next}");
                1
            }
        };
        let word = &rest[..length];
        let is_label = open.last().is_some_and(|&(_, is_list)| is_list);
        let is_duration = open.last().is_some_and(|&(opened, _)| opened == '[');
        if is_duration && next.is_ascii_digit() {
            edm_agent::ground::units::parse_duration(word).unwrap();
        } else if next.is_ascii_alphabetic() && !is_label && !WORDS.contains(&word) {
            found.insert(word.to_owned());
        }
        if !next.is_whitespace() {
            word.clone_into(&mut last);
        }
        rest = &rest[length..];
    }
    assert!(open.is_empty(), "{expression}: {open:?} is open");
    found
}

fn assert_matcher(matcher: &str, expression: &str) {
    let at = matcher.find(['=', '!']).unwrap_or_else(|| panic!("{expression}: {matcher}"));
    let (name, rest) = matcher.trim().split_at(at);
    let value = ["=~", "!~", "!=", "="].iter().find_map(|operator| rest.strip_prefix(operator));
    let value = value.unwrap_or_else(|| panic!("{expression}: {matcher}"));
    assert!(
        name.chars().all(|character| character.is_ascii_lowercase() || character == '_'),
        "{expression}: {matcher}"
    );
    assert!(value.len() >= 2 && value.starts_with('"') && value.ends_with('"'), "{expression}: {matcher}");
    assert_eq!(value.matches('"').count(), 2, "{expression}: {matcher}");
}

#[test]
fn a_broken_expression_is_noticed() {
    assert_eq!(
        metrics_of("sum by (a, le) (rate(x_total{b=\"c\"}[5m])) / y > 0.5"),
        BTreeSet::from(["x_total", "y"].map(str::to_owned))
    );
    for broken in ["rate(x[5m]", "x{a=b}", "x{a=\"b\"", "x[5 minutes]", "x)", "x{a\"b\"}", "(x]", "{a=\"b\"}", "x ; y"]
    {
        assert!(std::panic::catch_unwind(|| metrics_of(broken)).is_err(), "{broken}");
    }
}

/// Returns the anchor a heading has.
fn anchor(heading: &str) -> String {
    heading.trim().to_lowercase().replace(' ', "-")
}

#[test]
fn every_rule_has_all_its_parts_and_a_place_that_says_what_to_do() {
    let page = tree::read("docs/RUNBOOK.md");
    let anchors: BTreeSet<String> = page.lines().filter_map(|line| line.strip_prefix("## ")).map(anchor).collect();
    let package = tree::read("packaging/deb/build");
    assert!(
        ["docs/alerts.yml", "docs/RUNBOOK.md"].iter().all(|file| package.contains(file)),
        "the package brings both"
    );
    let rules = rules();
    let mut used = BTreeSet::new();
    for rule in &rules {
        let name = text(rule, "/alert");
        assert!(name.starts_with("EdmAgent"), "{name}");
        let known = ["alert", "expr", "for", "labels", "annotations"];
        assert!(rule.as_object().unwrap().keys().all(|key| known.contains(&key.as_str())), "{rule:#}");
        edm_agent::ground::units::parse_duration(text(rule, "/for")).unwrap();
        assert!(["critical", "warning"].contains(&text(rule, "/labels/severity")), "{name}");
        let summary = text(rule, "/annotations/summary");
        assert!(
            summary.contains("{{ $labels.") && summary.matches("{{").count() == summary.matches("}}").count(),
            "{name}"
        );
        let (file, at) = text(rule, "/annotations/runbook").split_once('#').unwrap();
        assert_eq!(file, "docs/RUNBOOK.md", "{name}");
        assert!(anchors.contains(at), "{name}: there is no {at} in {anchors:?}");
        used.insert(at.to_owned());
    }
    assert_eq!(used, anchors, "every part of the page is somebody's");
    let names: BTreeSet<&str> = rules.iter().map(|rule| text(rule, "/alert")).collect();
    assert_eq!(names.len(), rules.len(), "a name is of one rule");
    for (name, metric) in NEEDED {
        let rule = rules.iter().find(|rule| rule["alert"] == name).unwrap_or_else(|| panic!("{name} is missing"));
        assert!(metrics_of(text(rule, "/expr")).contains(metric), "{name}");
    }
}

#[tokio::test]
async fn every_rule_is_about_metrics_and_labels_the_running_agent_shows() {
    let mut host = Host::scripted("[quirks]\nbandwidth = \"64KiB\"\n").await;
    let probes = host.listen_for_probes();
    let agent = serve(&host, &probes).await;
    // A session that is open has a lease, and a table that was live has an age.
    let upload = host.run(&["upload", "--table", "patients"]).await;
    assert_eq!(upload.code, Some(0), "{upload:?}");
    let (_, opened) = host
        .ask("POST", "v1/sessions", Some(serde_json::json!({ "data_store": "PatientRecords", "total_blocks": 3 })))
        .await;
    assert!(opened["upload_id"].is_string(), "{opened}");
    let lease = "edm_agent_lease_expires_timestamp_seconds";
    let mut scraped = scrape(&probes).await;
    while !scraped.names().contains(lease) {
        assert!(host.asked(edm_agent::sandbox::Operation::Create) < 10, "{}", agent.said());
        super::harness::pause(std::time::Duration::from_millis(100)).await;
        scraped = scrape(&probes).await;
    }
    let shown: BTreeSet<String> = scraped.names().into_iter().map(str::to_owned).collect();
    for rule in rules() {
        let expression = text(&rule, "/expr");
        let mut metrics = metrics_of(expression);
        metrics.remove(MADE_BY_PROMETHEUS);
        assert!(!metrics.is_empty(), "{expression}");
        for metric in &metrics {
            assert!(shown.contains(metric), "{expression}: {metric} is not in {shown:#?}");
        }
        // What a summary names are labels of one of its metrics.
        for label in text(&rule, "/annotations/summary").split("$labels.").skip(1) {
            let label: String =
                label.chars().take_while(|character| character.is_ascii_lowercase() || *character == '_').collect();
            let has = |metric: &String| {
                scraped
                    .series
                    .keys()
                    .any(|series| series.starts_with(&format!("{metric}{{")) && series.contains(&format!("{label}=\"")))
            };
            assert!(label == "instance" || metrics.iter().any(has), "{expression}: there is no label {label}");
        }
    }
}
