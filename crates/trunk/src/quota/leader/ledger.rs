//! What a leader knows of each member, and how a request or a fencing changes it.

use super::{Effect, Leader};
use crate::quota::{Amount, Notice, Reply, Request, SETTLE, VALID};
use sip::clock::Instant;
use std::time::Duration;

/// A node and which life of it.
pub(super) type Key = (u64, u64);

/// The question whose answers settle what the dead held.
#[derive(Clone, Copy, Debug)]
pub(super) struct Settling {
    round: u64,
    /// Whether it is the second one.
    is_last: bool,
}

impl Settling {
    /// The first question of a leader.
    pub(super) const FIRST: Self = Self { round: 1, is_last: false };
}

/// One member in one life.
#[derive(Clone, Debug)]
pub(super) struct Entry {
    pub(super) alive: bool,
    /// What it held is not lent before [`SETTLE`] is over, …
    pub(super) fenced_at: Option<Instant>,
    /// … and everybody has answered two questions, asked then one after the other.
    settling: Option<Settling>,
    /// Of its newest request.
    pub(super) sequence: u64,
    /// Channels that it holds at most.
    pub(super) held: u32,
    /// Channels that it said it uses.
    pub(super) used: u32,
    /// Starts that it may not have spent yet.
    pub(super) lent: u32,
    pub(super) lent_until: Instant,
    started: u64,
    /// The last question that it was asked, and the last that it answered.
    pub(super) asked: u64,
    pub(super) answered: u64,
    /// What its newest request needs and would like, and the question whose answers decide it; 0 for none yet.
    pub(super) need: Amount,
    pub(super) stock: Amount,
    pub(super) round: u64,
    /// The answer to its newest request.
    pub(super) answer: Option<Reply>,
}

impl Entry {
    pub(super) fn new(answered: u64) -> Self {
        Self {
            alive: false,
            fenced_at: None,
            settling: None,
            sequence: 0,
            held: 0,
            used: 0,
            lent: 0,
            lent_until: Instant::ORIGIN,
            started: 0,
            asked: 0,
            answered,
            need: Amount::default(),
            stock: Amount::default(),
            round: 0,
            answer: None,
        }
    }

    /// When the question that settles what it held is due.
    pub(super) fn settles_at(&self) -> Option<Instant> {
        self.fenced_at.filter(|_| self.settling.is_none()).map(|at| at + SETTLE)
    }

    /// Whether it was asked something that it has not answered.
    pub(super) const fn owes(&self) -> bool {
        self.fenced_at.is_none() && self.asked > self.answered
    }

    /// Whether it may have something idle of what lacks.
    pub(super) const fn could_give(&self, lack: Amount) -> bool {
        let holds = lack.channels > 0 && self.held > 0 || lack.starts > 0 && self.lent > 0;
        holds && self.alive && self.fenced_at.is_none()
    }

    /// Whether its newest request was answered with something of which it may not know yet.
    fn has_grant_under_way(&self) -> bool {
        self.answer.as_ref().is_some_and(|answer| match answer.notice {
            Notice::Answer { granted, .. } => !granted.is_none(),
            Notice::Wait { .. } | Notice::Ask { .. } => false,
        })
    }
}

impl Leader {
    pub(super) fn on_request(&mut self, now: Instant, request: &Request) {
        if request.term > self.term {
            if !std::mem::replace(&mut self.superseded, true) {
                self.effects.push_back(Effect::Superseded(request.term));
            }
            return;
        }
        let key = (request.node, request.incarnation);
        let Some(entry) = self.members.get_mut(&key).filter(|entry| entry.fenced_at.is_none()) else { return };
        if request.term < self.term {
            // What it says may have been changed by the leader before; the question tells it of this one.
            return self.ask(now, key);
        }
        if request.sequence < entry.sequence {
            return;
        }
        if request.sequence == entry.sequence {
            return self.on_repetition(now, key, request.round);
        }
        self.replace(now, key, request);
        if !self.queue.contains(&key) {
            self.queue.push_back(key);
        }
        self.share(now);
        self.say_wait(key);
    }

    /// The newest request once more: the same answer, if there is one.
    fn on_repetition(&mut self, now: Instant, key: Key, round: u64) {
        let Some(entry) = self.members.get_mut(&key) else { return };
        if !entry.has_grant_under_way() {
            entry.answered = entry.answered.max(round);
        }
        if let Some(reply) = entry.answer.clone() {
            let owes = entry.owes();
            self.effects.push_back(Effect::Send { to: key.0, reply });
            if owes {
                self.ask(now, key);
            }
            return;
        }
        if !self.queue.contains(&key) {
            entry.round = 0;
            self.queue.push_back(key);
        }
        self.share(now);
        self.say_wait(key);
    }

    fn say_wait(&mut self, key: Key) {
        let Some(entry) = self.members.get(&key) else { return };
        if entry.answer.is_none() {
            let notice = Notice::Wait { sequence: entry.sequence };
            self.send(key, notice);
        }
    }

    /// A newer request replaces what was believed of its member.
    fn replace(&mut self, now: Instant, key: Key, request: &Request) {
        let Some(entry) = self.members.get_mut(&key) else { return };
        let first = entry.sequence == 0;
        entry.sequence = request.sequence;
        entry.held = request.held.channels;
        entry.used = request.used;
        entry.answered = entry.answered.max(request.round);
        entry.need = request.need;
        entry.stock = request.stock;
        entry.round = 0;
        entry.answer = None;
        if first && request.last_start.is_some_and(|ago| ago < Duration::from_secs(1)) {
            self.rested = false;
        }
        let spent = if first { 0 } else { request.started.saturating_sub(entry.started) };
        let spent = u32::try_from(spent).unwrap_or(u32::MAX).min(entry.lent);
        let kept = request.held.starts.min(entry.lent - spent);
        let back = entry.lent - spent - kept;
        entry.started = request.started;
        entry.lent = kept;
        if kept > 0 {
            entry.lent_until = now + VALID;
        }
        if let Some(bucket) = &mut self.bucket {
            let ago = request.last_start.unwrap_or_default();
            let ago = u64::try_from(ago.as_micros()).unwrap_or(u64::MAX);
            bucket.spend(now, spent, Instant::from_micros(now.as_micros().saturating_sub(ago)));
            bucket.give_back(now, back);
        }
    }

    pub(super) fn on_fenced(&mut self, now: Instant, key: Key, at: Instant) {
        self.queue.retain(|other| *other != key);
        match self.members.get_mut(&key) {
            Some(entry) if entry.fenced_at.is_some() => {}
            Some(entry) if !self.counting || entry.answered >= self.round => {
                if let Some(bucket) = &mut self.bucket {
                    bucket.spend(now, entry.lent, now);
                }
                entry.lent = 0;
                entry.fenced_at = Some(at);
            }
            Some(_) => {
                self.members.remove(&key);
                self.wait_for_the_unknown(at);
            }
            None if self.counting => self.wait_for_the_unknown(at),
            None => {}
        }
    }

    /// Somebody is dead whose channels and starts were never told: others may be taking over its calls just now.
    fn wait_for_the_unknown(&mut self, at: Instant) {
        self.unsettled_until = self.unsettled_until.max(Some(at + SETTLE));
        self.rested = false;
    }

    /// Forgets the fenced whose calls have been taken over, and starts that have expired.
    pub(super) fn forget(&mut self, now: Instant) {
        self.settle(now);
        for entry in self.members.values_mut() {
            if entry.lent > 0 && entry.lent_until <= now {
                // Perhaps they were spent at the last moment.
                if let Some(bucket) = &mut self.bucket {
                    bucket.spend(now, entry.lent, entry.lent_until);
                }
                entry.lent = 0;
            }
        }
    }

    /// Time enough has passed to take over the calls of the dead: everybody is asked, which they answer when they have handed on
    /// what they kept of them, and then once more, since who was handed something may have answered before.
    fn settle(&mut self, now: Instant) {
        let due = |entry: &Entry| entry.settles_at().is_some_and(|at| at <= now);
        let unknown = self.unsettled_until.take_if(|until| *until <= now).is_some();
        if unknown || self.members.values().any(due) {
            self.open_round(now, |_, _| true);
            let begun = Some(Settling { round: self.round, is_last: false });
            self.members.values_mut().filter(|entry| due(entry)).for_each(|entry| entry.settling = begun);
            self.settling = if unknown { begun } else { self.settling };
        }
        let living = self.members.values().filter(|entry| entry.fenced_at.is_none());
        let answered = living.map(|entry| entry.answered).min().unwrap_or(u64::MAX);
        let half = |settling: &Settling| !settling.is_last && settling.round <= answered;
        if self.settling.iter().chain(self.members.values().filter_map(|entry| entry.settling.as_ref())).any(half) {
            self.open_round(now, |_, _| true);
            let last = Settling { round: self.round, is_last: true };
            let entries = self.members.values_mut().map(|entry| &mut entry.settling);
            let all = entries.chain(std::iter::once(&mut self.settling)).flatten();
            all.filter(|settling| half(settling)).for_each(|settling| *settling = last);
        }
        let done = |settling: &Settling| settling.is_last && settling.round <= answered;
        self.settling = self.settling.filter(|settling| !done(settling));
        self.members.retain(|_, entry| !entry.settling.as_ref().is_some_and(done));
    }
}
