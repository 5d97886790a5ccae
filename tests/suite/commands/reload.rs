//! The configuration is read again by the running service.

use std::os::unix::net::UnixDatagram;
use std::process::Stdio;
use std::time::Duration;

use edm_agent::sandbox::{Operation, Phase};
use serde_json::{Value, json};

use super::harness::{Agent, Host, count, pause, seen};
use super::manager::manager;

/// What the table says besides its name and files.
const TABLE: &str = "when = \"manual\"\nrows_per_block = 10\n";

/// Takes what the service manager was told so far; more than ten words would not
/// wait for it.
fn waiting(socket: &UnixDatagram) -> Vec<String> {
    let mut buffer = [0; 4_096];
    let words = std::iter::from_fn(|| socket.recv(&mut buffer).ok().map(|length| buffer[..length].to_vec()));
    words.map(|word| String::from_utf8(word).unwrap()).collect()
}

async fn configuration(host: &Host) -> Value {
    host.ask("GET", "v1/status", None).await.1["configuration"].clone()
}

/// Waits until a reload has gone some way, and returns how.
async fn reloaded(host: &Host, agent: &Agent, wished: impl Fn(&Value) -> bool) -> Value {
    for _ in 0..3_000 {
        let configuration = configuration(host).await;
        if wished(&configuration["last_reload"]) {
            return configuration;
        }
        pause(Duration::from_millis(20)).await;
    }
    panic!("no such reload: {} {}", configuration(host).await, agent.said());
}

#[tokio::test]
async fn a_signal_has_the_level_of_the_log_and_the_tables_taken_up() {
    let host = Host::new().await;
    let agent = host.serve().await;
    assert_eq!(host.run(&["upload", "--table", "patients"]).await.code, Some(0));
    assert!(!agent.stderr().contains("asked the service"), "a line of debug: {}", agent.said());

    let second = host.path("second.csv").display().to_string();
    std::fs::copy(host.path("patients.csv"), &second).unwrap();
    let schema = host.path("patients.xml").display().to_string();
    host.configure(&format!(
        "{TABLE}[log]\nlevel = \"debug\"\n[[table]]\nname = \"second\"\ndata_store = \"PatientRecords\"\n\
         path = {second:?}\nschema = {schema:?}\nwhen = \"on-change\"\n"
    ));
    agent.signal("HUP");

    agent.says("the configuration was read again").await;
    seen("the new table is live", || (host.sandbox.sessions().len() == 2).then_some(())).await;
    agent.says("asked the service").await;
    assert!(agent.stderr().contains("log.level, table.second added"), "{}", agent.said());
    let shown = host.run(&["status"]).await.stdout;
    assert!(shown.contains("configuration 2, of 2") && shown.contains("second"), "{shown}");
}

#[tokio::test]
async fn an_upload_under_way_goes_on_in_its_session_over_reloads() {
    let blocks = "[[fault]]\noperation = \"put-block\"\nprobability = 0.3\nstatus = 503\n\
                  [quirks]\nbandwidth = \"20KiB\"\n";
    let host = Host::scripted(blocks).await;
    host.configure("when = \"on-change\"\nrows_per_block = 10\n");
    let agent = host.serve().await;
    seen("blocks are on their way", || (host.asked(Operation::PutBlock) > 2).then_some(())).await;

    let good = std::fs::read_to_string(host.path("agent.toml")).unwrap();
    for concurrency in [1, 4] {
        let text = good.replacen("[upload]\n", &format!("[upload]\nconcurrency = {concurrency}\n"), 1);
        host.write("agent.toml", &text.replace("rows_per_block = 10", "rows_per_block = 20"));
        let (status, answer) = host.ask("POST", "v1/reload", None).await;
        assert_eq!(status, 200, "{answer}");
        assert!(answer["changed"].to_string().contains("upload.concurrency"), "{answer}");
    }
    assert_eq!(host.only_session().phase, Phase::Open, "the reloads fell into the upload");

    seen("it is live", || (host.only_session().phase == Phase::Completed).then_some(())).await;
    assert_eq!(host.only_session().tally.commits, 1, "{}", agent.said());
    assert_eq!(host.breaches(), Vec::<String>::new());
}

#[tokio::test]
async fn fault_84_a_bad_file_leaves_the_old_configuration_and_is_said_everywhere() {
    let mut host = Host::new().await;
    host.set("log.format", "text");
    let (socket, name) = manager(&host);
    let mut agent = host.start_with(&["run"], Stdio::null(), &[("NOTIFY_SOCKET", name)]);
    host.answers(&agent).await;
    let good = std::fs::read_to_string(host.path("agent.toml")).unwrap();
    let mut words = waiting(&socket);
    let cases = [
        (format!("{good}[log\n"), "not TOML"),
        (format!("{good}[quota]\nreservd = 1\n"), "did you mean `reserved`?"),
        (format!("{good}[quota]\nreserved = 9\n"), "must be at most quota.sessions_per_day"),
        (good.replace("when = \"manual\"", "when = \"at noon\""), "must be on-change, manual, or a cron"),
        (good.replace("listen = \"\"", "listen = \"127.0.0.1:1\""), "needs a restart, for http.listen"),
    ];
    for (text, why) in cases {
        host.write("agent.toml", &text);
        let before = configuration(&host).await["last_reload"]["at"].clone();
        agent.signal("HUP");
        let now = reloaded(&host, &agent, |last| last["at"] != before).await;
        assert_eq!((&now["generation"], &now["last_reload"]["ok"]), (&json!(1), &json!(false)), "{why}");
        let reason = now["last_reload"]["reason"].as_str().unwrap();
        assert!(reason.contains(why), "{why}: {reason}");
        let (status, refused) = host.ask("POST", "v1/reload", None).await;
        assert_eq!((status, &refused["generation"]), (422, &json!(1)), "{refused}");
        agent.says(&format!("{reason}; the configuration in force stays")).await;
        let before = configuration(&host).await["last_reload"]["at"].clone();
        host.run(&["reload"]).await.assert_refused(78, &[why]);
        assert_ne!(configuration(&host).await["last_reload"]["at"], before, "{why}: the agent was asked");
        let shown = host.run(&["status"]).await;
        assert!(shown.code == Some(0) && shown.stdout.contains(why), "{why}: {shown:?}");
        words.extend(waiting(&socket));
    }
    assert!(agent.exit().is_none());

    host.write("agent.toml", &good);
    let ended = host.run(&["reload"]).await;
    assert_eq!(ended.stdout, "configuration 2 is in force: nothing changed\n", "{ended:?}");
    words.extend(waiting(&socket));
    assert_eq!(words.last().map(String::as_str), Some("READY=1\nSTATUS=idle"), "a good one takes it back: {words:?}");
    let after_each = words.windows(2).filter(|pair| pair[0].starts_with("RELOADING=1\nMONOTONIC_USEC="));
    let states: Vec<&str> = after_each.map(|pair| pair[1].as_str()).collect();
    assert!(states.len() >= 10 && states.iter().all(|word| word.starts_with("READY=1\n")), "{words:?}");
    assert!(states[0].contains("the old configuration stays: read the configuration at"), "{states:?}");
}

/// A storm of wishes while the file changes: what it says in the end is in force.
#[tokio::test]
async fn fault_84_a_storm_of_signals_and_requests_ends_with_the_last_configuration() {
    let host = Host::new().await;
    let agent = host.serve().await;
    let good = std::fs::read_to_string(host.path("agent.toml")).unwrap();
    // As an editor does: never half of it.
    let write = |when: &str| {
        host.write("agent.toml.new", &good.replace("when = \"manual\"", &format!("when = \"{when}\"")));
        std::fs::rename(host.path("agent.toml.new"), host.path("agent.toml")).unwrap();
    };
    for number in 0..count("EDM_AGENT_STORM", 1_000) {
        match number % 7 {
            0 => write("at noon"),
            _ => write(&format!("{} {} * * *", number % 60, number / 60 % 24)),
        }
        agent.signal("HUP");
        if number % 100 == 50 {
            let (status, answer) = host.ask("POST", "v1/reload", None).await;
            let expected = if number % 7 == 0 { 422 } else { 200 };
            assert_eq!(status, expected, "{number}: {answer} {}", agent.said());
        }
    }
    write("59 23 31 12 *");
    agent.signal("HUP");

    // Nobody wishes anything after it: this one signal must not be lost among the others.
    let last = async || host.ask("GET", "v1/status", None).await.1["tables"][0]["when"].clone();
    for _ in 0..3_000 {
        if last().await == "59 23 31 12 *" {
            break;
        }
        pause(Duration::from_millis(20)).await;
    }
    assert_eq!(last().await, "59 23 31 12 *", "{}", agent.said());

    for _ in 0..100 {
        agent.signal("HUP");
    }
    agent.signal("TERM");
    assert_eq!(agent.ended().await.code, Some(0), "a wish to stop is not lost among those to reload");
}
