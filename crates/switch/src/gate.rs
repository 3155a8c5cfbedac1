//! The admission gate: what a source may ask of us before anything is parsed.
//!
//! Only messages that belong to no call pay here: initial INVITEs, REGISTERs, OPTIONS and strays. Each source has a bucket
//! of its own, so one that floods harms itself only. The table is bounded; when it is full of busy sources, new unknown
//! ones share one bucket.

use parking_lot::Mutex;
use rustc_hash::FxHashMap;
use sip::clock::Instant;
use std::net::IpAddr;

/// Requests a second, and the burst, of a source that a trunk names: its trunk's own `cps` is the finer limit.
const KNOWN: (f64, f64) = (20_000.0, 20_000.0);
/// Of any other source: enough for a site full of phones behind one address.
const UNKNOWN: (f64, f64) = (100.0, 400.0);
/// Sources remembered at once.
const SOURCES: usize = 65_536;

struct Bucket {
    tokens: f64,
    at: Instant,
}

/// See the module.
#[derive(Default)]
pub(crate) struct Gate {
    buckets: Mutex<FxHashMap<IpAddr, Bucket>>,
}

impl Gate {
    /// Whether one more message of `source` may pass now.
    pub(crate) fn admit(&self, now: Instant, source: IpAddr, known: bool) -> bool {
        let (rate, burst) = if known { KNOWN } else { UNKNOWN };
        let mut buckets = self.buckets.lock();
        let key = if buckets.len() >= SOURCES && !buckets.contains_key(&source) {
            forget_idle(&mut buckets, now);
            if buckets.len() >= SOURCES { IpAddr::from([0, 0, 0, 0]) } else { source }
        } else {
            source
        };
        let bucket = buckets.entry(key).or_insert(Bucket { tokens: burst, at: now });
        bucket.tokens = (bucket.tokens + now.since(bucket.at).as_secs_f64() * rate).min(burst);
        bucket.at = now;
        if bucket.tokens < 1.0 {
            return false;
        }
        bucket.tokens -= 1.0;
        true
    }
}

/// A bucket untouched for ten seconds is full again, so nothing is lost with it.
fn forget_idle(buckets: &mut FxHashMap<IpAddr, Bucket>, now: Instant) {
    buckets.retain(|_, bucket| now.since(bucket.at).as_secs() < 10);
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn a_flood_drains_its_own_bucket_only_and_refills_with_time() {
        let gate = Gate::default();
        let now = Instant::from_micros(1_000_000);
        let [flood, other] = [IpAddr::from([127, 0, 0, 1]), IpAddr::from([127, 0, 0, 2])];
        let passed = (0..10_000).filter(|_| gate.admit(now, flood, false)).count();
        assert_eq!(passed, 400);
        assert!(gate.admit(now, other, false));
        let later = now + Duration::from_secs(1);
        assert_eq!((0..10_000).filter(|_| gate.admit(later, flood, false)).count(), 100);
    }

    #[test]
    fn the_table_is_bounded() {
        let gate = Gate::default();
        let now = Instant::from_micros(1_000_000);
        for n in 0..u32::try_from(SOURCES + 1000).expect("small") {
            gate.admit(now, IpAddr::from(n.to_be_bytes()), false);
        }
        assert!(gate.buckets.lock().len() <= SOURCES + 1);
    }
}
