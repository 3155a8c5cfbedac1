//! A token bucket whose tokens may be lent for a while before they are spent. It never knows who borrowed.
//!
//! It holds one second's worth: so many calls may start at once, and no more over time. A lent token counts as one that
//! is still inside until it is known when it was spent, so that lending never makes a burst longer than the bucket.

use sip::clock::Instant;
use std::time::Duration;

/// One call in the unit of the level.
const CALL: u64 = 1_000_000;

/// The bucket. Levels are millionths of a call, which microseconds times calls a second are as well.
#[derive(Clone, Debug)]
pub(crate) struct Bucket {
    per_second: u32,
    level: u64,
    lent: u64,
    /// Until when the level is reckoned.
    at: Instant,
    /// Since when the bucket has gained nothing because of what is lent; `at` if it has gained all along.
    held_back_from: Instant,
}

impl Bucket {
    pub(crate) fn full(per_second: u32, now: Instant) -> Self {
        Self { level: u64::from(per_second) * CALL, ..Self::empty(per_second, now) }
    }

    pub(crate) const fn empty(per_second: u32, now: Instant) -> Self {
        Self { per_second, level: 0, lent: 0, at: now, held_back_from: now }
    }

    /// Another rate; what is inside stays as far as it fits.
    pub(crate) fn resize(&mut self, now: Instant, per_second: u32) {
        self.settle(now);
        self.per_second = per_second;
        self.level = self.level.min(self.depth().saturating_sub(self.lent));
        self.held_back_from = self.at;
    }

    /// Whole tokens that can be taken or lent.
    pub(crate) fn available(&mut self, now: Instant) -> u32 {
        self.settle(now);
        u32::try_from(self.level / CALL).unwrap_or(u32::MAX)
    }

    /// Takes one, if there is one, and spends it at once.
    pub(crate) fn take(&mut self, now: Instant) -> bool {
        let there = self.available(now) > 0;
        if there {
            self.level -= CALL;
        }
        there
    }

    /// Lends so many, which must be available.
    pub(crate) fn lend(&mut self, tokens: u32) {
        let tokens = u64::from(tokens) * CALL;
        debug_assert!(tokens <= self.level, "more is lent than there is");
        self.level = self.level.saturating_sub(tokens);
        self.lent += tokens;
    }

    /// Some that were lent come back unspent.
    pub(crate) fn give_back(&mut self, now: Instant, tokens: u32) {
        self.settle(now);
        let tokens = (u64::from(tokens) * CALL).min(self.lent);
        self.lent -= tokens;
        self.level = (self.level + tokens).min(self.depth().saturating_sub(self.lent));
    }

    /// Some that were lent turn out to be spent, at `when` at the latest: from then on the bucket had room for what it
    /// has not gained since.
    pub(crate) fn spend(&mut self, now: Instant, tokens: u32, when: Instant) {
        self.settle(now);
        let tokens = (u64::from(tokens) * CALL).min(self.lent);
        self.lent -= tokens;
        let from = self.held_back_from.max(when).min(self.at);
        let room = self.depth().saturating_sub(self.lent).saturating_sub(self.level);
        let gained = self.gain(self.at - from).min(tokens).min(room);
        if gained > 0 {
            self.level += gained;
            // What is credited here is not credited again for another token that was spent at the same time.
            self.held_back_from = from + self.time_for(gained);
        }
    }

    fn settle(&mut self, now: Instant) {
        if now <= self.at {
            return;
        }
        let gained = self.gain(now - self.at);
        let room = self.depth().saturating_sub(self.lent).saturating_sub(self.level);
        self.level += gained.min(room);
        if gained <= room {
            self.held_back_from = now;
        } else if room > 0 {
            self.held_back_from = self.at + self.time_for(room);
        }
        self.at = now;
    }

    const fn depth(&self) -> u64 {
        self.per_second as u64 * CALL
    }

    fn gain(&self, over: Duration) -> u64 {
        u64::try_from(over.as_micros()).unwrap_or(u64::MAX).saturating_mul(self.per_second.into())
    }

    /// How long it takes to gain so much, rounded up.
    fn time_for(&self, level: u64) -> Duration {
        Duration::from_micros(level.div_ceil(u64::from(self.per_second).max(1)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ZERO: Instant = Instant::ORIGIN;

    fn at(millis: u64) -> Instant {
        ZERO + Duration::from_millis(millis)
    }

    #[test]
    fn lent_tokens_take_room_until_they_are_spent() {
        let mut bucket = Bucket::full(10, ZERO);
        bucket.lend(10);
        assert_eq!(bucket.available(at(400)), 0, "all ten may still be spent at once");
        bucket.spend(at(400), 10, at(400));
        assert_eq!((bucket.available(at(499)), bucket.available(at(500))), (0, 1));
    }

    #[test]
    fn what_was_held_back_is_credited_from_the_moment_of_spending_and_only_once() {
        let mut bucket = Bucket::full(10, ZERO);
        bucket.lend(10);
        bucket.spend(at(500), 5, at(200));
        assert_eq!(bucket.available(at(500)), 3);
        bucket.spend(at(500), 5, at(200));
        assert_eq!(bucket.available(at(500)), 3, "the same 300 ms are not gained twice");
    }

    #[test]
    fn tokens_spent_just_now_do_not_hide_that_others_were_spent_long_ago() {
        let mut bucket = Bucket::full(10, ZERO);
        bucket.lend(10);
        bucket.spend(at(500), 0, at(500));
        bucket.spend(at(500), 5, at(500));
        bucket.spend(at(500), 5, at(0));
        assert_eq!(bucket.available(at(500)), 5);
    }

    #[test]
    fn unspent_tokens_come_back_whole() {
        let mut bucket = Bucket::full(10, ZERO);
        bucket.lend(10);
        bucket.give_back(at(900), 10);
        assert_eq!(bucket.available(at(900)), 10);
    }
}
