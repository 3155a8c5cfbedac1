//! Who gets what, and whom to ask for more when nothing is left.
//!
//! A request that finds too little is refused only when all others have answered a question that was asked after it
//! came, and with the answer returned what was idle. One question serves all requests that wait.

use super::ledger::{Entry, Key};
use super::{Effect, Leader};
use crate::bucket::Bucket;
use crate::quota::{Amount, Notice, RETRY, Refusal, Reply, VALID};
use sip::clock::Instant;

/// What becomes of one request.
struct Verdict {
    key: Key,
    granted: Amount,
    short: Option<Refusal>,
}

impl Leader {
    /// Decides what can be decided.
    pub(super) fn share(&mut self, now: Instant) {
        self.forget(now);
        if self.superseded {
            return;
        }
        self.close_census(now);
        self.watch_limit(now);
        let mut left = Amount { channels: self.pool(), starts: self.startable(now) };
        let mut verdicts = Vec::new();
        for key in std::mem::take(&mut self.queue) {
            match self.judge(key, &mut left) {
                Some(verdict) => verdicts.push(verdict),
                None => self.queue.push_back(key),
            }
        }
        if self.queue.is_empty() && !self.counting && !self.over {
            self.add_stock(&mut verdicts, left);
        }
        for verdict in verdicts {
            self.answer(now, &verdict);
        }
        self.ask_for_more(now);
    }

    fn close_census(&mut self, now: Instant) {
        let told = |entry: &Entry| entry.fenced_at.is_some() || entry.answered >= self.round;
        if self.counting && self.unsettled_until.is_none() && self.settling.is_none() && self.members.values().all(told)
        {
            self.counting = false;
        }
        if !self.counting && self.bucket.is_none() {
            let make = if self.rested { Bucket::full } else { Bucket::empty };
            self.bucket = self.limits.cps.map(|cps| make(cps, now));
        }
    }

    /// Lets what is idle come back, and not be used again, once more is held than the limit allows.
    fn watch_limit(&mut self, now: Instant) {
        let held = self.members.values().filter(|entry| entry.fenced_at.is_none()).map(|entry| u64::from(entry.held));
        let over = !self.counting && self.limits.channels.is_some_and(|limit| held.sum::<u64>() > u64::from(limit));
        if over && !std::mem::replace(&mut self.over, over) {
            self.open_round(now, |_, entry| entry.alive && entry.held > 0);
        }
        self.over = over;
    }

    fn pool(&self) -> u32 {
        self.limits.channels.map_or(u32::MAX, |limit| limit.saturating_sub(self.granted()))
    }

    fn startable(&mut self, now: Instant) -> u32 {
        match (&mut self.bucket, self.limits.cps) {
            (Some(bucket), Some(_)) => bucket.available(now),
            (None, Some(_)) => 0,
            (_, None) => u32::MAX,
        }
    }

    /// What a request gets of what is left; nothing while that cannot be known.
    fn judge(&self, key: Key, left: &mut Amount) -> Option<Verdict> {
        let entry = self.members.get(&key)?;
        if entry.need.is_none() {
            return Some(Verdict { key, granted: Amount::default(), short: None });
        }
        if self.counting {
            return None;
        }
        let lack = entry.need.less(*left);
        if !lack.is_none() && !self.is_exhausted(key, lack, entry.round) {
            // Kept for it, lest those behind it always come first.
            *left = left.less(entry.need);
            return None;
        }
        // A call that lacks one of the two takes nothing of the other.
        let calls = lack.channels.max(lack.starts);
        let granted = entry.need.less(Amount { channels: calls, starts: calls });
        *left = left.less(granted);
        let refusal = if lack.channels > 0 { Refusal::Channels } else { Refusal::Rate };
        Some(Verdict { key, granted, short: (!lack.is_none()).then_some(refusal) })
    }

    /// Whether nobody else has anything idle of what lacks, by what all said after the request had come.
    fn is_exhausted(&self, key: Key, lack: Amount, round: u64) -> bool {
        let settling = |entry: &Entry| lack.channels > 0 && entry.fenced_at.is_some() && entry.held > 0;
        let silent = |entry: &Entry| entry.could_give(lack) && (round == 0 || entry.answered < round);
        !self.members.iter().any(|(other, entry)| settling(entry) || *other != key && silent(entry))
    }

    /// Adds what members would like in stock, of what nobody needs: each a fair share at most.
    fn add_stock(&self, verdicts: &mut [Verdict], mut left: Amount) {
        let alive = self.members.values().filter(|entry| entry.alive).count();
        let alive = u32::try_from(alive).unwrap_or(u32::MAX).max(1);
        for verdict in verdicts.iter_mut().filter(|verdict| verdict.short.is_none()) {
            let Some(entry) = self.members.get(&verdict.key) else { continue };
            let share = Amount { channels: left.channels / alive, starts: left.starts / alive };
            let stock = entry.stock.min(share);
            verdict.granted = verdict.granted.plus(stock);
            left = left.less(stock);
        }
    }

    fn answer(&mut self, now: Instant, verdict: &Verdict) {
        let Verdict { key, granted, short } = *verdict;
        let (round, over) = (self.round, (!self.counting).then_some(self.over));
        let Some(entry) = self.members.get_mut(&key) else { return };
        entry.held = entry.held.saturating_add(granted.channels);
        if let Some(bucket) = &mut self.bucket {
            bucket.lend(granted.starts);
            entry.lent += granted.starts;
            if granted.starts > 0 {
                entry.lent_until = now + VALID;
            }
        }
        let sequence = entry.sequence;
        let reply = self.reply(key, Notice::Answer { sequence, granted, short, round, over });
        if let Some(entry) = self.members.get_mut(&key) {
            entry.answer = Some(reply.clone());
        }
        self.effects.push_back(Effect::Send { to: key.0, reply });
    }

    /// Asks all who may have something idle, for all requests that wait, one question after the other.
    fn ask_for_more(&mut self, now: Instant) {
        if self.counting || self.queue.is_empty() {
            return;
        }
        let only = if self.queue.len() == 1 { self.queue.front().copied() } else { None };
        let holds =
            |key: &Key, entry: &Entry| entry.alive && (entry.held > 0 || entry.lent > 0) && only.as_ref() != Some(key);
        let round_of = |key: &Key| self.members.get(key).map_or(0, |entry| entry.round);
        let under_way = self.members.values().any(|entry| entry.alive && entry.owes());
        if under_way || self.queue.iter().all(|key| round_of(key) > 0) {
            // Whoever has got something since the question was asked is asked the same.
            self.put(now, self.round, holds);
            return;
        }
        self.open_round(now, holds);
        for key in &self.queue {
            if let Some(entry) = self.members.get_mut(key).filter(|entry| entry.round == 0) {
                entry.round = self.round;
            }
        }
    }

    /// Asks a new question of these members.
    pub(super) fn open_round(&mut self, now: Instant, whom: impl Fn(&Key, &Entry) -> bool) {
        self.round += 1;
        self.put(now, self.round, whom);
    }

    /// Asks these members, as far as they have not been asked yet.
    fn put(&mut self, now: Instant, round: u64, whom: impl Fn(&Key, &Entry) -> bool) {
        let unasked = |key: &Key, entry: &Entry| entry.fenced_at.is_none() && entry.asked < round && whom(key, entry);
        let keys: Vec<_> =
            self.members.iter().filter(|(key, entry)| unasked(key, entry)).map(|(key, _)| *key).collect();
        for key in keys {
            if let Some(entry) = self.members.get_mut(&key) {
                entry.asked = round;
            }
            self.ask(now, key);
        }
    }

    /// Asks all who have not answered what they were asked last.
    pub(super) fn ask_owing(&mut self, now: Instant) {
        let owing = |entry: &Entry| entry.owes() && (entry.alive || self.counting);
        let keys: Vec<_> = self.members.iter().filter(|(_, entry)| owing(entry)).map(|(key, _)| *key).collect();
        for key in keys {
            self.ask(now, key);
        }
    }

    pub(super) fn ask(&mut self, now: Instant, key: Key) {
        self.retry_at.get_or_insert(now + RETRY);
        self.send(key, Notice::Ask { round: self.round, recall: self.round > 1 && !self.counting, over: self.over });
    }

    pub(super) fn send(&mut self, key: Key, notice: Notice) {
        let reply = self.reply(key, notice);
        self.effects.push_back(Effect::Send { to: key.0, reply });
    }

    const fn reply(&self, (_, incarnation): Key, notice: Notice) -> Reply {
        Reply { term: self.term, leader: self.node, incarnation, notice }
    }
}
