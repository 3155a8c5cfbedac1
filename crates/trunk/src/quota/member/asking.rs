//! A member and its leader: one request at a time, and what its answer does.

use super::{Effect, Member, Ticket};
use crate::quota::{Amount, Notice, PATIENCE, PROBE, RETRY, Refusal, Request, TELL, Term, VALID};
use sip::clock::Instant;
use std::time::Duration;

/// After an answer without stock, so long nothing is asked for stock alone.
const NO_STOCK: Duration = Duration::from_secs(1);

/// The request under way.
#[derive(Clone, Debug)]
pub(super) struct Open {
    request: Request,
    /// When it was sent first: its starts are valid from then on.
    sent: Instant,
    /// When the leader was heard last, or `sent`.
    heard: Instant,
    pub(super) retry_at: Instant,
    /// The last call that it asks for.
    through: Option<Ticket>,
}

impl Open {
    pub(super) fn lost_at(&self) -> Instant {
        self.heard + PATIENCE
    }
}

impl Member {
    /// Obeys a new leader: no answer of the one before counts any more, and no start that it lent.
    pub(super) fn follow(&mut self, now: Instant, node: u64, term: Term) {
        self.term = term;
        self.leader = Some(node);
        self.open = None;
        // What the one before said of too much being held stands until this one has counted.
        self.round = 0;
        self.starts = 0;
        self.heard(now);
        self.tell_by(now);
    }

    pub(super) fn heard(&mut self, now: Instant) {
        if let Some(open) = &mut self.open {
            open.heard = now;
        }
        if std::mem::take(&mut self.lost) {
            self.effects.push_back(Effect::Reach(true));
        }
    }

    pub(super) fn lose(&mut self) {
        if !std::mem::replace(&mut self.lost, true) {
            self.effects.push_back(Effect::Reach(false));
        }
    }

    pub(super) fn on_notice(&mut self, now: Instant, notice: Notice) {
        match notice {
            Notice::Answer { sequence, granted, short, round, over } => {
                let Some(open) = self.open.take_if(|open| open.request.sequence == sequence) else { return };
                if round >= self.round {
                    self.over = over.unwrap_or(self.over);
                }
                self.on_answer(now, &open, granted, (short, over.is_some()));
            }
            Notice::Wait { .. } => {}
            Notice::Ask { round, recall, over } => self.on_ask(now, round, recall, over),
        }
    }

    fn on_answer(&mut self, now: Instant, open: &Open, granted: Amount, (short, has_counted): (Option<Refusal>, bool)) {
        self.granted = self.granted.saturating_add(granted.channels);
        if has_counted && self.granted <= open.request.held.channels.saturating_add(granted.channels) {
            // The leader knows of every channel that is held, and has said whether they are too many.
            self.adopted = 0;
        }
        self.starts = self.starts.saturating_add(granted.starts);
        self.starts_until = open.sent + VALID;
        if !open.request.stock.is_none() && granted.less(open.request.need).is_none() {
            self.no_stock_until = now + NO_STOCK;
        }
        self.serve(now);
        if let Some(refusal) = short {
            while let Some(waiter) = self.waiting.pop_front_if(|waiter| Some(waiter.ticket) <= open.through) {
                self.effects.push_back(Effect::Denied(waiter.ticket, refusal));
            }
        }
        if self.over && self.free() > 0 {
            self.give_up_idle();
            self.tell_by(now);
        }
    }

    /// Answers a question of the leader, with everything idle if that is what it wants.
    fn on_ask(&mut self, now: Instant, round: u64, recall: bool, over: bool) {
        if round < self.round {
            return;
        }
        self.round = round;
        self.over |= over;
        self.serve(now);
        let idle = !Amount { channels: self.free(), starts: self.starts }.is_none();
        if idle && (recall || over) {
            self.give_up_idle();
        }
        if self.open.is_some() { self.repeat(now) } else { self.ask(now) }
    }

    /// Repeats the request under way, or finds that nobody answers.
    pub(super) fn check_open(&mut self, now: Instant) {
        let Some(open) = &self.open else { return };
        if open.lost_at() <= now {
            self.lose();
        }
        if self.open.as_ref().is_some_and(|open| open.retry_at <= now) {
            self.repeat(now);
        }
    }

    pub(super) fn wants_to_ask(&self, now: Instant) -> bool {
        self.leader.is_some()
            && (!self.waiting.is_empty() || self.tell_at.is_some_and(|at| at <= now) || self.wants_stock(now))
    }

    /// Half of the stock is gone and the pool had some when it was asked last.
    fn wants_stock(&self, now: Instant) -> bool {
        let stock = self.limits.stock();
        self.used > 0
            && !self.lost
            && !self.over
            && self.no_stock_until <= now
            && (self.free() < stock.channels.div_ceil(2)
                || self.last_start == Some(now) && self.starts < stock.starts.div_ceil(2))
    }

    /// Sends a new request that says all that is held; the answer to any earlier one counts no more.
    pub(super) fn ask(&mut self, now: Instant) {
        let waiting = u32::try_from(self.waiting.len()).unwrap_or(u32::MAX);
        let held = self.held();
        let need = Amount {
            channels: if self.limits.channels.is_some() { waiting.saturating_sub(self.free()) } else { 0 },
            starts: if self.limits.cps.is_some() { waiting.saturating_sub(self.starts) } else { 0 },
        };
        // A member at rest keeps no starts: they would only travel to and fro.
        let active = waiting > 0 || self.last_start.is_some_and(|last| now - last <= TELL);
        let mut stock = self.limits.stock().less(Amount { channels: self.free(), starts: self.starts });
        if self.over || self.used == 0 && waiting == 0 {
            stock = Amount::default();
        } else if !active {
            stock.starts = 0;
        }
        self.sequence += 1;
        self.tell_at = None;
        let request = Request {
            term: self.term,
            node: self.node,
            incarnation: self.incarnation,
            sequence: self.sequence,
            round: self.round,
            held,
            used: self.used,
            started: self.started,
            last_start: self.last_start.map(|at| now - at),
            need,
            stock,
        };
        let through = self.waiting.back().map(|waiter| waiter.ticket);
        self.open = Some(Open { request, sent: now, heard: now, retry_at: now, through });
        self.repeat(now);
    }

    fn repeat(&mut self, now: Instant) {
        if self.open.as_ref().is_some_and(|open| open.request.held.channels < self.granted) {
            // Calls were adopted since: said once more, it would hide them.
            return self.ask(now);
        }
        let pause = if self.lost { PROBE } else { RETRY };
        let (Some(open), Some(to)) = (&mut self.open, self.leader) else { return };
        open.request.round = self.round;
        open.retry_at = now + pause;
        self.effects.push_back(Effect::Send { to, request: open.request.clone() });
    }
}
