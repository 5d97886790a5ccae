//! Bad files: the exact place, what to do, and never the value.

use std::path::Path;

use edm_agent::agent::exit::Exit;
use edm_agent::cli::config::{DEFAULT_FILE, load, load_or_default};

use super::{NO_VARIABLES, TABLE, read, said};

#[test]
fn an_unknown_key_is_refused_with_its_place_and_the_nearest_known_one() {
    let cases = [
        (
            "# a\n[upload]\n  concurency = 4\n",
            "unknown key `upload.concurency` at agent.toml:3:3: did you mean `concurrency`?",
        ),
        ("upload.concurency = 4\n", "unknown key `upload.concurency` at agent.toml:1:8: did you mean `concurrency`?"),
        ("upload = { memroy = \"1GiB\" }\n", "unknown key `upload.memroy` at agent.toml:1:12: did you mean `memory`?"),
        ("[uplaod]\nmemory = \"1GiB\"\n", "unknown key `uplaod` at agent.toml:1:2: did you mean `upload`?"),
        ("statedir = \"/x\"\n", "unknown key `statedir` at agent.toml:1:1: did you mean `state_dir`?"),
        (
            "[upload]\nsession_ttl = \"1h\"\n",
            "unknown key `upload.session_ttl` at agent.toml:2:1: did you mean `lease.session_ttl`?",
        ),
        (
            "[journal]\nfrobnicate = 1\n",
            "unknown key `journal.frobnicate` at agent.toml:2:1: what may stand there is retain",
        ),
        (
            "\u{feff}[lease]\r\n\"gu\u{e4}rd\" = \"1s\"\r\n",
            "unknown key `lease.gu\u{e4}rd` at agent.toml:2:1: did you mean `guard`?",
        ),
    ];
    for (text, expected) in cases {
        assert_eq!(said(text), expected);
    }
    let second = format!("{TABLE}\n[[table]]\nnmae = \"b\"\n");
    assert_eq!(said(second), "unknown key `table.nmae` at agent.toml:8:1: did you mean `name`?");
    let canary = format!("{TABLE}[table.canary]\ncolum = \"b\"\n");
    assert_eq!(said(canary), "unknown key `table.canary.colum` at agent.toml:7:1: did you mean `column`?");
}

#[test]
fn a_wrong_value_is_refused_with_its_place_and_what_may_be_written() {
    let cases = [
        (
            "[upload]\nconcurrency = \"many\"\n",
            "`upload.concurrency` at agent.toml:2:15: write a whole number from 0 to 4294967295",
        ),
        (
            "[upload]\nconcurrency = -1\n",
            "`upload.concurrency` at agent.toml:2:15: write a whole number from 0 to 4294967295",
        ),
        (
            "[upload]\nconcurrency = 4294967296\n",
            "`upload.concurrency` at agent.toml:2:15: write a whole number from 0 to 4294967295",
        ),
        (
            "[upload]\nconcurrency = \"8\"\n",
            "`upload.concurrency` at agent.toml:2:15: write a whole number from 0 to 4294967295",
        ),
        ("[upload]\nresume_session = \"yes\"\n", "`upload.resume_session` at agent.toml:2:18: write true or false"),
        (
            "[upload]\non_session_lost = \"retry\"\n",
            "`upload.on_session_lost` at agent.toml:2:19: write \"reopen\" or \"fail\"",
        ),
        (
            "[upload]\nstrategy = 3\n",
            "`upload.strategy` at agent.toml:2:12: write one of \"auto\", \"put-block-list\", \"blob-per-block\", \"put-blob\", \"plain-put\"",
        ),
        (
            "[graph]\ncloud = \"mars\"\n",
            "`graph.cloud` at agent.toml:2:9: write one of \"global\", \"gcc-high\", \"dod\", \"china\"",
        ),
        (
            "[lease]\nguard = 30\n",
            "`lease.guard` at agent.toml:2:9: write a number and a unit, such as 500ms, 30s, 15m, 24h or 90d",
        ),
        (
            "[upload]\nmemory = \"64MB\"\n",
            "`upload.memory` at agent.toml:2:10: write a number and a unit, such as 512KiB, 64MiB or 1GiB",
        ),
        (
            "[lease]\nrenew_window = [0.1, 0.2, 0.3]\n",
            "`lease.renew_window` at agent.toml:2:16: write a list of two numbers, such as [0.35, 0.60]",
        ),
        (
            "[upload]\nallowed_hosts = \"a\"\n",
            "`upload.allowed_hosts` at agent.toml:2:17: write a list of texts, such as [\"a\", \"b\"]",
        ),
        (
            "[upload]\nallowed_hosts = [\n  \"a\",\n  2,\n]\n",
            "`upload.allowed_hosts` at agent.toml:4:3: write a list of texts, such as [\"a\", \"b\"]",
        ),
        (
            "[contract]\ncreate_properties = [\"fileName\", \"state\"]\n",
            "`contract.create_properties` at agent.toml:2:34: write a list of \"fileName\", \"fields\", \"checksum\", \"rowsPerBlock\", \"totalBlockCount\", \"remainingBlockCount\", \"salt\", \"uploadAgentId\"",
        ),
        ("state_dir = 1979-05-27\n", "`state_dir` at agent.toml:1:13: write a text in quotes"),
        ("upload = 3\n", "`upload` at agent.toml:1:10: write a section, such as [upload]"),
        ("[table]\nname = \"a\"\n", "`table` at agent.toml:1:1: write sections, such as [[table]]"),
    ];
    for (text, expected) in cases {
        assert_eq!(said(text), format!("wrong value for {expected}"));
    }
    let percent = format!("{TABLE}allowed_bad_lines_percent = \"1\"\n");
    assert_eq!(said(percent), "wrong value for `table.allowed_bad_lines_percent` at agent.toml:6:29: write a number");
}

#[test]
fn every_key_refuses_a_wrong_kind_of_value_without_showing_it() {
    for key in edm_agent::cli::config::keys() {
        for wrong in ["{ hunter2 = 7777 }", "[[[\"hunter2\"]]]", "2021-07-07T07:07:07Z", "[7777, \"hunter2\"]"] {
            let text = match key.strip_prefix("table.") {
                Some(key) => format!("[[table]]\n{key} = {wrong}\n"),
                None => format!("{key} = {wrong}\n"),
            };
            let message = said(&text);
            let what = message.replace("unknown key `table.canary.hunter2`", "");
            assert!(what.contains(" at agent.toml:"), "{text}{message}");
            assert!(!what.contains("hunter2") && !what.contains("7777"), "{text}{message}");
        }
    }
}

#[test]
fn what_is_missing_from_a_table_is_said_at_the_table() {
    let text = format!("{TABLE}\n[[table]]\nname = \"b\"\npath = \"/b.csv\"\nschema = \"service\"\n");
    assert_eq!(said(text), "key `data_store` is missing from `table` at agent.toml:7:1: write it there");
}

#[test]
fn text_that_is_not_toml_is_refused_with_its_place() {
    let cases = [
        ("[upload\n", "1:8"),
        ("a = 1\na = 2\n", "2:1"),
        ("[log]\nlevel = debug\n", "2:9"),
        ("[log]\n\u{e4} = 1\n", "2:1"),
        ("[auth]\ntenant_id = \"hunter2\nclient_id = \"x\"\n", "2:21"),
    ];
    for (text, place) in cases {
        let message = said(text);
        assert!(message.starts_with(&format!("read the configuration at agent.toml:{place}: not TOML: ")), "{message}");
        assert!(!message.contains("hunter2"), "{message}");
    }
    let latin = said(b"# caf\xe9\n");
    assert_eq!(latin, "read the configuration at agent.toml:1:6: this is not UTF-8; save the file as UTF-8");
}

#[test]
fn a_secret_written_inline_is_refused_and_never_shown() {
    let in_auth = ["client_secret", "secret", "token", "access_token", "password", "client_assertion_secret"];
    for key in in_auth {
        let message = said(format!("[auth]\n{key} = \"hunter2\"\n"));
        let file = if key.contains("token") { "`token_file`" } else { "`secret_file`" };
        assert!(
            message.starts_with(&format!("unknown key `auth.{key}` at agent.toml:2:1: secrets come from files")),
            "{message}"
        );
        assert!(message.ends_with(file) && !message.contains("hunter2"), "{message}");
    }
    let salt = said(format!("{TABLE}salt = \"hunter2\"\n"));
    assert_eq!(
        salt,
        "unknown key `table.salt` at agent.toml:6:1: secrets come from files, never from settings: use `salt_file`"
    );
}

#[test]
fn an_address_with_a_user_name_or_password_is_refused_and_never_shown() {
    for (section, key) in [("graph", "base_url"), ("graph", "proxy"), ("auth", "authority")] {
        for address in ["https://user:hunter2@host/beta", "https://hunter2@host", "user:hunter2@host"] {
            let message = said(format!("[{section}]\n{key} = \"{address}\"\n"));
            let start =
                format!("setting `{section}.{key}` at agent.toml:2:1: it must not hold a user name or password");
            assert!(message.starts_with(&start) && !message.contains("hunter2"), "{message}");
        }
    }
}

#[test]
fn a_missing_file_says_what_to_do() {
    let named = load(Some(Path::new("/nonexistent/agent.toml")), NO_VARIABLES).unwrap_err();
    assert_eq!(named.exit, Exit::BadConfiguration);
    assert!(named.message.contains("/nonexistent/agent.toml") && named.message.contains("--config"), "{named}");
    let named = load_or_default(Some(Path::new("/nonexistent/agent.toml")), NO_VARIABLES).unwrap_err();
    assert!(named.message.contains("check the path"), "a named file may not be missing: {named}");
    let folder = load(Some(Path::new("/")), NO_VARIABLES).unwrap_err();
    assert!(folder.message.starts_with("read the configuration /: "), "{folder}");
    if !Path::new(DEFAULT_FILE).exists() {
        let default = load(None, NO_VARIABLES).unwrap_err();
        assert!(default.message.contains(DEFAULT_FILE) && default.message.contains("--config FILE"), "{default}");
        assert_eq!(load_or_default(None, NO_VARIABLES).unwrap().upload.concurrency, 8);
    }
}

#[test]
fn a_file_over_one_mebibyte_is_refused_and_one_of_it_is_read() {
    let comment = |length: usize| format!("#{}", "x".repeat(length - 1));
    assert!(read(comment(1 << 20)).is_ok());
    let message = said(comment((1 << 20) + 1));
    assert_eq!(
        message,
        "read the configuration agent.toml: it is longer than 1 MiB, more than any configuration needs; check the path"
    );
    assert!(load(Some(Path::new("/dev/zero")), NO_VARIABLES).unwrap_err().message.contains("1 MiB"));
}
