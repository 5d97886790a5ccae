//! Telling systemd how the service is (`sd_notify(3)`).
//!
//! A datagram to the socket `NOTIFY_SOCKET` names; without one, nothing. A
//! manager that does not listen is no reason to fail.

use std::ffi::OsStr;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};

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

    /// Everything that must be ready is ready.
    pub fn ready(&self, status: &str) {
        self.send(&format!("READY=1\nSTATUS={status}"));
    }

    /// The agent is stopping.
    pub fn stopping(&self) {
        self.send("STOPPING=1\nSTATUS=stopping: blocks in flight finish, sessions stay alive");
    }

    /// One line on how things are, for people.
    pub fn status(&self, line: &str) {
        self.send(&format!("STATUS={line}"));
    }

    fn send(&self, message: &str) {
        if let Some((socket, address)) = &self.0 {
            // Nobody listening is the manager's affair.
            let _ = socket.send_to_addr(message.as_bytes(), address);
        }
    }
}
