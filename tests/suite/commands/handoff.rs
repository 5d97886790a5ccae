//! A bundle that is hashed on one host and uploaded from another: sealed, signed,
//! and nobody on the way is trusted.

use std::fs;
use std::path::Path;

use age::secrecy::ExposeSecret;
use age::x25519::Identity;
use edm_agent::sandbox::Operation;

use super::harness::{Agent, Host, PATIENCE, SALT, files_with, now, pause, seen};
use crate::support::private;
use crate::support::tree;

/// The host that uploads, and what it shares with the one that hashes.
struct Hosts {
    uploads: Host,
    recipient: String,
}

impl Hosts {
    /// Two hosts with their keys; `settings` of the one that uploads name them.
    async fn new(settings: bool) -> Self {
        Self::scripted("", settings).await
    }

    /// The same with quirks of the service.
    async fn scripted(script: &str, settings: bool) -> Self {
        let mut uploads = Host::scripted(script).await;
        let identity = Identity::generate();
        uploads.write("identity", identity.to_string().expose_secret());
        let vectors = tree::root().join("tests/suite/table/handoff");
        for name in ["signer", "other"] {
            private::write(&uploads.path(name), fs::read(vectors.join(name)).unwrap());
        }
        let public = fs::read_to_string(vectors.join("signer.pub")).unwrap();
        uploads.write("trusted", &format!("hash-host {public}"));
        if settings {
            for (key, file) in [("bundles.identity_file", "identity"), ("bundles.trusted_keys_file", "trusted")] {
                let path = uploads.path(file).display().to_string();
                uploads.set(key, &path);
            }
        }
        Self { uploads, recipient: identity.to_public().to_string() }
    }

    /// Hashes on the host that has no configuration and asks nobody.
    async fn seal(&self, name: &str, more: &[&str]) -> String {
        let host = &self.uploads;
        let before = host.sandbox.journal().len();
        let path = |name: &str| host.path(name).display().to_string();
        let (output, table, schema, salt) = (path(name), path("patients.csv"), path("patients.xml"), path("salt"));
        let arguments = ["hash", "--config", "/nowhere", "--input", &table, "--schema", &schema, "--salt-file", &salt];
        let ended = host
            .run(&[&arguments[..], &["--rows-per-block", "10", "--output", &output, "--json"], more].concat())
            .await;
        assert_eq!(ended.code, Some(0), "{ended:?}");
        assert_eq!(host.sandbox.journal().len(), before, "hashing asks nobody");
        output
    }

    async fn seal_and_sign(&self, name: &str, key: &str) -> String {
        let key = self.uploads.path(key).display().to_string();
        self.seal(name, &["--recipient", &self.recipient, "--sign-key", &key]).await
    }

    /// The arguments that upload a bundle under these keys.
    fn upload<'a>(&self, bundle: &'a str, keys: &'a [String; 2]) -> Vec<&'a str> {
        vec!["upload", "--bundle", bundle, "--json", "--identity", &keys[0], "--trusted-keys", &keys[1]]
    }

    fn keys(&self) -> [String; 2] {
        ["identity", "trusted"].map(|name| self.uploads.path(name).display().to_string())
    }
}

fn names(folder: &Path) -> Vec<String> {
    fs::read_dir(folder).into_iter().flatten().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
}

#[tokio::test]
async fn a_sealed_and_signed_bundle_is_live_and_nothing_of_it_stays_in_clear() {
    let hosts = Hosts::new(false).await;
    let host = &hosts.uploads;
    let bundle = hosts.seal_and_sign("patients.edmb.age", "signer").await;
    let expected = host.expected_digest().await;
    fs::remove_file(host.path("salt")).unwrap();
    assert_eq!(files_with(host.home.path(), SALT.as_bytes()), Vec::<std::path::PathBuf>::new(), "the salt is sealed");

    let keys = hosts.keys();
    let ended = host.run(&hosts.upload(&bundle, &keys)).await;

    assert_eq!(ended.code, Some(0), "{ended:?}");
    assert_eq!(ended.json()["rows"], 200);
    assert_eq!(host.live_digest(), expected);
    assert_eq!(host.breaches(), Vec::<String>::new());
    assert_eq!(names(&host.path("state/bundles")), Vec::<String>::new(), "what was opened is removed once live");
    assert!(Path::new(&bundle).exists(), "what was handed over is its owner's");
    assert_eq!(files_with(&host.path("state"), SALT.as_bytes()), Vec::<std::path::PathBuf>::new());

    host.write("salt", SALT);
    let ssn = host.person(3)[4].clone();
    let lookup = ["lookup", "--table", "patients", "--column", "SSN", "--json"];
    let found = host.run_reading(&lookup, &format!("{ssn}\n999-99-9998\n")).await;
    let lines: Vec<serde_json::Value> = found.stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!((&lines[0]["found"], &lines[1]["found"]), (&true.into(), &false.into()), "{found:?}");
}

#[tokio::test]
async fn what_is_not_sealed_to_us_or_not_vouched_for_costs_no_session() {
    let hosts = Hosts::new(false).await;
    let host = &hosts.uploads;
    let keys = hosts.keys();
    let good = hosts.seal_and_sign("good.age", "signer").await;
    let other = hosts.seal_and_sign("other.age", "other").await;
    let stranger = Identity::generate().to_public().to_string();
    let strangers = hosts.seal("strangers.age", &["--recipient", &stranger]).await;
    let unsigned = hosts.seal("unsigned.age", &["--recipient", &hosts.recipient]).await;
    let folder = hosts.seal("folder", &[]).await;
    let schema = fs::read_to_string(host.path("patients.xml")).unwrap();
    host.write("patients.xml", &schema.replace("PatientRecords", "Elsewhere"));
    let elsewhere = hosts.seal_and_sign("elsewhere.age", "signer").await;
    host.write("patients.xml", &schema);
    let swapped = hosts.seal_and_sign("swapped", "signer").await;
    fs::copy(&unsigned, &swapped).unwrap();

    for (bundle, holds) in [
        (&other, "none of the trusted ones"),
        (&unsigned, "unsigned.age.sig"),
        (&folder, "folder.sig"),
        (&swapped, "not of these bytes"),
    ] {
        host.run(&hosts.upload(bundle, &keys)).await.assert_refused(65, &[holds]);
    }
    let identity = ["upload", "--identity", &keys[0], "--bundle"];
    host.run(&[&identity[..], &[&strangers]].concat()).await.assert_refused(65, &["sealed to other keys"]);
    let mut bytes = fs::read(&unsigned).unwrap();
    *bytes.last_mut().unwrap() ^= 1;
    fs::write(&unsigned, bytes).unwrap();
    host.run(&[&identity[..], &[&unsigned]].concat()).await.assert_refused(65, &["changed or cut short"]);
    host.run(&["upload", "--bundle", &good]).await.assert_refused(78, &["bundles.identity_file", "--identity"]);
    private::write(&host.path("odd"), "no key\n");
    let odd = host.path("odd").display().to_string();
    for (option, holds) in [("--identity", "line 1 is no"), ("--trusted-keys", "line 1")] {
        host.run(&["upload", "--bundle", &good, option, &odd]).await.assert_refused(78, &[holds]);
    }
    host.run(&["upload", "--table", "patients", "--identity", &odd])
        .await
        .assert_refused(2, &["--identity", "--table"]);

    // Good, and for a data store that is not there.
    let configured = fs::read_to_string(host.path("agent.toml")).unwrap();
    host.write("agent.toml", &configured.replace("PatientRecords", "Nowhere").replace("\"patients\"", "\"others\""));
    host.run(&hosts.upload(&elsewhere, &keys)).await.assert_refused(78, &["Elsewhere"]);
    host.write("agent.toml", &configured);

    assert_eq!(host.opened(), 0, "no session was spent");
    assert_eq!(names(&host.path("state/bundles")), Vec::<String>::new(), "nothing is left behind");
    assert_eq!(host.run(&hosts.upload(&good, &keys)).await.code, Some(0));
}

#[tokio::test]
async fn an_agent_that_runs_takes_sealed_bundles_under_its_own_keys_and_each_once() {
    let hosts = Hosts::new(true).await;
    let host = &hosts.uploads;
    let checked = host.run(&["check"]).await;
    assert!(checked.stdout.contains("keys that open bundles") && checked.stdout.contains("vouch"), "{checked:?}");
    let sealed = hosts.seal_and_sign("sealed.age", "signer").await;
    let agent = host.serve().await;

    let keys = hosts.keys();
    host.run(&hosts.upload(&sealed, &keys)).await.assert_refused(2, &["bundles.trusted_keys_file", "--trusted-keys"]);
    let (status, begun) = host.ask("POST", "v1/uploads", Some(serde_json::json!({ "bundle": sealed }))).await;
    assert_eq!(status, 202, "{begun}");
    let ended = host.run(&["upload", "--bundle", &sealed, "--json"]).await;
    assert_eq!(ended.code, Some(0), "{ended:?} {}", agent.said());
    assert_eq!(ended.json()["upload"], begun["upload_id"], "the same file is one upload");
    assert_eq!((host.opened(), host.asked(Operation::Commit)), (1, 1));
    seen("the opened bundle is removed", || names(&host.path("state/bundles")).is_empty().then_some(())).await;

    let other = hosts.seal_and_sign("other.age", "other").await;
    host.run(&["upload", "--bundle", &other]).await.assert_refused(65, &["none of the trusted ones"]);
    assert_eq!(host.opened(), 1);
}

#[tokio::test]
async fn an_agent_killed_while_it_uploads_a_sealed_bundle_goes_on_without_the_file() {
    let hosts = Hosts::scripted("[quirks]\nbandwidth = \"8KiB\"\n", true).await;
    let host = &hosts.uploads;
    let sealed = hosts.seal_and_sign("sealed.age", "signer").await;
    let mut agent: Agent = host.start(&["upload", "--bundle", &sealed, "--json"]);
    let stored = || host.sandbox.sessions().first().is_some_and(|session| !session.tally.puts.is_empty());
    seen("a block is stored", || stored().then_some(())).await;
    agent.kill();

    let ended = host.run(&["upload", "--bundle", &sealed, "--json"]).await;

    assert_eq!(ended.code, Some(0), "{ended:?}");
    assert_eq!(host.opened(), 1, "the same session went on");
    assert_eq!(host.live_digest(), host.expected_digest().await);
    assert_eq!(names(&host.path("state/bundles")), Vec::<String>::new());
}

/// Begins an upload of a bundle for which there is no session today, and kills the
/// agent once it waits for one. Meanwhile `look` looks.
async fn waits_and_dies(host: &mut Host, body: serde_json::Value, used: usize, look: impl AsyncFnOnce(&Host)) {
    host.set("quota.sessions_per_day", &used.to_string());
    host.set("quota.reserved", "0");
    let mut agent = host.serve().await;
    let (status, begun) = host.ask("POST", "v1/uploads", Some(body)).await;
    assert_eq!(status, 202, "{begun}");
    let path = format!("v1/uploads/{}", begun["upload"].as_str().unwrap());
    let deadline = now() + PATIENCE;
    loop {
        let (_, view) = host.ask("GET", &path, None).await;
        if view["waiting"] == "quota" {
            break;
        }
        assert!(now() < deadline, "{view} {}", agent.said());
        pause(std::time::Duration::from_millis(10)).await;
    }
    look(host).await;
    agent.kill();
    host.set("quota.sessions_per_day", "5");
}

#[tokio::test]
async fn each_upload_of_a_sealed_file_has_a_folder_of_its_own_and_none_is_left() {
    let mut hosts = Hosts::new(true).await;
    let whole = hosts.seal_and_sign("whole.age", "signer").await;
    assert_eq!(hosts.uploads.run(&["upload", "--bundle", &whole]).await.code, Some(0));
    hosts.uploads.write_rows(20);
    let part = hosts.seal_and_sign("part.age", "signer").await;
    let host = &mut hosts.uploads;
    host.run(&["upload", "--bundle", &part]).await.assert_refused(65, &["it has 20 rows"]);
    let folder = host.path("state/bundles");
    let held = names(&folder);
    assert_eq!(held.len(), 1, "what is held keeps its bundle: {held:?}");

    // Nobody vouches for it any more: what is held already stays.
    let signature = fs::read(format!("{part}.sig")).unwrap();
    fs::copy(format!("{whole}.sig"), format!("{part}.sig")).unwrap();
    host.run(&["upload", "--bundle", &part]).await.assert_refused(65, &["not of these bytes"]);
    assert_eq!(names(&folder), held);
    assert!(folder.join(&held[0]).join("salt").exists());
    fs::write(format!("{part}.sig"), signature).unwrap();

    let accepted = serde_json::json!({ "bundle": part, "accept": true });
    waits_and_dies(host, accepted, 1, async |host| {
        seen("the folder of what was held goes", || (names(&folder).len() == 1).then_some(())).await;
        assert_ne!(names(&folder), held);
        // Another bundle of the same data store is opened, and not taken.
        host.run(&["upload", "--bundle", &whole]).await.assert_refused(75, &["of this data store is not finished"]);
        assert_eq!(names(&folder).len(), 1);
    })
    .await;
    let ended = host.run(&["upload", "--bundle", &part]).await;
    assert_eq!((ended.code, host.opened()), (Some(0), 2), "{ended:?}");
    assert_eq!(names(&folder), Vec::<String>::new());

    let forced = serde_json::json!({ "bundle": part, "force": true });
    waits_and_dies(host, forced, 2, async |_| assert_eq!(names(&folder).len(), 1)).await;
    let ended = host.run(&["upload", "--bundle", &part]).await;
    assert_eq!((ended.code, host.opened()), (Some(0), 3), "{ended:?}");
    assert_eq!(host.live_digest(), host.expected_digest().await);
    assert_eq!(names(&folder), Vec::<String>::new());
}
