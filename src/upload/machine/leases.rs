//! The lease of the session and the upload URI it came with.

use chrono::{DateTime, Utc};

use super::Upload;
use crate::ground::moment::{Moment, Now};
use crate::upload::event::{Sighting, Step};
use crate::upload::lease::{Grant, Lease, latest_date};
use crate::upload::ledger::Ledger;
use crate::upload::record::Record;
use crate::upload::uri::UploadUri;

impl Upload {
    /// Adopts an upload URI and the lease it brings.
    pub(super) fn grant(&mut self, sighting: &Sighting, uri: UploadUri, renewed: bool, now: Now, step: &mut Step) {
        if self.standing.held.is_none() {
            return;
        }
        let place = uri.place().as_str().to_owned();
        // A renewal makes even the same words a fresh upload URI: it may be tried again.
        if renewed || self.uri.as_ref() != Some(&uri) {
            self.uri_number += 1;
            self.refusals.parked = false;
        }
        if self.standing.place.as_ref() != Some(&place) {
            // Another place holds nothing of ours: what was stored was stored elsewhere.
            if self.plan.is_owned() && self.standing.place.is_some() {
                self.note(Record::Stored { blocks: Ledger::default() }, step);
                self.note(Record::Listed { done: false }, step);
                self.doubt.store = true;
            }
            self.place_since = self.uri_number;
            self.note(Record::Placed { place }, step);
        }
        let expires = uri.expires();
        self.uri = Some(uri);
        self.uri_refused = None;
        self.paces.uri.succeeded();
        self.begin_lease(sighting, expires, now);
    }

    /// Keeps the session alive although its upload URI is missing or refused.
    pub(super) fn grant_without_uri(&mut self, sighting: &Sighting, now: Now) {
        self.uri = None;
        self.begin_lease(sighting, None, now);
    }

    fn begin_lease(&mut self, sighting: &Sighting, uri_expires: Option<DateTime<Utc>>, now: Now) {
        let Some(held) = &self.standing.held else { return };
        let (date, renewals) = (held.extended, held.renewals);
        let extended = self.extended.unwrap_or_else(|| self.extended_by_date(date, sighting, now));
        let extended = extended.min(sighting.asked);
        let grant = Grant { asked: sighting.asked, extended, uri_expires, server_time: sighting.server_time, renewals };
        let mut lease = Lease::new(grant, now, &self.policy, self.plan.seed);
        if self.doubt.age || self.renew_asked || self.refusals.parked {
            lease.renew_now(now.moment);
        }
        self.lease = Some(lease);
    }

    /// Translates the date of the last extension, which is all that a restart
    /// knows of it. A date still to come says that a clock was set back since,
    /// and one from before the host started has no moment: then the age counts
    /// as unknown.
    fn extended_by_date(&mut self, date: DateTime<Utc>, sighting: &Sighting, now: Now) -> Moment {
        let date_asked = latest_date(sighting.server_time, sighting.asked, now);
        let age = (date_asked - date).to_std().ok();
        self.doubt.age |= age.is_none_or(|age| age > sighting.asked.since_boot());
        Now { moment: sighting.asked, wall: now.wall }.moment_of(date, date_asked)
    }

    /// Returns the date of the start of a request that extended the session:
    /// the service's, if it said it, because this host's clock may be set by
    /// the time the date is read.
    pub(super) fn date_extended(sighting: &Sighting, now: Now) -> DateTime<Utc> {
        let took = chrono::TimeDelta::from_std(now.moment.since(sighting.asked)).unwrap_or_default();
        sighting.server_time.map_or_else(|| now.date_of(sighting.asked), |date| date - took)
    }

    /// Renews as soon as the pace allows, whatever answers come in between.
    pub(super) fn renew_soon(&mut self, now: Now) {
        self.renew_asked = true;
        if let Some(lease) = &mut self.lease {
            lease.renew_now(now.moment);
        }
    }

    /// Returns whether what was sent under a numbered upload URI is where the
    /// current one leads.
    pub(super) const fn is_same_place(&self, uri: u32) -> bool {
        uri >= self.place_since
    }

    /// Returns whether an upload URI leads elsewhere than the last.
    pub(super) fn is_elsewhere(&self, uri: &UploadUri) -> bool {
        self.standing.place.as_ref().is_some_and(|place| place != uri.place().as_str())
    }
}
