//! Nothing secret comes out: not in errors, not in logs, whatever happens.

use std::io;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use edm_agent::adapters::graph::settings::ContractSettings;
use edm_agent::adapters::graph::{GraphService, GraphSettings};
use edm_agent::adapters::http::HttpSettings;
use edm_agent::ground::secret::Secret;
use edm_agent::ports::service::SessionService;
use tracing_subscriber::fmt::MakeWriter;

use super::{draft, key};
use crate::support::clock::TokioClock;
use crate::support::mock::{Mock, Reply};
use crate::support::tokens::Fixed;

/// Keeps what is logged.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for Log {
    type Writer = Self;

    fn make_writer(&'a self) -> Self {
        self.clone()
    }
}

#[tokio::test]
async fn no_error_and_no_log_line_shows_a_token_a_salt_or_a_signature() {
    let log = Log::default();
    let subscriber = tracing_subscriber::fmt().with_max_level(tracing::Level::TRACE).with_writer(log.clone()).finish();
    let _logging = tracing::subscriber::set_default(subscriber);
    let mock = Mock::start().await;
    let http = HttpSettings { timeout: Duration::from_millis(500), ..HttpSettings::default() };
    let settings =
        GraphSettings { base_url: format!("{}/beta", mock.url()), http, contract: ContractSettings::default() };
    let service = GraphService::new(settings, Fixed::token("canary-token"), Arc::new(TokioClock::start())).unwrap();
    let mut draft = draft();
    draft.salt = Some(Secret::new("canary-salt".to_owned()));
    let echo = r#"{"error":{"code":"canary-salt","message":"Bearer canary-token at https://h/c?sig=canary with \"salt\":\"canary",
        "details":[{"code":"canary-token","message":"canary-salt"}],"innerError":{"request-id":"canary-token","message":"sig=canary"}}}"#;
    let session = r#"{"id":"s","salt":"canary","dataUploadURI":"https://h/c?sig=canary","error":{"message":"canary"}}"#;

    let mut said = String::new();
    for reply in [
        Reply::json(400, echo),
        Reply::json(429, echo).header("request-id", "canary-token"),
        Reply::json(302, echo).header("Location", "https://canary-token.test/?sig=canary"),
        Reply::content(500, "text/canary-token", "canary"),
        Reply::json(200, session).claiming(9_999).cut_after(250),
        Reply::json(200, &session.replace(r#""id":"s""#, r#""id":["canary"]"#)),
        Reply::lost(),
        Reply::held(),
    ] {
        mock.then(reply);
        let error = service.create("store", draft.clone()).await.err().unwrap();
        said.push_str(&format!("{error} {error:?}\n"));
    }
    mock.then(Reply::json(200, session));
    service.session(&key()).await.unwrap();
    let next = r#"{"value":[],"@odata.nextLink":"https://evil.test/?sig=canary"}"#;
    mock.then(Reply::json(200, next));
    said.push_str(&service.sessions("store").await.err().unwrap().to_string());

    assert_eq!(mock.take().len(), 10);
    assert!(!said.contains("canary"), "{said}");
    let log = String::from_utf8(log.0.lock().unwrap().clone()).unwrap();
    assert!(log.contains("asked the service"), "the log was kept: {log}");
    assert!(!log.contains("canary"), "{log}");
}
