//! Telling systemd how the service is (`sd_notify(3)`).
//!
//! A datagram to the socket `NOTIFY_SOCKET` names; without one, nothing. A
//! manager that does not listen is no reason to fail.

use std::ffi::{OsStr, OsString};
use std::os::linux::net::SocketAddrExt;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::time::Duration;

/// The longest line on how things are, in bytes; more is not read on a screen.
const LINE: usize = 240;

/// Tells the service manager, if there is one.
#[derive(Default)]
pub struct Notifier(Option<(UnixDatagram, SocketAddr)>);

impl Notifier {
    /// Finds the service manager by the environment.
    pub fn from_environment() -> Self {
        std::env::var_os("NOTIFY_SOCKET").map_or_else(Self::default, |name| Self::at(&name))
    }

    /// Names the socket: a path, or with a leading `@` an abstract name. One
    /// that cannot be is as none.
    pub fn at(name: &OsStr) -> Self {
        let address = match name.as_bytes() {
            [b'@', rest @ ..] => SocketAddr::from_abstract_name(rest),
            path => SocketAddr::from_pathname(OsStr::from_bytes(path)),
        };
        let socket = UnixDatagram::unbound().and_then(|socket| {
            // A manager that does not read must not hold the agent up.
            socket.set_nonblocking(true)?;
            Ok(socket)
        });
        Self(socket.ok().zip(address.ok()))
    }

    /// Everything that must be ready is ready: at the start, and again when a
    /// reload is over.
    pub fn ready(&self, status: &str) {
        self.send(&format!("READY=1\nSTATUS={}", line(status)));
    }

    /// The configuration is being read again; [`Self::ready`] says when that is
    /// over, however it went. `monotonic` is `CLOCK_MONOTONIC` at this moment
    /// (`adapters::clock::monotonic`): without it, and in one datagram, a
    /// manager that waits for the reload does not know which one this is.
    pub fn reloading(&self, monotonic: Duration) {
        let status = "reading the configuration again";
        self.send(&format!("RELOADING=1\nMONOTONIC_USEC={}\nSTATUS={status}", monotonic.as_micros()));
    }

    /// The agent is stopping.
    pub fn stopping(&self) {
        self.send("STOPPING=1\nSTATUS=stopping: blocks in flight finish, sessions stay alive");
    }

    /// One line on how things are, for people.
    pub fn status(&self, text: &str) {
        self.send(&format!("STATUS={}", line(text)));
    }

    /// All that must move has moved: the watchdog may wait again.
    pub fn alive(&self) {
        self.send("WATCHDOG=1");
    }

    /// What is under way, a start or a stop, takes longer: the next such word
    /// comes within `span`. It feeds the watchdog, which a long drain would starve:
    /// whoever says it bounds for how long.
    pub fn extend(&self, span: Duration) {
        self.send(&format!("EXTEND_TIMEOUT_USEC={}\nWATCHDOG=1", span.as_micros()));
    }

    fn send(&self, message: &str) {
        if let Some((socket, address)) = &self.0 {
            // Nobody listening is the manager's affair.
            let _ = socket.send_to_addr(message.as_bytes(), address);
        }
    }
}

/// Returns how long the service manager waits for a word of this process, if it
/// watches it (`WATCHDOG_USEC`, `WATCHDOG_PID`).
pub fn watchdog_of_environment() -> Option<Duration> {
    watchdog(std::env::var_os("WATCHDOG_USEC"), std::env::var_os("WATCHDOG_PID"), std::process::id())
}

/// Returns how long the service manager waits for a word of the process `own`,
/// by what the two variables say. Those of another process are not meant.
pub fn watchdog(microseconds: Option<OsString>, process: Option<OsString>, own: u32) -> Option<Duration> {
    let number = |text: OsString| text.into_string().ok()?.parse::<u64>().ok();
    if process.is_some_and(|process| number(process) != Some(u64::from(own))) {
        return None;
    }
    microseconds.and_then(number).filter(|&span| span > 0).map(Duration::from_micros)
}

/// Makes one line of a text: a line end would begin another message.
fn line(text: &str) -> String {
    let mut line: String = text.chars().map(|letter| if letter.is_control() { ' ' } else { letter }).collect();
    if line.len() > LINE {
        line.truncate(line.floor_char_boundary(LINE));
        line.push('…');
    }
    line
}
