//! The client of the authority against a scripted one.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use edm_agent::adapters::auth::application::Application;
use edm_agent::adapters::auth::authority::{Authority, AuthoritySettings};
use edm_agent::adapters::auth::certificate::CertificateFile;
use edm_agent::adapters::auth::credential::{Credential, FileTrouble, Granted};
use edm_agent::adapters::http::HttpSettings;
use edm_agent::ground::moment::{Moment, Now};
use edm_agent::ports::Task;
use edm_agent::ports::clock::Clock;
use edm_agent::ports::tokens::{NoToken, Why};
use tempfile::TempDir;

use crate::support::clock::TokioClock;
use crate::support::mock::{Mock, Reply};
use crate::support::private;

const SECRET: &str = "s3cr3t~canary&+= ä";

/// A scripted authority and an application that shares a secret with it.
struct Scene {
    mock: Mock,
    application: Application,
    _home: TempDir,
}

impl Scene {
    async fn new() -> Self {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join("secret");
        private::write(&path, format!("{SECRET}\n"));
        let mock = Mock::start().await;
        let settings = AuthoritySettings {
            address: mock.url(),
            tenant: "contoso.test".to_owned(),
            client: "an-application".to_owned(),
            scope: "https://graph.test/.default".to_owned(),
        };
        let http = HttpSettings { timeout: Duration::from_secs(5), ..HttpSettings::default() };
        let clock: Arc<dyn Clock> = Arc::new(TokioClock::start());
        let authority = Authority::new(settings, http, Arc::clone(&clock)).unwrap();
        let application = Application::with_secret(authority, path, clock);
        Self { mock, application, _home: home }
    }

    async fn ask(&self, reply: Reply) -> Result<Granted, NoToken> {
        self.mock.then(reply);
        self.application.ask(None).await
    }

    /// Asks, and returns why there is no token, having looked that nothing of the secret is in it.
    async fn refused(&self, reply: Reply) -> NoToken {
        let none = self.ask(reply).await.err().expect("no token");
        assert!(!format!("{none:?}").contains("canary"), "{none}");
        assert!(none.message.contains("the client secret in ") && none.message.contains("127.0.0.1"), "{none}");
        none
    }
}

fn error(status: u16, error: &str, code: u64) -> Reply {
    let body = serde_json::json!({
        "error": error,
        "error_description": format!("AADSTS{code}: You sent {SECRET}, which is wrong. Trace ID: x"),
        "error_codes": [code],
        "trace_id": "the-trace",
        "correlation_id": "the-correlation",
    });
    Reply::json(status, &body.to_string())
}

#[tokio::test]
async fn a_secret_is_sent_as_a_form_and_the_token_of_the_answer_is_kept() {
    let scene = Scene::new().await;
    let granted =
        scene.ask(Reply::json(200, r#"{"token_type":"Bearer","expires_in":3599,"access_token":"t0k3n"}"#)).await;
    let granted = granted.unwrap_or_else(|none| panic!("{none}"));
    assert_eq!((granted.token.expose(), granted.life), ("t0k3n", Some(Duration::from_secs(3_599))));

    let request = scene.mock.take_one();
    assert_eq!((request.method.as_str(), request.target.as_str()), ("POST", "/contoso.test/oauth2/v2.0/token"));
    assert_eq!(request.header("content-type"), Some("application/x-www-form-urlencoded"));
    assert_eq!(request.header("authorization"), None);
    let form: Vec<(String, String)> = url::form_urlencoded::parse(&request.body).into_owned().collect();
    let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
    assert_eq!(
        form,
        [
            pair("grant_type", "client_credentials"),
            pair("client_id", "an-application"),
            pair("scope", "https://graph.test/.default"),
            pair("client_secret", SECRET),
        ]
    );
}

#[tokio::test]
async fn claims_go_along_as_they_were_asked_for() {
    let scene = Scene::new().await;
    scene.mock.then(Reply::json(200, r#"{"expires_in":3599,"access_token":"t"}"#));
    let claims = r#"{"access_token":{"nbf":{"essential":true,"value":"1"}}}"#;
    assert!(scene.application.ask(Some(claims)).await.is_ok());
    let body = scene.mock.take_one().body;
    let sent = url::form_urlencoded::parse(&body).find(|(name, _)| name == "claims").unwrap().1.into_owned();
    assert_eq!(sent, claims);
}

#[tokio::test]
async fn a_refusal_says_what_the_authority_said_and_what_to_do() {
    let scene = Scene::new().await;
    for (code, advice) in
        [(7_000_215, "not its id"), (7_000_222, "make a new one"), (700_016, "auth.client_id"), (90_002, "tenant_id")]
    {
        let none = scene.refused(error(401, "invalid_client", code)).await;
        assert_eq!(none.why, Why::Refused);
        for part in ["status 401", &format!("AADSTS{code}"), advice, "the-trace", "the-correlation"] {
            assert!(none.message.contains(part), "{part}: {none}");
        }
    }
}

#[tokio::test]
async fn what_passes_by_itself_is_no_refusal_and_a_time_that_is_named_is_kept() {
    let scene = Scene::new().await;
    let busy = scene.refused(Reply::status(429).header("Retry-After", "7")).await;
    assert_eq!(busy.why, Why::Unreachable { retry_after: Some(Duration::from_secs(7)) });
    for reply in [
        Reply::status(503),
        error(400, "temporarily_unavailable", 90_033),
        Reply::lost(),
        Reply::json(200, r#"{"expires_in":3599,"access_token":"t"#),
        Reply::content(200, "text/html", "<html>Sign in to the network</html>"),
        Reply::json(200, r#"{"expires_in":0,"access_token":"t"}"#),
        Reply::json(200, "{}").cut_after(20),
        Reply::content(200, "application/json", vec![b' '; 1 << 20]),
    ] {
        let none = scene.refused(reply.clone()).await;
        assert_eq!(none.why, Why::Unreachable { retry_after: None }, "{reply:?}: {none}");
    }
}

#[tokio::test]
async fn a_redirect_is_not_followed_and_its_target_receives_no_byte() {
    let (scene, evil) = (Scene::new().await, Mock::start().await);
    for status in [301, 302, 303, 307, 308] {
        let target = format!("{}/?client_secret=canary", evil.url());
        let none = scene.refused(Reply::status(status).header("Location", &target)).await;
        assert!(none.message.contains("a redirect to 127.0.0.1") && none.why == Why::Refused, "{none}");
    }
    assert_eq!(evil.connections(), 0);
}

#[tokio::test]
async fn an_authority_that_is_not_there_is_unreachable_and_a_missing_file_is_the_credentials_fault() {
    let scene = Scene::new().await;
    std::fs::remove_file(scene._home.path().join("secret")).unwrap();
    let none = scene.application.ask(None).await.err().unwrap();
    assert_eq!(none.why, Why::Refused);
    assert!(none.message.contains("No such file") && none.message.contains("put it there"), "{none}");
    assert_eq!(scene.mock.take().len(), 0, "nothing is asked without a credential");

    let Scene { mock, application, _home } = Scene::new().await;
    drop(mock);
    let none = application.ask(None).await.err().unwrap();
    assert_eq!(none.why, Why::Unreachable { retry_after: None });
    assert!(none.message.contains("no connection"), "{none}");
}

#[tokio::test]
async fn an_authority_whose_clock_is_elsewhere_explains_a_statement_out_of_its_time() {
    let scene = Scene::new().await;
    // The clock of these tests began at midnight of 1 January 2026.
    let late = error(401, "invalid_client", 700_024).header("Date", "Thu, 01 Jan 2026 03:00:00 GMT");
    let none = scene.refused(late).await;
    assert!(none.message.contains("behind the authority's"), "{none}");
}

/// A clock at one moment.
struct Stopped(Now);

impl Clock for Stopped {
    fn now(&self) -> Now {
        self.0
    }

    fn sleep_until(&self, _: Moment) -> Task<'static, ()> {
        Box::pin(std::future::pending())
    }
}

#[tokio::test]
async fn a_certificate_that_ends_soon_is_told_of_and_one_that_lasts_is_not() {
    let home = tempfile::tempdir().unwrap();
    let path = home.path().join("pair.pem");
    let vectors = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/suite/adapters/auth/vectors");
    let parts = ["certificate.pem", "key.pem"].map(|name| std::fs::read(vectors.join(name)).unwrap());
    private::write(&path, parts.concat());
    let notice = |date: &str| {
        let wall = date.parse().unwrap();
        let clock: Arc<dyn Clock> = Arc::new(Stopped(Now { moment: Moment::default(), wall }));
        let settings = AuthoritySettings {
            address: "https://login.test".to_owned(),
            tenant: "contoso.test".to_owned(),
            client: "an-application".to_owned(),
            scope: "https://graph.test/.default".to_owned(),
        };
        let authority = Authority::new(settings, HttpSettings::default(), Arc::clone(&clock)).unwrap();
        let application = Application::with_certificate(authority, CertificateFile::new(path.clone(), None), clock);
        application.look().unwrap();
        application.notice()
    };
    let early = CertificateFile::new(path.clone(), None).current("2019-01-01T00:00:00Z".parse().unwrap());
    assert!(matches!(early, Err(FileTrouble::Missing(_))), "a clock that is yet to be set ends no start");
    assert_eq!(notice("2119-11-01T00:00:00Z"), None);
    let said = notice("2119-12-15T00:00:00Z").unwrap();
    assert!(said.contains("ends in 17 days") && said.contains("pair.pem"), "{said}");
}

#[tokio::test]
async fn after_a_503_the_next_question_comes_over_a_new_connection_and_else_over_the_same() {
    let scene = Scene::new().await;
    for (reply, connections) in [
        (Reply::json(200, r#"{"expires_in":3599,"access_token":"t"}"#), 1),
        (error(400, "invalid_client", 7_000_215), 1),
        (Reply::status(503), 1),
        (Reply::json(200, r#"{"expires_in":3599,"access_token":"t"}"#), 2),
    ] {
        drop(scene.ask(reply).await);
        assert_eq!(scene.mock.connections(), connections);
    }
}
