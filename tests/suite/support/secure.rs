//! A TLS server on loopback that speaks HTTP/2 by hand, frame by frame, so that
//! it can also be rude; and HTTP/1.1 with whoever asks for that.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};

use rustls::ServerConfig;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;

/// What is done with a request over HTTP/2.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Act {
    /// It is answered, with an empty list.
    Answer,
    /// Its stream is refused: nothing was done.
    Refuse,
    /// Its stream is broken off.
    Reset,
    /// The connection is told to end, and this request was not looked at.
    GoAway,
    /// It is answered with headers that are larger than any.
    Bloat,
    /// It is sent on to plain http on this host, at this port.
    Redirect(u16),
    /// Nothing is said any more, not even to a ping.
    Silence,
}

const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const PING: u8 = 6;
const GOAWAY: u8 = 7;
const CONTINUATION: u8 = 9;

#[derive(Default)]
struct State {
    script: VecDeque<Act>,
    connections: usize,
    /// The number of the connection of each request, and its protocol.
    requests: Vec<(usize, &'static str)>,
    /// What was sent inside TLS.
    heard: usize,
}

/// The server. It ends when dropped.
pub(crate) struct Secure {
    port: u16,
    state: Arc<Mutex<State>>,
    _tasks: JoinSet<()>,
}

impl Secure {
    pub(crate) async fn start(config: Arc<ServerConfig>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let state = Arc::new(Mutex::new(State::default()));
        let mut tasks = JoinSet::new();
        tasks.spawn(accept(listener, config, Arc::clone(&state)));
        Self { port, state, _tasks: tasks }
    }

    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    /// Adds what is done with a further request; afterwards each is answered.
    pub(crate) fn then(&self, act: Act) -> &Self {
        self.state.lock().unwrap().script.push_back(act);
        self
    }

    pub(crate) fn connections(&self) -> usize {
        self.state.lock().unwrap().connections
    }

    /// Returns the connection and protocol of each request so far.
    pub(crate) fn requests(&self) -> Vec<(usize, &'static str)> {
        self.state.lock().unwrap().requests.clone()
    }

    /// Returns how many bytes were sent to it inside TLS.
    pub(crate) fn heard(&self) -> usize {
        self.state.lock().unwrap().heard
    }
}

async fn accept(listener: TcpListener, config: Arc<ServerConfig>, state: Arc<Mutex<State>>) {
    let acceptor = TlsAcceptor::from(config);
    let mut connections = JoinSet::new();
    loop {
        let (stream, _) = listener.accept().await.unwrap();
        let number = {
            let mut state = state.lock().unwrap();
            state.connections += 1;
            state.connections - 1
        };
        let (acceptor, state) = (acceptor.clone(), Arc::clone(&state));
        connections.spawn(async move { serve(acceptor, stream, number, &state).await.unwrap_or_default() });
    }
}

async fn serve(acceptor: TlsAcceptor, stream: TcpStream, number: usize, state: &Mutex<State>) -> std::io::Result<()> {
    let mut stream = acceptor.accept(stream).await?;
    if stream.get_ref().1.alpn_protocol() == Some(b"h2") {
        return frames(&mut stream, number, state).await;
    }
    let mut head = Vec::new();
    loop {
        let byte = stream.read_u8().await?;
        head.push(byte);
        state.lock().unwrap().heard += 1;
        if head.ends_with(b"\r\n\r\n") {
            head.clear();
            state.lock().unwrap().requests.push((number, "http/1.1"));
            stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 12\r\n\r\n{\"value\":[]}").await?;
            stream.flush().await?;
        }
    }
}

fn frame(kind: u8, flags: u8, stream: u32, body: &[u8]) -> Vec<u8> {
    let length = u32::try_from(body.len()).unwrap().to_be_bytes();
    [&length[1..], &[kind, flags], &stream.to_be_bytes(), body].concat()
}

async fn frames(
    wire: &mut (impl AsyncRead + AsyncWrite + Unpin),
    number: usize,
    state: &Mutex<State>,
) -> std::io::Result<()> {
    let mut preface = [0; 24];
    wire.read_exact(&mut preface).await?;
    wire.write_all(&frame(SETTINGS, 0, 0, &[])).await?;
    let mut silent = false;
    loop {
        wire.flush().await?;
        let mut head = [0; 9];
        wire.read_exact(&mut head).await?;
        let length = u32::from_be_bytes([0, head[0], head[1], head[2]]) as usize;
        let stream = u32::from_be_bytes([head[5], head[6], head[7], head[8]]);
        let mut body = vec![0; length];
        wire.read_exact(&mut body).await?;
        state.lock().unwrap().heard += 9 + length;
        let (kind, flags) = (head[3], head[4]);
        if silent {
            continue;
        }
        match kind {
            SETTINGS if flags & 1 == 0 => wire.write_all(&frame(SETTINGS, 1, 0, &[])).await?,
            PING if flags & 1 == 0 => wire.write_all(&frame(PING, 1, 0, &body)).await?,
            HEADERS => {
                let act = {
                    let mut state = state.lock().unwrap();
                    state.requests.push((number, "h2"));
                    state.script.pop_front().unwrap_or(Act::Answer)
                };
                silent = act == Act::Silence;
                wire.write_all(&answer(act, stream)).await?;
            }
            _ => (),
        }
    }
}

fn answer(act: Act, stream: u32) -> Vec<u8> {
    let code = |kind, stream, code: u32| frame(kind, 0, stream, &code.to_be_bytes());
    match act {
        // 0x88 is the status 200 in the table that both sides know.
        Act::Answer => [frame(HEADERS, 4, stream, &[0x88]), frame(0, 1, stream, b"{\"value\":[]}")].concat(),
        Act::Refuse => code(RST_STREAM, stream, 7),
        Act::Reset => code(RST_STREAM, stream, 2),
        Act::GoAway => frame(GOAWAY, 0, 0, &[0; 8]),
        Act::Bloat => {
            // A header `x` of 126 bytes, again and again, in frames without end.
            let one = [&[0x00, 1, b'x', 126][..], &[b'y'; 126]].concat();
            let many = one.repeat(120);
            let more = frame(CONTINUATION, 0, stream, &many).repeat(64);
            [frame(HEADERS, 0, stream, &[0x88]), more, frame(CONTINUATION, 4, stream, &[])].concat()
        }
        Act::Redirect(port) => {
            // The status and `location` by their numbers in the table both sides know.
            let place = format!("http://127.0.0.1:{port}/");
            let length = u8::try_from(place.len()).unwrap();
            frame(HEADERS, 5, stream, &[b"\x08\x03307\x0F\x1F", &[length][..], place.as_bytes()].concat())
        }
        Act::Silence => Vec::new(),
    }
}
