//! What must hold between the settings, whichever layer they came from.

use std::collections::HashSet;
use std::time::Duration;

use url::Url;

use super::{Layers, refused, shown};
use crate::agent::exit::Trouble;
use crate::agent::schedule::times::JITTER_AT_MOST;
use crate::agent::schedule::{When, timetable};
use crate::agent::settings::{Settings, TableSettings};
use crate::agent::tables::separator;
use crate::table::block::CELL;
use crate::table::layout::LARGEST_BLOCK;
use crate::upload::uri::HostPattern;

/// The longest any duration may be: ten years. It is added to clocks, which
/// must not overflow, and anything longer is a slip.
const LONGEST: Duration = Duration::from_secs(3_653 * 86_400);

/// The words of `log.level`.
const LEVELS: [&str; 5] = ["error", "warn", "info", "debug", "trace"];

/// A rule: whether it holds, the key it is about, and what must be.
type Rule = (bool, &'static str, &'static str);

/// Checks settings that each are of the right kind.
pub(super) fn check(settings: &Settings, layers: &Layers) -> Result<(), Trouble> {
    let refuse = |key: &str, must: &str| Err(refused(format!("setting `{key}`{}: it {must}", layers.place(key))));
    for (key, duration) in durations(settings) {
        if duration > LONGEST {
            return refuse(key, "must be at most 3653d");
        }
    }
    for (holds, key, must) in rules(settings, layers).into_iter().chain(addresses(settings)) {
        if !holds {
            return refuse(key, must);
        }
    }
    for (number, text) in settings.upload.allowed_hosts.iter().enumerate() {
        if let Err(must) = HostPattern::parse(text) {
            let (key, entry) = ("upload.allowed_hosts", number + 1);
            let place = layers.place_in_list(key, number);
            return Err(refused(format!("setting `{key}`{place}: entry {entry} {must}")));
        }
    }
    let mut names = HashSet::new();
    for (number, table) in settings.table.iter().enumerate() {
        let refuse = |key: &str, must: &str| {
            let place = layers.place(&format!("table.{number}.{key}"));
            Err(refused(format!("table {}: setting `{key}`{place}: it {must}", shown(&table.name))))
        };
        if let Err(must) = timetable::zone(&table.timezone) {
            return refuse("timezone", &must);
        }
        if table.settle > LONGEST {
            return refuse("settle", "must be at most 3653d");
        }
        for (holds, key, must) in table_rules(table) {
            if !holds {
                return refuse(key, must);
            }
        }
        if !names.insert(&table.name) {
            return refuse("name", "must be different from every other table's");
        }
    }
    Ok(())
}

fn durations(settings: &Settings) -> [(&'static str, Duration); 13] {
    [
        ("graph.timeout", settings.graph.timeout),
        ("graph.retry_after_max", settings.graph.retry_after_max),
        ("lease.session_ttl", settings.lease.session_ttl),
        ("lease.guard", settings.lease.guard),
        ("upload.block_timeout", settings.upload.block_timeout),
        ("upload.give_up_after", settings.upload.give_up_after),
        ("bundles.retain_failed", settings.bundles.retain_failed),
        ("journal.retain", settings.journal.retain),
        ("progress.min_interval", settings.progress.min_interval),
        ("processing.poll_min", settings.processing.poll_min),
        ("processing.poll_max", settings.processing.poll_max),
        ("processing.deadline", settings.processing.deadline),
        ("quota.backoff", settings.quota.backoff),
    ]
}

fn rules(settings: &Settings, layers: &Layers) -> Vec<Rule> {
    let [from, to] = settings.lease.renew_window;
    let processing = &settings.processing;
    let lower = |words: &[String]| words.iter().map(|word| word.to_lowercase()).collect::<HashSet<_>>();
    let (success, failure) = (lower(&processing.success), lower(&processing.failure));
    let meaningful = |words: &HashSet<String>| !words.is_empty() && words.iter().all(|word| !word.trim().is_empty());
    let positive = "must be longer than nothing";
    let level = settings.log.level.as_str();
    vec![
        (!settings.state_dir.as_os_str().is_empty(), "state_dir", "must name a folder"),
        (!settings.control.socket.as_os_str().is_empty(), "control.socket", "must name a socket"),
        (!settings.graph.timeout.is_zero(), "graph.timeout", positive),
        (!settings.lease.session_ttl.is_zero(), "lease.session_ttl", positive),
        // The default guard is an upper bound that short leases bound further.
        (
            settings.lease.guard < settings.lease.session_ttl || !layers.has("lease.guard"),
            "lease.guard",
            "must be shorter than lease.session_ttl",
        ),
        (
            0.0 < from && from <= to && to < 1.0,
            "lease.renew_window",
            "must be two numbers in order, above 0 and below 1: when renewing begins and by when it is done",
        ),
        (settings.upload.concurrency > 0, "upload.concurrency", "must be at least 1"),
        (
            (1..=LARGEST_BLOCK as u64).contains(&settings.upload.block_size),
            "upload.block_size",
            "must be at least 1B and at most 128MiB: a block is held in memory whole",
        ),
        (settings.upload.memory > 0, "upload.memory", "must not be 0: one block is in flight at least"),
        (!settings.upload.block_timeout.is_zero(), "upload.block_timeout", positive),
        (!processing.poll_min.is_zero(), "processing.poll_min", positive),
        (
            processing.poll_min <= processing.poll_max || !layers.has("processing.poll_min"),
            "processing.poll_min",
            "must be at most processing.poll_max",
        ),
        (
            processing.poll_min <= processing.poll_max,
            "processing.poll_max",
            "must be at least processing.poll_min, which is 60s if it is not set",
        ),
        (meaningful(&success), "processing.success", "must have at least one word, and none empty"),
        (meaningful(&failure), "processing.failure", "must have at least one word, and none empty"),
        (
            success.is_disjoint(&failure) || layers.has("processing.failure"),
            "processing.success",
            "must share no word with processing.failure",
        ),
        (success.is_disjoint(&failure), "processing.failure", "must share no word with processing.success"),
        (settings.quota.sessions_per_day > 0, "quota.sessions_per_day", "must be at least 1"),
        (
            settings.quota.reserved <= settings.quota.sessions_per_day,
            "quota.reserved",
            "must be at most quota.sessions_per_day",
        ),
        (LEVELS.contains(&level), "log.level", "must be one of error, warn, info, debug, trace"),
    ]
}

fn addresses(settings: &Settings) -> [Rule; 6] {
    let not_address = "must be an address that begins with https:// and has no query";
    let inline = "must not hold a user name or password: secrets come from files, and [auth] says who the agent is";
    let proxy = &settings.graph.proxy;
    let has_proxy = !proxy.is_empty() && proxy != "env";
    [
        (has_no_user(&settings.graph.base_url), "graph.base_url", inline),
        (is_address(&settings.graph.base_url), "graph.base_url", not_address),
        (has_no_user(&settings.auth.authority), "auth.authority", inline),
        (is_address(&settings.auth.authority), "auth.authority", not_address),
        (
            has_no_user(proxy),
            "graph.proxy",
            "must not hold a user name or password: write \"env\" and set HTTPS_PROXY for this process alone",
        ),
        (!has_proxy || is_address(proxy), "graph.proxy", "must be empty, \"env\" or an address"),
    ]
}

/// Returns whether an address names no user. A text that is no address may
/// still hold a password, so the mark alone is looked for.
fn has_no_user(address: &str) -> bool {
    !address.contains('@')
}

/// Returns whether a text is empty, for the default, or an address. Where plain
/// http is allowed is the clients' to say.
fn is_address(text: &str) -> bool {
    let is_sound = |url: Url| {
        ["http", "https"].contains(&url.scheme()) && url.has_host() && url.query().is_none() && url.fragment().is_none()
    };
    text.is_empty() || Url::parse(text).is_ok_and(is_sound)
}

fn table_rules(table: &TableSettings) -> [Rule; 15] {
    let must = "must not be empty";
    let largest = (LARGEST_BLOCK / CELL) as u64;
    let canary = table.canary.as_ref();
    [
        (!table.name.trim().is_empty(), "name", must),
        (!table.name.chars().any(char::is_control), "name", "must not hold control characters"),
        (!table.data_store.trim().is_empty(), "data_store", must),
        (!table.path.as_os_str().is_empty(), "path", must),
        (!table.schema.is_empty(), "schema", "must name a file, or be \"service\""),
        (
            u64::from(table.rows_per_block) <= largest,
            "rows_per_block",
            "must be at most 4194304, or 0 to have it chosen: a block may have 128 MiB",
        ),
        (
            (0.0..=100.0).contains(&table.allowed_bad_lines_percent),
            "allowed_bad_lines_percent",
            "must be from 0 to 100",
        ),
        (
            (0.0..=100.0).contains(&table.min_rows_percent),
            "min_rows_percent",
            "must be from 0 to 100, of the rows of the last good upload; 0 lets any pass",
        ),
        (
            table.max_rows_percent == 0.0 || (100.0..=1e9).contains(&table.max_rows_percent),
            "max_rows_percent",
            "must be at least 100, of the rows of the last good upload, or 0 to let any pass",
        ),
        ((0.0..=100.0).contains(&table.max_blank_percent), "max_blank_percent", "must be from 0 to 100"),
        (
            separator(&table.separator).is_ok(),
            "separator",
            "must be auto, comma, tab, pipe, semicolon, or one character that is no letter, digit, quote or line break",
        ),
        (table.jitter <= JITTER_AT_MOST, "jitter", "must be at most 24h"),
        (
            !table.done_marker.contains(['/', '\0']),
            "done_marker",
            "must be the end of a name, such as \".done\": it is added to path",
        ),
        (When::parse(table).is_ok(), "when", "must be on-change, manual, or a cron expression such as \"30 2 * * *\""),
        (
            canary.is_none_or(|canary| !canary.column.is_empty() && !canary.value.is_empty()),
            "canary",
            "must name a column and a value",
        ),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_limits_in_the_messages_are_the_limits() {
        assert_eq!(LARGEST_BLOCK / CELL, 4_194_304);
        assert_eq!(LARGEST_BLOCK, 128 << 20);
    }

    #[test]
    fn addresses_are_told_from_what_is_none() {
        for address in ["", "https://graph.microsoft.com/beta", "http://127.0.0.1:8080/beta"] {
            assert!(is_address(address) && has_no_user(address), "{address}");
        }
        for text in ["graph.microsoft.com", "ftp://host/", "https://host/?code=1", "https://host/#x", "https://"] {
            assert!(!is_address(text), "{text}");
        }
        assert!(!has_no_user("https://user:secret@host/"));
    }
}
