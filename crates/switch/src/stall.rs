//! Whether this process has just stood still, as a stalled hypervisor makes it: the datagrams that waited in its sockets are old
//! then. Whoever sent an INVITE has gone to another entrance, and would get a second call; whoever waits for an answer within
//! a call sends again.

use sip::clock::Instant;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// Longer than any load makes a tick wait.
const LONG: Duration = Duration::from_secs(1);
/// So long after waking the sockets are emptied.
const DEAF: Duration = Duration::from_millis(200);
/// So long after waking a node without a lease is not sure of its calls.
const UNSURE: Duration = Duration::from_secs(15);

/// See the module.
#[derive(Default)]
pub struct Stall {
    ticked: AtomicU64,
    deaf_until: AtomicU64,
    woken: AtomicU64,
}

impl Stall {
    /// Time goes on: to be called many times a second.
    pub(crate) fn tick(&self, now: Instant) {
        let last = Instant::from_micros(self.ticked.swap(now.as_micros(), Ordering::AcqRel));
        if last > Instant::ORIGIN && now.since(last) > LONG {
            tracing::warn!(stood_still = ?now.since(last), "this process stood still; what waited in its sockets is dropped");
            self.woken.store(now.as_micros(), Ordering::Release);
            self.deaf_until.store((now + DEAF).as_micros(), Ordering::Release);
        }
    }

    /// Whether this node may have been given up while it stood still, and not know it yet.
    pub(crate) fn has_just_woken(&self, now: Instant) -> bool {
        let (last, woken) = (self.ticked.load(Ordering::Acquire), self.woken.load(Ordering::Acquire));
        let sleeps = last > 0 && now.since(Instant::from_micros(last)) > LONG;
        sleeps || woken > 0 && now.since(Instant::from_micros(woken)) < UNSURE
    }

    /// Whether a datagram that is read now may have waited since before.
    pub(crate) fn is_deaf(&self, now: Instant) -> bool {
        let last = Instant::from_micros(self.ticked.load(Ordering::Acquire));
        let has_slept = last > Instant::ORIGIN && now.since(last) > LONG;
        has_slept || now.as_micros() < self.deaf_until.load(Ordering::Acquire)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ms(ms: u64) -> Instant {
        Instant::from_micros(1_000_000 + ms * 1_000)
    }

    #[test]
    fn who_wakes_is_deaf_for_a_moment_whoever_looks_first() {
        let stall = Stall::default();
        assert!(!stall.is_deaf(ms(5_000)), "it has not begun");
        stall.tick(ms(0));
        stall.tick(ms(900));
        assert!(!stall.is_deaf(ms(1_800)), "a machine under load is no machine that stands still");
        assert!(stall.is_deaf(ms(2_000)), "the socket is read before the clock");
        stall.tick(ms(2_001));
        assert!(stall.is_deaf(ms(2_100)) && !stall.is_deaf(ms(2_300)));
    }
}
