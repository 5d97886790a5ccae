//! What must hold between settings that each are of the right kind.

use std::time::Duration;

use super::{TABLE, read, said};

#[test]
fn settings_that_contradict_each_other_are_refused_at_their_place() {
    let cases = [
        ("[lease]\nguard = \"60m\"\n", "`lease.guard` at agent.toml:2:1: it must be shorter than lease.session_ttl"),
        ("[lease]\nsession_ttl = \"0s\"\n", "`lease.session_ttl` at agent.toml:2:1: it must be longer than nothing"),
        (
            "[lease]\nrenew_window = [0.6, 0.35]\n",
            "`lease.renew_window` at agent.toml:2:1: it must be two numbers in order",
        ),
        (
            "[lease]\nrenew_window = [0.0, 0.5]\n",
            "`lease.renew_window` at agent.toml:2:1: it must be two numbers in order",
        ),
        (
            "[lease]\nrenew_window = [0.5, 1.0]\n",
            "`lease.renew_window` at agent.toml:2:1: it must be two numbers in order",
        ),
        (
            "[lease]\nrenew_window = [nan, 0.5]\n",
            "`lease.renew_window` at agent.toml:2:1: it must be two numbers in order",
        ),
        ("[upload]\nconcurrency = 0\n", "`upload.concurrency` at agent.toml:2:1: it must be at least 1"),
        (
            "[upload]\nmemory = \"0B\"\n",
            "`upload.memory` at agent.toml:2:1: it must not be 0: one block is in flight at least",
        ),
        (
            "[upload]\nblock_size = \"0B\"\n",
            "`upload.block_size` at agent.toml:2:1: it must be at least 1B and at most 128MiB",
        ),
        (
            "[upload]\nblock_size = \"129MiB\"\n",
            "`upload.block_size` at agent.toml:2:1: it must be at least 1B and at most 128MiB",
        ),
        ("[graph]\ntimeout = \"0ms\"\n", "`graph.timeout` at agent.toml:2:1: it must be longer than nothing"),
        ("[graph]\nbase_url = \"graph\"\n", "`graph.base_url` at agent.toml:2:1: it must be an address"),
        ("[graph]\nproxy = \"none\"\n", "`graph.proxy` at agent.toml:2:1: it must be empty, \"env\" or an address"),
        ("[journal]\nretain = \"99999d\"\n", "`journal.retain` at agent.toml:2:1: it must be at most 3653d"),
        (
            "[processing]\npoll_min = \"10m\"\n",
            "`processing.poll_min` at agent.toml:2:1: it must be at most processing.poll_max",
        ),
        (
            "[processing]\npoll_max = \"59s\"\n",
            "`processing.poll_max` at agent.toml:2:1: it must be at least processing.poll_min",
        ),
        (
            "[processing]\npoll_min = \"0s\"\n",
            "`processing.poll_min` at agent.toml:2:1: it must be longer than nothing",
        ),
        ("[processing]\nsuccess = []\n", "`processing.success` at agent.toml:2:1: it must have at least one word"),
        (
            "[processing]\nfailure = [\"Failed\", \" \"]\n",
            "`processing.failure` at agent.toml:2:1: it must have at least one word",
        ),
        ("[processing]\nfailure = [\"COMPLETED\"]\n", "`processing.failure` at agent.toml:2:1: it must share no word"),
        ("[processing]\nsuccess = [\"error\"]\n", "`processing.success` at agent.toml:2:1: it must share no word"),
        ("[quota]\nreserved = 6\n", "`quota.reserved` at agent.toml:2:1: it must be at most quota.sessions_per_day"),
        ("[quota]\nsessions_per_day = 0\n", "`quota.sessions_per_day` at agent.toml:2:1: it must be at least 1"),
        (
            "[log]\nlevel = \"loud\"\n",
            "`log.level` at agent.toml:2:1: it must be one of error, warn, info, debug, trace",
        ),
        ("state_dir = \"\"\n", "`state_dir` at agent.toml:1:1: it must name a folder"),
    ];
    for (text, expected) in cases {
        let message = said(text);
        assert!(message.starts_with(&format!("setting {expected}")), "{message}");
    }
}

#[test]
fn a_host_that_is_no_pattern_is_refused_at_its_place_and_by_its_number() {
    let cases = [
        ("\"*\"", "at agent.toml:2:18: entry 1 may have one star"),
        ("\"*.com\"", "at agent.toml:2:18: entry 1 may have one star"),
        ("\"https://a.test\"", "at agent.toml:2:18: entry 1 must be a host alone"),
        ("\"store.test\",\n  \"10.0.0.1\"", "at agent.toml:3:3: entry 2 must name a host, or a loopback address"),
    ];
    for (hosts, expected) in cases {
        let message = said(format!("[upload]\nallowed_hosts = [{hosts}]\n"));
        assert!(message.starts_with(&format!("setting `upload.allowed_hosts` {expected}")), "{message}");
    }
    let variable = [("EDM_AGENT__UPLOAD__ALLOWED_HOSTS", r#"["a.test", "a.test/b"]"#)];
    let message = super::read_with("", &variable).unwrap_err().message;
    let expected = "setting `upload.allowed_hosts` in EDM_AGENT__UPLOAD__ALLOWED_HOSTS: entry 2 must be a host alone";
    assert!(message.starts_with(expected), "{message}");
}

#[test]
fn a_bad_table_is_named_with_its_place() {
    let cases = [
        ("rows_per_block = 4194305", "`rows_per_block` at agent.toml:6:1: it must be at most 4194304"),
        (
            "allowed_bad_lines_percent = 100.1",
            "`allowed_bad_lines_percent` at agent.toml:6:1: it must be from 0 to 100",
        ),
        ("allowed_bad_lines_percent = -1", "`allowed_bad_lines_percent` at agent.toml:6:1: it must be from 0 to 100"),
        ("allowed_bad_lines_percent = nan", "`allowed_bad_lines_percent` at agent.toml:6:1: it must be from 0 to 100"),
        ("min_rows_percent = 101", "`min_rows_percent` at agent.toml:6:1: it must be from 0 to 100"),
        ("max_rows_percent = 99", "`max_rows_percent` at agent.toml:6:1: it must be at least 100"),
        ("max_blank_percent = -1", "`max_blank_percent` at agent.toml:6:1: it must be from 0 to 100"),
        ("separator = \"::\"", "`separator` at agent.toml:6:1: it must be auto, comma, tab, pipe"),
        ("when = \"sometimes\"", "`when` at agent.toml:6:1: it must be on-change, manual, or a cron expression"),
        ("when = \"61 * * * *\"", "`when` at agent.toml:6:1: it must be on-change, manual, or a cron expression"),
        ("when = \"0 0 30 2 *\"", "`when` at agent.toml:6:1: it must be on-change, manual, or a cron expression"),
        (
            "timezone = \"Europe/Prag\"",
            "`timezone` at agent.toml:6:1: it must be UTC or a name of the IANA time zone database, \
             such as Europe/Berlin; Europe/Prague is one",
        ),
        ("timezone = \"here\"", "`timezone` at agent.toml:6:1: it must be UTC or a name"),
        ("jitter = \"25h\"", "`jitter` at agent.toml:6:1: it must be at most 24h"),
        ("settle = \"3654d\"", "`settle` at agent.toml:6:1: it must be at most 3653d"),
        ("done_marker = \"done/\"", "`done_marker` at agent.toml:6:1: it must be the end of a name"),
        (
            "canary = { column = \"ssn\", value = \"\" }",
            "`canary` at agent.toml:6:1: it must name a column and a value",
        ),
    ];
    for (line, expected) in cases {
        let message = said(format!("{TABLE}{line}\n"));
        assert!(message.starts_with(&format!("table patients: setting {expected}")), "{message}");
    }
    for (key, line) in [("name", 2), ("data_store", 3), ("path", 4), ("schema", 5)] {
        let lines = TABLE
            .lines()
            .map(|text| if text.starts_with(key) { format!("{key} = \"\"\n") } else { format!("{text}\n") });
        let message = said(lines.collect::<String>());
        assert!(message.contains(&format!("`{key}` at agent.toml:{line}:1: it must")), "{message}");
    }
    let twice = said(format!("{TABLE}\n{TABLE}"));
    assert_eq!(
        twice,
        "table patients: setting `name` at agent.toml:8:1: it must be different from every other table's"
    );
}

#[test]
fn a_session_shorter_than_the_default_guard_is_fine() {
    let settings = read("[lease]\nsession_ttl = \"10s\"\n").unwrap();
    assert_eq!((settings.lease.session_ttl, settings.lease.guard), (Duration::from_secs(10), Duration::from_secs(30)));
}

#[test]
fn durations_and_sizes_are_read_in_every_unit() {
    let durations = [("500ms", 500), ("30s", 30_000), ("15m", 900_000), ("24h", 86_400_000), ("90d", 7_776_000_000)];
    for (text, milliseconds) in durations {
        let settings = read(format!("[journal]\nretain = \"{text}\"\n")).unwrap();
        assert_eq!(settings.journal.retain, Duration::from_millis(milliseconds), "{text}");
    }
    for (text, bytes) in [("512B", 512), ("4KiB", 4 << 10), ("64MiB", 64 << 20), ("1GiB", 1 << 30), ("2TiB", 2 << 40)] {
        let settings = read(format!("[bundles]\nmin_free = \"{text}\"\nmax_bytes = \"{text}\"\n")).unwrap();
        assert_eq!((settings.bundles.min_free, settings.bundles.max_bytes), (bytes, Some(bytes)), "{text}");
    }
    assert_eq!(read("[bundles]\nmax_bytes = \"\"\n").unwrap().bundles.max_bytes, None);
    for text in ["", "5", "s", "-1s", "1.5h", "99999999999999999999s", "5 parsecs", "1S"] {
        assert!(
            said(format!("[journal]\nretain = \"{text}\"\n")).contains("at agent.toml:2:10: write a number and a unit")
        );
        assert!(
            said(format!("[bundles]\nmin_free = \"{text}\"\n"))
                .contains("at agent.toml:2:12: write a number and a unit")
        );
    }
}
