//! Answers read: one object, a whole listing, or nothing at all.

use serde::de::DeserializeOwned;
use serde_json::Value;

use super::wire::{Answered, Call, Payload};
use super::{GraphService, envelope};
use crate::adapters::http::secret::SecretJson;
use crate::ports::service::{Answer, ServiceError};
use crate::upload::fault::Fault;

/// How many pages a listing may have. A tenant has a few data stores and a few
/// sessions a day; more than this is a service that sends in circles.
const MOST_PAGES: usize = 200;

/// How many bytes a listing may have, over all its pages.
const LISTING_LIMIT: usize = 16 << 20;

impl GraphService {
    /// Asks for one object; an answer without one is none.
    pub(super) async fn maybe<T: DeserializeOwned>(
        &self,
        call: &Call,
        what: &'static str,
    ) -> Result<Answer<Option<T>>, ServiceError> {
        let answered = self.wire.call(call).await?;
        let object = envelope::single(parsed(call, &answered)?).map_err(|detail| call.unclear(detail))?;
        let object = object.map(|object| envelope::object(Value::Object(object), what));
        let value = object.transpose().map_err(|detail| call.unclear(detail))?;
        Ok(Answer { value, asked: answered.asked, server_time: answered.server_time })
    }

    /// Asks for one object that must be there.
    pub(super) async fn one<T: DeserializeOwned>(
        &self,
        call: Result<Call, ServiceError>,
        what: &'static str,
    ) -> Result<Answer<T>, ServiceError> {
        let call = call?;
        let Answer { value, asked, server_time } = self.maybe(&call, what).await?;
        let value = value.ok_or_else(|| call.unclear(format!("the answer holds no {what}")))?;
        Ok(Answer { value, asked, server_time })
    }

    /// Asks for a listing and follows it to its end. The age of the answer is
    /// that of its first page.
    pub(super) async fn all<T: DeserializeOwned>(
        &self,
        call: Result<Call, ServiceError>,
        what: &'static str,
    ) -> Result<Answer<Vec<T>>, ServiceError> {
        let mut call = call?;
        let mut first = None;
        let mut value = Vec::new();
        let mut read = 0;
        for _ in 0..MOST_PAGES {
            let answered = self.wire.call(&call).await?;
            read += answered.reply.body.as_ref().map_or(0, bytes::Bytes::len);
            let page = envelope::page(parsed(&call, &answered)?).map_err(|detail| call.unclear(detail))?;
            let (asked, server_time) = *first.get_or_insert((answered.asked, answered.server_time));
            for item in page.items {
                value.push(envelope::object(item, what).map_err(|detail| call.unclear(detail))?);
            }
            match page.next {
                None => return Ok(Answer { value, asked, server_time }),
                Some(_) if read > LISTING_LIMIT => break,
                Some(next) => self.turn_to(&mut call, &next)?,
            }
        }
        let detail = format!("the listing does not end within {MOST_PAGES} pages and {} MiB", LISTING_LIMIT >> 20);
        Err(call.failed(Fault::Refused { status: 200 }, detail))
    }

    /// Asks for something to be done, where success says all. A success with a
    /// page in it is no answer of the service but of something in between.
    pub(super) async fn done(&self, call: Result<Call, ServiceError>) -> Result<Answer<()>, ServiceError> {
        let call = call?;
        let answered = self.wire.call(&call).await?;
        if answered.reply.status.as_u16() != 204 {
            drop(SecretJson::new(parsed(&call, &answered)?));
        }
        Ok(Answer { value: (), asked: answered.asked, server_time: answered.server_time })
    }

    /// Points a call at the next page: whole and as it came, but never at
    /// another origin, for the token goes with it.
    fn turn_to(&self, call: &mut Call, next: &str) -> Result<(), ServiceError> {
        let url = call.url.join(next).map_err(|_| call.unclear("the next page's address cannot be read"))?;
        if url.origin() != self.base.origin() || !url.username().is_empty() || url.password().is_some() {
            let host = url.host_str().unwrap_or("nowhere").to_owned();
            let detail = format!("the next page is at {host}, which is not the service: the token stays here");
            return Err(call.failed(Fault::Refused { status: 200 }, detail));
        }
        if url == call.url {
            return Err(call.failed(Fault::Refused { status: 200 }, "the next page is the same page again"));
        }
        call.url = url;
        call.method = reqwest::Method::GET;
        call.payload = Payload::None;
        Ok(())
    }
}

fn parsed(call: &Call, answered: &Answered) -> Result<Value, ServiceError> {
    let body = answered.reply.body.as_ref().map_err(|broken| call.unclear(broken.clone()))?;
    envelope::json(body, answered.reply.content_type()).map_err(|detail| call.unclear(detail))
}
