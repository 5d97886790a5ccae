//! Answers that cross on their way: the machine driven by hand, because no
//! weather brings them in just this order.

use std::time::Duration;

use chrono::TimeDelta;
use edm_agent::ground::moment::{Moment, Now};
use edm_agent::upload::event::{Command, Event, Reply, Sighting, Step};
use edm_agent::upload::fault::Fault;
use edm_agent::upload::ledger::Ledger;
use edm_agent::upload::machine::Upload;
use edm_agent::upload::plan::Sender;
use edm_agent::upload::policy::Policy;
use edm_agent::upload::record::{Phase, Record};
use edm_agent::upload::uri::UploadUri;

use super::world::{plan, service};

const BLOCKS: u32 = 3;

fn at(seconds: u64) -> Now {
    let moment = Moment::from_boot(Duration::from_secs(1_000 + seconds));
    Now { moment, wall: service::date(moment) }
}

/// The session as it was shown at a time, with its blocks at a place.
fn sighting(asked: u64, place: &str) -> Box<Sighting> {
    let text = format!("https://acct.blob.test/c/{place}?sr=b&sp=rw&si=upload&sig=s{asked}");
    Box::new(Sighting {
        session: "s".to_owned(),
        file_name: "f".to_owned(),
        upload_agent: None,
        uri: Some(UploadUri::parse(&text, &["*.blob.test".to_owned()])),
        state: "UploadInProgress".to_owned(),
        total_blocks: None,
        jobs: None,
        is_committed: false,
        is_over: false,
        error: None,
        asked: at(asked).moment,
        server_time: Some(at(asked).wall),
    })
}

fn answer(upload: &mut Upload, seconds: u64, reply: Reply) -> Step {
    upload.step(at(seconds), Event::Answered { epoch: 0, reply })
}

/// An upload that has sent everything; its commit is durable as an intent only.
fn committing() -> Upload {
    let place = "https://acct.blob.test/c/old".to_owned();
    let records = [
        Record::CreateIntended,
        Record::Opened { session: "s".to_owned(), at: at(0).wall },
        Record::Renewed { at: at(0).wall, renewals: 1 },
        Record::Placed { place },
        Record::Stored { blocks: Ledger::first(BLOCKS) },
        Record::Listed { done: true },
        Record::Reported { remaining: 0 },
        Record::CommitIntended,
    ];
    let mut upload = Upload::new(plan(BLOCKS, Sender::Owned, 51), Policy::default(), &records, at(1));
    let step = upload.step(at(1), Event::Woke);
    assert_eq!(step.orders[0].command, Command::Fetch);
    upload
}

fn asks(step: &Step, wanted: &Command) -> bool {
    step.orders.iter().any(|order| order.command == *wanted)
}

#[test]
fn a_read_that_a_renewal_overtook_brings_no_older_uri_back() {
    let mut upload = committing();
    answer(&mut upload, 2, Reply::Fetched(Ok(sighting(1, "old"))));
    answer(&mut upload, 3, Reply::Committed(Err(Fault::Conflict)));
    let step = upload.step(at(30), Event::Woke);
    assert!(asks(&step, &Command::Fetch), "the read that will be overtaken");
    let step = upload.step(at(31), Event::RenewRequested);
    assert!(step.orders.iter().any(|order| matches!(order.command, Command::Renew { .. })));

    answer(&mut upload, 32, Reply::Renewed(Ok(sighting(31, "new"))));
    assert_eq!(upload.standing().phase, Phase::Uploading, "the new place holds nothing");
    let mut stored = Ledger::default();
    stored.add(0);
    let (_, uri) = upload.uri().expect("it was renewed");
    answer(&mut upload, 33, Reply::Inventoried { uri, result: Ok(stored.clone()) });
    answer(&mut upload, 34, Reply::Fetched(Ok(sighting(30, "old"))));

    assert_eq!(upload.standing().place.as_deref(), Some("https://acct.blob.test/c/new"));
    assert_eq!(upload.standing().stored, stored);
}

#[test]
fn a_read_from_before_the_doubt_does_not_settle_it() {
    let mut upload = committing();
    let step = answer(&mut upload, 2, Reply::Fetched(Ok(sighting(1, "old"))));
    assert!(asks(&step, &Command::Commit));
    upload.step(at(3), Event::RenewRequested);
    let step = answer(&mut upload, 4, Reply::Renewed(Err(Fault::Conflict)));
    assert!(asks(&step, &Command::Fetch), "asked while the commit is on its way");
    answer(&mut upload, 5, Reply::Committed(Err(Fault::Transient { retry_after: None })));

    let step = answer(&mut upload, 6, Reply::Fetched(Ok(sighting(4, "old"))));
    assert!(!asks(&step, &Command::Commit), "it may have been taken since");
    let step = upload.step(at(60), Event::Woke);
    assert!(asks(&step, &Command::Fetch) && !asks(&step, &Command::Commit), "so it is read again");
}

#[test]
fn a_commit_that_waits_for_the_journal_does_not_leave_for_a_place_that_changed() {
    let mut upload = committing();
    let step = answer(&mut upload, 2, Reply::Fetched(Ok(sighting(1, "old"))));
    assert!(asks(&step, &Command::Commit));
    assert!(upload.may_leave(at(3).moment, &Command::Commit));
    upload.step(at(3), Event::RenewRequested);
    answer(&mut upload, 4, Reply::Renewed(Ok(sighting(3, "new"))));
    // Many reads later, still without a word of the commit:
    for round in 0..8 {
        upload.step(at(100 + round * 100), Event::Woke);
        answer(&mut upload, 101 + round * 100, Reply::Fetched(Ok(sighting(100 + round * 100, "new"))));
    }

    assert!(!upload.may_leave(at(900).moment, &Command::Commit));
    answer(&mut upload, 900, Reply::Held(Command::Commit));
    upload.step(at(1_000), Event::Woke);
    answer(&mut upload, 1_001, Reply::Fetched(Ok(sighting(1_000, "new"))));
    assert_eq!(upload.standing().phase, Phase::Uploading);
}

/// The journal's date of the last renewal is measured against the service's
/// clock: this host's may have been set while the agent was away.
#[test]
fn a_restart_measures_the_age_of_the_session_by_the_services_clock() {
    for skew in [-40, 40] {
        let mut upload = committing();
        let mut now = at(2_400);
        now.wall += TimeDelta::minutes(skew);
        let reply = Reply::Fetched(Ok(sighting(2_400, "old")));
        upload.step(now, Event::Answered { epoch: 0, reply });
        let left = now.moment.until(upload.lease().expect("it was read").end());
        let expected = Duration::from_secs(3_600 - 2_400);
        assert!(left.abs_diff(expected) <= Duration::from_secs(2), "{left:?} left");
    }
}
