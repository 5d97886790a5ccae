//! One request and its answer, read up to a limit.

use bytes::Bytes;
use reqwest::header::{CONTENT_TYPE, HeaderMap, LOCATION};
use reqwest::{RequestBuilder, StatusCode, Url};
use zeroize::Zeroizing;

use super::secret::{append, secret_body};
use super::text::describe;

/// The largest answer read from the service: a page of a listing is far below.
pub const ANSWER_LIMIT: usize = 4 << 20;

/// An answer, as far as it came.
pub struct Reply {
    /// Its status.
    pub status: StatusCode,
    /// Its headers.
    pub headers: HeaderMap,
    /// Its body, or why there is no whole one. It may hold secrets, and is wiped
    /// when it is dropped.
    pub body: Result<Bytes, String>,
}

impl Reply {
    /// Returns a header as text, or nothing if it is missing or not text.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).and_then(|value| value.to_str().ok())
    }

    /// Returns the kind of content it says it has, without parameters.
    pub fn content_type(&self) -> &str {
        let named = self.header(CONTENT_TYPE.as_str()).unwrap_or("no content type");
        named.split(';').next().unwrap_or_default().trim()
    }

    /// Returns the host a redirect points at, and nothing more of it.
    pub fn redirect_host(&self) -> String {
        let host = self.header(LOCATION.as_str()).and_then(|place| Url::parse(place).ok());
        let host = host.and_then(|url| url.host_str().map(str::to_owned));
        host.unwrap_or_else(|| "the same host".to_owned())
    }
}

/// Why no answer came.
pub struct NoAnswer {
    /// In words, without any address.
    pub detail: String,
    /// Whether there was a connection. If so, it is not to be trusted again.
    pub connected: bool,
}

/// Sends a request and reads its answer.
///
/// # Errors
///
/// Says why no answer came; an answer whose body broke off is an answer.
pub async fn exchange(request: RequestBuilder, limit: usize) -> Result<Reply, NoAnswer> {
    let mut response = request.send().await.map_err(no_answer)?;
    let status = response.status();
    let headers = std::mem::take(response.headers_mut());
    let mut body = Zeroizing::new(Vec::new());
    let body = loop {
        match response.chunk().await {
            Ok(Some(chunk)) if body.len() + chunk.len() > limit => {
                break Err(format!("the answer is larger than {limit} bytes"));
            }
            Ok(Some(chunk)) => append(&mut body, &chunk),
            Ok(None) => break Ok(secret_body(body)),
            Err(error) => break Err(format!("the answer broke off: {}", describe(error))),
        }
    };
    Ok(Reply { status, headers, body })
}

/// Returns why no answer came, in words that say which part of the way failed.
fn no_answer(error: reqwest::Error) -> NoAnswer {
    let connected = !error.is_connect();
    let part = match (error.is_connect(), error.is_timeout()) {
        (true, true) => "no connection in time",
        (true, false) => "no connection",
        (false, true) => "no answer in time",
        (false, false) => "no answer",
    };
    NoAnswer { detail: format!("{part}: {}", describe(error)), connected }
}
