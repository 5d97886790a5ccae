//! The gate: an upload that is held asks for nothing until it is released.

use super::Upload;
use crate::ground::moment::Now;
use crate::upload::event::Step;
use crate::upload::record::{Phase, Record};

impl Upload {
    /// Holds an upload that has not asked for anything yet.
    pub(super) fn hold(&mut self, now: Now, reasons: Vec<String>, step: &mut Step) {
        if self.standing.phase == Phase::Planned {
            self.note(Record::GateHeld { reasons, at: now.wall }, step);
        }
    }

    /// Lets a held upload pass.
    pub(super) fn release(&mut self, now: Now, step: &mut Step) {
        if self.standing.phase == Phase::Held {
            // It had nothing to do until now.
            self.moved(now);
            self.note(Record::GateReleased { at: now.wall }, step);
        }
    }
}
