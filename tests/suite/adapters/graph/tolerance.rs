//! What the service may answer besides what the reference shows.

use std::time::Duration;

use chrono::TimeDelta;
use edm_agent::ports::contract::SessionChanges;
use edm_agent::ports::service::SessionService;
use edm_agent::upload::fault::Fault;

use super::{client, draft, key};
use crate::support::clock::TokioClock;
use crate::support::mock::{Mock, Reply};

const SESSION: &str = r#"{"id":"s/2","state":"New","dataUploadURI":"https://h/c?sig=x","novel":[1]}"#;
const PATIENCE: Duration = Duration::from_secs(5);

#[tokio::test]
async fn a_renewed_session_is_read_bare_and_wrapped() {
    let mock = Mock::start().await;
    let service = client(&mock);
    for body in [SESSION.to_owned(), format!(r#"{{"@odata.context":"x","value":{SESSION}}}"#)] {
        mock.then(Reply::json(200, &body));
        let session = service.renew(&key(), PATIENCE).await.unwrap().value;
        assert_eq!(session.data_upload_uri.unwrap().expose(), "https://h/c?sig=x");
        assert!(session.other.contains_key("novel"));
        mock.take_one();
    }
}

#[tokio::test]
async fn a_renewal_that_answers_nothing_is_followed_by_a_read() {
    let mock = Mock::start().await;
    let service = client(&mock);
    for empty in
        [Reply::json(200, "null"), Reply::status(204), Reply::json(200, ""), Reply::json(200, r#"{"value":null}"#)]
    {
        mock.then(empty).then(Reply::json(200, SESSION));
        let session = service.renew(&key(), PATIENCE).await.unwrap().value;
        assert_eq!(session.state, "New");
        let requests = mock.take();
        let methods: Vec<_> = requests.iter().map(|request| request.method.as_str()).collect();
        assert_eq!(methods, ["POST", "GET"]);
        assert!(requests[1].target.ends_with("/sessions/s%2F2"));
    }
    mock.then(Reply::status(204)).then(Reply::json(200, "{}"));
    let updated = service.update(&key(), SessionChanges::default()).await.unwrap();
    assert_eq!(updated.value.id, "s/2", "the id that was asked for is the session's");
}

#[tokio::test]
async fn a_created_session_without_an_id_settles_nothing() {
    let mock = Mock::start().await;
    let service = client(&mock);
    for reply in [Reply::status(201), Reply::json(201, "null"), Reply::json(201, r#"{"state":"New"}"#)] {
        mock.then(reply);
        let error = service.create("store", draft()).await.err().unwrap();
        assert_eq!(error.fault, Fault::Transient { retry_after: None }, "{error}");
    }
    assert_eq!(mock.take().len(), 3, "a create is never sent twice");
}

#[tokio::test]
async fn pages_are_followed_to_the_end_whole_and_as_they_come() {
    let mock = Mock::start().await;
    let next = format!("{}/beta/elsewhere?$skiptoken=a%2Bb", mock.url());
    mock.then(Reply::json(200, &format!(r#"{{"value":[{{"id":"1"}}],"@odata.nextLink":"{next}"}}"#)))
        .then(Reply::json(200, r#"{"value":[],"@odata.nextLink":"/beta/third"}"#))
        .then(Reply::json(200, r#"{"value":[{"id":"2"}]}"#));

    let sessions = client(&mock).sessions("store").await.unwrap().value;

    assert_eq!(sessions.iter().map(|session| session.id.as_str()).collect::<Vec<_>>(), ["1", "2"]);
    let targets: Vec<_> = mock.take().into_iter().map(|request| request.target).collect();
    assert_eq!(targets[1..], ["/beta/elsewhere?$skiptoken=a%2Bb", "/beta/third"]);
}

#[tokio::test]
async fn a_next_page_elsewhere_gets_no_token_and_not_one_byte() {
    let (mock, evil) = (Mock::start().await, Mock::start().await);
    let elsewhere = format!("{}/beta?canary=1", evil.url());
    let with_user = mock.url().replace("http://", "http://user:canary@");
    for next in [elsewhere, with_user, "https://evil.test/?canary".to_owned()] {
        mock.then(Reply::json(200, &format!(r#"{{"value":[],"@odata.nextLink":"{next}"}}"#)));
        let error = client(&mock).stores().await.err().unwrap();
        assert_eq!(error.fault, Fault::Refused { status: 200 });
        assert!(!error.to_string().contains("canary"), "{error}");
    }
    assert_eq!(evil.connections(), 0);
}

#[tokio::test]
async fn a_listing_that_never_ends_is_given_up() {
    let mock = Mock::start().await;
    mock.then(Reply::json(200, r#"{"value":[],"@odata.nextLink":"/a"}"#))
        .then(Reply::json(200, r#"{"@odata.nextLink":"/a"}"#));
    let same = client(&mock).stores().await.err().unwrap();
    assert!(same.to_string().contains("the same page"), "{same}");

    mock.take();
    for page in 0..300 {
        mock.then(Reply::json(200, &format!(r#"{{"value":[],"@odata.nextLink":"/{page}"}}"#)));
    }
    let endless = client(&mock).stores().await.err().unwrap();
    assert!(endless.to_string().contains("200 pages"), "{endless}");
    assert_eq!(mock.take().len(), 200);

    let mock = Mock::start().await;
    for page in 0..9 {
        let padding = " ".repeat(3 << 20);
        mock.then(Reply::json(200, &format!(r#"{{"value":[],{padding}"@odata.nextLink":"/{page}"}}"#)));
    }
    let vast = client(&mock).stores().await.err().unwrap();
    assert!(vast.to_string().contains("16 MiB"), "{vast}");
    assert_eq!(mock.take().len(), 6);
}

#[tokio::test]
async fn the_upload_agent_of_a_session_may_come_alone_in_a_list_or_not_at_all() {
    let mock = Mock::start().await;
    let service = client(&mock);
    let agent = r#"{"id":"agent-1","description":"host"}"#;
    for (body, found) in [
        (agent.to_owned(), Some("agent-1")),
        (format!(r#"{{"value":[{agent}]}}"#), Some("agent-1")),
        (format!(r#"{{"value":{agent}}}"#), Some("agent-1")),
        (r#"{"value":[]}"#.to_owned(), None),
        ("null".to_owned(), None),
    ] {
        mock.then(Reply::json(200, &body));
        let agent = service.session_upload_agent(&key()).await.unwrap().value;
        assert_eq!(agent.as_ref().map(|agent| agent.id.as_str()), found, "{body}");
    }
}

#[tokio::test]
async fn the_services_date_is_passed_on_unless_it_is_absurd() {
    let mock = Mock::start().await;
    let service = client(&mock);
    for (date, believed) in [
        ("Thu, 01 Jan 2026 00:03:00 GMT", Some(TokioClock::midnight() + TimeDelta::minutes(3))),
        ("Sat, 03 Jan 2026 00:00:00 GMT", None),
        ("never", None),
    ] {
        mock.then(Reply::json(200, SESSION).header("Date", date));
        assert_eq!(service.session(&key()).await.unwrap().server_time, believed, "{date}");
    }
}

#[tokio::test]
async fn an_answer_is_as_old_as_its_request() {
    let mock = Mock::start().await;
    let service = client(&mock);
    mock.then(Reply::json(200, SESSION).dripping(Duration::from_millis(1)));
    let quick = service.session(&key()).await.unwrap();
    mock.then(Reply::json(200, SESSION));
    let next = service.session(&key()).await.unwrap();
    let sending = Duration::from_millis(100);
    assert!(quick.asked.until(next.asked) > sending, "{:?} to {:?}", quick.asked, next.asked);
}
