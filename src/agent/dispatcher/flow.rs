//! From a machine's step to a command on its way: records into the batch,
//! commands into their lanes, and out of them when they may leave.

use super::held::Waiter;
use super::{Dispatcher, Done, Input, Waiting};
use crate::agent::lanes::Kind;
use crate::ground::moment::Now;
use crate::upload::event::{Command, Event, Order, Reply};
use crate::upload::record::Record;

impl Dispatcher {
    /// Steps one machine and takes in what it asks for.
    pub(super) fn step(&mut self, number: u64, event: Event, now: Now) {
        let Some(slot) = self.slots.get_mut(&number) else { return };
        let age = slot.session_age(now);
        let has_lapsed = slot.has_lapsed(now);
        let step = slot.upload.step(now, event);
        if let Some(old) = slot.deadline.take() {
            self.deadlines.remove(&(old, number));
        }
        slot.deadline = slot.upload.next_deadline();
        if let Some(deadline) = slot.deadline {
            self.deadlines.insert((deadline, number));
        }
        let closing = step.records.iter().find(|record| matches!(record, Record::Closed { .. })).cloned();
        let is_gate = step.records.iter().any(|record| record.slot() == "gate");
        for record in step.records {
            slot.batch = self.batch.number;
            slot.tell(&record, &self.parts.notices, now);
            slot.count_record(&record, has_lapsed, &self.parts.metrics);
            self.book.note(&record, &slot.entry.plan, age, &slot.rules);
            if let Record::Opened { session, .. } = &record
                && slot.entry.plan.is_opened_here()
            {
                self.quotas.opened(&slot.entry.plan.store, session, now);
            }
            self.batch.records.push((slot.entry.plan.id.clone(), record));
        }
        let (batch, epoch) = (slot.batch, slot.upload.standing().epoch);
        let session = slot.upload.standing().held.as_ref().map(|held| held.session.clone());
        if session.is_some() && session != slot.session {
            slot.session.clone_from(&session);
            // The tag was of another session.
            slot.etag = None;
            self.name(number, session);
        }
        if is_gate {
            self.show_gate(number);
        }
        if let Some(record) = closing {
            self.held.close(batch, number);
            self.show_gate(number);
            self.remember_table(number, &record);
        }
        for order in step.orders {
            match order.after_records && batch > self.durable {
                true => self.held.hold(batch, Waiter { number, epoch, order }),
                false => self.enqueue(number, epoch, order, now),
            }
        }
    }

    /// Lets an upload be found by one more name.
    pub(super) fn name(&mut self, number: u64, name: Option<String>) {
        if let Some(name) = name
            && let Some(slot) = self.slots.get_mut(&number)
        {
            self.by_name.insert(name.clone(), number);
            slot.names.push(name);
        }
    }

    /// Puts a command into its lane.
    pub(super) fn enqueue(&mut self, number: u64, epoch: u32, order: Order, now: Now) {
        let Some(slot) = self.slots.get_mut(&number) else { return };
        if slot.upload.standing().epoch != epoch {
            return;
        }
        let Some(order) = slot.park(order) else { return };
        let lane = Kind::of(&order.command);
        let deadline = slot.upload.lease().map_or(now.moment, |lease| lease.end());
        let weight = slot.weight(&order.command);
        self.lanes.push(lane, deadline, weight, Waiting { number, epoch, command: order.command });
    }

    /// Lets go of what waited for records that are durable now.
    pub(super) fn release(&mut self) {
        let now = self.parts.clock.now();
        for Waiter { number, epoch, order } in self.held.free(self.durable) {
            self.enqueue(number, epoch, order, now);
        }
        for number in self.held.closed(self.durable) {
            self.forget(number, now);
        }
    }

    /// Starts every command that may leave now.
    pub(super) fn let_go(&mut self, now: Now) {
        while let Some((lane, weight, waiting)) = self.lanes.pop(now.moment) {
            let Waiting { number, epoch, command } = waiting;
            let Some(slot) = self.slots.get_mut(&number) else {
                self.lanes.done(lane, weight);
                continue;
            };
            if slot.upload.standing().epoch != epoch || slot.upload.outcome().is_some() {
                self.lanes.done(lane, weight);
                continue;
            }
            if !slot.upload.may_leave(now.moment, &command) {
                self.lanes.done(lane, weight);
                self.step(number, Event::Answered { epoch, reply: Reply::Held(command) }, now);
                continue;
            }
            if command == Command::Create
                && !self.admits(&Waiting { number, epoch, command: Command::Create }, lane, weight, now)
            {
                continue;
            }
            let Some(slot) = self.slots.get_mut(&number) else { continue };
            let creating = (command == Command::Create).then(|| slot.entry.plan.store.clone());
            if let Some(store) = &creating {
                self.quotas.create_began(store);
            }
            slot.creating |= creating.is_some();
            let patience = self.parts.settings.upload.block_timeout;
            let job = slot.job(command, self.upload_agent.clone(), patience);
            let outbox = self.outbox.clone();
            let performer = self.parts.performer.clone();
            let task = async move {
                let performed = performer.perform(job).await;
                let done = Done { number, epoch, lane, weight, creating, performed };
                // The dispatcher is gone only when the agent has stopped.
                let _ = outbox.send(Input::Done(Box::new(done))).await;
            };
            match lane {
                Kind::Blocks => self.tasks.spawn_on(task, &self.parts.blocks),
                Kind::Renew | Kind::Report | Kind::Control => self.tasks.spawn(task),
            };
        }
    }

    /// Takes up what was learned of how long sessions of a data store live: the
    /// leases in force were judged by the old belief, so they are renewed now.
    pub(super) fn believe(&mut self, now: Now) {
        for store in self.book.take_learned() {
            let same = self.slots.iter().filter(|(_, slot)| slot.entry.plan.store == store);
            for number in same.map(|(&number, _)| number).collect::<Vec<_>>() {
                let Some(slot) = self.slots.get(&number) else { continue };
                let policy = self.policy(&slot.entry, &slot.rules);
                let Some(slot) = self.slots.get_mut(&number) else { continue };
                slot.upload.set_policy(policy);
                if slot.upload.lease().is_some() {
                    self.step(number, Event::RenewRequested, now);
                }
            }
        }
    }
}
