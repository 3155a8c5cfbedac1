//! What the workers count, written once a round, and the sums that anyone may read.

use crate::Reason;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

const REASONS: usize = Reason::ALL.len();

/// The state of the relay at one moment; counters run from its start.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Gauges {
    /// Sessions that hold ports.
    pub sessions: u64,
    /// Pairs of ports that are free, over all addresses.
    pub free_pairs: u64,
    /// RTP and RTCP packets forwarded.
    pub packets: u64,
    /// Their bytes.
    pub bytes: u64,
    /// RTP packets that were missing by sequence number.
    pub lost: u64,
    /// Dropped packets, indexed as [`Reason::ALL`].
    pub drops: [u64; REASONS],
    /// Allocations refused for want of ports.
    pub exhausted: u64,
    /// Commands refused because a worker's queue was full.
    pub refused: u64,
    /// CPU time of the worker threads, up to a second old.
    pub cpu: Duration,
}

impl Gauges {
    /// Packets dropped for that reason.
    #[must_use]
    pub const fn dropped(&self, reason: Reason) -> u64 {
        self.drops[reason as usize]
    }
}

/// What a worker counts by itself before it publishes.
#[derive(Clone, Copy, Default)]
pub(crate) struct Tally {
    pub(crate) packets: u64,
    pub(crate) bytes: u64,
    pub(crate) lost: u64,
    pub(crate) drops: [u64; REASONS],
    pub(crate) dropped_any: bool,
}

impl Tally {
    pub(crate) fn forwarded(&mut self, bytes: usize) {
        self.packets += 1;
        self.bytes += bytes as u64;
    }

    pub(crate) fn dropped(&mut self, reason: Reason) {
        self.drops[reason as usize] += 1;
        self.dropped_any = true;
    }
}

/// The counters of one shard. Only its worker adds to them, but for `sessions`.
#[derive(Default)]
pub(crate) struct Counters {
    pub(crate) sessions: AtomicU64,
    packets: AtomicU64,
    bytes: AtomicU64,
    lost: AtomicU64,
    drops: [AtomicU64; REASONS],
    /// Microseconds, of threads that have ended and of the one that runs.
    cpu_us: AtomicU64,
}

impl Counters {
    /// Adds what a round brought and empties the tally.
    pub(crate) fn publish(&self, tally: &mut Tally) {
        self.packets.fetch_add(tally.packets, Ordering::Relaxed);
        self.bytes.fetch_add(tally.bytes, Ordering::Relaxed);
        self.lost.fetch_add(tally.lost, Ordering::Relaxed);
        if tally.dropped_any {
            for (total, new) in self.drops.iter().zip(tally.drops) {
                total.fetch_add(new, Ordering::Relaxed);
            }
        }
        *tally = Tally::default();
    }

    pub(crate) fn add_cpu(&self, more: Duration) {
        self.cpu_us.fetch_add(u64::try_from(more.as_micros()).unwrap_or(u64::MAX), Ordering::Relaxed);
    }

    /// Adds this shard to a sum over shards.
    pub(crate) fn add_to(&self, sum: &mut Gauges) {
        sum.sessions += self.sessions.load(Ordering::Relaxed);
        sum.packets += self.packets.load(Ordering::Relaxed);
        sum.bytes += self.bytes.load(Ordering::Relaxed);
        sum.lost += self.lost.load(Ordering::Relaxed);
        for (total, mine) in sum.drops.iter_mut().zip(&self.drops) {
            *total += mine.load(Ordering::Relaxed);
        }
        sum.cpu += Duration::from_micros(self.cpu_us.load(Ordering::Relaxed));
    }
}
