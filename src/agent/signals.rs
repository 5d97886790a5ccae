//! Signals, as a stream of wishes.
//!
//! In a container the agent may be the first process, whose children are those
//! that others left behind. It starts none of its own, so whatever ends as its
//! child is taken off the table of processes.

use std::io;

use rustix::process::{WaitOptions, getpid, wait};
use signal_hook::consts::{SIGCHLD, SIGHUP, SIGINT, SIGTERM};
use signal_hook::iterator::Signals;
use tokio::sync::mpsc;

/// Signals that wait to be taken in; more of the same say nothing new.
const WAITING: usize = 16;

/// What a signal asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wish {
    /// Stop (SIGTERM, SIGINT).
    Stop,
    /// Read the configuration again (SIGHUP).
    Reload,
}

/// Listens for signals on a thread of its own.
///
/// # Errors
///
/// When the handlers cannot be installed.
pub fn listen() -> io::Result<mpsc::Receiver<Wish>> {
    let mut signals = Signals::new([SIGTERM, SIGINT, SIGHUP])?;
    if getpid().is_init() {
        signals.add_signal(SIGCHLD)?;
    }
    let (wishes, receiver) = mpsc::channel(WAITING);
    std::thread::Builder::new().name("signals".to_owned()).spawn(move || {
        for signal in signals.forever() {
            if signal == SIGCHLD {
                // One signal may stand for many.
                while let Ok(Some(_)) = wait(WaitOptions::NOHANG) {}
                continue;
            }
            let wish = if signal == SIGHUP { Wish::Reload } else { Wish::Stop };
            // A full queue holds the same wish already; a closed one has no use for it.
            let _ = wishes.try_send(wish);
        }
    })?;
    Ok(receiver)
}
