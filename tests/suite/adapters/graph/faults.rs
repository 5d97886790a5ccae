//! Refusals and faults of the network, and what is made of each.

use std::time::Duration;

use edm_agent::ports::clock::Clock;
use edm_agent::ports::service::{ServiceError, SessionService};
use edm_agent::upload::fault::Fault;

use super::{client, draft, key};
use crate::support::clock::TokioClock;
use crate::support::mock::{Mock, Reply};

fn transient(seconds: Option<u64>) -> Fault {
    Fault::Transient { retry_after: seconds.map(Duration::from_secs) }
}

fn odata(status: u16, code: &str, message: &str) -> Reply {
    let inner = r#"{"date":"2026-01-01T00:00:00","request-id":"req-7","client-request-id":"c"}"#;
    Reply::json(status, &format!(r#"{{"error":{{"code":"{code}","message":"{message}","innerError":{inner}}}}}"#))
}

async fn refused(reply: Reply) -> ServiceError {
    let mock = Mock::start().await;
    mock.then(reply.clone()).then(reply);
    client(&mock).session(&key()).await.err().unwrap()
}

#[tokio::test]
async fn each_status_means_one_thing_to_the_machine() {
    for (status, fault) in [
        (400, Fault::Refused { status: 400 }),
        (401, Fault::Unauthorised),
        (402, Fault::Refused { status: 402 }),
        (403, Fault::NotPermitted),
        (404, Fault::Gone),
        (405, Fault::Refused { status: 405 }),
        (408, transient(None)),
        (409, Fault::Conflict),
        (410, Fault::Gone),
        (412, Fault::Conflict),
        (422, Fault::Refused { status: 422 }),
        (423, Fault::Conflict),
        (429, transient(None)),
        (500, transient(None)),
        (503, transient(None)),
        (509, transient(None)),
    ] {
        let error = refused(odata(status, "someCode", "Some message.")).await;
        assert_eq!(error.fault, fault, "{status}");
    }
}

#[tokio::test]
async fn a_refusal_says_the_step_the_status_the_code_the_message_and_both_ids() {
    let error = refused(odata(409, "conflict", "The session is committed.").header("request-id", "head-1")).await;
    let said = error.to_string();
    for part in [
        "read session s/2: ",
        "status 409",
        "conflict: The session is committed.",
        "request-id head-1",
        "client-request-id ",
    ] {
        assert!(said.contains(part), "`{part}` in `{said}`");
    }
    assert!(refused(odata(400, "bad", "No.")).await.to_string().contains("request-id req-7"), "from the body");
}

#[tokio::test]
async fn a_refusal_without_json_says_so_and_repeats_nothing() {
    let error = refused(Reply::content(403, "text/html; charset=utf-8", "<h1>canary</h1>")).await;
    assert_eq!(error.fault, Fault::NotPermitted);
    assert!(error.detail.contains("not JSON (text/html)"), "{error}");
    assert!(!error.to_string().contains("canary"));
}

#[tokio::test]
async fn how_long_to_wait_is_read_in_every_form_and_capped() {
    let date = "Thu, 01 Jan 2026 00:00:00 GMT";
    for (asked, seconds) in [
        ("30", Some(30)),
        ("2.128", Some(3)),
        ("Thu, 01 Jan 2026 00:01:30 GMT", Some(90)),
        ("Wed, 31 Dec 2025 00:00:00 GMT", None),
        ("31536000", Some(3_600)),
        ("soon", None),
    ] {
        let error = refused(
            odata(429, "TooManyRequests", "Please retry after").header("Date", date).header("Retry-After", asked),
        )
        .await;
        assert_eq!(error.fault, transient(seconds), "{asked}");
    }
}

#[tokio::test]
async fn one_session_too_many_is_a_quota_whatever_its_status() {
    let message = "Session creation is throttled. Max value of MaxCountOfSuccessfulSessions is 2.";
    let mock = Mock::start().await;
    let service = client(&mock);
    for status in [400, 403, 409, 429] {
        mock.then(odata(status, "BadRequest", message).header("Retry-After", "60"));
        let error = service.create("store", draft()).await.err().unwrap();
        assert_eq!(error.fault, Fault::Quota { retry_after: Some(Duration::from_secs(60)) }, "{status}");
    }
    mock.then(odata(429, "TooManyRequests", "The app has been throttled."));
    assert_eq!(
        service.create("store", draft()).await.err().unwrap().fault,
        transient(None),
        "the ordinary kind passes"
    );
    mock.then(odata(400, "BadRequest", message));
    let elsewhere = service.commit(&key()).await.err().unwrap();
    assert_eq!(elsewhere.fault, Fault::Refused { status: 400 }, "only creation has a quota");
}

#[tokio::test]
async fn an_action_the_service_does_not_know_is_not_a_session_that_is_gone() {
    for status in [400, 404] {
        let error = refused(odata(status, "BadRequest", "Resource not found for the segment 'renew'.")).await;
        assert_eq!(error.fault, Fault::Refused { status });
        assert!(error.detail.contains("contract.action_form"), "{error}");
    }
}

#[tokio::test]
async fn a_refused_token_is_replaced_once_and_the_request_repeated_once() {
    let mock = Mock::start().await;
    mock.then(odata(401, "InvalidAuthenticationToken", "Expired.")).then(Reply::json(200, r#"{"id":"s"}"#));
    client(&mock).session(&key()).await.unwrap();
    let tokens: Vec<_> =
        mock.take().iter().map(|request| request.header("authorization").unwrap().to_owned()).collect();
    assert_eq!(tokens, ["Bearer token-0", "Bearer token-1"]);

    let challenge = r#"Bearer error="insufficient_claims", claims="e30=""#;
    let again = odata(401, "x", "y").header("WWW-Authenticate", challenge);
    mock.then(again.clone()).then(again);
    let error = client(&mock).session(&key()).await.err().unwrap();
    assert_eq!(error.fault, Fault::Unauthorised);
    assert!(error.detail.contains("claims"), "{error}");
    assert_eq!(mock.take().len(), 2);
}

#[tokio::test]
async fn a_redirect_is_not_followed_and_its_target_receives_no_byte() {
    let evil = Mock::start().await;
    for status in [301, 302, 307, 308] {
        let error = refused(Reply::status(status).header("Location", &format!("{}/?canary=1", evil.url()))).await;
        assert_eq!(error.fault, Fault::Refused { status });
        assert!(error.detail.contains("redirect to 127.0.0.1") && !error.to_string().contains("canary"), "{error}");
    }
    assert_eq!(evil.connections(), 0);
}

#[tokio::test]
async fn an_answer_that_is_not_whole_or_not_json_settles_nothing() {
    for (reply, said) in [
        (Reply::content(200, "text/html", "<html>sign in</html>"), "not JSON (text/html)"),
        (Reply::json(200, r#"{"id":"s","#), "ends too early"),
        (Reply::json(200, r#"{"id":"s"}"#).claiming(99).cut_after(4_000), "broke off"),
        (Reply::json(200, r#"{"id":"s"}"#).cut_after(20), "no answer"),
        (Reply::lost(), "no answer"),
        (Reply::json(200, r#"["canary"]"#), "a list, not an object"),
        (Reply::json(200, r#"{"value":"canary"}"#), "a text where an object belongs"),
        (Reply::json(200, r#"{"id":{"canary":1}}"#), "not a session"),
        (Reply::json(200, &" ".repeat(5 << 20)), "larger than"),
    ] {
        let error = refused(reply).await;
        assert_eq!(error.fault, transient(None), "{error}");
        assert!(error.detail.contains(said) && !error.to_string().contains("canary"), "`{said}` in `{error}`");
    }
}

#[tokio::test]
async fn a_commit_answered_by_a_login_page_is_not_a_commit() {
    let mock = Mock::start().await;
    mock.then(Reply::content(200, "text/html", "<html>sign in</html>"));
    let error = client(&mock).commit(&key()).await.err().unwrap();
    assert_eq!(error.fault, transient(None));
    mock.then(Reply::json(200, "null"));
    client(&mock).commit(&key()).await.unwrap();
}

#[tokio::test]
async fn patience_ends_a_renewal_that_drips_or_never_answers() {
    let mock = Mock::start().await;
    for reply in [Reply::held(), Reply::json(200, r#"{"id":"s"}"#).dripping(Duration::from_millis(50))] {
        mock.then(reply);
        let clock = TokioClock::start();
        let asked = clock.now().moment;
        let error = client(&mock).renew(&key(), Duration::from_millis(200)).await.err().unwrap();
        assert_eq!(error.fault, transient(None), "{error}");
        assert!(
            asked.until(clock.now().moment) < Duration::from_secs(4),
            "it did not wait for the client's own timeout"
        );
    }
    assert_eq!(mock.take().len(), 2);
}

#[tokio::test]
async fn nobody_listening_is_no_connection() {
    let mock = Mock::start().await;
    let service = client(&mock);
    drop(mock);
    tokio::task::yield_now().await;
    let error = service.session(&key()).await.err().unwrap();
    assert_eq!(error.fault, transient(None));
    assert!(error.detail.starts_with("no connection: "), "{error}");
}

#[tokio::test]
async fn the_attempt_after_a_503_comes_over_a_new_connection() {
    let mock = Mock::start().await;
    let service = client(&mock);
    mock.then(Reply::json(200, r#"{"id":"s"}"#))
        .then(odata(503, "busy", "busy"))
        .then(Reply::json(200, r#"{"id":"s"}"#));
    service.session(&key()).await.unwrap();
    service.session(&key()).await.err().unwrap();
    service.session(&key()).await.unwrap();
    let connections: Vec<_> = mock.take().iter().map(|request| request.connection).collect();
    assert_eq!(connections, [0, 0, 1]);
}
