//! Concurrent calls and calls a second of one trunk. It never knows which call holds a channel.
//!
//! The limit here is what this node was granted. On one node that is the trunk's own limit; in a cluster the trunk's
//! leader grants blocks of it with [`Capacity::grant`] and takes free ones back with [`Capacity::reclaim`], so that
//! granted = used + free on every node. Emergency calls do not ask.

use routing::model::Trunk;
use sip::clock::Instant;
use std::time::Duration;

/// Which limit refused a call.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Hash)]
pub enum Refusal {
    /// Every channel is in use.
    Channels,
    /// More calls a second than allowed.
    Rate,
}

/// The capacity of one trunk. Every [`Capacity::try_acquire`] that succeeds is matched by one [`Capacity::release`].
#[derive(Clone, Debug)]
pub struct Capacity {
    channels: Option<u32>,
    used: u32,
    rate: Option<Bucket>,
}

impl Capacity {
    /// With these limits, `None` for no limit.
    #[must_use]
    pub fn new(channels: Option<u32>, cps: Option<u32>) -> Self {
        Self { channels, used: 0, rate: cps.map(Bucket::new) }
    }

    /// With the limits of a trunk, where 0 is no limit.
    #[must_use]
    pub fn of(trunk: &Trunk) -> Self {
        Self::new(limit(trunk.channels), limit(trunk.cps))
    }

    /// Takes a channel for a new call.
    ///
    /// # Errors
    /// The limit that is reached; nothing is taken then, not even a share of the rate.
    pub fn try_acquire(&mut self, now: Instant) -> Result<(), Refusal> {
        if self.channels.is_some_and(|channels| self.used >= channels) {
            return Err(Refusal::Channels);
        }
        if self.rate.as_mut().is_some_and(|rate| !rate.take(now)) {
            return Err(Refusal::Rate);
        }
        self.used = self.used.saturating_add(1);
        Ok(())
    }

    /// Takes a channel for a call that exists already, restored from a checkpoint: no limit may end it.
    pub fn adopt(&mut self) {
        self.used = self.used.saturating_add(1);
    }

    /// Gives a channel back.
    pub fn release(&mut self) {
        debug_assert!(self.used > 0, "a channel is given back twice");
        self.used = self.used.saturating_sub(1);
    }

    /// New limits. Calls above a lower limit go on; new ones wait until enough have ended.
    pub fn resize(&mut self, channels: Option<u32>, cps: Option<u32>) {
        self.channels = channels;
        if self.rate.as_ref().map(|rate| rate.per_second) != cps {
            self.rate = cps.map(Bucket::new);
        }
    }

    /// Adds a block of channels that the trunk's leader granted. Does nothing where there is no limit.
    pub fn grant(&mut self, channels: u32) {
        self.channels = self.channels.map(|limit| limit.saturating_add(channels));
    }

    /// Takes up to `channels` free ones away for the trunk's leader and says how many.
    pub fn reclaim(&mut self, channels: u32) -> u32 {
        let given = self.free().unwrap_or(0).min(channels);
        self.channels = self.channels.map(|limit| limit - given);
        given
    }

    /// Channels in use.
    #[must_use]
    pub const fn used(&self) -> u32 {
        self.used
    }

    /// Channels granted; `None` for no limit.
    #[must_use]
    pub const fn channels(&self) -> Option<u32> {
        self.channels
    }

    /// Channels that are granted and not in use; `None` for no limit.
    #[must_use]
    pub fn free(&self) -> Option<u32> {
        self.channels.map(|limit| limit.saturating_sub(self.used))
    }

    /// New calls allowed a second; `None` for no limit.
    #[must_use]
    pub fn cps(&self) -> Option<u32> {
        self.rate.as_ref().map(|rate| rate.per_second)
    }
}

/// The tables write 0 for no limit.
fn limit(figure: u32) -> Option<u32> {
    (figure > 0).then_some(figure)
}

/// A token bucket that holds one second's worth: so many calls may come at once, and no more over time.
#[derive(Clone, Debug)]
struct Bucket {
    per_second: u32,
    /// Millionths of a call.
    level: u64,
    /// Until when the level is reckoned.
    at: Option<Instant>,
}

/// One call in the unit of the level.
const CALL: u64 = 1_000_000;

impl Bucket {
    fn new(per_second: u32) -> Self {
        Self { per_second, level: u64::from(per_second) * CALL, at: None }
    }

    fn take(&mut self, now: Instant) -> bool {
        let idle = self.at.map_or(Duration::ZERO, |at| now.since(at));
        // Microseconds times calls a second are millionths of a call.
        let gained = u64::try_from(idle.as_micros()).unwrap_or(u64::MAX).saturating_mul(u64::from(self.per_second));
        self.level = self.level.saturating_add(gained).min(u64::from(self.per_second) * CALL);
        self.at = Some(self.at.map_or(now, |at| at.max(now)));
        if self.level < CALL {
            return false;
        }
        self.level -= CALL;
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const ZERO: Instant = Instant::ORIGIN;

    #[test]
    fn channels_are_limited_and_come_back() {
        let mut capacity = Capacity::new(Some(2), None);
        assert_eq!((capacity.try_acquire(ZERO), capacity.try_acquire(ZERO)), (Ok(()), Ok(())));
        assert_eq!(capacity.try_acquire(ZERO), Err(Refusal::Channels));
        capacity.release();
        assert_eq!((capacity.try_acquire(ZERO), capacity.free()), (Ok(()), Some(0)));
    }

    #[test]
    fn the_rate_refills_over_time() {
        let mut capacity = Capacity::new(None, Some(10));
        assert_eq!((0..20).filter(|_| capacity.try_acquire(ZERO).is_ok()).count(), 10);
        assert_eq!(capacity.try_acquire(ZERO + Duration::from_millis(99)), Err(Refusal::Rate));
        assert_eq!(capacity.try_acquire(ZERO + Duration::from_millis(100)), Ok(()));
        let later = ZERO + Duration::from_secs(3600);
        assert_eq!((0..20).filter(|_| capacity.try_acquire(later).is_ok()).count(), 10, "idle time is not saved up");
    }

    #[test]
    fn a_refusal_for_channels_costs_no_rate() {
        let mut capacity = Capacity::new(Some(1), Some(2));
        capacity.try_acquire(ZERO).unwrap();
        for _ in 0..5 {
            assert_eq!(capacity.try_acquire(ZERO), Err(Refusal::Channels));
        }
        capacity.release();
        assert_eq!(capacity.try_acquire(ZERO), Ok(()));
    }

    #[test]
    fn a_lower_limit_lets_calls_go_on_and_adopted_calls_count() {
        let mut capacity = Capacity::new(Some(3), None);
        (0..3).for_each(|_| capacity.try_acquire(ZERO).unwrap());
        capacity.resize(Some(1), None);
        capacity.adopt();
        assert_eq!((capacity.used(), capacity.free()), (4, Some(0)));
        (0..4).for_each(|_| capacity.release());
        assert_eq!((capacity.try_acquire(ZERO), capacity.try_acquire(ZERO)), (Ok(()), Err(Refusal::Channels)));
    }

    #[derive(Clone, Debug)]
    enum Step {
        Acquire,
        Release,
        Grant(u32),
        Reclaim(u32),
        Wait(u64),
    }

    fn step() -> impl Strategy<Value = Step> {
        prop_oneof![
            4 => Just(Step::Acquire),
            2 => Just(Step::Release),
            1 => (0..5u32).prop_map(Step::Grant),
            1 => (0..5u32).prop_map(Step::Reclaim),
            1 => (0..500_000u64).prop_map(Step::Wait),
        ]
    }

    proptest! {
        #[test]
        fn used_never_passes_the_limit(limit in 0..6u32, cps in 1..8u32, steps in prop::collection::vec(step(), 0..200)) {
            let mut capacity = Capacity::new(Some(limit), Some(cps));
            let (mut now, mut held, mut granted, mut taken) = (ZERO, 0u32, limit, 0u64);
            for step in steps {
                match step {
                    Step::Acquire => if capacity.try_acquire(now).is_ok() { held += 1; taken += 1 },
                    Step::Release => if held > 0 { capacity.release(); held -= 1 },
                    Step::Grant(more) => { capacity.grant(more); granted += more },
                    Step::Reclaim(some) => granted -= capacity.reclaim(some),
                    Step::Wait(micros) => now = now + Duration::from_micros(micros),
                }
                prop_assert_eq!(capacity.used(), held);
                prop_assert!(capacity.used() <= granted);
                prop_assert_eq!(capacity.used() + capacity.free().unwrap(), granted);
                prop_assert!(taken * CALL <= u64::from(cps) * (CALL + now.as_micros()));
            }
        }
    }
}
