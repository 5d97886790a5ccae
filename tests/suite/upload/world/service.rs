//! A session service that keeps its own account, and knows what nobody may ask of it.

use std::time::Duration;

use chrono::{DateTime, SubsecRound, TimeDelta, Utc};
use edm_agent::ground::moment::Moment;
use edm_agent::upload::event::{Report, Sighting};
use edm_agent::upload::fault::Fault;
use edm_agent::upload::uri::UploadUri;

use super::store::Store;

/// How the upload URIs look.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Style {
    /// One blob, whose block list may be read.
    Blob,
    /// One blob, write only.
    BlindBlob,
    /// One blob for each block.
    Container,
    /// A plain PUT.
    Plain,
}

/// A session as the service knows it.
#[derive(Debug, Clone)]
pub(crate) struct Remote {
    pub(crate) id: String,
    pub(crate) file_name: String,
    pub(crate) extended: Moment,
    /// The place its blocks belong to.
    pub(crate) place: u32,
    pub(crate) uri_number: u32,
    pub(crate) uri_ends: Option<Moment>,
    /// Every count reported, in order.
    pub(crate) reported: Vec<u32>,
    pub(crate) committed: Option<Moment>,
    /// The word for how it ended, if it did.
    pub(crate) ended: Option<String>,
    pub(crate) deleted: bool,
}

/// The service.
pub(crate) struct Service {
    pub(crate) style: Style,
    pub(crate) session_ttl: Duration,
    pub(crate) uri_ttl: Option<Duration>,
    pub(crate) processing_time: Duration,
    /// How far its clock is ahead of true time.
    pub(crate) ahead: TimeDelta,
    /// The word it says while blocks are on their way.
    pub(crate) word: String,
    pub(crate) total: u32,
    /// Reports with a state are answered with this.
    pub(crate) refuses_state: Option<Fault>,
    /// All reports are answered with this.
    pub(crate) refuses_reports: Option<Fault>,
    /// Renewals answer with the same upload URI.
    pub(crate) keeps_uri: bool,
    /// Answers without an upload URI still to be given.
    pub(crate) uriless: u32,
    /// The next renewal names another place.
    pub(crate) moves: bool,
    pub(crate) agent: Option<String>,
    pub(crate) error: Option<String>,
    pub(crate) sessions: Vec<Remote>,
    pub(crate) commits: u32,
    pub(crate) renewals: Vec<Moment>,
    pub(crate) cancels: u32,
}

/// The date at the start of every world.
pub(crate) fn dawn() -> DateTime<Utc> {
    DateTime::from_timestamp(1_800_000_000, 250_000_000).expect("a date of this century")
}

/// The date at a true moment.
pub(crate) fn date(at: Moment) -> DateTime<Utc> {
    dawn() + TimeDelta::from_std(at.since_boot()).expect("worlds last months")
}

impl Service {
    pub(crate) fn new(total: u32) -> Self {
        Self {
            style: Style::Blob,
            session_ttl: Duration::from_secs(3_600),
            uri_ttl: None,
            processing_time: Duration::from_secs(90),
            ahead: TimeDelta::zero(),
            word: "UploadInProgress".to_owned(),
            total,
            refuses_state: None,
            refuses_reports: None,
            keeps_uri: false,
            uriless: 0,
            moves: false,
            agent: None,
            error: None,
            sessions: Vec::new(),
            commits: 0,
            renewals: Vec::new(),
            cancels: 0,
        }
    }

    pub(crate) fn session_end(&self, remote: &Remote) -> Moment {
        remote.extended + self.session_ttl
    }

    pub(crate) fn is_gone(&self, remote: &Remote, now: Moment) -> bool {
        remote.deleted || (remote.committed.is_none() && remote.ended.is_none() && now > self.session_end(remote))
    }

    /// Sessions that were lost: deleted, or lapsed before they were committed.
    pub(crate) fn lost(&self, now: Moment) -> usize {
        self.sessions.iter().filter(|remote| self.is_gone(remote, now)).count()
    }

    pub(crate) fn open_session(&self, file_name: &str, now: Moment) -> Option<&Remote> {
        let is_open =
            |remote: &&Remote| remote.file_name == file_name && !self.is_gone(remote, now) && remote.ended.is_none();
        self.sessions.iter().find(is_open)
    }

    pub(crate) fn session(&self, id: &str) -> Option<&Remote> {
        self.sessions.iter().find(|remote| remote.id == id)
    }

    fn live(&mut self, id: &str, now: Moment) -> Result<usize, Fault> {
        let index = self.sessions.iter().position(|remote| remote.id == id).ok_or(Fault::Gone)?;
        if self.is_gone(&self.sessions[index], now) {
            return Err(Fault::Gone);
        }
        Ok(index)
    }

    fn uri_end(&self, now: Moment) -> Option<Moment> {
        self.uri_ttl.map(|life| now + life)
    }

    /// Opens a session; asserts that no open one of this name exists.
    pub(crate) fn create(&mut self, file_name: &str, now: Moment) -> String {
        assert!(self.open_session(file_name, now).is_none(), "a second session beside an open one of ours");
        let number = self.sessions.len() as u32;
        self.sessions.push(Remote {
            id: format!("session-{number}"),
            file_name: file_name.to_owned(),
            extended: now,
            place: number * 100,
            uri_number: 0,
            uri_ends: self.uri_end(now),
            reported: Vec::new(),
            committed: None,
            ended: None,
            deleted: false,
        });
        format!("session-{number}")
    }

    pub(crate) fn renew(&mut self, id: &str, now: Moment) -> Result<(), Fault> {
        let index = self.live(id, now)?;
        self.renewals.push(now);
        let (ends, keeps) = (self.uri_end(now), self.keeps_uri);
        let moves = std::mem::take(&mut self.moves);
        let remote = &mut self.sessions[index];
        if remote.committed.is_some() || remote.ended.is_some() {
            return Err(Fault::Conflict);
        }
        remote.extended = now;
        if !keeps {
            remote.uri_number += 1;
            remote.uri_ends = ends;
        }
        remote.place += u32::from(moves);
        Ok(())
    }

    /// Takes a report; asserts that the counts are those of an honest client.
    pub(crate) fn report(&mut self, id: &str, report: &Report, store: &Store, now: Moment) -> Result<(), Fault> {
        let index = self.live(id, now)?;
        if let Some(fault) = &self.refuses_reports {
            return Err(fault.clone());
        }
        if let (Some(fault), Some(_)) = (&self.refuses_state, &report.state) {
            return Err(fault.clone());
        }
        let remote = &mut self.sessions[index];
        if remote.committed.is_some() || remote.ended.is_some() {
            return Err(Fault::Conflict);
        }
        assert_eq!(report.total, self.total);
        if let Some(&last) = remote.reported.last() {
            assert!(report.remaining <= last, "the count rises from {last} to {}", report.remaining);
        }
        let best = store.best_ever(id);
        assert!(report.remaining >= self.total - best, "fewer remain than the store ever held: {report:?}, {best}");
        if report.remaining == 0 {
            assert!(store.was_complete(id), "0 was said before the store held everything");
        }
        remote.reported.push(report.remaining);
        Ok(())
    }

    pub(crate) fn commit(&mut self, id: &str, store: &Store, now: Moment) -> Result<(), Fault> {
        let index = self.live(id, now)?;
        let style = self.style;
        let remote = &mut self.sessions[index];
        if remote.committed.is_some() || remote.ended.is_some() || !store.is_complete(id, remote.place, style) {
            return Err(Fault::Conflict);
        }
        remote.committed = Some(now);
        self.commits += 1;
        assert_eq!(self.commits, 1, "a second commit took effect");
        Ok(())
    }

    pub(crate) fn cancel(&mut self, id: &str, now: Moment) -> Result<(), Fault> {
        let index = self.live(id, now)?;
        if self.sessions[index].committed.is_some() {
            return Err(Fault::Conflict);
        }
        self.cancels += 1;
        self.sessions[index].ended = Some("Cancelled".to_owned());
        Ok(())
    }

    pub(crate) fn fetch(&mut self, id: &str, asked: Moment, now: Moment) -> Result<Box<Sighting>, Fault> {
        let index = self.live(id, now)?;
        let remote = self.sessions[index].clone();
        let is_done = remote.committed.is_some_and(|at| now >= at + self.processing_time);
        let state = match (&remote.ended, remote.committed) {
            (Some(word), _) => word.clone(),
            (None, Some(_)) if is_done => "Completed".to_owned(),
            (None, Some(_)) => "ProcessingInProgress".to_owned(),
            (None, None) => self.word.clone(),
        };
        let hides_uri = self.uriless > 0;
        self.uriless = self.uriless.saturating_sub(1);
        Ok(Box::new(Sighting {
            session: remote.id.clone(),
            file_name: remote.file_name.clone(),
            upload_agent: self.agent.clone(),
            uri: (!hides_uri).then(|| Ok(self.uri(&remote))),
            state,
            total_blocks: Some(self.total),
            jobs: None,
            is_committed: remote.committed.is_some(),
            is_over: remote.ended.is_some() || is_done,
            error: self.error.clone(),
            asked,
            server_time: Some((date(now) + self.ahead).trunc_subsecs(0)),
        }))
    }

    /// The upload URI of a session, in the service's own time.
    pub(crate) fn uri(&self, remote: &Remote) -> UploadUri {
        let mut text = match self.style {
            Style::Blob => format!("https://acct.blob.test/c/{}?sr=b&sp=rw", place(&remote.id, remote.place)),
            Style::BlindBlob => format!("https://acct.blob.test/c/{}?sr=b&sp=w", place(&remote.id, remote.place)),
            Style::Container => format!("https://acct.blob.test/{}?sr=c&sp=cw", place(&remote.id, remote.place)),
            Style::Plain => format!("https://acct.blob.test/{}", place(&remote.id, remote.place)),
        };
        if self.style != Style::Plain {
            // One that names no end is of a policy kept elsewhere.
            let end = match remote.uri_ends {
                Some(ends) => format!("se={}", (date(ends) + self.ahead).format("%Y-%m-%dT%H:%M:%SZ")),
                None => "si=upload".to_owned(),
            };
            text = format!("{text}&{end}&sig=s{}", remote.uri_number);
        }
        UploadUri::parse(&text, &["*.blob.test".to_owned()]).expect("the service's own URIs are fine")
    }
}

/// The last part of a place's path: which session, which of its places.
pub(crate) fn place(session: &str, place: u32) -> String {
    format!("{session}.{place}")
}
