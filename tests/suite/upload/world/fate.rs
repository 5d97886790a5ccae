//! What befalls a request.

use std::time::Duration;

use edm_agent::ground::chance::draw;
use edm_agent::ground::moment::Moment;
use edm_agent::upload::event::Command;
use edm_agent::upload::fault::{BlobFault, Fault};

/// What befalls one request.
#[derive(Debug, Clone)]
pub(crate) enum Mishap {
    /// Nothing.
    None,
    /// It has its effect, but the answer never comes.
    Lost,
    /// The answer comes this much later.
    Late(Duration),
    /// It reaches the other side this much later.
    Slow(Duration),
    /// The service says this instead of doing it.
    Fault(Fault),
    /// The blob store says this instead of doing it.
    BlobFault(BlobFault),
    /// It never leaves: the bundle gives no checksum to open a session with.
    Undrafted,
}

/// A request that is about to leave.
pub(crate) struct Ask<'a> {
    /// Its place among all requests, from 0.
    pub(crate) index: usize,
    /// Its place among those of its kind, from 1.
    pub(crate) nth: usize,
    /// When, by true time.
    pub(crate) time: Moment,
    /// What.
    pub(crate) command: &'a Command,
}

/// Decides what befalls each request.
pub(crate) type Fate = Box<dyn FnMut(&Ask<'_>) -> Mishap>;

/// Nothing ever goes wrong.
pub(crate) fn fair() -> Fate {
    Box::new(|_| Mishap::None)
}

/// A kind of request goes wrong in the same way, always or as long as it lasts.
pub(crate) fn always(of: &'static str, from: Duration, to: Duration, mishap: Mishap) -> Fate {
    let start = Moment::from_boot(Duration::from_secs(100));
    Box::new(move |ask| {
        let since = ask.time.since(start);
        let hits = (of == "any" || kind(ask.command) == of) && since >= from && since < to;
        if hits { suited(ask.command, mishap.clone()) } else { Mishap::None }
    })
}

/// No answer, and no effect.
pub(crate) fn outage() -> Mishap {
    Mishap::Fault(Fault::Transient { retry_after: None })
}

/// Turns a mishap into one that can befall this command.
pub(crate) fn suited(command: &Command, mishap: Mishap) -> Mishap {
    match mishap {
        Mishap::Fault(Fault::Transient { retry_after }) if is_blob(command) => {
            Mishap::BlobFault(BlobFault::Transient { retry_after })
        }
        other @ (Mishap::None
        | Mishap::Lost
        | Mishap::Late(_)
        | Mishap::Slow(_)
        | Mishap::Fault(_)
        | Mishap::BlobFault(_)
        | Mishap::Undrafted) => other,
    }
}

/// Returns whether a command goes to the blob store.
pub(crate) const fn is_blob(command: &Command) -> bool {
    matches!(command, Command::Send { .. } | Command::SendWhole { .. } | Command::Inventory | Command::PutList)
}

/// Returns the name of a command's kind.
pub(crate) const fn kind(command: &Command) -> &'static str {
    match command {
        Command::Find => "find",
        Command::Create => "create",
        Command::Fetch => "fetch",
        Command::Renew { .. } => "renew",
        Command::Report(_) => "report",
        Command::Send { .. } => "send",
        Command::SendWhole { .. } => "whole",
        Command::Inventory => "inventory",
        Command::PutList => "list",
        Command::Commit => "commit",
        Command::Abort => "abort",
        Command::LookUpCanary => "canary",
    }
}

/// Draws without end under a seed.
#[derive(Debug, Clone)]
pub(crate) struct Dice {
    seed: u64,
    throws: u64,
}

impl Dice {
    pub(crate) const fn new(seed: u64) -> Self {
        Self { seed, throws: 0 }
    }

    /// A number in `0.0..1.0`.
    pub(crate) fn share(&mut self) -> f64 {
        self.throws += 1;
        draw(self.seed ^ 0xD1CE, self.throws)
    }

    /// A number in `0..below`.
    pub(crate) fn below(&mut self, below: u32) -> u32 {
        (self.share() * f64::from(below)) as u32
    }

    /// True once in so many throws.
    pub(crate) fn one_in(&mut self, many: u32) -> bool {
        self.below(many) == 0
    }

    /// A span up to the longest.
    pub(crate) fn span(&mut self, longest: Duration) -> Duration {
        longest.mul_f64(self.share())
    }
}
