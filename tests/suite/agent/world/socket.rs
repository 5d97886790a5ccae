//! A client of a unix socket, byte by byte.

use std::path::Path;

use serde_json::Value;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;

/// An answer as it came.
#[derive(Debug, Clone)]
pub(crate) struct Got {
    pub(crate) status: u16,
    pub(crate) head: String,
    pub(crate) body: String,
}

impl Got {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_default()
    }

    pub(crate) fn read(text: &str) -> Self {
        let (head, body) = text.split_once("\r\n\r\n").unwrap_or((text, ""));
        let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or(0);
        Self { status, head: format!("{head}\r\n"), body: body.to_owned() }
    }
}

/// Asks once and reads until the other side closes.
pub(crate) async fn ask(socket: &Path, method: &str, path: &str, body: &str) -> Got {
    let length = body.len();
    let request = format!(
        "{method} {path} HTTP/1.1\r\nhost: agent\r\nconnection: close\r\ncontent-length: {length}\r\n\r\n{body}"
    );
    say(socket, &request).await
}

/// Writes bytes and reads until the other side closes.
pub(crate) async fn say(socket: &Path, request: &str) -> Got {
    let mut stream = UnixStream::connect(socket).await.unwrap();
    // It may be refused and closed before it was all written.
    let _ = stream.write_all(request.as_bytes()).await;
    Got::read(&rest(stream).await)
}

/// Reads until the other side closes.
pub(crate) async fn rest(mut stream: impl AsyncRead + Unpin) -> String {
    let mut answer = Vec::new();
    // What came before a reset is an answer all the same.
    let _ = stream.read_to_end(&mut answer).await;
    String::from_utf8_lossy(&answer).into_owned()
}
