//! Faults: what goes wrong, and for which call of which operation.
//!
//! A fault is data. Each counts the calls it matches by itself, so what it
//! does to one operation does not depend on what else the script says; a draw
//! by probability depends only on the seed, the fault's place in the script and
//! that count, so a run can be repeated.

use std::sync::Mutex;
use std::time::Duration;

use super::operation::Operation;
use crate::ground::chance;

/// Which of the matching calls a fault strikes.
#[derive(Debug, Clone, PartialEq)]
pub enum Trigger {
    /// All of them.
    Always,
    /// These, counted from 1.
    Nth(Vec<u64>),
    /// Each one whose number is a multiple of this.
    Every(u64),
    /// Each with this probability.
    Probability(f64),
}

/// Where a connection is cut.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cut {
    /// Before the body is read; nothing happens.
    Before,
    /// After the body is read; nothing happens.
    AfterBody,
    /// Half-way through the answer; what was asked has happened.
    MidAnswer,
}

/// What an answer's body is replaced with; what was asked has happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum BodyOverride {
    /// `null`.
    Null,
    /// Nothing.
    Empty,
    /// A sign-in page, as a proxy would put in.
    Html,
    /// The first half of the body, with a length that agrees with it.
    Truncated,
    /// This text.
    Text(String),
}

/// A refusal by script; nothing happens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refuse {
    /// The status.
    pub status: u16,
    /// The service's error code; one that fits the status if none.
    pub code: Option<String>,
    /// The service's message.
    pub message: Option<String>,
    /// `Retry-After`, in whatever form.
    pub retry_after: Option<String>,
    /// Whether it is said before the body was read.
    pub early: bool,
}

/// What a fault does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    /// Nothing but the delay.
    Delay,
    /// Refuses.
    Refuse(Refuse),
    /// Cuts the connection.
    Cut(Cut),
    /// Does what was asked and cuts the connection without an answer.
    LostReply,
    /// Answers a byte at a time, with this pause before each.
    Drip(Duration),
    /// Does what was asked and answers with another body.
    Body(BodyOverride),
    /// Does what was asked and echoes a wrong digest of the block (`true`) or
    /// none (`false`).
    Echo(bool),
    /// Loses this many staged blocks of the blob, then does what was asked.
    ForgetBlocks(usize),
    /// Loses the session, then does what was asked.
    LoseSession,
}

/// One line of a fault script.
#[derive(Debug, Clone, PartialEq)]
pub struct Fault {
    /// The operations it looks at.
    pub operations: Vec<Operation>,
    /// The calls among them that it strikes.
    pub trigger: Trigger,
    /// How often it strikes at most.
    pub count: Option<u64>,
    /// How long the call is held first, body unread.
    pub delay: Option<Duration>,
    /// What it does then.
    pub action: Action,
}

/// What the script has in store for one call.
#[derive(Debug, Default)]
pub(super) struct Plan {
    /// How long it is held first.
    pub(super) delay: Duration,
    /// What happens then; the first fault of the script that strikes decides.
    pub(super) action: Option<Action>,
}

/// The faults of a script with what each has seen.
pub(super) struct FaultBook {
    seed: u64,
    lines: Mutex<Vec<Line>>,
}

struct Line {
    fault: Fault,
    seen: u64,
    struck: u64,
}

impl FaultBook {
    pub(super) fn new(faults: &[Fault], seed: u64) -> Self {
        let lines = faults.iter().map(|fault| Line { fault: fault.clone(), seen: 0, struck: 0 }).collect();
        Self { seed, lines: Mutex::new(lines) }
    }

    /// Adds a fault that counts from now on.
    pub(super) fn add(&self, fault: Fault) {
        super::held(&self.lines).push(Line { fault, seen: 0, struck: 0 });
    }

    /// Counts a call and says what happens to it.
    pub(super) fn plan(&self, operation: Operation) -> Plan {
        let mut plan = Plan::default();
        for (place, line) in super::held(&self.lines).iter_mut().enumerate() {
            if !line.fault.operations.contains(&operation) {
                continue;
            }
            line.seen += 1;
            let spent = line.fault.count.is_some_and(|count| line.struck >= count);
            if spent || !strikes(&line.fault.trigger, line.seen, self.seed, place) {
                continue;
            }
            line.struck += 1;
            plan.delay += line.fault.delay.unwrap_or_default();
            if plan.action.is_none() && line.fault.action != Action::Delay {
                plan.action = Some(line.fault.action.clone());
            }
        }
        plan
    }
}

fn strikes(trigger: &Trigger, call: u64, seed: u64, place: usize) -> bool {
    match trigger {
        Trigger::Always => true,
        Trigger::Nth(calls) => calls.contains(&call),
        Trigger::Every(step) => call.is_multiple_of(*step),
        Trigger::Probability(probability) => {
            // Faults of one script must not draw in step.
            let own_seed = seed ^ (place as u64 + 1).wrapping_mul(0xD6E8_FEB8_6659_FD93);
            chance::draw(own_seed, call) < *probability
        }
    }
}
