//! A scripted server on loopback, which keeps what it was sent and answers
//! byte by byte as it was told: well, late, cut short, or not at all.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

/// How much is read at once.
const SIP: usize = 64 << 10;

/// A request as it came over the wire.
#[derive(Debug, Clone)]
pub(crate) struct Captured {
    pub(crate) method: String,
    /// Path and query, as sent.
    pub(crate) target: String,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
    /// The number of the connection it came over, from zero.
    pub(crate) connection: usize,
}

impl Captured {
    /// Returns a header by its lower-case name.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    /// Returns the names of all headers but those HTTP itself needs, sorted.
    pub(crate) fn header_names(&self) -> Vec<&str> {
        let own = ["host", "user-agent"];
        let mut names: Vec<&str> = self.headers.iter().map(|(name, _)| name.as_str()).collect();
        names.retain(|name| !own.contains(name));
        names.sort_unstable();
        names
    }

    /// Returns the body as JSON.
    pub(crate) fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).unwrap()
    }
}

/// What goes wrong with an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Twist {
    /// Nothing.
    None,
    /// It is given before the body of the request is read, and the body never is.
    Early,
    /// It is not given: the connection closes after the request was read.
    Lost,
    /// It is not given, and the connection stays open.
    Held,
    /// The connection closes after so many bytes of it.
    Cut(usize),
    /// Its bytes come one by one, so far apart.
    Drip(Duration),
    /// The request's body is read a little at a time, with such pauses.
    Sip(Duration),
}

/// An answer to be given.
#[derive(Debug, Clone)]
pub(crate) struct Reply {
    status: u16,
    headers: Vec<(String, String)>,
    body: Vec<u8>,
    length: usize,
    twist: Twist,
}

impl Reply {
    /// Answers with a status and nothing else.
    pub(crate) fn status(status: u16) -> Self {
        Self { status, headers: Vec::new(), body: Vec::new(), length: 0, twist: Twist::None }
    }

    /// Answers with a body of some kind.
    pub(crate) fn content(status: u16, kind: &str, body: impl Into<Vec<u8>>) -> Self {
        let body = body.into();
        let length = body.len();
        Self { body, length, ..Self::status(status) }.header("Content-Type", kind)
    }

    /// Answers with JSON.
    pub(crate) fn json(status: u16, body: &str) -> Self {
        Self::content(status, "application/json; odata.metadata=minimal", body)
    }

    /// Adds a header.
    pub(crate) fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Names another length than the body has.
    pub(crate) fn claiming(self, length: usize) -> Self {
        Self { length, ..self }
    }

    /// Answers before the request's body is read, which then stays unread.
    pub(crate) fn early(self) -> Self {
        Self { twist: Twist::Early, ..self }
    }

    /// Closes after so many bytes of the answer.
    pub(crate) fn cut_after(self, bytes: usize) -> Self {
        Self { twist: Twist::Cut(bytes), ..self }
    }

    /// Sends byte by byte, so far apart.
    pub(crate) fn dripping(self, apart: Duration) -> Self {
        Self { twist: Twist::Drip(apart), ..self }
    }

    /// Reads the request's body a little at a time, with such pauses.
    pub(crate) fn sipping(self, apart: Duration) -> Self {
        Self { twist: Twist::Sip(apart), ..self }
    }

    /// Reads the request, then closes without an answer.
    pub(crate) fn lost() -> Self {
        Self { twist: Twist::Lost, ..Self::status(200) }
    }

    /// Reads the request, then does nothing for ever.
    pub(crate) fn held() -> Self {
        Self { twist: Twist::Held, ..Self::status(200) }
    }

    fn bytes(&self) -> Vec<u8> {
        let mut head = format!("HTTP/1.1 {} Scripted\r\n", self.status);
        for (name, value) in &self.headers {
            head.push_str(&format!("{name}: {value}\r\n"));
        }
        if self.status != 204 {
            head.push_str(&format!("Content-Length: {}\r\n", self.length));
        }
        head.push_str("\r\n");
        [head.into_bytes(), self.body.clone()].concat()
    }
}

#[derive(Default)]
struct State {
    script: VecDeque<Reply>,
    captured: Vec<Captured>,
    connections: usize,
}

/// The server. It ends when dropped.
pub(crate) struct Mock {
    address: SocketAddr,
    state: Arc<Mutex<State>>,
    _tasks: JoinSet<()>,
}

impl Mock {
    /// Listens on a free loopback port.
    pub(crate) async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let state = Arc::new(Mutex::new(State::default()));
        let mut tasks = JoinSet::new();
        tasks.spawn(accept(listener, Arc::clone(&state)));
        Self { address, state, _tasks: tasks }
    }

    /// Returns the address to reach it at, without a path.
    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Adds an answer to the end of the script.
    pub(crate) fn then(&self, reply: Reply) -> &Self {
        self.state.lock().unwrap().script.push_back(reply);
        self
    }

    /// Returns the requests so far, and forgets them.
    pub(crate) fn take(&self) -> Vec<Captured> {
        std::mem::take(&mut self.state.lock().unwrap().captured)
    }

    /// Returns the one request there was, and forgets it.
    pub(crate) fn take_one(&self) -> Captured {
        let mut captured = self.take();
        assert_eq!(captured.len(), 1, "one request was expected: {captured:#?}");
        captured.remove(0)
    }

    /// Returns how often a connection was made.
    pub(crate) fn connections(&self) -> usize {
        self.state.lock().unwrap().connections
    }
}

async fn accept(listener: TcpListener, state: Arc<Mutex<State>>) {
    let mut connections = JoinSet::new();
    loop {
        let (stream, _) = listener.accept().await.unwrap();
        let number = {
            let mut state = state.lock().unwrap();
            state.connections += 1;
            state.connections - 1
        };
        connections.spawn(serve(stream, number, Arc::clone(&state)));
    }
}

/// Serves one connection until either end closes it.
async fn serve(mut stream: TcpStream, connection: usize, state: Arc<Mutex<State>>) {
    let mut buffer = Vec::new();
    while let Some((mut request, body_length)) = head(&mut stream, &mut buffer, connection).await {
        let unscripted = || Reply::content(599, "text/plain", "nothing more was scripted");
        let reply = state.lock().unwrap().script.pop_front().unwrap_or_else(unscripted);
        if reply.twist != Twist::Early {
            while buffer.len() < body_length {
                if !more(&mut stream, &mut buffer).await {
                    return;
                }
                if let Twist::Sip(apart) = reply.twist {
                    pause(apart).await;
                }
            }
            request.body = buffer.drain(..body_length).collect();
        }
        state.lock().unwrap().captured.push(request);
        let bytes = reply.bytes();
        match reply.twist {
            Twist::None | Twist::Sip(_) => stream.write_all(&bytes).await.unwrap_or_default(),
            Twist::Lost => return,
            Twist::Cut(kept) => {
                let _ = stream.write_all(&bytes[..kept.min(bytes.len())]).await;
                return;
            }
            Twist::Drip(apart) => drip(&mut stream, &bytes, apart).await,
            Twist::Early => {
                let _ = stream.write_all(&bytes).await;
                return std::future::pending().await;
            }
            Twist::Held => return std::future::pending().await,
        }
    }
}

/// Reads the head of a request; returns it with the length of its body.
async fn head(stream: &mut TcpStream, buffer: &mut Vec<u8>, connection: usize) -> Option<(Captured, usize)> {
    let end = loop {
        if let Some(at) = buffer.windows(4).position(|window| window == b"\r\n\r\n") {
            break at;
        }
        if !more(stream, buffer).await {
            return None;
        }
    };
    let head = String::from_utf8(buffer.drain(..end + 4).collect()).unwrap();
    let mut lines = head.trim_end().split("\r\n");
    let mut first = lines.next().unwrap().split(' ').map(str::to_owned);
    let pairs = lines.map(|line| line.split_once(": ").unwrap());
    let headers: Vec<_> = pairs.map(|(name, value)| (name.to_ascii_lowercase(), value.to_owned())).collect();
    let (method, target) = (first.next().unwrap(), first.next().unwrap());
    let request = Captured { method, target, headers, body: Vec::new(), connection };
    assert_eq!(request.header("transfer-encoding"), None, "every length is known beforehand");
    let length = request.header("content-length").map_or(0, |length| length.parse().unwrap());
    Some((request, length))
}

async fn more(stream: &mut TcpStream, buffer: &mut Vec<u8>) -> bool {
    let mut part = [0; SIP];
    let read = stream.read(&mut part).await.unwrap_or(0);
    buffer.extend_from_slice(&part[..read]);
    read > 0
}

#[expect(clippy::disallowed_methods, reason = "the gaps between bytes are the fault being played")]
async fn pause(apart: Duration) {
    tokio::time::sleep(apart).await;
}

async fn drip(stream: &mut TcpStream, bytes: &[u8], apart: Duration) {
    for byte in bytes {
        if stream.write_all(&[*byte]).await.is_err() {
            return;
        }
        pause(apart).await;
    }
}
