//! A timing wheel for expiries that are many, long and seldom reached. It never ends an entry early, and at most a second
//! late.

use sip::clock::Instant;

/// Microseconds of a slot.
const TICK: u64 = 1_000_000;
/// Slots; what lies further ahead than so many ticks goes round once more.
const SLOTS: u64 = 4096;

/// Keys with the time at which each is due. Putting one in and taking it out costs the same however many there are.
#[derive(Clone, Debug)]
pub struct ExpiryWheel<K> {
    slots: Box<[Vec<(K, Instant)>]>,
    /// The first tick that was not handled yet.
    next: u64,
    len: usize,
}

impl<K> ExpiryWheel<K> {
    /// An empty wheel that begins at `now`.
    #[must_use]
    pub fn new(now: Instant) -> Self {
        let slots = (0..SLOTS).map(|_| Vec::new()).collect();
        Self { slots, next: now.as_micros() / TICK, len: 0 }
    }

    /// How many keys it holds.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.len
    }

    /// True if it holds none.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Puts a key in. There is no taking out: who no longer wants it ignores it when it is due.
    pub fn schedule(&mut self, key: K, at: Instant) {
        let slot = Self::slot(Self::tick(at).max(self.next));
        self.slots[slot].push((key, at));
        self.len += 1;
    }

    /// Takes out what is due, in no order within a second.
    pub fn expire(&mut self, now: Instant) -> Vec<(K, Instant)> {
        let last = now.as_micros() / TICK;
        let mut due = Vec::new();
        // One round sees every slot, however long nobody asked.
        let first = self.next.max((last + 1).saturating_sub(SLOTS));
        for tick in first..=last {
            let slot = &mut self.slots[Self::slot(tick)];
            if slot.is_empty() {
                continue;
            }
            let (ready, later): (Vec<_>, Vec<_>) =
                std::mem::take(slot).into_iter().partition(|(_, at)| Self::tick(*at) <= last);
            *slot = later;
            self.len -= ready.len();
            due.extend(ready);
        }
        self.next = self.next.max(last + 1);
        due
    }

    /// When [`ExpiryWheel::expire`] may next have something; `None` for an empty wheel.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        if self.is_empty() {
            return None;
        }
        let mut ticks = self.next..self.next + SLOTS;
        ticks.find(|tick| !self.slots[Self::slot(*tick)].is_empty()).map(|tick| Instant::from_micros(tick * TICK))
    }

    /// The first tick at which `at` has passed.
    const fn tick(at: Instant) -> u64 {
        at.as_micros().div_ceil(TICK)
    }

    fn slot(tick: u64) -> usize {
        usize::try_from(tick % SLOTS).unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn at(millis: u64) -> Instant {
        Instant::from_micros(millis * 1000)
    }

    #[test]
    fn nothing_is_early_and_nothing_is_lost_beyond_one_round() {
        let mut wheel = ExpiryWheel::new(at(0));
        let far = (SLOTS + 5) * 1000;
        wheel.schedule("soon", at(1500));
        wheel.schedule("far", at(far));
        assert_eq!((wheel.expire(at(1999)), wheel.poll_timeout()), (vec![], Some(at(2000))));
        assert_eq!(wheel.expire(at(2000)), [("soon", at(1500))]);
        assert_eq!(wheel.expire(at(far - 1)), []);
        assert_eq!(wheel.expire(at(far)), [("far", at(far))]);
        assert!(wheel.is_empty() && wheel.poll_timeout().is_none());
    }

    #[test]
    fn what_is_due_already_comes_at_the_next_tick() {
        let mut wheel = ExpiryWheel::new(at(10_000));
        wheel.expire(at(10_000));
        wheel.schedule((), at(3));
        assert_eq!(wheel.poll_timeout(), Some(at(11_000)));
        assert_eq!(wheel.expire(at(11_000)).len(), 1);
    }

    proptest! {
        #[test]
        fn it_agrees_with_a_sorted_list(
            steps in prop::collection::vec((0..10_000_000u64, prop_oneof![0..3000u64, 0..6_000_000u64]), 1..100)
        ) {
            let mut wheel = ExpiryWheel::new(at(0));
            let (mut model, mut now): (Vec<u64>, u64) = (Vec::new(), 0);
            for (ahead, wait) in steps {
                wheel.schedule(now + ahead, at(now + ahead));
                model.push(now + ahead);
                now += wait;
                for (key, due) in wheel.expire(at(now)) {
                    prop_assert!(due == at(key) && key <= now);
                    let place = model.iter().position(|held| *held == key);
                    prop_assert!(place.is_some());
                    model.swap_remove(place.unwrap_or(0));
                }
                // A key that was past when it came may wait for the next tick.
                prop_assert!(model.iter().all(|key| key + 1000 > now || *key == now - wait + ahead));
                prop_assert_eq!(wheel.len(), model.len());
                prop_assert_eq!(wheel.poll_timeout().is_some(), !model.is_empty());
            }
        }
    }
}
