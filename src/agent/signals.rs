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

/// Wishes to stop that wait to be taken in: the first stops, the second ends at
/// once, and more say nothing new.
const STOPS: usize = 2;
/// Wishes to reload that wait to be taken in: one reads what all would.
const RELOADS: usize = 1;

/// What a signal asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wish {
    /// Stop (SIGTERM, SIGINT).
    Stop,
    /// Read the configuration again (SIGHUP).
    Reload,
}

/// The wishes, as they come. Those of one kind are never in the way of the
/// other's.
pub struct Wishes {
    stops: mpsc::Receiver<()>,
    reloads: mpsc::Receiver<()>,
}

impl Wishes {
    /// Waits for the next wish, one to stop first; nothing when none can come
    /// any more.
    pub async fn recv(&mut self) -> Option<Wish> {
        tokio::select! {
            biased;
            stop = self.stops.recv() => stop.map(|()| Wish::Stop),
            reload = self.reloads.recv() => reload.map(|()| Wish::Reload),
        }
    }

    /// Returns whether a stop is wished that nobody has taken in yet.
    pub fn is_stop_waiting(&mut self) -> bool {
        self.stops.try_recv().is_ok()
    }
}

/// Listens for signals on a thread of its own.
///
/// # Errors
///
/// When the handlers cannot be installed.
pub fn listen() -> io::Result<Wishes> {
    let mut signals = Signals::new([SIGTERM, SIGINT, SIGHUP])?;
    if getpid().is_init() {
        signals.add_signal(SIGCHLD)?;
    }
    let (stop, stops) = mpsc::channel(STOPS);
    let (reload, reloads) = mpsc::channel(RELOADS);
    std::thread::Builder::new().name("signals".to_owned()).spawn(move || {
        for signal in signals.forever() {
            if signal == SIGCHLD {
                // One signal may stand for many.
                while let Ok(Some(_)) = wait(WaitOptions::NOHANG) {}
                continue;
            }
            let wishes = if signal == SIGHUP { &reload } else { &stop };
            // A full queue holds the same wish already; a closed one has no use for it.
            let _ = wishes.try_send(());
        }
    })?;
    Ok(Wishes { stops, reloads })
}
