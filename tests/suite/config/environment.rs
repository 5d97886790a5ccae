//! The environment lies over the file.

use std::time::Duration;

use edm_agent::agent::settings::StrategySetting;

use super::{TABLE, read_with};

fn said(name: &str, value: &str) -> String {
    read_with("[upload]\nconcurrency = 4\n", &[(name, value)]).expect_err(name).message
}

#[test]
fn a_variable_wins_over_the_file_which_wins_over_the_default() {
    let text = format!("[upload]\nconcurrency = 4\nmemory = \"64MiB\"\nallowed_hosts = [\"a\", \"b\", \"c\"]\n{TABLE}");
    let settings = read_with(
        text,
        &[
            ("EDM_AGENT__STATE_DIR", "/srv/edm"),
            ("EDM_AGENT__AGENT__DESCRIPTION", "42"),
            ("EDM_AGENT__UPLOAD__CONCURRENCY", "16"),
            ("EDM_AGENT__UPLOAD__STRATEGY", "plain-put"),
            ("EDM_AGENT__UPLOAD__ALLOWED_HOSTS", r#"["x"]"#),
            ("EDM_AGENT__UPLOAD__RESUME_SESSION", "false"),
            ("EDM_AGENT__LEASE__SESSION_TTL", "10s"),
            ("EDM_AGENT__LEASE__RENEW_WINDOW", "[0.25, 0.5]"),
            ("EDM_AGENT__LOG__LEVEL", "\"debug\""),
            ("EDM_AGENT__PROGRESS__UPLOADED_STATE", ""),
            ("EDM_AGENT__PROCESSING__FAILURE", r#"["Bad"]"#),
            ("EDM_AGENT_CONFIG", "is not ours"),
            ("PATH", "/bin"),
        ],
    )
    .unwrap();

    assert_eq!(settings.state_dir.to_str(), Some("/srv/edm"));
    assert_eq!(settings.agent.description, "42", "a text may look like a number");
    assert_eq!((settings.upload.concurrency, settings.upload.memory), (16, 64 << 20));
    assert_eq!((settings.upload.strategy, settings.upload.resume_session), (StrategySetting::PlainPut, false));
    assert_eq!(settings.upload.allowed_hosts, ["x"], "a list replaces a list");
    assert_eq!(settings.lease.session_ttl, Duration::from_secs(10));
    assert_eq!(settings.lease.renew_window, [0.25, 0.5]);
    assert_eq!((settings.log.level.as_str(), settings.progress.uploaded_state.as_str()), ("debug", ""));
    assert_eq!(settings.processing.failure, ["Bad"]);
    assert_eq!((settings.table.len(), settings.quota.sessions_per_day), (1, 5));
}

#[test]
fn a_bad_variable_is_named_without_its_value() {
    let cases = [
        (
            "EDM_AGENT__UPLOAD__CONCURENCY",
            "4",
            "unknown variable EDM_AGENT__UPLOAD__CONCURENCY: did you mean EDM_AGENT__UPLOAD__CONCURRENCY?",
        ),
        ("EDM_AGENT__UPLOAD", "4", "unknown variable EDM_AGENT__UPLOAD: "),
        ("EDM_AGENT__", "4", "unknown variable EDM_AGENT__: "),
        (
            "EDM_AGENT__TABLE__NAME",
            "x",
            "unknown variable EDM_AGENT__TABLE__NAME: tables are written in the configuration file only",
        ),
        (
            "EDM_AGENT__AUTH__CLIENT_SECRET",
            "hunter2",
            "unknown variable EDM_AGENT__AUTH__CLIENT_SECRET: secrets come from files, never from settings: use EDM_AGENT__AUTH__SECRET_FILE",
        ),
        (
            "EDM_AGENT__UPLOAD__CONCURRENCY",
            "hunter2",
            "wrong value in EDM_AGENT__UPLOAD__CONCURRENCY: write a whole number from 0 to 4294967295",
        ),
        ("EDM_AGENT__UPLOAD__CONCURRENCY", "", "wrong value in EDM_AGENT__UPLOAD__CONCURRENCY: write a whole number"),
        (
            "EDM_AGENT__UPLOAD__CONCURRENCY",
            "4\n[auth]\nscope = 1",
            "wrong value in EDM_AGENT__UPLOAD__CONCURRENCY: write a whole number",
        ),
        ("EDM_AGENT__LEASE__GUARD", "5", "wrong value in EDM_AGENT__LEASE__GUARD: write a number and a unit"),
        (
            "EDM_AGENT__LEASE__GUARD",
            "2h",
            "setting `lease.guard` in EDM_AGENT__LEASE__GUARD: it must be shorter than lease.session_ttl",
        ),
        (
            "EDM_AGENT__UPLOAD__CONCURRENCY",
            "0",
            "setting `upload.concurrency` in EDM_AGENT__UPLOAD__CONCURRENCY: it must be at least 1",
        ),
        (
            "EDM_AGENT__GRAPH__BASE_URL",
            "https://u:hunter2@h/",
            "setting `graph.base_url` in EDM_AGENT__GRAPH__BASE_URL: it must not hold",
        ),
        ("EDM_AGENT__STATE_DIR", "/srv/\u{fffd}", "wrong value in EDM_AGENT__STATE_DIR: write a text in UTF-8"),
    ];
    for (name, value, expected) in cases {
        let message = said(name, value);
        assert!(message.starts_with(expected), "{message}");
        assert!(!message.contains("hunter2"), "{message}");
    }
}
