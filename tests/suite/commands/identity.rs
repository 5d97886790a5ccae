//! Signing in end to end: the real binary against the sandbox, which plays the
//! authority and the machine's endpoints over TLS and checks what it is sent.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::Duration;

use edm_agent::sandbox::{CLIENT_ID, CLIENT_SECRET, Operation, Phase, SandboxSettings, TENANT_ID};
use serde_json::json;

use super::harness::{Agent, Host, PATIENCE, now, pause, seen};

/// Every kind there is, with the operation of the sandbox it signs in by.
pub(super) const KINDS: [(&str, Operation); 8] = [
    ("client-secret", Operation::Token),
    ("client-certificate", Operation::Token),
    ("client-certificate in PKCS#12", Operation::Token),
    ("workload-identity", Operation::Token),
    ("workload-identity by its variables", Operation::Token),
    ("managed-identity of a machine", Operation::ImdsToken),
    ("managed-identity of a service", Operation::AppServiceToken),
    ("managed-identity of Arc", Operation::ArcToken),
];

/// A host whose sandbox speaks TLS, with a table to be uploaded by hand.
async fn host() -> Host {
    scripted("").await
}

pub(super) async fn scripted(script: &str) -> Host {
    let settings = SandboxSettings { tls: true, sessions_per_day: 100, ..SandboxSettings::default() };
    let host = Host::with(script, settings).await;
    host.configure("when = \"manual\"\nrows_per_block = 20\n");
    // Whatever is asked with the sandbox's own token is not signed in for.
    fs::remove_file(host.path("token")).unwrap();
    host.sandbox.rotate_bearer();
    host
}

/// Writes a file only its owner may read.
fn write_private(path: &Path, content: impl AsRef<[u8]>) {
    let beside = path.with_extension("new");
    fs::write(&beside, content).unwrap();
    fs::set_permissions(&beside, fs::Permissions::from_mode(0o600)).unwrap();
    fs::rename(beside, path).unwrap();
}

/// Lets the host sign in as the kind says.
pub(super) fn sign_in_as(host: &mut Host, kind: &str) {
    let origin = host.sandbox.origin().to_owned();
    let path = |name: &str| host.path(name).display().to_string();
    let (secret, certificate, token) = (path("secret"), path("certificate"), path("federated"));
    host.set("auth.kind", kind.split(' ').next().unwrap());
    for key in ["tenant_id", "client_id", "authority", "secret_file", "certificate_file", "token_file"] {
        host.set(&format!("auth.{key}"), "");
    }
    host.clear_surroundings();
    if !kind.starts_with("managed") && !kind.ends_with("variables") {
        host.set("auth.authority", &origin);
        host.set("auth.tenant_id", TENANT_ID);
        host.set("auth.client_id", CLIENT_ID);
    }
    match kind {
        "client-secret" => {
            write_private(Path::new(&secret), CLIENT_SECRET);
            host.set("auth.secret_file", &secret);
        }
        "client-certificate" => {
            write_private(Path::new(&certificate), host.sandbox.client_certificate_pem());
            host.set("auth.certificate_file", &certificate);
        }
        "client-certificate in PKCS#12" => {
            write_private(Path::new(&certificate), host.sandbox.client_certificate_p12("pässword").unwrap());
            write_private(Path::new(&secret), "pässword\n");
            host.set("auth.certificate_file", &certificate);
            host.set("auth.certificate_password_file", &secret);
        }
        "workload-identity" => {
            fs::write(&token, host.sandbox.federated_token(Duration::from_secs(3_600))).unwrap();
            host.set("auth.token_file", &token);
        }
        "workload-identity by its variables" => {
            fs::write(&token, host.sandbox.federated_token(Duration::from_secs(3_600))).unwrap();
            host.surround("AZURE_FEDERATED_TOKEN_FILE", &token);
            host.surround("AZURE_AUTHORITY_HOST", &origin);
            host.surround("AZURE_TENANT_ID", TENANT_ID);
            host.surround("AZURE_CLIENT_ID", CLIENT_ID);
        }
        "managed-identity of a machine" => host.surround("AZURE_POD_IDENTITY_AUTHORITY_HOST", &origin),
        "managed-identity of a service" => {
            host.surround("IDENTITY_ENDPOINT", &format!("{origin}/msi/token"));
            let header = host.sandbox.identity_header().to_owned();
            host.surround("IDENTITY_HEADER", &header);
        }
        "managed-identity of Arc" => {
            host.surround("IDENTITY_ENDPOINT", &format!("{origin}/arc/metadata/identity/oauth2/token"));
            host.surround("IMDS_ENDPOINT", &origin);
            let folder = host.sandbox.arc_key_dir().display().to_string();
            host.set("auth.arc_key_dir", &folder);
        }
        other => panic!("no kind {other}"),
    }
}

#[tokio::test]
async fn every_kind_of_credential_gets_a_token_over_tls_and_completes_an_upload() {
    for (kind, operation) in KINDS {
        let mut host = host().await;
        sign_in_as(&mut host, kind);

        let ended = host.run(&["upload", "--table", "patients", "--json"]).await;

        assert_eq!(ended.code, Some(0), "{kind}: {ended:?}");
        assert_eq!(host.only_session().phase, Phase::Completed, "{kind}");
        assert!(host.asked(operation) >= 1, "{kind}");
        let tokens = host.sandbox.journal().into_iter().filter(|seen| seen.operation == operation);
        assert_eq!(tokens.filter(|seen| seen.status == Some(200)).count(), 1, "{kind}: one token for all callers");
        assert_eq!(host.breaches(), Vec::<String>::new(), "{kind}");
    }
}

#[tokio::test]
async fn a_token_that_another_program_keeps_fresh_completes_an_upload_over_tls() {
    let host = host().await;
    write_private(&host.path("token"), host.sandbox.rotate_bearer());
    let ended = host.run(&["upload", "--table", "patients", "--json"]).await;
    assert_eq!(ended.code, Some(0), "{ended:?}");
    assert_eq!(host.only_session().phase, Phase::Completed);
    assert_eq!(host.breaches(), Vec::<String>::new());
}

#[tokio::test]
async fn a_service_that_refuses_every_token_makes_the_agent_not_ready_until_it_takes_one() {
    let mut host = host().await;
    write_private(&host.path("token"), "not-a-token-of-this-service");
    let probes = host.listen_for_probes();
    let mut agent = host.serve().await;
    ready(&probes, &mut agent, 503, "the service refuses what the token in").await;
    let (_, status) = host.ask("GET", "v1/status", None).await;
    assert!(status["sign_in"].as_str().unwrap().contains("the service refuses"), "{status}");
    write_private(&host.path("token"), host.sandbox.bearer());
    ready(&probes, &mut agent, 200, "ok").await;
}

#[tokio::test]
async fn the_service_is_spoken_to_in_http_2_and_the_stores_in_http_1() {
    let mut host = host().await;
    sign_in_as(&mut host, "client-secret");
    assert_eq!(host.run(&["upload", "--table", "patients"]).await.code, Some(0));

    for seen in host.sandbox.journal() {
        let is_elsewhere = matches!(
            seen.operation,
            Operation::PutBlock | Operation::PutBlockList | Operation::GetBlockList | Operation::Token
        );
        let expected = if is_elsewhere { "HTTP/1.1" } else { "HTTP/2" };
        assert_eq!(seen.version, expected, "{}", seen.operation);
    }
}

/// Waits until the probe for readiness answers with a status and a text, and returns what it says.
async fn ready(probes: &str, agent: &mut Agent, status: u16, text: &str) -> String {
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    let deadline = now() + PATIENCE;
    loop {
        let answer = client.get(format!("http://{probes}/readyz")).send().await;
        let said = match answer {
            Ok(answer) => (answer.status().as_u16(), answer.text().await.unwrap_or_default()),
            Err(error) => (0, error.to_string()),
        };
        if said.0 == status && said.1.contains(text) {
            return said.1;
        }
        assert!(now() < deadline && agent.exit().is_none(), "{status} {text}, not {said:?}: {}", agent.said());
        pause(Duration::from_millis(20)).await;
    }
}

#[tokio::test]
async fn the_service_outlives_a_refused_or_missing_credential_and_recovers_when_it_is_mended() {
    let mut host = host().await;
    sign_in_as(&mut host, "client-secret");
    let secret = host.path("secret");
    fs::remove_file(&secret).unwrap();
    let probes = host.listen_for_probes();
    let mut agent = host.serve().await;

    let said = ready(&probes, &mut agent, 503, "No such file").await;
    assert!(said.contains(secret.to_str().unwrap()), "{said}");
    assert_eq!(host.asked(Operation::Token), 0);

    host.sandbox.expire_client_secret();
    write_private(&secret, CLIENT_SECRET);
    seen("the expired secret is tried", || (host.asked(Operation::Token) > 0).then_some(())).await;
    let expired = seen("the refusal is shown", || {
        let said = agent.stderr();
        said.contains("AADSTS7000222").then_some(said)
    });
    assert!(expired.await.contains("make a new one"));
    ready(&probes, &mut agent, 503, "AADSTS7000222").await;
    let (_, status) = host.ask("GET", "v1/status", None).await;
    assert!(status["sign_in"].as_str().unwrap().contains("AADSTS7000222"), "{status}");
    let shown = host.run(&["status"]).await;
    assert!(shown.stdout.contains("not signed in: ") && shown.stdout.contains("AADSTS7000222"), "{shown:?}");
    assert_eq!(host.asked(Operation::Token), 1, "a refused credential is not tried again and again");

    host.sandbox.set_client_secret("another-secret");
    write_private(&secret, "another-secret");
    ready(&probes, &mut agent, 200, "ok").await;
    let (_, status) = host.ask("GET", "v1/status", None).await;
    assert!(status["sign_in"].is_null(), "{status}");
    assert_eq!(host.run(&["upload", "--table", "patients"]).await.code, Some(0));
    agent.signal("TERM");
    assert_eq!(agent.ended().await.code, Some(0));
}

#[tokio::test]
async fn a_command_in_the_foreground_tells_apart_what_was_refused_what_is_away_and_what_can_never_be_right() {
    let mut host = host().await;
    sign_in_as(&mut host, "client-secret");
    let secret = host.path("secret");
    let shown = secret.display().to_string();

    write_private(&secret, "canary-secret");
    for command in [&["stores", "list"][..], &["upload", "--table", "patients"]] {
        let refused = host.run(command).await;
        refused.assert_refused(77, &["AADSTS7000215", &shown, "not its id"]);
        assert!(!format!("{refused:?}").contains("canary"), "{refused:?}");
    }
    fs::remove_file(&secret).unwrap();
    host.run(&["stores", "list"]).await.assert_refused(77, &[&shown, "put it there"]);
    for command in [&["run"][..], &["upload", "--table", "patients"], &["stores", "list"]] {
        write_private(&secret, "");
        host.run(command).await.assert_refused(78, &[&shown, "empty"]);
        write_private(&secret, CLIENT_SECRET);
        fs::set_permissions(&secret, fs::Permissions::from_mode(0o644)).unwrap();
        host.run(command).await.assert_refused(78, &[&shown, "0644", "chmod"]);
        fs::remove_file(&secret).unwrap();
    }
    write_private(&secret, CLIENT_SECRET);
    host.set("auth.authority", "https://127.0.0.1:9");
    host.run(&["stores", "list"]).await.assert_refused(69, &["no connection"]);
    for (key, value) in
        [("authority", "http://login.example"), ("tenant_id", ""), ("client_id", ""), ("secret_file", "")]
    {
        host.set(&format!("auth.{key}"), value);
        for command in [&["run"][..], &["check"]] {
            let ended = host.run(command).await;
            assert_eq!(ended.code, Some(78), "{key}: {ended:?}");
            assert!(format!("{}{}", ended.stdout, ended.stderr).contains(key), "{key}: {ended:?}");
        }
        sign_in_as(&mut host, "client-secret");
    }
}

#[tokio::test]
async fn a_certificate_that_is_replaced_is_used_without_a_restart_and_half_a_one_is_not() {
    let mut host = scripted("[quirks]\ntoken_ttl = \"62s\"\nbandwidth = \"8KiB\"\n").await;
    sign_in_as(&mut host, "client-certificate");
    let path = host.path("certificate");
    let agent = host.serve().await;
    assert_eq!(host.ask("POST", "v1/uploads", Some(json!({ "table": "patients" }))).await.0, 202);
    seen("blocks are sent", || (host.asked(Operation::PutBlock) > 1).then_some(())).await;

    let whole = host.sandbox.rotate_client_certificate().unwrap();
    fs::write(&path, &whole[..whole.len() / 2]).unwrap();
    host.sandbox.revoke_tokens();
    agent.says("the certificate read before stays in use").await;
    write_private(&path, &whole);
    let taken = |agent: &Agent| agent.stderr().matches("signs in with the certificate in").count();
    seen("the new certificate is taken", || (taken(&agent) == 2).then_some(())).await;

    seen("the upload completes", || (host.only_session().phase == Phase::Completed).then_some(())).await;
}

#[tokio::test]
async fn a_token_that_is_withdrawn_or_challenged_in_the_middle_is_replaced_and_the_upload_completes() {
    let mut host = scripted("[quirks]\nbandwidth = \"8KiB\"\n").await;
    sign_in_as(&mut host, "client-secret");
    let upload = host.start(&["upload", "--table", "patients", "--json"]);
    seen("blocks are sent", || (host.asked(Operation::PutBlock) > 1).then_some(())).await;
    assert_eq!(host.asked(Operation::Token), 1);

    host.sandbox.demand_claims();
    seen("the challenge is answered", || (host.asked(Operation::Token) > 1).then_some(())).await;

    let ended = upload.ended().await;
    assert_eq!(ended.code, Some(0), "{ended:?}");
    assert_eq!(host.asked(Operation::Token), 2, "once");
    assert_eq!(host.breaches(), Vec::<String>::new());
}

#[tokio::test]
async fn check_online_says_line_by_line_what_works() {
    let mut host = host().await;
    sign_in_as(&mut host, "client-secret");
    let good = host.run(&["check", "--online"]).await;
    assert_eq!(good.code, Some(0), "{good:?}");
    for line in [
        "ok    signing in: a token for https://127.0.0.1:",
        "ok    the service: 1 data stores at https://127.0.0.1:",
        "ok    this host's clock: ",
        "ok    data store PatientRecords: readable, last updated never",
        "ok    upload host 127.0.0.1: ",
        "ok    writing to ",
    ] {
        assert!(good.stdout.contains(line), "{line}: {}", good.stdout);
    }
    let json = host.run(&["check", "--online", "--json"]).await.json();
    assert_eq!(json["ok"], json!(true));
    assert!(json["checks"].as_array().unwrap().iter().any(|check| check["note"].as_str().is_some()), "{json}");

    write_private(&host.path("secret"), "wrong");
    let bad = host.run(&["check", "--online"]).await;
    assert_eq!(bad.code, Some(77), "{bad:?}");
    assert!(bad.stdout.contains("FAIL  signing in: ") && bad.stdout.contains("AADSTS7000215"), "{bad:?}");
    assert!(bad.stdout.contains("ok    writing to "), "one part failing does not hide the others: {bad:?}");
}

#[tokio::test]
async fn check_online_does_not_wait_for_whoever_does_not_answer() {
    let mut host = scripted("[[fault]]\noperation = \"token\"\nevery = 1\ndelay = \"1h\"\n").await;
    sign_in_as(&mut host, "client-secret");
    let ended = host.run(&["check", "--online"]).await;
    assert_eq!(ended.code, Some(69), "{ended:?}");
    assert!(ended.stdout.contains("FAIL  signing in: no answer within 5.0s"), "{ended:?}");
}

#[tokio::test]
async fn a_clock_that_is_off_is_told_by_check_online() {
    let mut host = scripted("[quirks]\nclock_offset = \"+10m\"\n").await;
    sign_in_as(&mut host, "client-secret");
    let ended = host.run(&["check", "--online"]).await;
    assert_eq!(ended.code, Some(1), "{ended:?}");
    assert!(ended.stdout.contains("s behind the service's: mend"), "{ended:?}");
}

#[tokio::test]
async fn a_bare_name_is_one_of_systemds_credentials() {
    let mut host = host().await;
    sign_in_as(&mut host, "client-secret");
    let folder = host.home.path().display().to_string();
    host.set("auth.secret_file", "secret");
    host.run(&["stores", "list"]).await.assert_refused(77, &["secret", "put it there"]);
    host.surround("CREDENTIALS_DIRECTORY", &folder);
    assert_eq!(host.run(&["stores", "list"]).await.code, Some(0));
}

#[tokio::test]
async fn a_certificate_that_can_never_do_ends_the_start() {
    let mut host = host().await;
    sign_in_as(&mut host, "client-certificate");
    let (path, whole) = (host.path("certificate"), host.sandbox.client_certificate_pem());
    let vectors = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/suite/adapters/auth/vectors");
    let certificate = whole.split_inclusive("-----END CERTIFICATE-----\n").next().unwrap();
    let key_of_another = fs::read_to_string(vectors.join("other.key.pem")).unwrap();
    for (content, problem) in [
        (format!("{certificate}{key_of_another}"), "belongs to no certificate"),
        (certificate.to_owned(), "no private key"),
        (whole[..whole.len() - 40].to_owned(), "no end"),
    ] {
        write_private(&path, content);
        for command in [&["run"][..], &["upload", "--table", "patients"]] {
            host.run(command).await.assert_refused(78, &[path.to_str().unwrap(), problem]);
        }
    }
    assert_eq!(host.asked(Operation::Token), 0);
}

#[tokio::test]
async fn a_host_whose_clock_is_off_signs_by_the_authoritys_once_it_has_heard_it() {
    for offset in ["+30m", "-30m"] {
        let mut host = scripted(&format!("[quirks]\nclock_offset = \"{offset}\"\n")).await;
        sign_in_as(&mut host, "client-certificate");
        let ended = host.run(&["stores", "list"]).await;
        assert_eq!(ended.code, Some(0), "{offset}: {ended:?}");
        assert_eq!(host.asked(Operation::Token), 2, "{offset}: refused for its time, then taken");
    }
}
