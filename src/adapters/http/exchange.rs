//! One request and its answer, read up to a limit.

use std::error::Error as _;
use std::time::Duration;

use bytes::Bytes;
use reqwest::header::{CONTENT_ENCODING, CONTENT_TYPE, HeaderMap, LOCATION};
use reqwest::{RequestBuilder, Response, StatusCode, Url};
use tokio::time::timeout;
use zeroize::Zeroizing;

use super::proxy::Proxies;
use super::resolve::Astray;
use super::secret::{append, secret_body};
use super::text::describe;

/// The largest answer read from the service: a page of a listing is far below.
pub const ANSWER_LIMIT: usize = 4 << 20;

/// How long nothing more of an answer may come once it began. The whole has
/// its own patience; this ends what has plainly stopped, sooner.
pub const SILENCE: Duration = Duration::from_secs(15);

/// What a proxy that asks who we are is to be given.
const LOGIN_WANTED: &str = "it wants a user name and a password: see graph.proxy_credentials_file";

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
    /// In words, without any address's path or query.
    pub detail: String,
    /// Whether there was a connection. If so, it is not to be trusted again.
    pub connected: bool,
    /// Whether the name led where this client must not go, so that nothing
    /// was even tried.
    pub inside: bool,
}

/// Sends a request and reads its answer.
///
/// # Errors
///
/// Says why no answer came; an answer whose body broke off is an answer.
pub async fn exchange(request: RequestBuilder, limit: usize) -> Result<Reply, NoAnswer> {
    attempt(request, limit, None).await
}

/// Sends a request, through one of the proxies if it has to, and reads its answer.
pub(super) async fn attempt(
    request: RequestBuilder,
    limit: usize,
    proxies: Option<&Proxies>,
) -> Result<Reply, NoAnswer> {
    let (client, request) = request.build_split();
    let request = request.map_err(|error| NoAnswer {
        detail: format!("no request: {}", describe(error)),
        connected: false,
        inside: false,
    })?;
    let way = Way::of(request.url(), proxies);
    let mut response = client.execute(request).await.map_err(|error| way.no_answer(error))?;
    let status = response.status();
    if let Some(proxy) = &way.proxy
        && status == StatusCode::PROXY_AUTHENTICATION_REQUIRED
    {
        let detail = format!("no answer through the proxy {proxy}: {LOGIN_WANTED}");
        return Err(NoAnswer { detail, connected: true, inside: false });
    }
    let headers = std::mem::take(response.headers_mut());
    let body = match packing(&headers) {
        Some(packing) => Err(format!("the answer is packed ({packing}), though nobody asked for that")),
        None => body(&mut response, limit, SILENCE).await,
    };
    Ok(Reply { status, headers, body })
}

/// Reads a body up to a limit, as long as it keeps coming.
async fn body(response: &mut Response, limit: usize, silence: Duration) -> Result<Bytes, String> {
    let mut body = Zeroizing::new(Vec::new());
    loop {
        match timeout(silence, response.chunk()).await {
            Ok(Ok(Some(chunk))) if body.len() + chunk.len() > limit => {
                return Err(format!("the answer is larger than {limit} bytes"));
            }
            Ok(Ok(Some(chunk))) => append(&mut body, &chunk),
            Ok(Ok(None)) => return Ok(secret_body(body)),
            Ok(Err(error)) => return Err(format!("the answer broke off: {}", describe(error))),
            Err(_) => return Err(format!("the answer broke off: nothing more came for {} s", silence.as_secs())),
        }
    }
}

/// Returns how an answer is packed, if it is. None is ever unpacked: a small
/// one could become one without end.
fn packing(headers: &HeaderMap) -> Option<&'static str> {
    let named = headers.get_all(CONTENT_ENCODING).iter().map(|value| value.to_str().unwrap_or("unreadable"));
    let mut named = named.flat_map(|value| value.split(',')).map(str::trim);
    let first = named.find(|name| !name.is_empty() && !name.eq_ignore_ascii_case("identity"))?;
    // A word from outside is passed on only if it is one of these.
    let known = ["gzip", "br", "deflate", "zstd", "compress"];
    Some(known.into_iter().find(|name| first.eq_ignore_ascii_case(name)).unwrap_or("in an unknown way"))
}

/// The way a request takes.
struct Way {
    /// The host that is asked, with the port where one is written.
    host: String,
    /// The proxy on the way.
    proxy: Option<String>,
}

impl Way {
    fn of(url: &Url, proxies: Option<&Proxies>) -> Self {
        let host = url.host_str().unwrap_or("no host");
        let host = url.port().map_or_else(|| host.to_owned(), |port| format!("{host}:{port}"));
        let proxy = proxies.and_then(|proxies| proxies.of(url)).map(|through| through.place().to_owned());
        Self { host, proxy }
    }

    /// Returns why no answer came, in words that say which part of the way failed.
    fn no_answer(&self, error: reqwest::Error) -> NoAnswer {
        let astray = astray(&error).cloned();
        let connected = !error.is_connect();
        let part = match (error.is_connect(), error.is_timeout()) {
            (true, true) => "no connection in time",
            (true, false) => "no connection",
            (false, true) => "no answer in time",
            (false, false) => "no answer",
        };
        let through = self.proxy.as_ref().map_or_else(String::new, |proxy| format!(" through the proxy {proxy}"));
        let said = astray.as_ref().map_or_else(|| describe(error), ToString::to_string);
        let advice = if said.contains("proxy authorization required") {
            format!("; {LOGIN_WANTED}")
        } else if said.contains("tunnel error: unsuccessful") {
            "; the proxy refused to connect there: ask whoever runs it".to_owned()
        } else if said.contains("UnknownIssuer") {
            "; if something here inspects TLS, name its authority in graph.ca_file".to_owned()
        } else {
            String::new()
        };
        let detail = format!("{part}{through}: {}: {said}{advice}", self.host);
        NoAnswer { detail, connected, inside: matches!(astray, Some(Astray::Inside { .. })) }
    }
}

/// Returns what the resolver said, if that is what failed.
fn astray(error: &reqwest::Error) -> Option<&Astray> {
    let mut cause = error.source();
    while let Some(error) = cause {
        if let Some(astray) = error.downcast_ref() {
            return Some(astray);
        }
        cause = error.source();
    }
    None
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;

    use super::*;
    use crate::adapters::clock::SystemClock;
    use crate::adapters::http::{HttpSettings, Pool, Versions};

    #[tokio::test]
    async fn a_body_that_stops_coming_is_given_up_before_the_whole_patience_is_over() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = format!("http://{}", listener.local_addr().unwrap());
        let settings = HttpSettings { plain_only: true, ..HttpSettings::default() };
        let pool = Pool::new(settings, Versions::Any, Arc::new(SystemClock)).unwrap();
        let serving = async {
            let (mut stream, _) = listener.accept().await.unwrap();
            assert_ne!(stream.read(&mut [0; 4_096]).await.unwrap(), 0);
            stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf").await.unwrap();
            stream
        };
        let (_open, answer) = tokio::join!(serving, pool.current().client.get(address).send());
        let broken = body(&mut answer.unwrap(), 100, Duration::from_secs(1)).await.unwrap_err();
        assert!(broken.contains("nothing more came for 1 s"), "{broken}");
    }
}
