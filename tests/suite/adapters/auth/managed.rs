//! Managed identities: each kind of host, as it answers and as it refuses.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use edm_agent::adapters::auth::credential::{Credential, FileTrouble};
use edm_agent::adapters::auth::managed::{ManagedIdentity, ManagedRefused, ManagedSettings};
use edm_agent::adapters::auth::surroundings::Surroundings;
use edm_agent::adapters::http::HttpSettings;
use edm_agent::ports::tokens::{NoToken, Why};

use super::secret;
use crate::support::clock::TokioClock;
use crate::support::mock::{Mock, Reply};

/// What the test's clock says when it starts, as a header.
const MIDNIGHT: &str = "Thu, 01 Jan 2026 00:00:00 GMT";

fn identity(
    surroundings: &Surroundings,
    client: Option<&str>,
    folder: &Path,
) -> Result<ManagedIdentity, ManagedRefused> {
    let settings = ManagedSettings {
        client: client.map(str::to_owned),
        scope: "https://graph.microsoft.com/.default".to_owned(),
        arc_key_dir: folder.to_owned(),
    };
    ManagedIdentity::new(surroundings, settings, HttpSettings::default(), Arc::new(TokioClock::start()))
}

fn machine(mock: &Mock, client: Option<&str>) -> ManagedIdentity {
    let surroundings = Surroundings { pod_identity_authority_host: Some(mock.url()), ..Surroundings::default() };
    identity(&surroundings, client, Path::new("/nowhere")).unwrap()
}

fn app(mock: &Mock, client: Option<&str>) -> ManagedIdentity {
    let surroundings = Surroundings {
        identity_endpoint: Some(format!("{}/msi/token", mock.url())),
        identity_header: Some(secret("canary-header")),
        imds_endpoint: None,
        ..Surroundings::default()
    };
    identity(&surroundings, client, Path::new("/nowhere")).unwrap()
}

fn arc(mock: &Mock, folder: &Path) -> ManagedIdentity {
    let surroundings = Surroundings {
        identity_endpoint: Some(format!("{}/metadata/identity/oauth2/token", mock.url())),
        imds_endpoint: Some(mock.url()),
        ..Surroundings::default()
    };
    identity(&surroundings, None, folder).unwrap()
}

async fn told(identity: &ManagedIdentity) -> Result<(String, u64), NoToken> {
    let granted = identity.ask(None).await?;
    Ok((granted.token.expose().to_owned(), granted.life.unwrap().as_secs()))
}

/// Asks in vain.
async fn refused(identity: &ManagedIdentity) -> NoToken {
    let none = told(identity).await.expect_err("no token was expected");
    assert!(!none.message.contains("canary"), "{none}");
    none
}

#[tokio::test]
async fn a_machine_is_asked_by_its_metadata_and_its_numbers_may_be_texts() {
    let mock = Mock::start().await;
    let body = r#"{"access_token":"abc","client_id":"x","expires_in":"3599","expires_on":"1506484173","resource":"r","token_type":"Bearer"}"#;
    mock.then(Reply::json(200, body)).then(Reply::json(200, body));
    assert_eq!(told(&machine(&mock, None)).await, Ok(("abc".to_owned(), 3_599)));
    let asked = mock.take_one();
    assert_eq!(asked.method, "GET");
    assert_eq!(
        asked.target,
        "/metadata/identity/oauth2/token?api-version=2018-02-01&resource=https%3A%2F%2Fgraph.microsoft.com"
    );
    assert_eq!(asked.header("metadata"), Some("true"));
    assert_eq!(asked.header_names(), ["accept", "metadata"]);
    told(&machine(&mock, Some("some-id"))).await.unwrap();
    assert!(mock.take_one().target.ends_with("&client_id=some-id"));
}

#[tokio::test]
async fn an_app_is_asked_with_its_header_and_a_date_gives_the_life() {
    let mock = Mock::start().await;
    // An hour after midnight, by the clock of whoever answers.
    let body = r#"{"access_token":"abc","expires_on":"1767229200","token_type":"Bearer"}"#;
    mock.then(Reply::json(200, body).header("Date", "Thu, 01 Jan 2026 00:10:00 GMT"));
    assert_eq!(told(&app(&mock, Some("some-id"))).await, Ok(("abc".to_owned(), 3_000)));
    let asked = mock.take_one();
    assert_eq!(
        asked.target,
        "/msi/token?api-version=2019-08-01&resource=https%3A%2F%2Fgraph.microsoft.com&client_id=some-id"
    );
    assert_eq!(asked.header("x-identity-header"), Some("canary-header"));
    assert_eq!(asked.header("metadata"), None);
}

#[tokio::test]
async fn what_passes_is_told_from_what_somebody_must_mend() {
    let mock = Mock::start().await;
    let identity = machine(&mock, None);
    for status in [404, 408, 410, 429, 500, 503] {
        mock.then(Reply::json(status, "{}").header("Date", MIDNIGHT).header("Retry-After", "7"));
        let none = refused(&identity).await;
        assert_eq!(none.why, Why::Unreachable { retry_after: Some(Duration::from_secs(7)) }, "{status}");
        assert!(none.message.contains(&format!("status {status}")), "{none}");
    }
    for status in [400, 401, 403, 405] {
        mock.then(Reply::json(status, "{}"));
        assert_eq!(refused(&identity).await.why, Why::Refused, "{status}");
    }
}

#[tokio::test]
async fn a_refusal_names_the_endpoint_the_code_and_what_to_do() {
    let mock = Mock::start().await;
    let place = mock.url().replace("http://", "");
    mock.then(Reply::json(400, r#"{"error":"invalid_request","error_description":"canary"}"#));
    assert_eq!(
        refused(&machine(&mock, None)).await.message,
        format!(
            "ask the managed identity endpoint at {place} for a token: status 400, invalid_request; assign a managed \
             identity to this machine, or name one in auth.client_id if it has several, and check auth.scope"
        )
    );
    mock.then(Reply::json(400, r#"{"error":{"code":"BadArgument","message":"canary"}}"#));
    let said = refused(&app(&mock, Some("some-id"))).await.message;
    assert!(said.contains("BadArgument; assign the identity that auth.client_id names to this app"), "{said}");
    mock.then(Reply::json(400, r#"{"error":"canary in a long text, where a code should be"}"#));
    refused(&machine(&mock, None)).await;
}

#[tokio::test]
async fn an_answer_that_is_no_token_settles_nothing_and_shows_nothing() {
    let mock = Mock::start().await;
    let identity = machine(&mock, None);
    for (reply, expected) in [
        (Reply::content(200, "text/html; charset=utf-8", "<html>canary"), "not JSON (text/html)"),
        (Reply::json(200, r#"{"access_token":"canary","expires_in":0}"#), "0 s"),
        (Reply::json(200, r#"{"access_token":"canary"}"#).claiming(999).cut_after(120), "broke off"),
        (Reply::json(200, &"canary".repeat(30_000)), "larger than"),
    ] {
        mock.then(reply);
        let none = refused(&identity).await;
        assert_eq!(none.why, Why::Unreachable { retry_after: None });
        assert!(none.message.contains(expected), "{none}");
    }
}

#[tokio::test]
async fn a_redirect_is_refused_and_its_target_sees_nothing() {
    let (mock, other) = (Mock::start().await, Mock::start().await);
    mock.then(Reply::status(302).header("Location", &format!("{}/canary?canary", other.url())));
    let none = refused(&app(&mock, None)).await;
    assert!(none.why == Why::Refused && none.message.contains("redirect to 127.0.0.1"), "{none}");
    assert_eq!(other.connections(), 0);
}

#[tokio::test]
async fn where_nothing_answers_it_is_asked_whether_this_is_azure() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let place = listener.local_addr().unwrap().to_string();
    drop(listener);
    let surroundings =
        Surroundings { pod_identity_authority_host: Some(format!("http://{place}")), ..Surroundings::default() };
    let none = refused(&identity(&surroundings, None, Path::new("/nowhere")).unwrap()).await;
    assert_eq!(none.why, Why::Unreachable { retry_after: None });
    let start = format!("no managed identity endpoint answered at {place}: is this an Azure machine? (no connection");
    assert!(none.message.starts_with(&start), "{none}");
}

#[test]
fn what_cannot_be_asked_is_refused_before_anybody_is() {
    let refused = |surroundings: &Surroundings, client| {
        let refused = identity(surroundings, client, Path::new("/nowhere")).err().unwrap().to_string();
        assert!(!refused.contains("canary"), "{refused}");
        refused
    };
    let endpoint = || Some("http://127.0.0.1:1/x".to_owned());
    let header = Surroundings {
        identity_endpoint: endpoint(),
        identity_header: Some(secret("canary\nX: y")),
        ..Surroundings::default()
    };
    assert!(refused(&header, None).contains("IDENTITY_HEADER"));
    let arc = Surroundings { identity_endpoint: endpoint(), imds_endpoint: endpoint(), ..Surroundings::default() };
    assert!(refused(&arc, Some("id")).contains("auth.client_id"));
    let elsewhere =
        Surroundings { pod_identity_authority_host: Some("http://192.0.2.1".to_owned()), ..Surroundings::default() };
    assert!(refused(&elsewhere, None).contains("AZURE_POD_IDENTITY_AUTHORITY_HOST"));
}

/// Answers as Azure Arc does: that a key is to be shown.
fn challenge(path: &Path) -> Reply {
    Reply::status(401).header("WWW-Authenticate", &format!("Basic realm={}", path.display()))
}

#[tokio::test]
async fn azure_arc_is_shown_the_key_it_wrote_and_only_then_hands_out_a_token() {
    let folder = tempfile::tempdir().unwrap();
    let mock = Mock::start().await;
    let identity = arc(&mock, folder.path());
    assert_eq!(identity.look(), Ok(()));
    let key = folder.path().join("one.key");
    std::fs::write(&key, "canary-key\n").unwrap();
    // The same folder by another way.
    std::os::unix::fs::symlink(folder.path(), folder.path().join("link")).unwrap();
    for path in [key, folder.path().join("../").join(folder.path().file_name().unwrap()).join("link/one.key")] {
        mock.then(challenge(&path)).then(Reply::json(200, r#"{"access_token":"abc","expires_in":"3599"}"#));
        assert_eq!(told(&identity).await, Ok(("abc".to_owned(), 3_599)));
        let asked = mock.take();
        let shown: Vec<_> = asked.iter().map(|asked| asked.header("authorization")).collect();
        assert_eq!(shown, [None, Some("Basic canary-key")]);
        for asked in &asked {
            assert_eq!(
                asked.target,
                "/metadata/identity/oauth2/token?api-version=2020-06-01&resource=https%3A%2F%2Fgraph.microsoft.com"
            );
            assert_eq!(asked.header("metadata"), Some("true"));
        }
    }
    mock.then(challenge(&folder.path().join("one.key"))).then(Reply::status(401));
    assert_eq!(refused(&identity).await.why, Why::Refused);
    assert_eq!(mock.take().len(), 2, "a key that is refused is not shown again");
}

#[tokio::test]
async fn azure_arc_can_have_no_file_read_but_a_small_key_directly_in_its_folder() {
    let shelf = tempfile::tempdir().unwrap();
    let folder = shelf.path().join("tokens");
    std::fs::create_dir_all(folder.join("deeper")).unwrap();
    let file = |path: &str, content: &str| std::fs::write(shelf.path().join(path), content).unwrap();
    for path in ["outside.key", "tokens/deeper/x.key", "tokens/other.txt", "tokens-more.key"] {
        file(path, "canary");
    }
    file("tokens/large.key", &"canary".repeat(1_000));
    file("tokens/empty.key", "\n");
    file("tokens/lines.key", "canary\ncanary");
    std::fs::create_dir(folder.join("folder.key")).unwrap();
    std::os::unix::fs::symlink(shelf.path().join("outside.key"), folder.join("link.key")).unwrap();
    let pipe = folder.join("pipe.key");
    rustix::fs::mknodat(rustix::fs::CWD, &pipe, rustix::fs::FileType::Fifo, rustix::fs::Mode::RWXU, 0).unwrap();

    let mock = Mock::start().await;
    let identity = arc(&mock, &folder);
    for (path, expected) in [
        ("tokens/../outside.key", "no .key directly"),
        ("outside.key", "no .key directly"),
        ("tokens-more.key", "no .key directly"),
        ("tokens/deeper/x.key", "no .key directly"),
        ("tokens/deeper/../../outside.key", "no .key directly"),
        ("tokens/other.txt", "no .key directly"),
        ("tokens/link.key", "no .key directly"),
        ("tokens/missing.key", "azcmagent"),
        ("tokens/large.key", "more than 4096 bytes"),
        ("tokens/folder.key", "not a regular file"),
        ("tokens/pipe.key", "not a regular file"),
        ("tokens/empty.key", "it is empty"),
        ("tokens/lines.key", "further lines"),
    ] {
        mock.then(challenge(&shelf.path().join(path)));
        let none = refused(&identity).await;
        assert!(none.why == Why::Refused && none.message.contains(expected), "{path}: {none}");
        assert_eq!(mock.take_one().header("authorization"), None, "{path}");
    }
    for header in ["Basic realm=", "Bearer realm=/x.key", "Basic", "", "Basic realm=x.key"] {
        mock.then(Reply::status(401).header("WWW-Authenticate", header));
        assert_eq!(refused(&identity).await.why, Why::Refused, "{header}");
    }
}

#[tokio::test]
async fn a_folder_of_keys_that_is_missing_is_seen_without_asking() {
    let mock = Mock::start().await;
    let said = arc(&mock, Path::new("/nowhere/tokens")).look();
    assert!(matches!(&said, Err(FileTrouble::Missing(text)) if text.contains("auth.arc_key_dir")), "{said:?}");
    assert_eq!(machine(&mock, None).look(), Ok(()));
    assert_eq!(mock.connections(), 0);
}
