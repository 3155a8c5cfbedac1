//! How long to wait before the next attempt: doubling to a ceiling, with jitter, so that nodes do not come in step.

use rand::rngs::SmallRng;
use rand::{Rng as _, SeedableRng as _};
use std::time::Duration;

/// The first wait and the longest.
const FIRST: Duration = Duration::from_millis(100);
const LONGEST: Duration = Duration::from_secs(2);

/// See the module.
#[derive(Debug)]
pub(crate) struct Backoff {
    next: Duration,
    chance: SmallRng,
}

impl Backoff {
    pub(crate) fn new(seed: u64) -> Self {
        Self { next: FIRST, chance: SmallRng::seed_from_u64(seed) }
    }

    /// The wait before the next attempt: between half and all of the current step.
    pub(crate) fn next(&mut self) -> Duration {
        let step = self.next;
        self.next = (step * 2).min(LONGEST);
        step.mul_f64(self.chance.random_range(0.5..1.0))
    }

    /// It has worked.
    pub(crate) fn reset(&mut self) {
        self.next = FIRST;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_doubles_to_the_ceiling_and_starts_over() {
        let mut backoff = Backoff::new(1);
        let waits: Vec<_> = (0..20).map(|_| backoff.next()).collect();
        assert!(waits[0] >= FIRST / 2 && waits[0] < FIRST);
        assert!(waits[19] >= LONGEST / 2 && waits[19] < LONGEST);
        assert_ne!(waits[18], waits[19], "jitter");
        backoff.reset();
        assert!(backoff.next() < FIRST);
    }
}
