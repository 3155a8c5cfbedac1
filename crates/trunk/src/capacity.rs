//! Concurrent calls and calls a second of one trunk on a node that stands alone. It never knows which call holds a
//! channel.
//!
//! In a cluster [`crate::quota`] holds the same limits over all nodes, with the same bucket. Emergency calls do not ask.

use crate::bucket::Bucket;
use crate::quota::{Limits, Refusal};
use routing::model::Trunk;
use sip::clock::Instant;

/// The capacity of one trunk. Every [`Capacity::try_acquire`] that succeeds is matched by one [`Capacity::release`].
#[derive(Clone, Debug)]
pub struct Capacity {
    limits: Limits,
    used: u32,
    /// Made by the first call, since only then a time is known.
    rate: Option<Bucket>,
}

impl Capacity {
    /// With these limits, `None` for no limit.
    #[must_use]
    pub const fn new(channels: Option<u32>, cps: Option<u32>) -> Self {
        Self { limits: Limits { channels, cps }, used: 0, rate: None }
    }

    /// With the limits of a trunk, where 0 is no limit.
    #[must_use]
    pub fn of(trunk: &Trunk) -> Self {
        let Limits { channels, cps } = Limits::of(trunk);
        Self::new(channels, cps)
    }

    /// Takes a channel for a new call.
    ///
    /// # Errors
    /// The limit that is reached; nothing is taken then, not even a share of the rate.
    pub fn try_acquire(&mut self, now: Instant) -> Result<(), Refusal> {
        if self.limits.channels.is_some_and(|channels| self.used >= channels) {
            return Err(Refusal::Channels);
        }
        if let Some(cps) = self.limits.cps
            && !self.rate.get_or_insert_with(|| Bucket::full(cps, now)).take(now)
        {
            return Err(Refusal::Rate);
        }
        self.used = self.used.saturating_add(1);
        Ok(())
    }

    /// Gives a channel back.
    pub fn release(&mut self) {
        debug_assert!(self.used > 0, "a channel is given back twice");
        self.used = self.used.saturating_sub(1);
    }

    /// New limits. Calls above a lower limit go on; new ones wait until enough have ended.
    pub fn resize(&mut self, channels: Option<u32>, cps: Option<u32>) {
        if self.limits.cps != cps {
            self.rate = None;
        }
        self.limits = Limits { channels, cps };
    }

    /// Channels in use.
    #[must_use]
    pub const fn used(&self) -> u32 {
        self.used
    }

    /// Their limit; `None` for no limit.
    #[must_use]
    pub const fn channels(&self) -> Option<u32> {
        self.limits.channels
    }

    /// Channels that are not in use; `None` for no limit.
    #[must_use]
    pub fn free(&self) -> Option<u32> {
        self.limits.channels.map(|limit| limit.saturating_sub(self.used))
    }

    /// New calls allowed a second; `None` for no limit.
    #[must_use]
    pub const fn cps(&self) -> Option<u32> {
        self.limits.cps
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::time::Duration;

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
    fn a_lower_limit_lets_calls_go_on() {
        let mut capacity = Capacity::new(Some(3), None);
        (0..3).for_each(|_| capacity.try_acquire(ZERO).unwrap());
        capacity.resize(Some(1), None);
        assert_eq!((capacity.used(), capacity.free()), (3, Some(0)));
        (0..3).for_each(|_| capacity.release());
        assert_eq!((capacity.try_acquire(ZERO), capacity.try_acquire(ZERO)), (Ok(()), Err(Refusal::Channels)));
    }

    #[derive(Clone, Debug)]
    enum Step {
        Acquire,
        Release,
        Wait(u64),
    }

    fn step() -> impl Strategy<Value = Step> {
        prop_oneof![
            4 => Just(Step::Acquire),
            2 => Just(Step::Release),
            1 => (0..500_000u64).prop_map(Step::Wait),
        ]
    }

    proptest! {
        #[test]
        fn used_never_passes_the_limit(limit in 0..6u32, cps in 1..8u32, steps in prop::collection::vec(step(), 0..200)) {
            let mut capacity = Capacity::new(Some(limit), Some(cps));
            let (mut now, mut held, mut taken) = (ZERO, 0u32, 0u64);
            for step in steps {
                match step {
                    Step::Acquire => if capacity.try_acquire(now).is_ok() { held += 1; taken += 1 },
                    Step::Release => if held > 0 { capacity.release(); held -= 1 },
                    Step::Wait(micros) => now = now + Duration::from_micros(micros),
                }
                prop_assert_eq!(capacity.used(), held);
                prop_assert_eq!(capacity.used() + capacity.free().unwrap(), limit);
                prop_assert!(taken * 1_000_000 <= u64::from(cps) * (1_000_000 + now.as_micros()));
            }
        }
    }
}
